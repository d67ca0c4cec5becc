"""Near-duplicates: texts that share most of their shingles. No other module imports datasketch.

All texts here are normalised ones (`harness.texts.normal`).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

from harness.texts.groups import Groups

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


REMEMBERED = 4096
"""Texts whose shingles are kept in memory while groups are made; those of all texts may not fit."""


def near_duplicates(sentences: Collection[str], among: Collection[str]) -> set[str]:
    """Return which of `sentences` have a near-duplicate, other than themselves, in `among`.

    MinHash signatures in a locality-sensitive index (Broder, 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, chapter 3) find candidates; of each, the Jaccard similarity of the sets of SHINGLE-character shingles is
    then computed and must reach THRESHOLD. All sentences are normalised ones.
    """
    from datasketch import MinHashLSH  # imported here, because it takes half a second

    shingles = {sentence: _shingles(sentence) for sentence in sorted(sentences) if sentence}
    index = MinHashLSH(num_perm=BANDS * PER_BAND, params=(BANDS, PER_BAND))
    for sentence, signature in zip(shingles, _signatures(shingles.values()), strict=True):
        index.insert(sentence, signature)
    matches: set[str] = set()
    others = sorted(sentence for sentence in among if sentence)
    for other, signature in zip(others, _signatures(map(_shingles, others)), strict=True):
        candidates = [c for c in index.query(signature) if c not in matches and c != other]
        if candidates:
            theirs = _shingles(other)
            matches.update(c for c in candidates if _jaccard(shingles[c], theirs) >= THRESHOLD)
    return matches


def join_near_duplicates(groups: Groups, texts: Sequence[str]) -> None:
    """Join the groups of all near-duplicates: text `i` is thing `i`.

    Candidates and comparison are those of `near_duplicates`. A comparison is skipped if the two are in one group
    already, so the number of comparisons in a group of n near-duplicates is of the order of n.
    """
    remembered = lru_cache(maxsize=REMEMBERED)(_shingles)
    for bucket in _buckets(texts):
        parts: dict[int, list[int]] = {}
        for text in bucket:
            parts.setdefault(groups.of(text), []).append(text)
        for one, other in combinations(parts.values(), 2):
            if groups.of(one[0]) != groups.of(other[0]) and any(
                _jaccard(remembered(texts[left]), remembered(texts[right])) >= THRESHOLD
                for left in one
                for right in other
            ):
                groups.join(one[0], other[0])


def _buckets(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield, band by band, the places of texts whose signatures agree in the band; a text may be in several."""
    import numpy as np

    if not texts:
        return
    signatures = np.stack([each.hashvalues.astype(np.uint32) for each in _signatures(map(_shingles, texts))])
    for band in range(BANDS):
        yield from _equal(signatures[:, band * PER_BAND : (band + 1) * PER_BAND])


def _equal(rows: NDArray[np.uint32]) -> Iterator[list[int]]:
    """Yield the places of rows that are equal, where there are at least two."""
    import numpy as np

    order = np.lexsort(rows.T)
    starts = np.flatnonzero((np.diff(rows[order].astype(np.int64), axis=0) != 0).any(axis=1)) + 1
    yield from (places.tolist() for places in np.split(order, starts) if len(places) > 1)


def _signatures(shingles: Iterable[set[bytes]]) -> Iterator[Any]:
    from datasketch import MinHash  # imported here, because it takes half a second

    signatures: Iterator[Any] = MinHash.generator(shingles, num_perm=BANDS * PER_BAND, hashfunc=zlib.crc32)
    return signatures


def _shingles(sentence: str) -> set[bytes]:
    last = max(1, len(sentence) - SHINGLE + 1)
    return {sentence[start : start + SHINGLE].encode() for start in range(last)}


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / len(one | other)
