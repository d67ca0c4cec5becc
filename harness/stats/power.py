"""Power of a test over seeds, and how many seeds a difference needs. Pure functions of numbers.

With n seeds a true difference d is shown with probability P(T > t), T being noncentral t with Welch's degrees of
freedom f and noncentrality d / e, t Student's quantile with f degrees of freedom at 1 - alpha / 2, e the standard error
of the difference (Cohen, 1988, chapter 2).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from harness.stats import estimates, intervals

POWER = 0.8
MOST = 1000
"""Maximum number of seeds that is considered."""

_UPPER = 0.8  # level of the pilot's upper limit, as Browne (1995) advises


def power(n: int, size: float, spreads: Sequence[float], alpha: float = intervals.ALPHA) -> float:
    """Return the probability that the lower end of the interval over n seeds exceeds 0.

    Args:
        n: number of seeds, at least two.
        size: true mean difference on a 0 to 1 scale.
        spreads: standard deviations over seeds: of both studies' scores, or of their differences if seeds are paired.
        alpha: the interval has level 1 - alpha.

    Raises:
        ValueError: n is less than 2.
    """
    from scipy.special import nctdtr, stdtrit

    expected = _expected(n, spreads)
    if not expected.error:
        return float(size > 0)
    critical = stdtrit(expected.freedom, 1 - alpha / 2)
    return float(1 - nctdtr(expected.freedom, size / expected.error, critical))


def seeds_needed(
    size: float | None, spreads: Sequence[float], alpha: float = intervals.ALPHA, target: float = POWER
) -> int | None:
    """Return the smallest number of seeds that detects a true difference with a given power.

    Args:
        size: true mean difference on a 0 to 1 scale; None if no number of seeds shows it.
        spreads: standard deviations over seeds: of both studies' scores, or of their differences if seeds are paired.
        alpha: the interval has level 1 - alpha.
        target: the power.

    Returns:
        The number of seeds, None if it exceeds `MOST`.
    """
    if size is None:
        return None
    if not any(spreads):
        return 2
    numbers = range(2, MOST + 1)  # what n seeds detect shrinks with n, so that the first that suffices is bisected
    place = bisect_left(numbers, True, key=lambda n: _expected(n, spreads).detectable(alpha, target) <= size)
    return numbers[place] if place < len(numbers) else None


def _expected(n: int, spreads: Sequence[float]) -> estimates.Estimate:
    """Return the estimate that n seeds give if the standard deviations over seeds are these."""
    if n < 2:
        raise ValueError(f"n={n}: a t test needs at least two seeds")
    variances = [spread**2 / n for spread in spreads]
    squares = sum(variance**2 for variance in variances)
    freedom = (n - 1) * sum(variances) ** 2 / squares if squares else math.inf
    return estimates.Estimate(0.0, math.sqrt(sum(variances)), freedom)


def upper_spread(spread: float, n: int, level: float = _UPPER) -> float:
    """Return the one-sided upper confidence limit of a standard deviation that n normal observations gave."""
    from scipy.special import chdtri

    return spread * math.sqrt((n - 1) / float(chdtri(n - 1, level)))


def beyond_items(size: float, resampled: intervals.Floats | None, alpha: float = intervals.ALPHA) -> float | None:
    """Return what is left of a true difference for seeds to show, after the uncertainty over test items.

    More seeds do not narrow the interval over test items. If the smallest difference p that the items can show is less
    than the difference d, sqrt(d squared - p squared) is left, because the two variances add up.

    Args:
        size: the true difference, on a 0 to 1 scale.
        resampled: the bootstrapped difference; None if items do not count.
        alpha: the interval has level 1 - alpha.

    Returns:
        The difference; None if the items cannot show `size`.
    """
    if resampled is None:
        return size
    shown = intervals.detectable_over_items(estimates.error_over_items(resampled), alpha)
    return math.sqrt(size**2 - shown**2) if shown < size else None
