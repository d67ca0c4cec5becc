"""Audit rules for items whose own texts are equal to each other: every model embeds them alike, whatever it learnt."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.findings import Finding
from harness.data.repeated import by_share
from harness.testbeds.measure_kinds import Measure, Triplets
from harness.texts.normal import PairKey


def of_pairs(
    measure: Measure, keys: Sequence[PairKey], alike: Sequence[bool], answer: str, where: str
) -> list[Finding]:
    """Return a finding on pairs of equal texts whose right answer is that they differ.

    Args:
        measure: a measure of pairs.
        keys: the normalised texts of each pair.
        alike: whether a pair's right answer is that of equal texts.
        answer: what that answer is called.
        where: the testbed, as findings name it.
    """
    wrong = sum("" != one == other and not same for (one, other), same in zip(keys, alike, strict=True))
    if not wrong:
        return []
    words = (
        f"{wrong:,} of {len(keys):,} pairs of {measure.name} consist of texts that are equal, except for case and "
        f"punctuation, without having {answer}. Every model finds them alike. Correct or remove them."
    )
    what = f"equal texts that count as different in {measure.name}"
    return [Finding(by_share(wrong, len(keys)), where, what, wrong, len(keys), words)]


def of_triplets(
    measure: Triplets, anchors: Sequence[str], positives: Sequence[str], negatives: Sequence[str], where: str
) -> list[Finding]:
    """Return findings on triplets about which no model, or every model, is right.

    Args:
        measure: the measure.
        anchors: the normalised anchors.
        positives: the normalised positives.
        negatives: the normalised negatives.
        where: the testbed, as findings name it.
    """
    number, findings = len(anchors), []
    lost = [negative in both for negative, both in zip(negatives, zip(anchors, positives, strict=True), strict=True)]
    if wrong := sum(lost):
        words = (
            f"The negative of {wrong:,} of {number:,} triplets of {measure.name} is equal to the anchor or to the "
            "positive, except for case and punctuation, so no model can be right about them. Correct or remove them."
        )
        what = f"triplets of {measure.name} that no model is right about"
        findings.append(Finding("warning", where, what, wrong, number, words))
    won = (one == other and not no for one, other, no in zip(anchors, positives, lost, strict=True))
    if trivial := sum(won):
        words = (
            f"The positive of {trivial:,} of {number:,} triplets of {measure.name} is equal to the anchor, except for "
            "case and punctuation, so every model is right about them. Remove them."
        )
        what = f"triplets of {measure.name} that every model is right about"
        findings.append(Finding(by_share(trivial, number), where, what, trivial, number, words))
    return findings
