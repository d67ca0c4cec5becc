"""Overlap: pairs and sentences of an evaluation set that are in other data, exactly after normalising, or nearly."""

from __future__ import annotations

from collections.abc import Collection

from harness.data.findings import Finding, Overlap, Severity
from harness.texts.normal import PairKey

ROWS, DEV_SET = "training rows", "dev set"
"""Data that may contain pairs of an evaluation set."""

MUCH_SHARED = 0.01
"""Share of a set's pairs or sentences above which overlap is a warning; less changes Spearman less than a seed does.

Between dev and test it is an error above this share. STSB's own dev and test sets share 4 of 1,379 pairs; dropping them
would make scores incomparable with published ones.
"""


def overlap(
    name: str,
    keys: Collection[PairKey],
    own: Collection[str],
    held_by: str,
    pairs: Collection[PairKey],
    sentences: Collection[str],
) -> Overlap:
    """Count what an evaluation set shares with other data.

    Args:
        name: name of the evaluation set.
        keys: keys of its pairs.
        own: its distinct normalised sentences.
        held_by: name of the other data.
        pairs: keys of the other data's pairs, as a set for speed.
        sentences: the other data's normalised sentences, as a set for speed.
    """
    return Overlap(
        name,
        held_by,
        len(keys),
        sum(key in pairs for key in keys),
        len(own),
        sum(sentence in sentences for sentence in own),
    )


def of_overlap(shared: Overlap, testbed: str, besides: bool) -> list[Finding]:
    """Return findings on the pairs and sentences that an evaluation set shares with training rows or dev set.

    Args:
        shared: the overlap.
        testbed: name of the testbed.
        besides: whether the set is scored besides dev and test, so that no verdict on the headline rests on it.
    """
    where, findings = f"testbed {testbed}", []
    much = shared.shared_pairs > MUCH_SHARED * shared.pairs
    items, alike, in_any_way = "pairs", "in either order", "in the same pairs or in others"
    if shared.labelled:
        items, alike, in_any_way = "texts", "with a label", "with a label or without"
    if shared.shared_pairs:
        severity: Severity
        if besides:
            severity = "warning" if much or shared.held_by == ROWS else "note"
            fix = "Its scores are raised by them."
            if shared.name.startswith("mteb/"):
                fix = "The report also gives the task's score without them."
        elif shared.held_by == ROWS:
            severity = "error"
            fix = "Remove them from the testbed's rows, or choose other rows: they are both trained and tested on."
        elif much:
            severity = "error"
            fix = f"Choose another dev set: best points would be selected on {items} that they are then tested on."
        else:
            severity = "warning"
            fix = f"So few {items} hardly change a score, but dev set and test set are not disjoint."
        findings.append(
            Finding(
                severity,
                where,
                f"{'labelled ' * shared.labelled}{items} of {shared.name} in the {shared.held_by}",
                shared.shared_pairs,
                shared.pairs,
                f"{shared.shared_pairs:,} of {shared.pairs:,} {items} of {shared.name} are also in the "
                f"{shared.held_by}, {alike} and except for case and punctuation. {fix}",
            )
        )
    for what, count, words in (
        ("sentences", shared.shared_sentences, "also"),
        ("near-duplicates", shared.near or 0, "nearly, but not exactly,"),
    ):
        if count and shared.held_by == ROWS:
            findings.append(
                Finding(
                    "warning" if count > MUCH_SHARED * shared.sentences else "note",
                    where,
                    f"{what} of {shared.name} in the {shared.held_by}",
                    count,
                    shared.sentences,
                    f"{count:,} of {shared.sentences:,} distinct texts of {shared.name} are {words} in the "
                    f"{shared.held_by}, {in_any_way}. Remove those rows if this is a concern.",
                )
            )
    return findings
