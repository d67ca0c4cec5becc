"""Intervals, paired differences and what a number of seeds can show. Pure functions on numpy arrays.

Two uncertainties are kept apart, because they answer different questions. Over test pairs: would the same models differ
on other pairs of the same kind? (paired bootstrap; Berg-Kirkpatrick et al., 2012.) Over seeds: would the same recipe
differ if it were trained again? (t interval; a bootstrap over 3 to 5 seeds covers far less than it claims.) Neither
contains the other and no interval here merges them; a decision has to survive both at once, too (`together_p`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES = 3999
"""Resamples of a bootstrap. One more is a round number, so that the usual tails are whole numbers of resamples."""

ALPHA = 0.05
"""The chance of a wrong decision that an ablation allows itself; intervals have level 1 - ALPHA unless corrected."""

_BLOCK = 32  # resamples handled at once: 1,379 pairs x 32 x 8 bytes stay in a core's cache


@dataclass(frozen=True)
class Interval:
    """A confidence interval for a score or a difference, in points of 1.0, and what it is over."""

    low: float
    high: float
    level: float
    over: str


def resampled_spearman(gold: ArrayLike, predictions: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return Spearman correlations of bootstrap resamples of the pairs, ties given their mean rank in each resample.

    A resample of n pairs with replacement is n counts, and the mean rank of a value is the number of drawn pairs below
    it plus half the number at it: one running sum in presorted order gives the ranks that sorting again would give.

    Args:
        gold: n gold scores.
        predictions: k x n scores, a row for each model; every model sees the same resamples, and so does another call
            with the same n, number of resamples and seed. That is what makes differences of the results paired.

    Returns:
        resamples x k correlations; NaN where a model gives all drawn pairs the same score.

    Raises:
        ValueError: fewer than three pairs, shapes that do not match, or numbers that are not finite.
    """
    x, ys = np.asarray(gold, float), np.atleast_2d(np.asarray(predictions, float))
    n = len(x)
    if x.ndim != 1 or ys.ndim != 2 or ys.shape[1] != n or n < 3:
        raise ValueError(
            f"gold has shape {x.shape} and predictions {ys.shape}; they must be n and k x n with n of at least 3"
        )
    if not (np.isfinite(x).all() and np.isfinite(ys).all()):
        raise ValueError("gold and predictions must be finite")
    gold_order, *orders = (_Order(values) for values in (x, *ys))

    def correlations(counts: Floats) -> Floats:
        untied = (n**3 - _cubes(counts)) / 12
        ranks, x_spread = gold_order.ranked(counts, untied)
        weighted = gold_order.back(ranks - n / 2) * counts  # 0 in sum, so the models' ranks need no centre
        found = np.empty((counts.shape[1], len(orders)))
        for column, order in enumerate(orders):
            ranks, y_spread = order.ranked(counts, untied)
            covariance = np.einsum("ij,ij->j", weighted.take(order.order, axis=0), ranks)
            with np.errstate(invalid="ignore"):
                found[:, column] = covariance / np.sqrt(x_spread * y_spread)
        return found

    return np.concatenate([correlations(counts) for counts in _drawn(n, resamples, seed)])


def resampled_pearson(gold: ArrayLike, predictions: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return Pearson correlations of the resamples that `resampled_spearman` draws; arguments and errors as there."""
    x, ys = np.asarray(gold, float), np.atleast_2d(np.asarray(predictions, float))
    n = len(x)
    if x.ndim != 1 or ys.ndim != 2 or ys.shape[1] != n or n < 3:
        raise ValueError(
            f"gold has shape {x.shape} and predictions {ys.shape}; they must be n and k x n with n of at least 3"
        )
    if not (np.isfinite(x).all() and np.isfinite(ys).all()):
        raise ValueError("gold and predictions must be finite")
    x, ys = x - x.mean(), ys - ys.mean(axis=1, keepdims=True)  # sums of squares keep their digits
    result = []
    for counts in _drawn(n, resamples, seed):
        x_mean, y_means = x @ counts / n, ys @ counts / n
        x_spread = x**2 @ counts / n - x_mean**2
        y_spread = ys**2 @ counts / n - y_means**2
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = ((x * ys) @ counts / n - x_mean * y_means) / np.sqrt(x_spread * y_spread)
        result.append(correlation.T)
    return np.concatenate(result)


def _drawn(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of resamples: how often each of n pairs was drawn, n x resamples."""
    return (block.astype(float) for block in _draws(n, resamples, seed))


@lru_cache(maxsize=4)  # all studies of a report see the same ones
def _draws(n: int, resamples: int, seed: int) -> list[NDArray[np.uint16]]:
    random, blocks = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = random.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        blocks.append(np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).T.astype(np.uint16))
    return blocks


class _Order:
    """The order of n scores, for ranking resamples of them without sorting again; ties have their mean rank."""

    def __init__(self, scores: ArrayLike) -> None:
        tie = np.unique(scores, return_inverse=True)[1]
        lengths = np.bincount(tie)
        self.order = np.argsort(tie, kind="stable")
        self._members = np.flatnonzero((lengths > 1)[tie[self.order]])
        self._lengths, self._ends = lengths[lengths > 1], (np.cumsum(lengths) - 1)[lengths > 1]
        self._firsts = np.cumsum(self._lengths) - self._lengths

    def ranked(self, counts: Floats, untied: Floats) -> tuple[Floats, Floats]:
        """Rank resamples; `counts` is n x resamples.

        Returns each pair's mean rank less a half, in this order, and each resample's sum of squares of the centred
        ranks: `untied` if no scores are tied, else less by the ties' sizes (Kendall, 1945).
        """
        drawn = counts.take(self.order, axis=0)
        ranks = np.cumsum(drawn, axis=0)
        tied, upto = drawn[self._members], ranks[self._ends]
        drawn *= 0.5
        ranks -= drawn
        if not len(self._members):
            return ranks, untied
        sizes = np.add.reduceat(tied, self._firsts, axis=0)
        ranks[self._members] = np.repeat(upto - sizes / 2, self._lengths, axis=0)
        return ranks, untied - (_cubes(sizes) - _cubes(tied)) / 12

    def back(self, ordered: Floats) -> Floats:
        """Return what stands in this order in the order of the scores."""
        values = np.empty_like(ordered)
        values[self.order] = ordered
        return values


def _cubes(sizes: Floats) -> Floats:
    cubes: Floats = np.einsum("ij,ij->j", sizes, sizes * sizes)
    return cubes


def spearman(gold: ArrayLike, prediction: ArrayLike) -> float:
    """Return Spearman's rank correlation of two lists of n numbers, NaN if one of them is constant."""
    return pearson(*(_mean_ranks(values) for values in (gold, prediction)))


def _mean_ranks(values: ArrayLike) -> Floats:
    order, once = _Order(values), np.ones((np.size(np.asarray(values)), 1))
    return order.back(order.ranked(once, once[0])[0])[:, 0]


def pearson(gold: ArrayLike, prediction: ArrayLike) -> float:
    """Return Pearson's correlation of two lists of n numbers, NaN if one of them is constant."""
    x, y = (np.asarray(v, float) - np.mean(np.asarray(v, float)) for v in (gold, prediction))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def percentile_interval(resampled: ArrayLike, alpha: float = ALPHA) -> Interval:
    """Return the percentile interval of a bootstrapped quantity (Davison and Hinkley, 1997, section 5.3).

    Its ends are order statistics, so that it excludes a value exactly when `bootstrap_p` is at most alpha / 2 there. It
    reaches from the lowest to the highest resample where alpha is too small for the number of resamples.
    """
    values = np.sort(np.asarray(resampled, float))
    tail = max(1, math.floor((len(values) + 1) * alpha / 2 + 1e-9))
    return Interval(float(values[tail - 1]), float(values[-tail]), 1 - alpha, "test pairs")


def bootstrap_p(resampled: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the quantity is below `least`"; at least 1 / (resamples + 1)."""
    values = np.asarray(resampled, float)
    return float((1 + np.sum(values < least)) / (len(values) + 1))


def t_interval(values: ArrayLike, alpha: float = ALPHA) -> Interval | None:
    """Return Student's interval for the mean over seeds, None for fewer than two: one seed knows nothing of its spread.

    For a difference between two studies, give the differences seed by seed.
    """
    from scipy.special import stdtrit  # scipy.stats would cost half a second more

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return None
    half = float(stdtrit(len(sample) - 1, 1 - alpha / 2)) * _standard_error(sample)
    mean = float(sample.mean())
    return Interval(mean - half, mean + half, 1 - alpha, "seeds")


def t_p(values: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the mean over seeds is below `least`" (t test); 1 for fewer than two seeds."""
    from scipy.special import stdtr

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return 1.0
    distance, error = float(sample.mean()) - least, _standard_error(sample)
    if error == 0:
        return 0.0 if distance >= 0 else 1.0
    return float(stdtr(len(sample) - 1, -distance / error))


def welch_interval(new: ArrayLike, old: ArrayLike, alpha: float = ALPHA) -> Interval | None:
    """Return Welch's interval for mean(new) - mean(old) of independent seeds; None if either has fewer than two."""
    from scipy.special import stdtrit

    known = _welch(new, old)
    if known is None:
        return None
    mean, error, freedom = known
    half = float(stdtrit(freedom, 1 - alpha / 2)) * error if error else 0.0
    return Interval(mean - half, mean + half, 1 - alpha, "seeds")


def welch_p(new: ArrayLike, old: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "mean(new) - mean(old) is below `least`"; 1 where `welch_interval` is None."""
    from scipy.special import stdtr

    known = _welch(new, old)
    if known is None:
        return 1.0
    mean, error, freedom = known
    if error == 0:
        return 0.0 if mean >= least else 1.0
    return float(stdtr(freedom, (least - mean) / error))


def _welch(new: ArrayLike, old: ArrayLike) -> tuple[float, float, float] | None:
    """Return the difference of the means, its standard error and Welch and Satterthwaite's degrees of freedom."""
    sides = [np.asarray(side, float) for side in (new, old)]
    if min(map(len, sides)) < 2:
        return None
    squares = [_standard_error(side) ** 2 for side in sides]
    mean, total = float(sides[0].mean() - sides[1].mean()), sum(squares)
    if total == 0:
        return mean, 0.0, math.inf
    freedom = total**2 / sum(square**2 / (len(side) - 1) for square, side in zip(squares, sides, strict=True))
    return mean, math.sqrt(total), freedom


def together_p(values: ArrayLike, resampled: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the difference is below `least`" over new seeds and new pairs at once.

    Where both uncertainties are alike, two intervals that each exclude a value may do so by one piece of luck with the
    seeds and another with the pairs: simulated, that decides wrongly in 11 percent at 10 seeds and 5 percent each.
    Their variances therefore add up here: min F' (Clark, 1973), as a t with Welch and Satterthwaite's degrees of
    freedom. Pairs count as infinitely many.

    Args:
        values: the differences seed by seed; with fewer than two the result is 1.
        resampled: the bootstrapped mean differences, whose standard deviation is the standard error over pairs.
    """
    from scipy.special import stdtr

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return 1.0
    over_seeds, over_pairs = _standard_error(sample) ** 2, float(np.var(np.asarray(resampled, float), ddof=1))
    distance, variance = float(sample.mean()) - least, over_seeds + over_pairs
    if variance == 0:
        return 0.0 if distance >= 0 else 1.0
    share = over_seeds / variance
    freedom = (len(sample) - 1) / max(share**2, 1e-12)
    return float(stdtr(freedom, -distance / math.sqrt(variance)))


def _standard_error(sample: Floats) -> float:
    return float(sample.std(ddof=1)) / math.sqrt(len(sample))


def detectable(n: int, spread: float, alpha: float = ALPHA, power: float = 0.8) -> float:
    """Return the smallest true mean difference whose t interval's lower end exceeds 0 with probability `power`.

    Args:
        n: seeds, at least two.
        spread: standard deviation of the paired differences, in points of 1.0.
    """
    from scipy.special import nctdtrinc, stdtrit

    if n < 2:
        raise ValueError(f"n={n}: a paired t needs at least two seeds")
    critical = stdtrit(n - 1, 1 - alpha / 2)
    return float(nctdtrinc(n - 1, 1 - power, critical)) * spread / math.sqrt(n)


def detectable_over_pairs(error: float, alpha: float = ALPHA, power: float = 0.8) -> float:
    """Return the same for a bootstrap over pairs whose resampled differences have standard deviation `error`."""
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2) + ndtri(power)) * error


def holm_levels(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the level at which Holm's step-down procedure judges each claim; a claim is decided where p <= its level.

    The smallest of m p-values is judged at alpha / m, the next at alpha / (m - 1) and so on; from the first that is not
    decided on, all others are judged at its level (Holm, 1979). Intervals at these levels agree with the decisions.
    """
    levels = [0.0] * len(p_values)
    decided = 0
    for index in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        levels[index] = alpha / (len(p_values) - decided)
        decided += p_values[index] <= levels[index]
    return levels
