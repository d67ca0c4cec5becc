"""Audit rules for the items of a measure: those that are repeated, contradict each other or are too few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from harness.data.findings import Finding, Severity
from harness.stats.bootstrap import FEWEST
from harness.stats.intervals import FEWEST_DECIDING
from harness.testbeds.measure_kinds import Measure

MUCH = 0.01
"""Share of a set's items, texts or documents above which a fault that a few of them may have is a warning."""


def by_share(count: int, of: int) -> Severity:
    """Return the severity of a fault that hardly changes a score if few items have it."""
    return "warning" if count > MUCH * of else "note"


def of_items(
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
    name, number, different = measure.name, len(keys), len(set(keys))
    findings, repeats = _few(measure, number, different, where), number - different
    if repeats:
        words = (
            f"{repeats:,} of {number:,} {measure.items} of {name} repeat an earlier one, except for case, punctuation "
            f"and the order of texts, so only {different:,} are different. Scores count each copy; intervals draw "
            "copies together unless they are too few to matter, because a copy is no further evidence. Remove them."
        )
        severity = by_share(repeats, number)
        findings.append(Finding(severity, where, f"repeated {measure.items} of {name}", repeats, number, words))
    if against := contradicting(keys, gold):
        words = (
            f"{against:,} of {number:,} {measure.items} of {name} are equal to another one that has another {answer}, "
            "so no model can be right about all of them. Correct or remove them."
        )
        findings.append(Finding("warning", where, f"contradictions in {name}", against, number, words))
    return findings


def contradicting(keys: Sequence[Hashable], gold: Sequence[object]) -> int:
    """Return the number of items that are equal to another one whose right answer is another; arguments as above."""
    answers = defaultdict[Hashable, set[str]](set)
    for key, each in zip(keys, gold, strict=True):
        answers[key].add(str(each))
    return sum(len(answers[key]) > 1 for key in keys)


def _few(measure: Measure, items: int, different: int, where: str) -> list[Finding]:
    """Return a finding if a measure has too few items: an error if copies hide it, as an interval could be drawn.

    Args:
        measure: the measure.
        items: number of its items.
        different: number of its items without copies.
        where: the testbed, as findings name it.
    """
    if different >= FEWEST_DECIDING:
        return []
    words = (
        f"The number of different {measure.items} of {measure.name} is {different}, and fewer than {FEWEST_DECIDING} "
        "decide no claim, even if all of them agree. Give it more."
    )
    severity: Severity = "error" if different < FEWEST <= items else "warning"
    return [Finding(severity, where, f"too few {measure.items} in {measure.name}", different, items, words)]
