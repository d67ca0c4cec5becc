"""Near-duplicates: texts that share most of their shingles. No other module imports datasketch.

All texts here are normalised ones (`harness.texts.normal`).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
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


LIKELY = 38
"""Least number of the 64 values of two signatures that agree where the texts are compared.

For two texts of similarity 0.8 fewer agree with a probability of 4e-5, so that this loses less than BANDS do.
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

    Candidates and similarity are those of `near_duplicates`, but pairs are not compared that are in one group already,
    nor those whose signatures (below LIKELY) or numbers of shingles say that they are not similar enough.
    """
    import numpy as np

    if not texts:
        return
    remembered = lru_cache(maxsize=REMEMBERED)(lambda text: _shingles(texts[text]))
    signatures = np.stack([each.hashvalues.astype(np.uint32) for each in _signatures(map(_shingles, texts))])
    sizes = np.array([len(_shingles(text)) for text in texts])
    for band, bucket in _buckets(signatures):
        found = np.array([groups.of(text) for text in bucket.tolist()])
        for place, text in enumerate(bucket.tolist()):
            later = place + 1 + np.flatnonzero(found[place + 1 :] != found[place])
            later = later[_likely(signatures, sizes, text, bucket[later], band)]
            for at, other in zip(later, bucket[later].tolist(), strict=True):
                if found[at] != found[place] and _jaccard(remembered(text), remembered(other)) >= THRESHOLD:
                    groups.join(text, other)
                    found[(found == found[at]) | (found == found[place])] = groups.of(text)


def _likely(
    signatures: NDArray[np.uint32], sizes: NDArray[np.intp], text: int, others: NDArray[np.intp], band: int
) -> NDArray[np.bool_]:
    """Return which texts may be near-duplicates of a text, and are not in a bucket with it in an earlier band."""
    import numpy as np

    agree = signatures[others] == signatures[text]
    before = agree[:, : band * PER_BAND].reshape(len(others), band, PER_BAND).all(axis=2).any(axis=1)
    small, large = np.minimum(sizes[others], sizes[text]), np.maximum(sizes[others], sizes[text])
    likely: NDArray[np.bool_] = ~before & (agree.sum(axis=1) >= LIKELY) & (small / large >= THRESHOLD)
    return likely


def _buckets(signatures: NDArray[np.uint32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each band with places of signatures that agree in it; a place may be in buckets of several bands."""
    for band in range(BANDS):
        for bucket in _equal(signatures[:, band * PER_BAND : (band + 1) * PER_BAND]):
            yield band, bucket


def _equal(rows: NDArray[np.uint32]) -> Iterator[NDArray[np.intp]]:
    """Yield the places of rows that are equal, where there are at least two."""
    import numpy as np

    order = np.lexsort(rows.T)
    starts = np.flatnonzero((np.diff(rows[order].astype(np.int64), axis=0) != 0).any(axis=1)) + 1
    yield from (places for places in np.split(order, starts) if len(places) > 1)


def _signatures(shingles: Iterable[set[bytes]]) -> Iterator[Any]:
    from datasketch import MinHash  # imported here, because it takes half a second

    signatures: Iterator[Any] = MinHash.generator(shingles, num_perm=BANDS * PER_BAND, hashfunc=zlib.crc32)
    return signatures


def _shingles(sentence: str) -> set[bytes]:
    last = max(1, len(sentence) - SHINGLE + 1)
    return {sentence[start : start + SHINGLE].encode() for start in range(last)}


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / len(one | other)
