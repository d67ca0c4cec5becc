"""Confidence intervals, p-values and detectable differences. Pure functions on numpy arrays.

Two uncertainties are kept apart, because they answer different questions. Over test pairs: would the same models differ
on other pairs of the same kind? (Paired bootstrap; Berg-Kirkpatrick et al., 2012.) Over seeds: would the same recipe
differ if it were trained again? (Student's t, in `harness.stats.estimates`; a bootstrap over 3 to 5 seeds has far less
than its nominal coverage.) Neither contains the other, and a decision has to hold under each of them and under both
together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ALPHA = 0.05
"""Probability of a wrong decision in an ablation; intervals have level 1 - ALPHA unless they are corrected."""


def fewest_deciding(alpha: float = ALPHA) -> int:
    """Return how many items decide a claim at a level if all that differ agree: the sign test's p is 2 / 2^items."""
    return math.ceil(math.log2(2 / alpha))


FEWEST_DECIDING = fewest_deciding()
"""Fewest items that decide a claim at 95 percent if all that differ agree; of five, a sign test has p = 2 / 2^5."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a score or a difference."""

    low: float
    """Lower end, on a 0 to 1 scale."""
    high: float
    """Upper end, on a 0 to 1 scale."""
    level: float
    """Confidence level, e.g. 0.95."""
    over: str
    """What varies: "test pairs", "seeds" or "studies"."""


def hull(intervals: Sequence[Interval], over: str) -> Interval:
    """Return the smallest interval that contains all of these, which have one level."""
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    return Interval(low, high, intervals[0].level, over)


def spearman(gold: ArrayLike, prediction: ArrayLike) -> float:
    """Return Spearman's rank correlation of two lists of n numbers, NaN if one of them is constant."""
    return pearson(*(_mean_ranks(values) for values in (gold, prediction)))


def _mean_ranks(values: ArrayLike) -> Floats:
    """Return the rank of each number less one half; equal numbers have the mean of their ranks."""
    _, place, lengths = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(lengths) - lengths / 2)[place]
    return ranks


def pearson(gold: ArrayLike, prediction: ArrayLike) -> float:
    """Return Pearson's correlation of two lists of n numbers, NaN if one of them is constant."""
    values = [np.asarray(v, float) for v in (gold, prediction)]
    if any(np.all(v == v[0]) for v in values):  # by rounding, their mean may differ from them in the last digit
        return math.nan
    x, y = (v - v.mean() for v in values)
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def percentile_interval(resampled: ArrayLike, alpha: float = ALPHA, over: str = "test pairs") -> Interval:
    """Return the percentile interval of a bootstrapped quantity (Davison and Hinkley, 1997, section 5.3).

    Its ends are order statistics, so that it excludes a value exactly if `bootstrap_p` of that value is at most
    alpha / 2. If alpha is too small for the number of resamples, it extends from the lowest to the highest resample.

    Args:
        resampled: the quantity in each resample, on a 0 to 1 scale.
        alpha: one minus the level.
        over: what was resampled, for texts.

    Raises:
        ValueError: the quantity is not finite in some resample.
    """
    values = np.sort(np.asarray(resampled, float))
    if not np.isfinite(values).all():
        raise ValueError("some resamples are not numbers; a run that gives such resamples is unfit to be compared")
    tail = max(1, math.floor((len(values) + 1) * alpha / 2 + 1e-9))
    return Interval(float(values[tail - 1]), float(values[-tail]), 1 - alpha, over)


def bootstrap_p(resampled: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the quantity is below `least`"; at least 1 / (resamples + 1).

    A resample that is NaN counts as below, because it is no evidence against the hypothesis.
    """
    values = np.asarray(resampled, float)
    return float((1 + np.sum(~(values >= least))) / (len(values) + 1))


def detectable_over_items(error: float, alpha: float = ALPHA, power: float = 0.8) -> float:
    """Return the smallest true difference that a bootstrap over pairs detects with probability `power`.

    Args:
        error: standard deviation of the resampled differences, on a 0 to 1 scale.
        alpha: one minus the level of the interval.
        power: probability of detection.
    """
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2) + ndtri(power)) * error


def holm_levels(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the level at which Holm's step-down procedure judges each claim; a claim is decided if p <= its level.

    The smallest of m p-values is judged at alpha / m, the next at alpha / (m - 1), and so on; all claims after the
    first undecided one are judged at the level of that one (Holm, 1979). Intervals at these levels agree with the
    decisions. A p-value that is NaN counts as 1.
    """
    p_or_one = [1.0 if math.isnan(p) else p for p in p_values]
    levels = [0.0] * len(p_or_one)
    decided = 0
    for index in sorted(range(len(p_or_one)), key=lambda i: p_or_one[i]):
        levels[index] = alpha / (len(p_or_one) - decided)
        decided += p_or_one[index] <= levels[index]
    return levels
