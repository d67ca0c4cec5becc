"""Confidence intervals, p-values and detectable differences. Pure functions on numpy arrays.

Two uncertainties are kept apart, because they answer different questions. Over test pairs: would the same models differ
on other pairs of the same kind? (Paired bootstrap; Berg-Kirkpatrick et al., 2012.) Over seeds: would the same recipe
differ if it were trained again? (Student's t interval; a bootstrap over 3 to 5 seeds has far less than its nominal
coverage.) Neither contains the other, and no interval here merges them; but a decision also has to hold under both
together (`together_p`).
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


def t_interval(values: ArrayLike, alpha: float = ALPHA) -> Interval | None:
    """Return Student's interval for the mean over seeds.

    Args:
        values: one number per seed; for a difference between two studies, the differences seed by seed.
        alpha: one minus the level.

    Returns:
        The interval; None for fewer than two seeds, or if a value is not finite.
    """
    from scipy.special import stdtrit  # scipy.stats would take half a second more

    sample = np.asarray(values, float)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    half = float(stdtrit(len(sample) - 1, 1 - alpha / 2)) * _standard_error(sample)
    mean = float(sample.mean())
    return Interval(mean - half, mean + half, 1 - alpha, "seeds")


def t_p(values: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the mean over seeds is below `least`" (t test).

    It is 1 for fewer than two seeds, or if a value is not finite.
    """
    from scipy.special import stdtr

    sample = np.asarray(values, float)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return 1.0
    distance, error = float(sample.mean()) - least, _standard_error(sample)
    if error == 0:
        return 0.0 if distance >= 0 else 1.0
    return float(stdtr(len(sample) - 1, -distance / error))


def welch_interval(new: ArrayLike, old: ArrayLike, alpha: float = ALPHA) -> Interval | None:
    """Return Welch's interval for mean(new) - mean(old) of independent seeds.

    Args:
        new: one number per seed.
        old: one number per seed of the other sample.
        alpha: one minus the level.

    Returns:
        The interval; None if a sample has fewer than two seeds, or a value is not finite.
    """
    from scipy.special import stdtrit

    difference = _welch(new, old)
    if difference is None:
        return None
    mean, error, freedom = difference
    half = float(stdtrit(freedom, 1 - alpha / 2)) * error if error else 0.0
    return Interval(mean - half, mean + half, 1 - alpha, "seeds")


def welch_p(new: ArrayLike, old: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "mean(new) - mean(old) is below `least`"; 1 if `welch_interval` is None.

    Args:
        new: one number per seed.
        old: one number per seed of the other sample.
        least: the bound, on the scale of the numbers.
    """
    from scipy.special import stdtr

    difference = _welch(new, old)
    if difference is None:
        return 1.0
    mean, error, freedom = difference
    if error == 0:
        return 0.0 if mean >= least else 1.0
    return float(stdtr(freedom, (least - mean) / error))


def _welch(new: ArrayLike, old: ArrayLike) -> tuple[float, float, float] | None:
    """Return the difference of the means, its standard error and Welch and Satterthwaite's degrees of freedom."""
    sides = [np.asarray(side, float) for side in (new, old)]
    if min(map(len, sides)) < 2 or not all(np.isfinite(side).all() for side in sides):
        return None
    squares = [_standard_error(side) ** 2 for side in sides]
    mean, total = float(sides[0].mean() - sides[1].mean()), sum(squares)
    if total == 0:
        return mean, 0.0, math.inf
    freedom = total**2 / sum(square**2 / (len(side) - 1) for square, side in zip(squares, sides, strict=True))
    return mean, math.sqrt(total), freedom


def together_p(values: ArrayLike, resampled: ArrayLike, least: float) -> float:
    """Return the one-sided p-value of "the difference is below `least`" for new seeds and new pairs together.

    If both uncertainties are about equal, each of two separate intervals may exclude a value by chance: in simulations
    with 10 seeds and intervals at 5 percent, 11 percent of the decisions were wrong. Therefore the two variances are
    added here: min F' (Clark, 1973), as a t statistic with Welch and Satterthwaite's degrees of freedom, where the
    number of pairs counts as infinite.

    Args:
        values: the differences seed by seed.
        resampled: the bootstrapped mean differences, whose standard deviation is the standard error over pairs.
        least: the bound, on the scale of the differences.

    Returns:
        The p-value; 1 for fewer than two seeds, or if a difference is not finite.
    """
    from scipy.special import stdtr

    sample = np.asarray(values, float)
    if len(sample) < 2:
        return 1.0
    over_seeds, over_items = _standard_error(sample) ** 2, float(np.var(np.asarray(resampled, float), ddof=1))
    distance, variance = float(sample.mean()) - least, over_seeds + over_items
    if not math.isfinite(variance):
        return 1.0
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
        spread: standard deviation of the paired differences, on a 0 to 1 scale.
        alpha: one minus the level of the interval.
        power: probability of detection.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    from scipy.special import nctdtrinc, stdtrit

    if n < 2:
        raise ValueError(f"n={n}: a paired t test needs at least two seeds")
    critical = stdtrit(n - 1, 1 - alpha / 2)
    return float(nctdtrinc(n - 1, 1 - power, critical)) * spread / math.sqrt(n)


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
