"""The paired bootstrap over test pairs, for the mean correlation of several models with one gold standard.

Every model sees the same resamples, and so does another call with the same number of pairs, of resamples and seed. That
is what makes differences of two calls' results paired (Berg-Kirkpatrick et al., 2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import Floats

RESAMPLES = 3999
"""Resamples of a bootstrap. One more is a round number, so that the usual tails are whole numbers of resamples."""

_BLOCK = 512  # resamples handled at once
_TILE = 2048  # pairs whose ranks are counted at once: memory stays flat where a test set is large


def resampled_spearman(gold: ArrayLike, predictions: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the models' mean Spearman correlation in each resample, ties given their mean rank in that resample.

    A resample of n pairs with replacement is n counts c. Pair i's mean rank in it, less a half, is the number of drawn
    pairs below i plus half the number at i: K_i c, with K_ij 1 where i's score is above j's, 1/2 where it is equal. The
    covariance with the gold ranks is linear in it, so models whose ranks spread alike need one matrix product, of the
    sum of their K; its whole and half numbers are exact in float32 below 2**23. Alike: without ties it is the same
    number, and a few ties by chance change it, and a correlation, by less than a millionth of itself.

    Args:
        gold: n gold scores.
        predictions: k x n scores, a row for each model.

    Returns:
        one correlation for each of `resamples`; NaN where a model gives all drawn pairs the same score.

    Raises:
        ValueError: fewer than three pairs, shapes that do not match, or numbers that are not finite.
    """
    x, ys = _checked(gold, predictions)
    total, blocks = np.zeros(resamples), _gold_side(tuple(x), resamples, seed)
    for models in _tied_alike(ys):
        covariance = np.zeros(resamples)
        for tile, above in _above(models):
            for block in blocks:
                covariance[block.place] += np.einsum("ij,ij->j", block.weights[tile], above @ block.counts)
        for block in blocks:
            spreads = [block.spread * (block.untied - _tie_spread(scores, block.counts)) for scores in models]
            with np.errstate(divide="ignore", invalid="ignore"):
                total[block.place] += covariance[block.place] * np.mean(1 / np.sqrt(spreads), axis=0)
    return total / len(ys)


def resampled_pearson(gold: ArrayLike, predictions: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the mean Pearson correlation in the resamples that `resampled_spearman` draws; all else as there."""
    x, ys = _checked(gold, predictions)
    x, ys = x - x.mean(), ys - ys.mean(axis=1, keepdims=True)  # sums of squares keep their digits
    n, result = len(x), []
    for counts in (block.astype(float) for block in _draws(n, resamples, seed)):
        x_mean, y_means = x @ counts / n, ys @ counts / n
        x_spread = x**2 @ counts / n - x_mean**2
        y_spread = ys**2 @ counts / n - y_means**2
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = ((x * ys) @ counts / n - x_mean * y_means) / np.sqrt(x_spread * y_spread)
        result.append(correlations.mean(axis=0))
    return np.concatenate(result)


def _checked(gold: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    x, ys = np.asarray(gold, float), np.atleast_2d(np.asarray(predictions, float))
    n = len(x)
    if x.ndim != 1 or ys.ndim != 2 or ys.shape[1] != n or n < 3:
        raise ValueError(
            f"gold has shape {x.shape} and predictions {ys.shape}; they must be n and k x n with n of at least 3"
        )
    if not (np.isfinite(x).all() and np.isfinite(ys).all()):
        raise ValueError("gold and predictions must be finite")
    return x, ys


@lru_cache(maxsize=4)  # all studies of a report see the same ones
def _draws(n: int, resamples: int, seed: int) -> list[NDArray[np.uint16]]:
    """Return blocks of resamples: how often each of n pairs was drawn, n x resamples."""
    random, blocks = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = random.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        blocks.append(np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).T.astype(np.uint16))
    return blocks


@dataclass(frozen=True)
class _Block:
    """Some resamples, with all that their gold ranks give.

    `weights` is the centred rank times the count, `spread` the ranks' sum of squares, `untied` what it is without ties.
    """

    place: slice
    counts: NDArray[np.float32]
    weights: Floats
    spread: Floats
    untied: Floats


@lru_cache(maxsize=2)
def _gold_side(gold: tuple[float, ...], resamples: int, seed: int) -> list[_Block]:
    x, blocks, start = np.asarray(gold), [], 0
    for drawn in _draws(len(x), resamples, seed):
        counts = np.ascontiguousarray(drawn, dtype=np.float32)
        ranks = np.concatenate([above @ counts for _, above in _above(x[None])])
        weights = (ranks - len(x) / 2) * counts.astype(float)  # 0 in sum, so the models' ranks need no centre
        untied = (len(x) ** 3 - _cubes(counts)) / 12
        place = slice(start, start + counts.shape[1])
        blocks.append(_Block(place, counts, weights, untied - _tie_spread(x, counts), untied))
        start += counts.shape[1]
    return blocks


def _tied_alike(predictions: Floats) -> list[Floats]:
    """Sort models into those whose ties lessen the spread of their ranks by the same number of millionths."""
    groups: dict[int, list[Floats]] = {}
    for scores in predictions:
        lengths = np.unique(scores, return_counts=True)[1].astype(float)
        groups.setdefault(round(float((lengths**3 - lengths).sum()) * 1e6 / len(scores) ** 3), []).append(scores)
    return [np.stack(group) for group in groups.values()]


def _above(models: Floats) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield, for tiles of the n pairs, the k models' sum of K: tile x n."""
    k, n = models.shape
    orders = [np.unique(scores, return_inverse=True)[1].astype(np.min_scalar_type(n)) for scores in models]
    for start in range(0, n, _TILE):
        tile = slice(start, start + _TILE)
        twice = np.zeros(
            (min(_TILE, n - start), n), np.min_scalar_type(2 * k)
        )  # compared and added 32 and more at once
        for order in orders:
            twice += (order[tile, None] > order).view(np.uint8)
            twice += (order[tile, None] >= order).view(np.uint8)
        yield tile, twice.astype(np.float32) * np.float32(0.5)


def _tie_spread(scores: Floats, counts: NDArray[np.float32]) -> Floats | float:
    """Return by how much ties lessen each resample's sum of squares of the centred mean ranks (Kendall, 1945)."""
    _, tie, lengths = np.unique(scores, return_inverse=True, return_counts=True)
    members = np.flatnonzero(lengths[tie] > 1)
    if not len(members):
        return 0.0
    drawn = counts[members[np.argsort(tie[members], kind="stable")]]
    tied = lengths[lengths > 1]
    sizes = np.add.reduceat(drawn, np.cumsum(tied) - tied, axis=0)
    return (_cubes(sizes) - _cubes(drawn)) / 12


def _cubes(sizes: NDArray[np.float32]) -> Floats:
    exact = sizes.astype(float)
    cubes: Floats = np.einsum("ij,ij->j", exact, exact * exact)
    return cubes
