"""Overlap: which pairs and sentences of an evaluation set other data hold, exactly after normalising, or nearly.

The only home of datasketch.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Collection, Iterable
from typing import TypeAlias

from harness.data.findings import Finding, Overlap, Severity

ROWS, DEV_SET = "training rows", "dev set"
"""What may hold an evaluation set's pairs."""

SHINGLE = 5
"""Characters in a shingle: words are too few in sentences of ten for a Jaccard similarity to say much."""

THRESHOLD = 0.8
"""Jaccard similarity of shingles from which two sentences are near-duplicates.

Lee et al. (2022, arXiv:2107.06499) use it for documents.
"""

BANDS, PER_BAND = 16, 4
"""How the index cuts a MinHash signature of 64 permutations.

Two sentences of similarity s become candidates with probability 1 - (1 - s^4)^16: .9998 at .8, and still .64 at .5,
which costs a comparison each. The library's own choice for a threshold of .8 misses 6 percent of those at .83.
"""

MUCH_SHARED = 0.01
"""Of a set's pairs or sentences, from which sharing is a warning: less moves a Spearman by less than a seed does.

Between dev and test it is an error from here on. STSB itself shares 4 of its 1,379 test pairs with its dev set, which
nobody can mend who wants to be comparable with anybody.
"""


PairKey: TypeAlias = tuple[str, str]

_BESIDE = re.compile(r"[\W_]+")


def normalise(text: str | None) -> str:
    """Return what two sentences share that differ in case, width, punctuation and spaces alone.

    NFKC, case folded, all but letters and digits taken out; a text that has neither is only stripped, or all such texts
    would be equal.
    """
    if not isinstance(text, str):
        return ""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _BESIDE.sub("", folded) or folded.strip()


def pair_key(left: str | None, right: str | None) -> PairKey:
    """Return a pair's normalised sentences in an order of their own: which stood first does not matter."""
    one, other = normalise(left), normalise(right)
    return (one, other) if one <= other else (other, one)


def pair_keys(left: Iterable[str | None], right: Iterable[str | None]) -> list[PairKey]:
    """Return the keys of the pairs that two columns of the same length make."""
    return [pair_key(one, other) for one, other in zip(left, right, strict=True)]


def overlap(
    name: str, keys: Collection[PairKey], held_by: str, pairs: Collection[PairKey], sentences: Collection[str]
) -> Overlap:
    """Count what an evaluation set shares with other data.

    Args:
        keys: the set's pairs.
        pairs: keys of the other data's pairs, as a set for speed.
        sentences: the other data's normalised sentences, as a set for speed.
    """
    own = {sentence for key in keys for sentence in key}
    return Overlap(
        name,
        held_by,
        len(keys),
        sum(key in pairs for key in keys),
        len(own),
        sum(sentence in sentences for sentence in own),
    )


def near_duplicates(wanted: Collection[str], among: Collection[str]) -> set[str]:
    """Return which of the sentences `wanted` have a near-duplicate, but not themselves, in `among`.

    MinHash signatures in a locality-sensitive index (Broder, 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, chapter 3) find candidates; of each, the Jaccard similarity of the sets of SHINGLE-character shingles is
    then computed and must reach THRESHOLD. All sentences are normalised ones.
    """
    from datasketch import MinHash, MinHashLSH  # scipy.integrate and more: half a second that readers do not need

    shingles = {sentence: _shingles(sentence) for sentence in sorted(wanted) if sentence}
    options = {"num_perm": BANDS * PER_BAND, "hashfunc": zlib.crc32}
    index = MinHashLSH(num_perm=BANDS * PER_BAND, params=(BANDS, PER_BAND))
    for sentence, signature in zip(shingles, MinHash.generator(shingles.values(), **options), strict=True):
        index.insert(sentence, signature)
    found: set[str] = set()
    others = sorted(sentence for sentence in among if sentence)
    for other, signature in zip(others, MinHash.generator(map(_shingles, others), **options), strict=True):
        candidates = [c for c in index.query(signature) if c not in found and c != other]
        if candidates:
            theirs = _shingles(other)
            found.update(c for c in candidates if _jaccard(shingles[c], theirs) >= THRESHOLD)
    return found


def _shingles(sentence: str) -> set[bytes]:
    last = max(1, len(sentence) - SHINGLE + 1)
    return {sentence[start : start + SHINGLE].encode() for start in range(last)}


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / len(one | other)


def of_overlap(found: Overlap, testbed: str) -> list[Finding]:
    """Judge what an evaluation set shares with the training rows or the dev set."""
    where, findings = f"testbed {testbed}", []
    much = found.shared_pairs > MUCH_SHARED * found.pairs
    if found.shared_pairs:
        severity: Severity
        if found.name.startswith("mteb/"):
            severity = "warning" if much or found.held_by == ROWS else "note"
            mend = "The report gives the task's score without them, too."
        elif found.held_by == ROWS:
            severity = "error"
            mend = "Take them out of the testbed's rows, or choose others: what was trained on tests nothing."
        elif much:
            severity = "error"
            mend = "Choose another dev set: every best point would be chosen on what it is then tested on."
        else:
            severity = "warning"
            mend = "So few hardly move a score, but dev set and test set are not disjoint."
        findings.append(
            Finding(
                severity,
                where,
                f"pairs of {found.name} in the {found.held_by}",
                found.shared_pairs,
                found.pairs,
                f"{found.shared_pairs:,} of {found.pairs:,} pairs of {found.name} are also in the {found.held_by}, in "
                f"either order and but for case and punctuation. {mend}",
            )
        )
    for what, count, words in (
        ("sentences", found.shared_sentences, "also"),
        ("near-duplicates", found.near or 0, "nearly, but not exactly,"),
    ):
        if count and found.held_by == ROWS:
            findings.append(
                Finding(
                    "warning" if count > MUCH_SHARED * found.sentences else "note",
                    where,
                    f"{what} of {found.name} in the {found.held_by}",
                    count,
                    found.sentences,
                    f"{count:,} of {found.sentences:,} distinct sentences of {found.name} are {words} in the "
                    f"{found.held_by}, in whatever pair: seen without their scores. Take those rows out if that is in "
                    "doubt.",
                )
            )
    return findings
