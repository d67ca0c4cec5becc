"""Near-duplicates: texts that share most of their shingles. No other module imports datasketch.

All texts here are normalised ones (`harness.texts.normal`).
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
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

OVERLAP = THRESHOLD / (1 + THRESHOLD)
"""Shingles that two texts share where their similarity is THRESHOLD, as a share of the numbers that both have."""

ROUNDING = 1e-9
"""More than the rounding error of a share of a number of shingles, which must not become one shingle more."""

SHARED = 4
"""Rare shingles that two texts must share before they are compared: with more, more texts are looked up for each."""

LARGE = 32
"""Candidates of each other from which all are compared with the first of them, before they are with each other."""

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

    Candidates and similarity are those of `near_duplicates`, less those whose signatures (below LIKELY) or numbers of
    shingles say that they are not similar enough. Where many texts follow one template, nearly all are candidates of
    each other. So a text is compared only with those that share several rare shingles with it (`_Rare`), and with no
    text of its own group. Where many are near-duplicates of each other, most of them join the first one beforehand,
    because none of their shingles is rare.
    """
    import numpy as np

    if not texts:
        return
    signatures = np.stack([each.hashvalues.astype(np.uint32) for each in _signatures(map(_shingles, texts))])
    remembered = lru_cache(maxsize=REMEMBERED)(lambda place: _shingles(texts[place]))
    paired: set[int] = set()
    for bucket in _buckets(signatures):
        paired.update(bucket.tolist())
        if len(bucket) >= LARGE:
            first, others = int(bucket[0]), bucket[1:]
            for other in others[_likely(signatures, first, others)].tolist():
                if groups.of(first) != groups.of(other) and _jaccard(remembered(first), remembered(other)) >= THRESHOLD:
                    groups.join(first, other)
    sizes = np.array([len(_shingles(text)) for text in texts])
    rare = _Rare(groups, sizes, Counter(shingle for place in paired for shingle in _shingles(texts[place])))
    for place in sorted(paired, key=lambda place: (sizes[place], place)):
        ranked = rare.ranked(remembered(place))
        others = rare.sharing(place, ranked)
        for other in others[_likely(signatures, place, others)].tolist():
            if groups.of(place) != groups.of(other) and _similar(ranked, remembered(other)):
                groups.join(place, other)
        rare.add(place, ranked)


class _Rare:
    """Texts by their rarest shingles, to find all texts that may be similar to a larger one.

    Let the shingles of all texts be in one order, from the rarest. If a set of a shingles and one of b share at least
    o, then the first a - o + k of the one and the first b - o + k of the other share at least k, for each k up to o:
    the prefix filter (Xiao et al., 2011, ACM Transactions on Database Systems 36, 15; Wang et al., 2012, SIGMOD). So
    no similar text is missed. Texts must be added in the order of their sizes.
    """

    def __init__(self, groups: Groups, sizes: NDArray[np.intp], counts: Mapping[bytes, int]) -> None:
        """Start without texts.

        Args:
            groups: groups of the texts, which may be joined later.
            sizes: the number of shingles of each text.
            counts: the number of texts that have each shingle.
        """
        self._groups, self._counts = groups, counts
        self._places: dict[bytes, dict[int, list[int]]] = {}  # by shingle and by a text of the group
        self._sizes = sizes

    def ranked(self, shingles: set[bytes]) -> list[bytes]:
        """Return shingles in the order of all, from the rarest."""
        return sorted(shingles, key=lambda shingle: (self._counts[shingle], shingle))

    def sharing(self, place: int, ranked: list[bytes]) -> NDArray[np.intp]:
        """Return the texts of other groups that may be similar to a text with these shingles."""
        import numpy as np

        size, own = len(ranked), self._groups.of(place)
        shared: Counter[int] = Counter()
        for shingle in ranked[: size - _least(THRESHOLD * size) + SHARED]:
            found = self._places.get(shingle, {})
            shared.update(chain.from_iterable(places for group, places in found.items() if group != own))
        others, numbers = (np.fromiter(each, np.intp, len(shared)) for each in (shared.keys(), shared.values()))
        least = np.ceil(OVERLAP * (size + self._sizes[others]) - ROUNDING)
        enough: NDArray[np.intp] = others[numbers >= np.minimum(SHARED, least)]
        return enough

    def add(self, place: int, ranked: list[bytes]) -> None:
        """Add a text with at least as many shingles as those before it."""
        group = self._groups.of(place)
        for shingle in ranked[: len(ranked) - _least(2 * OVERLAP * len(ranked)) + SHARED]:
            places = self._places.setdefault(shingle, {})
            if group not in places and len(places).bit_count() == 1:  # at powers of two: a constant time for each text
                self._merge(places)
            places.setdefault(group, []).append(place)

    def _merge(self, places: dict[int, list[int]]) -> None:
        """Put the texts of groups that were joined into one list."""
        for before in [group for group in places if self._groups.of(group) != group]:
            places.setdefault(self._groups.of(before), []).extend(places.pop(before))


def _least(number: float) -> int:
    """Return the least whole number that is not below a number which may have a rounding error."""
    return math.ceil(number - ROUNDING)


def _similar(ranked: list[bytes], other: set[bytes]) -> bool:
    """Return whether the similarity reaches THRESHOLD; in most sets that are not similar, rare shingles soon tell."""
    missing = len(ranked) - _least(OVERLAP * (len(ranked) + len(other)))
    for shingle in ranked:
        if shingle not in other:
            missing -= 1
            if missing < 0:
                return False
    return True


def _likely(signatures: NDArray[np.uint32], text: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which texts are candidates of a text and may be near-duplicates of it."""
    agree = signatures[others] == signatures[text]
    candidate = agree.reshape(len(others), BANDS, PER_BAND).all(axis=2).any(axis=1)
    likely: NDArray[np.bool_] = candidate & (agree.sum(axis=1) >= LIKELY)
    return likely


def _buckets(signatures: NDArray[np.uint32]) -> Iterator[NDArray[np.intp]]:
    """Yield the places of signatures that agree in a band; a place may be in buckets of several bands."""
    for band in range(BANDS):
        yield from _equal(signatures[:, band * PER_BAND : (band + 1) * PER_BAND])


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
