"""Audit rules for the sets of measures, by kind: what cannot be scored, what is repeated, what leaks inside one."""

from __future__ import annotations

from harness.data import chance, equal_texts
from harness.data.findings import Finding
from harness.data.ranges import of_scores
from harness.data.repeated import contradicting, of_items
from harness.data.retrieval_sets import of_retrieval
from harness.reading import beir, materials
from harness.reading.items import as_classes, columns, fault_of_classes, fault_of_pairs, labelled
from harness.testbeds.measure_kinds import Classification, Measure, PairClasses, Retrieval, Sts, Triplets
from harness.texts.normal import normalise, pair_key, pair_keys


def of_measure(measure: Measure, testbed: str) -> list[Finding]:
    """Return findings on the data of a measure; none for a task of mteb and for a function of the study file.

    Args:
        measure: the measure.
        testbed: name of the testbed.

    Raises:
        TestbedUnavailable: its data are missing.
        AuditFailed: its data have another form.
    """
    where = f"testbed {testbed}"
    if isinstance(measure, Retrieval):
        return of_retrieval(measure, beir.load(measure), where)
    if isinstance(measure, Sts):
        pairs = materials.load_sts(measure)
        both = pairs.sentence1, pairs.sentence2
        keys, alike = pair_keys(*both), [score >= 0.5 for score in pairs.gold]  # rescaled from the range to 0 to 1
        return [
            *of_scores(measure.name, both, pairs.gold, measure.range, testbed),
            *of_items(measure, keys, pairs.gold, "gold score", where),
            *equal_texts.of_pairs(measure, keys, alike, "a gold score in the upper half of the range", where),
        ]
    if isinstance(measure, PairClasses):
        (left, right), labels = labelled(measure.source, (measure.text1, measure.text2), measure.label, _named(measure))
        keys, alike = pair_keys(left, right), [str(label) == "1" for label in labels]
        fault = fault_of_pairs(labels)
        return [
            *_cannot_be_scored(measure, fault, len(labels), where),
            *(chance.of_alike(measure, alike, where) if fault is None else ()),
            *of_items(measure, keys, labels, "label", where),
            *equal_texts.of_pairs(measure, keys, alike, "the label 1", where),
        ]
    if isinstance(measure, Triplets):
        names = (measure.anchor, measure.positive, measure.negative)
        anchors, positives, negatives = (
            [*map(normalise, each)] for each in columns(measure.source, names, _named(measure))
        )
        triplets = [(anchor, *pair_key(*others)) for anchor, *others in zip(anchors, positives, negatives, strict=True)]
        return [
            *of_items(measure, triplets, positives, "positive", where),
            *equal_texts.of_triplets(measure, anchors, positives, negatives, where),
        ]
    if isinstance(measure, Classification):
        return _of_classification(measure, where)
    return []


def _named(measure: Measure) -> str:
    return f"measure {measure.name!r}"


def _cannot_be_scored(measure: Measure, fault: str | None, items: int, where: str) -> list[Finding]:
    if fault is None:
        return []
    words = f"No model can be scored by {measure.name}: {fault}."
    return [Finding("error", where, f"labels of {measure.name}", items, items, words)]


def _of_classification(measure: Classification, where: str) -> list[Finding]:
    """Return findings on the texts that a classifier is fitted and scored on, and on those that are in both."""
    (fitted, seen), (tested, asked) = (
        ([*map(normalise, texts)], labels)
        for source in (measure.train, measure.test)
        for (texts,), labels in [labelled(source, (measure.text,), measure.label, _named(measure))]
    )
    fault = fault_of_classes(seen, asked)
    findings = _cannot_be_scored(measure, fault, len(asked), where)
    if fault is None:
        findings += chance.of_classes(measure, *as_classes(seen, asked), where)
    known = set(fitted)
    if shared := sum(text in known for text in tested):
        words = (
            f"{shared:,} of the {len(tested):,} texts on which the classifier of {measure.name} is scored are among "
            "those on which it is fitted. Divide them, e.g. by source.split(by=...)."
        )
        what = f"texts of {measure.name} in its own training texts"
        findings.append(Finding("error", where, what, shared, len(tested), words))
    if against := contradicting(fitted, seen):
        words = (
            f"{against:,} of the {len(fitted):,} texts on which the classifier of {measure.name} is fitted are equal "
            "to another one that has another label. Correct or remove them."
        )
        what = f"contradictions in the training texts of {measure.name}"
        findings.append(Finding("warning", where, what, against, len(fitted), words))
    return findings + of_items(measure, tested, asked, "label", where)
