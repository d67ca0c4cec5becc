"""Audit rules for figures that tell models apart badly or not at all, as a model that knows nothing scores high.

Such a model ranks documents at random, gives all texts of a classification the label that most of them have, and orders
pairs at random or calls all of them alike, or none. Triplets have a score of 50 by chance and correlations one of 0.
What it scores by a measure of the study file is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.data.findings import Finding, Severity
from harness.data.repeated import by_share
from harness.reading.beir import RetrievalSet
from harness.stats.random_order import is_fixed, of_random_order
from harness.testbeds.measure_kinds import Classification, PairClasses, Retrieval
from harness.text import counted, score

HIGH = 0.1
"""Score of a random order above which the audit warns, our choice.

It is that of nDCG@10 with 45 documents, one of them relevant.
"""

HALF = 0.5
"""Score of a random order above which the audit notes figures that verdicts are about only if a claim names them."""


def of_classes(measure: Classification, fitted: Sequence[object], asked: Sequence[object], where: str) -> list[Finding]:
    """Return a finding if giving every text the most frequent label scores high.

    Args:
        measure: the measure.
        fitted: the labels of the texts on which the classifier is fitted.
        asked: the labels of the texts on which it is scored.
        where: the testbed, as findings name it.
    """
    most, classes = max(Counter(asked).values()), len(set(fitted))
    scored = _of_one_label(most / len(asked), len(set(asked)))
    return _of_labels(measure, scored, _of_one_label(1 / classes, classes), most, len(asked), where)


def of_alike(measure: PairClasses, alike: Sequence[bool], where: str) -> list[Finding]:
    """Return a finding if pairs are so unevenly alike that a model that knows nothing scores high.

    Args:
        measure: the measure.
        alike: whether each pair is alike.
        where: the testbed, as findings name it.
    """
    most = max(Counter(alike).values())
    scored = _of_random_pairs(sum(alike) / len(alike))
    return _of_labels(measure, scored, _of_random_pairs(0.5), most, len(alike), where)


def _of_one_label(share: float, classes: int) -> Mapping[str, float]:
    """Return the figures of giving all texts one label, which a share of them has; F1 is the mean over classes."""
    return {"accuracy": share, "f1": 2 * share / (1 + share) / classes}


def _of_random_pairs(alike: float) -> Mapping[str, float]:
    """Return the figures of pairs by chance if a share is alike: of random cosines, or of calling all alike or none."""
    return {"average_precision": alike, "accuracy": max(alike, 1 - alike), "f1": 2 * alike / (1 + alike)}


def _of_labels(
    measure: Classification | PairClasses,
    scored: Mapping[str, float],
    if_even: Mapping[str, float],
    most: int,
    items: int,
    where: str,
) -> list[Finding]:
    """Return a finding on figures that take up half of the way from what they are with even labels to 1.

    Args:
        measure: the measure.
        scored: its figures by chance.
        if_even: those of a set in which all labels are equally frequent.
        most: number of items with the most frequent label.
        items: number of items.
        where: the testbed, as findings name it.
    """
    high = [figure for figure in measure.figures if scored[figure] > (1 + if_even[figure]) / 2]
    if not high:
        return []
    first = measure.figure if measure.figure in high else high[0]
    listed = ", ".join(f"{figure} of {score(scored[figure])}" for figure in high)
    others = " or ".join(figure for figure in measure.figures if figure not in high)
    instead = f", or take the figure {others}" if others and first == measure.figure else ""
    words = (
        f"A model that knows nothing has {listed} (times 100) in {measure.name}, because {most:,} of its {items:,} "
        f"{measure.items} have the same label. So a high score says little, and differences between models are smaller "
        f"than with more even labels. Add {measure.items} with other labels{instead}."
    )
    severity: Severity = "warning" if first == measure.figure else "note"
    what = f"score of a model that knows nothing in {measure.name}"
    return [Finding(severity, where, what, round(100 * scored[first], 2), 100, words)]


def of_chance(measure: Retrieval, read: RetrievalSet, where: str) -> list[Finding]:
    """Return findings on figures that are the same for every model, and on a high score of a random order.

    Args:
        measure: the measure.
        read: its set.
        where: the testbed, as findings name it.
    """
    own = set(read.document_ids) if read.exclude else set()
    kinds = Counter((len(read.documents) - (id in own), tuple(read.relevant[id].values())) for id in read.query_ids)
    queries, figure = len(read.queries), measure.figure
    fixed = {name: sum(count for kind, count in kinds.items() if is_fixed(name, *kind)) for name in measure.figures}
    most = max(len(grades) for _, grades in kinds)
    numbers = f"the set has {counted(len(read.documents), 'document')}, and up to {most:,} are relevant to a query"
    if fixed[figure] == queries:
        words = (
            f"{figure} of {measure.name} is the same for every model, however it ranks: {numbers}. Add documents that "
            "are not relevant, or take another figure."
        )
        return [Finding("error", where, f"{figure} of {measure.name}", queries, queries, words)]
    findings = []
    if alike := fixed[figure]:
        words = (
            f"{alike:,} of {queries:,} queries of {measure.name} have the same {figure} for every model, however it "
            "ranks, because too few documents are irrelevant to them. Correct the judgements, or remove the queries."
        )
        what = f"queries of {measure.name} that tell no models apart"
        findings.append(Finding(by_share(alike, queries), where, what, alike, queries, words))
    chance = {
        name: sum(count * of_random_order(name, *kind) for kind, count in kinds.items()) / queries
        for name in measure.figures
    }
    severity: Severity = "warning" if chance[figure] > HIGH else "note"
    if severity == "warning":
        words = (
            f"A random order of the documents of {measure.name} has a {figure} of {score(chance[figure])} (times 100): "
            f"{numbers}. So differences between models are smaller than with more documents. Add documents that are "
            "not relevant."
        )
        what = f"score of a random order in {measure.name}"
        findings.append(Finding(severity, where, what, round(100 * chance[figure], 2), 100, words))
    if others := [name for name, count in fixed.items() if count == queries]:
        words = (
            f"Models cannot differ by {', '.join(others)} of {measure.name}, however they rank: {numbers}. Claim "
            "nothing about these figures, or add documents that are not relevant."
        )
        what = f"figures of {measure.name} that are the same for every model"
        findings.append(Finding(severity, where, what, len(others), len(measure.figures), words))
    high = [name for name in measure.figures if chance[name] > HALF and fixed[name] < queries and name != figure]
    if high:
        listed = ", ".join(f"{name} of {score(chance[name])}" for name in high)
        words = (
            f"A random order of the documents of {measure.name} has {listed} (times 100): {numbers}. So a high score "
            "in them says little. Claim nothing about these figures, or add documents that are not relevant."
        )
        what = f"figures of {measure.name} that are high in a random order"
        findings.append(Finding("note", where, what, len(high), len(measure.figures), words))
    return findings
