"""A mean, or a difference of means, over seeds: its standard error and degrees of freedom, its interval and p-value.

The seeds of two studies are independent unless the studies train the same loss on the same rows: seed 1 of one loss and
seed 1 of another share nothing that moves their scores together (docs/statistics.md has the correlations measured).
Therefore two studies are compared by Welch's test. Pairing independent seeds would give away half of the degrees of
freedom, and at three seeds a fifth of the power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.intervals import ALPHA, Floats, Interval


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means that is estimated with Student's t."""

    mean: float
    """The estimate, on a 0 to 1 scale."""
    error: float
    """Its standard error, on the same scale."""
    freedom: float
    """Degrees of freedom of the standard error; infinite if it is known, or 0."""

    def interval(self, alpha: float = ALPHA, over: str = "seeds") -> Interval:
        """Return the two-sided interval of level 1 - alpha."""
        from scipy.special import stdtrit  # scipy.stats would take half a second more

        half = float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error if self.error else 0.0
        return Interval(self.mean - half, self.mean + half, 1 - alpha, over)

    def p_below(self, least: float) -> float:
        """Return the one-sided p-value of "the true value is below `least`"."""
        from scipy.special import stdtr

        if not self.error:
            return 0.0 if self.mean >= least else 1.0
        if not math.isfinite(self.error):
            return 1.0
        return float(stdtr(self.freedom, (least - self.mean) / self.error))

    def plus(self, error: float, freedom: float) -> Estimate:
        """Add an independent source of error: min F' (Clark, 1973) with Satterthwaite's degrees of freedom.

        If both errors are about equal, each of two separate intervals may exclude a value by chance: in simulations
        with 10 seeds and intervals at 5 percent, 11 percent of the decisions were wrong.

        Args:
            error: standard error that the other source adds, on the same scale.
            freedom: its degrees of freedom.
        """
        parts = [(self.error**2, self.freedom), (error**2, freedom)]
        return Estimate(self.mean, math.sqrt(parts[0][0] + parts[1][0]), _satterthwaite(parts))

    def detectable(self, alpha: float = ALPHA, power: float = 0.8) -> float:
        """Return the smallest true value whose interval's lower end exceeds 0 with probability `power`.

        Args:
            alpha: one minus the level of the interval.
            power: probability of detection.
        """
        from scipy.special import nctdtrinc, stdtrit

        if not self.error:
            return 0.0
        freedom = min(self.freedom, 1e6)  # the noncentral t of scipy has no limit at infinity
        return float(nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - alpha / 2))) * self.error


def over_seeds(new: ArrayLike, old: ArrayLike | None = None) -> Estimate | None:
    """Return the mean over seeds, or the difference of two means over independent seeds (Welch, 1947).

    Args:
        new: one number per seed; for two studies that share seeds, the differences seed by seed.
        old: one number per seed of the study to subtract, if there is one.

    Returns:
        The estimate; None if a sample has fewer than two seeds, or a value is not finite.
    """
    samples = [np.asarray(each, float) for each in (new, old) if each is not None]
    if min(map(len, samples)) < 2 or not all(np.isfinite(sample).all() for sample in samples):
        return None
    parts = [(_variance_of_mean(sample), len(sample) - 1.0) for sample in samples]
    means = [float(sample.mean()) for sample in samples]
    error = math.sqrt(sum(variance for variance, _ in parts))
    return Estimate(means[0] - sum(means[1:]), error, _satterthwaite(parts))


def interval(new: ArrayLike, old: ArrayLike | None = None, alpha: float = ALPHA) -> Interval | None:
    """Return the interval of `over_seeds`; None without an estimate."""
    estimate = over_seeds(new, old)
    return None if estimate is None else estimate.interval(alpha)


def p_below(least: float, new: ArrayLike, old: ArrayLike | None = None) -> float:
    """Return the one-sided p-value of "`over_seeds` is below `least`"; 1 without an estimate."""
    estimate = over_seeds(new, old)
    return 1.0 if estimate is None else estimate.p_below(least)


def error_over_items(resampled: ArrayLike) -> float:
    """Return the standard error over test items: the standard deviation of the bootstrapped quantity."""
    return float(np.std(np.asarray(resampled, float), ddof=1))


def _variance_of_mean(sample: Floats) -> float:
    return 0.0 if sample.min() == sample.max() else float(sample.var(ddof=1)) / len(sample)


def _satterthwaite(parts: list[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of variances, given (variance, degrees of freedom) of each."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    return total**2 / spread if spread > 0 and math.isfinite(total) else math.inf
