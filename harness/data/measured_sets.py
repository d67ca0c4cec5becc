"""Audit rules for the sets of measures: what is not scored or cannot be, what is repeated, what leaks inside one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from harness.data.findings import Finding, Severity
from harness.data.ranges import of_scores
from harness.reading import beir, materials
from harness.reading.beir import RetrievalSet
from harness.reading.items import columns, fault_of_classes, fault_of_pairs, labelled
from harness.stats.bootstrap import FEWEST
from harness.testbeds.measure_kinds import Classification, Measure, PairClasses, Retrieval, Sts, Triplets
from harness.text import counted
from harness.texts.normal import normalise, pair_key, pair_keys
from harness.texts.templates import templates

MUCH_REPEATED = 0.01
"""Share of a set's items that repeat an earlier one above which this is a warning."""


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
        read = beir.load(measure)
        return of_retrieval(measure.name, read, testbed) + _few(measure, len(read.queries), len(read.queries), where)
    if isinstance(measure, Sts):
        pairs = materials.load_sts(measure)
        both = pairs.sentence1, pairs.sentence2
        scores = of_scores(measure.name, both, pairs.gold, measure.range, testbed)
        return scores + _of_items(measure, pair_keys(*both), pairs.gold, "gold score", where)
    if isinstance(measure, PairClasses):
        (left, right), labels = labelled(measure.source, (measure.text1, measure.text2), measure.label, _named(measure))
        fault = _cannot_be_scored(measure, fault_of_pairs(labels), len(labels), where)
        return fault + _of_items(measure, pair_keys(left, right), labels, "label", where)
    if isinstance(measure, Triplets):
        names = (measure.anchor, measure.positive, measure.negative)
        anchors, positives, negatives = (
            [*map(normalise, each)] for each in columns(measure.source, names, _named(measure))
        )
        triplets = [(anchor, *pair_key(*others)) for anchor, *others in zip(anchors, positives, negatives, strict=True)]
        return _of_items(measure, triplets, positives, "positive", where)
    if isinstance(measure, Classification):
        _, seen = labelled(measure.train, (measure.text,), measure.label, _named(measure))
        (texts,), asked = labelled(measure.test, (measure.text,), measure.label, _named(measure))
        fault = _cannot_be_scored(measure, fault_of_classes(seen, asked), len(asked), where)
        items = _of_items(measure, [*map(normalise, texts)], asked, "label", where)
        return fault + of_classification(measure, testbed) + items
    return []


def _named(measure: Measure) -> str:
    return f"measure {measure.name!r}"


def _cannot_be_scored(measure: Measure, fault: str | None, items: int, where: str) -> list[Finding]:
    if fault is None:
        return []
    words = f"No model can be scored by {measure.name}: {fault}."
    return [Finding("error", where, f"labels of {measure.name}", items, items, words)]


def _of_items(
    measure: Measure, keys: Sequence[Hashable], gold: Sequence[object], answer: str, where: str
) -> list[Finding]:
    """Return findings on items that are equal except for case, punctuation and the order of a pair.

    Args:
        measure: the measure.
        keys: what equal items share, one an item.
        gold: the right answer of each item.
        answer: what an answer is called.
        where: the testbed, as findings name it.
    """
    name, number, answers = measure.name, len(keys), defaultdict[Hashable, set[str]](set)
    for key, each in zip(keys, gold, strict=True):
        answers[key].add(str(each))
    findings, repeats = _few(measure, number, len(answers), where), number - len(answers)
    if repeats:
        words = (
            f"{repeats:,} of {number:,} {measure.items} of {name} repeat an earlier one, except for case, punctuation "
            f"and the order of texts, so only {len(answers):,} are different. Scores count each copy; intervals draw "
            "copies together unless they are too few to matter, because a copy is no further evidence. Remove them."
        )
        severity: Severity = "warning" if repeats > MUCH_REPEATED * number else "note"
        findings.append(Finding(severity, where, f"repeated {measure.items} of {name}", repeats, number, words))
    against = sum(len(answers[key]) > 1 for key in keys)
    if against:
        words = (
            f"{against:,} of {number:,} {measure.items} of {name} are equal to another one that has another {answer}, "
            "so no model can be right about all of them. Correct or remove them."
        )
        findings.append(Finding("warning", where, f"contradictions in {name}", against, number, words))
    return findings


def _few(measure: Measure, items: int, different: int, where: str) -> list[Finding]:
    """Return a finding if a measure has too few items: an error if copies hide it, as an interval could be drawn.

    Args:
        measure: the measure.
        items: number of its items.
        different: number of its items without copies.
        where: the testbed, as findings name it.
    """
    if different >= FEWEST:
        return []
    words = (
        f"The number of different {measure.items} of {measure.name} is {different}, and an interval over "
        f"{measure.items} needs at least {FEWEST}, so no claim can be judged by them. Give it more."
    )
    severity: Severity = "error" if items >= FEWEST else "warning"
    return [Finding(severity, where, f"too few {measure.items} in {measure.name}", different, items, words)]


def of_retrieval(name: str, read: RetrievalSet, testbed: str) -> list[Finding]:
    """Return notes on queries, judgements and documents that a retrieval measure does without.

    Args:
        name: name of the measure.
        read: its set.
        testbed: name of the testbed.
    """
    queries, documents = len(read.queries) + read.left_out, len(read.documents)
    judged = read.unknown + sum(map(len, read.relevant.values()))
    notes = (
        ("queries left out", read.left_out, queries, "queries have no relevant document and are left out"),
        ("judgements left out", read.unknown, judged, "judgements name queries or documents that do not exist"),
        ("documents without a text", read.empty, documents, "documents have no text; they are ranked as empty texts"),
    )
    return [
        Finding("note", f"testbed {testbed}", f"{what} of {name}", count, of, f"Of {name} {count:,} of {of:,} {words}.")
        for what, count, of, words in notes
        if count
    ] + _templates(name, read, testbed)


def _templates(name: str, read: RetrievalSet, testbed: str) -> list[Finding]:
    """Return a note if queries follow templates: a verdict on them says little about questions of other kinds."""
    followed = Counter(template for template in templates(read.queries) if template is not None)
    if not followed:
        return []
    number, most = sum(followed.values()), max(followed.values())
    kinds = f"{counted(len(followed), 'template')}, the most frequent {most:,} times"
    words = (
        f"{number:,} of {len(read.queries):,} queries of {name} begin like many others ({kinds}). "
        "Intervals over queries draw whole templates, because other questions would have other ones."
    )
    return [Finding("note", f"testbed {testbed}", f"templates of queries of {name}", number, len(read.queries), words)]


def of_classification(measure: Classification, testbed: str) -> list[Finding]:
    """Return an error if texts that a classifier is scored on are among those that it is fitted on."""
    where = _named(measure)
    fitted = {normalise(text) for text in columns(measure.train, (measure.text,), where)[0]}
    tested = [normalise(text) for text in columns(measure.test, (measure.text,), where)[0]]
    shared = sum(text in fitted for text in tested)
    if not shared:
        return []
    words = (
        f"{shared:,} of the {len(tested):,} texts on which the classifier of {measure.name} is scored are among those "
        "on which it is fitted. Divide them, e.g. by source.split(by=...)."
    )
    what = f"texts of {measure.name} in its own training texts"
    return [Finding("error", f"testbed {testbed}", what, shared, len(tested), words)]
