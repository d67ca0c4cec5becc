"""Audit rules for retrieval figures that tell models apart badly or not at all, because of the number of documents."""

from __future__ import annotations

from collections import Counter

from harness.data.findings import Finding, Severity
from harness.data.repeated import by_share
from harness.reading.beir import RetrievalSet
from harness.stats.random_order import is_fixed, of_random_order
from harness.testbeds.measure_kinds import Retrieval
from harness.text import counted, score

HIGH = 0.1
"""Score of a random order above which the audit warns, our choice.

It is that of nDCG@10 with 45 documents, one of them relevant.
"""


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
    chance = sum(count * of_random_order(figure, *kind) for kind, count in kinds.items()) / queries
    severity: Severity = "warning" if chance > HIGH else "note"
    if severity == "warning":
        words = (
            f"A random order of the documents of {measure.name} has a {figure} of {score(chance)} (times 100): "
            f"{numbers}. So differences between models are smaller than with more documents. Add documents that are "
            "not relevant."
        )
        what = f"score of a random order in {measure.name}"
        findings.append(Finding(severity, where, what, round(100 * chance, 2), 100, words))
    if others := [name for name, count in fixed.items() if count == queries]:
        words = (
            f"Models cannot differ by {', '.join(others)} of {measure.name}, however they rank: {numbers}. Claim "
            "nothing about these figures, or add documents that are not relevant."
        )
        what = f"figures of {measure.name} that are the same for every model"
        findings.append(Finding(severity, where, what, len(others), len(measure.figures), words))
    return findings
