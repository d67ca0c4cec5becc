"""Overlap: pairs and sentences of an evaluation set that are in other data, exactly after normalising, or nearly.

No other module imports datasketch.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Collection, Iterable
from typing import TypeAlias

from harness.data.findings import Finding, Overlap, Severity

ROWS, DEV_SET = "training rows", "dev set"
"""Data that may contain pairs of an evaluation set."""

SHINGLE = 5
"""Characters in a shingle; shingles of words would be too few in short sentences."""

THRESHOLD = 0.8
"""Jaccard similarity of shingles from which two sentences are near-duplicates.

Lee et al. (2022, arXiv:2107.06499) use it for documents.
"""

BANDS, PER_BAND = 16, 4
"""Bands of the locality-sensitive index over a MinHash signature of 64 permutations, and permutations in a band.

Two sentences of similarity s become candidates with probability 1 - (1 - s^4)^16: 0.9998 at 0.8, and 0.64 at 0.5, where
each costs a comparison. The library's default for a threshold of 0.8 misses 6 percent of the pairs at 0.83.
"""

MUCH_SHARED = 0.01
"""Share of a set's pairs or sentences above which overlap is a warning; less changes Spearman less than a seed does.

Between dev and test it is an error above this share. STSB's own dev and test sets share 4 of 1,379 pairs; dropping them
would make scores incomparable with published ones.
"""


PairKey: TypeAlias = tuple[str, str]

_BESIDE = re.compile(r"[\W_]+")


def normalise(text: str | None) -> str:
    """Normalise a sentence so that case, width, punctuation and spaces do not count.

    NFKC, case folding, then only letters and digits are kept; a text without any is only stripped, because otherwise
    all such texts would be equal.
    """
    if not isinstance(text, str):
        return ""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _BESIDE.sub("", folded) or folded.strip()


def pair_key(left: str | None, right: str | None) -> PairKey:
    """Return a pair's normalised sentences in sorted order, so that their order in the pair does not count."""
    one, other = normalise(left), normalise(right)
    return (one, other) if one <= other else (other, one)


def pair_keys(left: Iterable[str | None], right: Iterable[str | None]) -> list[PairKey]:
    """Return the keys of the pairs that two columns of the same length make."""
    return [pair_key(one, other) for one, other in zip(left, right, strict=True)]


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


def near_duplicates(sentences: Collection[str], among: Collection[str]) -> set[str]:
    """Return which of `sentences` have a near-duplicate, other than themselves, in `among`.

    MinHash signatures in a locality-sensitive index (Broder, 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, chapter 3) find candidates; of each, the Jaccard similarity of the sets of SHINGLE-character shingles is
    then computed and must reach THRESHOLD. All sentences are normalised ones.
    """
    from datasketch import MinHash, MinHashLSH  # imported here, because it takes half a second

    shingles = {sentence: _shingles(sentence) for sentence in sorted(sentences) if sentence}
    options = {"num_perm": BANDS * PER_BAND, "hashfunc": zlib.crc32}
    index = MinHashLSH(num_perm=BANDS * PER_BAND, params=(BANDS, PER_BAND))
    for sentence, signature in zip(shingles, MinHash.generator(shingles.values(), **options), strict=True):
        index.insert(sentence, signature)
    matches: set[str] = set()
    others = sorted(sentence for sentence in among if sentence)
    for other, signature in zip(others, MinHash.generator(map(_shingles, others), **options), strict=True):
        candidates = [c for c in index.query(signature) if c not in matches and c != other]
        if candidates:
            theirs = _shingles(other)
            matches.update(c for c in candidates if _jaccard(shingles[c], theirs) >= THRESHOLD)
    return matches


def _shingles(sentence: str) -> set[bytes]:
    last = max(1, len(sentence) - SHINGLE + 1)
    return {sentence[start : start + SHINGLE].encode() for start in range(last)}


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / len(one | other)


def of_overlap(shared: Overlap, testbed: str, besides: bool) -> list[Finding]:
    """Return findings on the pairs and sentences that an evaluation set shares with training rows or dev set.

    Args:
        shared: the overlap.
        testbed: name of the testbed.
        besides: whether the set is scored besides dev and test, so that no verdict on the headline rests on it.
    """
    where, findings = f"testbed {testbed}", []
    much = shared.shared_pairs > MUCH_SHARED * shared.pairs
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
            fix = "Choose another dev set: best points would be selected on pairs that they are then tested on."
        else:
            severity = "warning"
            fix = "So few pairs hardly change a score, but dev set and test set are not disjoint."
        findings.append(
            Finding(
                severity,
                where,
                f"pairs of {shared.name} in the {shared.held_by}",
                shared.shared_pairs,
                shared.pairs,
                f"{shared.shared_pairs:,} of {shared.pairs:,} pairs of {shared.name} are also in the "
                f"{shared.held_by}, in either order and except for case and punctuation. {fix}",
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
                    f"{count:,} of {shared.sentences:,} distinct sentences of {shared.name} are {words} in the "
                    f"{shared.held_by}, in any pair, without their gold scores. Remove those rows if this is a "
                    "concern.",
                )
            )
    return findings
