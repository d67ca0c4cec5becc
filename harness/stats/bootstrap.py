"""Paired bootstrap over test items for the mean score of several models.

All models are evaluated on the same resamples, and so are other calls with equal numbers of items and of resamples and
with the same seed. Therefore differences between the results of two calls are paired (Berg-Kirkpatrick et al., 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import Floats

RESAMPLES = 3999
"""Number of resamples. RESAMPLES + 1 is a round number, so that the usual tails are whole numbers of resamples."""

FEWEST = 3
"""Smallest number of items, or of groups of items, that resamples can be drawn from."""

_BLOCK = 1024  # resamples that are computed at once
_STRIDE = 64  # length of the stretches of sorted pairs that `_above` processes in parallel


def effective_number(groups: Sequence[int]) -> float:
    """Return how many independent items say as much about a mean as these: n² / Σ n_g² (Kish, 1965).

    Args:
        groups: the number of each item's group, which says as much as one item.
    """
    return len(groups) ** 2 / max(1, sum(size**2 for size in Counter(groups).values()))


def resampled_spearman(
    gold: ArrayLike, predictions: ArrayLike, groups: Sequence[int] = (), resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the models' mean Spearman correlation in each resample; ties have their mean rank in that resample.

    A resample of n pairs with replacement is given by n counts. The mean rank of pair i in it, less one half, is the
    number of resampled pairs below i plus half the number equal to i, and the gold side is the same for all models. So
    each model costs one pass over the pairs in the order of its scores, for all resamples in parallel: n operations per
    resample, and no sorting.

    Args:
        gold: gold scores, shape (pairs,).
        predictions: scores, shape (models, pairs).
        groups: the number of each pair's group, from 0; whole groups are drawn, because their pairs depend on each
            other (see `resampled.resampled_mean`). Empty if every pair is its own group.
        resamples: number of resamples.
        seed: seed of the resamples.

    Returns:
        Correlations, shape (resamples,); NaN where a model gives all pairs of the resample the same score.

    Raises:
        ValueError: fewer than three pairs or groups, shapes that do not match, or numbers that are not finite.
    """
    x, ys = checked(gold, predictions)
    total = np.zeros(resamples)
    models = [(_stretches(scores), _Ties.of(scores)) for scores in ys]
    for block in _gold_side(tuple(x), tuple(groups), resamples, seed):
        for order, ties in models:
            covariance = _above(block, order) + ties.halved(block)
            with np.errstate(divide="ignore", invalid="ignore"):
                total[block.place] += covariance / np.sqrt(block.spread * (block.untied - ties.spread(block.counts)))
    return total / len(ys)


def resampled_pearson(
    gold: ArrayLike, predictions: ArrayLike, groups: Sequence[int] = (), resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the models' mean Pearson correlation in each resample.

    Args:
        gold: gold scores, shape (pairs,).
        predictions: scores, shape (models, pairs).
        groups: the number of each pair's group, from 0; whole groups are drawn, because their pairs depend on each
            other (see `resampled.resampled_mean`). Empty if every pair is its own group.
        resamples: number of resamples.
        seed: seed of the resamples, which are those of `resampled_spearman`.

    Returns:
        Correlations, shape (resamples,); NaN where a model gives all pairs of the resample the same score.

    Raises:
        ValueError: as in `resampled_spearman`.
    """
    x, ys = checked(gold, predictions)
    x, ys = x - x.mean(), ys - ys.mean(axis=1, keepdims=True)  # avoids cancellation in the sums of squares
    result = []
    for counts in (block.astype(float) for block in item_draws(len(x), groups, resamples, seed)):
        n = counts.sum(axis=0)
        x_mean, y_means = x @ counts / n, ys @ counts / n
        x_spread = x**2 @ counts / n - x_mean**2
        y_spread = ys**2 @ counts / n - y_means**2
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = ((x * ys) @ counts / n - x_mean * y_means) / np.sqrt(x_spread * y_spread)
        result.append(correlations.mean(axis=0))
    return np.concatenate(result)


def checked(gold: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    """Return gold scores, shape (items,), and predictions, shape (models, items); raise ValueError if unfit."""
    x, ys = np.asarray(gold, float), np.atleast_2d(np.asarray(predictions, float))
    n = len(x)
    if x.ndim != 1 or ys.ndim != 2 or ys.shape[1] != n or n < FEWEST:
        raise ValueError(
            f"gold has shape {x.shape} and predictions {ys.shape}; they must be n and k x n with n of at least {FEWEST}"
        )
    if not (np.isfinite(x).all() and np.isfinite(ys).all()):
        raise ValueError("gold and predictions must be finite")
    return x, ys


@lru_cache(maxsize=4)  # all studies of a report have the same resamples
def draws(n: int, resamples: int, seed: int) -> list[NDArray[np.uint16]]:
    """Return blocks of resamples: the count of each pair in each resample, shape (n, resamples of the block)."""
    random, blocks = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        places = random.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        blocks.append(np.bincount(places.ravel(), minlength=size * n).reshape(size, n).T.astype(np.uint16))
    return blocks


def item_draws(n: int, groups: Sequence[int], resamples: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """Yield blocks of resamples that draw whole groups: the count of each item, shape (n, resamples of the block).

    Args:
        n: number of items.
        groups: the number of each item's group, from 0; empty if every item is its own group.
        resamples: number of resamples.
        seed: seed of the resamples, which are those of `draws` over as many groups.

    Raises:
        ValueError: fewer than three groups.
    """
    if len(groups) == 0:
        yield from draws(n, resamples, seed)
        return
    number = np.asarray(groups)
    if (drawn := int(number.max()) + 1) < FEWEST:
        raise ValueError(f"{drawn} groups of items; resamples need at least {FEWEST}")
    for counts in draws(drawn, resamples, seed):
        yield counts[number]


@dataclass(frozen=True)
class _Block:
    """Some resamples, with everything that depends on the gold scores only.

    Counts and weights are multiples of one half, and exact in float32.
    """

    place: slice
    """Place of the block among all resamples."""
    pairs: NDArray[np.float32]
    """Count and weight (centred gold rank times count) of each pair, shape (n + 1, 2, resamples); the last row is 0."""
    own: Floats
    """Sum over the pairs of the weight times half the count, shape (resamples,)."""
    spread: Floats
    """Sum of squares of the centred gold ranks, shape (resamples,)."""
    untied: Floats
    """Sum of squares of centred ranks without ties, shape (resamples,)."""

    @property
    def counts(self) -> NDArray[np.float32]:
        return self.pairs[:-1, 0]

    @property
    def weights(self) -> NDArray[np.float32]:
        return self.pairs[:-1, 1]


@lru_cache(maxsize=2)
def _gold_side(gold: tuple[float, ...], groups: tuple[int, ...], resamples: int, seed: int) -> list[_Block]:
    x, blocks, start = np.asarray(gold), [], 0
    order, (_, level, lengths) = x.argsort(kind="stable"), np.unique(x, return_inverse=True, return_counts=True)
    ties = _Ties.of(x)
    for counts_of in item_draws(len(x), groups, resamples, seed):
        size, n = counts_of.shape[1], counts_of.sum(axis=0, dtype=float)
        pairs = np.zeros((len(x) + 1, 2, size), np.float32)
        pairs[:-1, 0] = counts_of
        counts = pairs[:-1, 0]
        levels = np.add.reduceat(counts[order].astype(float), np.cumsum(lengths) - lengths, axis=0)
        ranks = (np.cumsum(levels, axis=0) - levels / 2)[level]
        pairs[:-1, 1] = (ranks - n / 2) * counts  # they sum to 0, so the models' ranks need not be centred
        own = np.einsum("ij,ij->j", pairs[:-1, 1].astype(float), counts / 2)
        untied = (n * n * n - _cubes(counts)) / 12
        place = slice(start, start + size)
        blocks.append(_Block(place, pairs, own, untied - ties.spread(counts), untied))
        start += size
    return blocks


def _stretches(scores: Floats) -> NDArray[np.intp]:
    """Split the n pairs, sorted by score, into stretches, shape (stretches, _STRIDE); the last is filled up with n."""
    n = len(scores)
    order = np.full(-(-n // _STRIDE) * _STRIDE, n)
    order[:n] = scores.argsort(kind="stable")
    return order.reshape(-1, _STRIDE)


def _above(block: _Block, order: NDArray[np.intp]) -> Floats:
    """Sum each pair's weight times the counts of all pairs before it, sorted by score, and half its own count.

    All stretches are processed in parallel: first the first pair of each, then the second, and so on, with the counts
    of the stretch so far. The counts of all earlier stretches are added at the end. For thousands of pairs the sums of
    a step stay below 2**23, up to which float32 represents multiples of one half exactly.

    Returns:
        The sums, shape (resamples,).
    """
    within = block.own.copy()
    until = np.zeros((len(order), 2, len(within)), np.float32)
    counts_and_weights = np.empty_like(until)
    for places in order.T:
        np.take(block.pairs, places, axis=0, out=counts_and_weights, mode="clip")  # the other modes copy `out`
        within += np.einsum("ij,ij->j", counts_and_weights[:, 1], until[:, 0])
        until += counts_and_weights
    before = np.tri(len(order), k=-1, dtype=np.float32) @ until[:, 0]
    total: Floats = within + np.einsum("ij,ij->j", before, until[:, 1].astype(float))
    return total


@dataclass(frozen=True)
class _Ties:
    """Ties among the scores of one model."""

    members: NDArray[np.intp]
    """Indices of the pairs whose score another pair also has, sorted by score."""
    lengths: NDArray[np.intp]
    """Number of pairs of each tie."""

    @classmethod
    def of(cls, scores: Floats) -> _Ties:
        """Find the ties of scores, shape (pairs,)."""
        _, tie, lengths = np.unique(scores, return_inverse=True, return_counts=True)
        members = np.flatnonzero(lengths[tie] > 1)
        return cls(members[np.argsort(tie[members], kind="stable")], lengths[lengths > 1])

    def spread(self, counts: NDArray[np.float32]) -> Floats | float:
        """Return how much ties reduce each resample's sum of squares of the centred mean ranks (Kendall, 1945)."""
        if not len(self.members):
            return 0.0
        tied_counts = counts[self.members]
        return (_cubes(np.add.reduceat(tied_counts, self._starts, axis=0)) - _cubes(tied_counts)) / 12

    def halved(self, block: _Block) -> Floats | float:
        """Return the correction of `_above` for ties: each of two equal scores counts as half above the other."""
        if not len(self.members):
            return 0.0
        tied_counts = block.counts[self.members].astype(float)
        until = np.cumsum(tied_counts, axis=0) - tied_counts
        before = until - np.repeat(until[self._starts], self.lengths, axis=0)
        both = np.repeat(np.add.reduceat(tied_counts, self._starts, axis=0), self.lengths, axis=0)
        lacking: Floats = np.einsum("ij,ij->j", block.weights[self.members], both - tied_counts - 2 * before) / 2
        return lacking

    @property
    def _starts(self) -> NDArray[np.intp]:
        return np.cumsum(self.lengths) - self.lengths


def _cubes(sizes: NDArray[np.float32]) -> Floats:
    exact = sizes.astype(float)
    cubes: Floats = np.einsum("ij,ij->j", exact, exact * exact)
    return cubes
