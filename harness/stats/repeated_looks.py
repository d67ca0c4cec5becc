"""Significance levels for repeated looks as seeds are added (group-sequential test; Pocock, 1977). Pure functions.

Testing again after every further seed leads to wrong decisions far more often than the level of each test. The solution
is a group-sequential test (Pocock, 1977): one stricter level, the same at every look, such that under the null
hypothesis the probability of ever reaching it is alpha. The tables of the literature assume normal statistics and tens
of observations per look. Here are 2 to 20 seeds, so the level is computed for Student's t itself: the joint
distribution of the t statistics of a growing normal sample has no unknown parameter, and simulating it gives the level
with a relative error of about 1 percent. Bonferroni's alpha / looks would also be valid, but looks share most of their
seeds, so it is up to three times stricter than necessary. O'Brien and Fleming's levels increase from look to look; at
the 2 to 4 degrees of freedom of the first looks hardly any result would reach them, but early looks save most seeds.

`spent` turns a p-value into a sequential p-value (Liu and Anderson, 2008), which is valid whenever and for whatever
reason looking stopped, so that Holm's correction applies to it; `nominal` returns the level of the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from harness.stats.intervals import Floats

PATHS = 99_999
"""Number of simulated samples. PATHS + 1 is a round number, so that the usual levels are whole numbers of samples."""

_AT_ONCE = 20_000


def looks_between(first: int, last: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which claims are judged: all from `first` to `last` that have an interval."""
    return tuple(range(max(2, first), last + 1))


def spent(p_value: float, looks: Sequence[int], samples: int = 1) -> float:
    """Return the probability under the null hypothesis that any of the looks gives a two-sided p at most this small.

    Args:
        p_value: the p-value.
        looks: numbers of seeds in increasing order, each at least two; with fewer than two looks, `p_value` is
            returned.
        samples: 1 for a mean over seeds, 2 for a difference between two studies with independent seeds.
    """
    if len(looks) < 2:
        return p_value
    below = int(np.searchsorted(_smallest_p(tuple(looks), samples), p_value, side="right"))
    return (1 + below) / (PATHS + 1)


def nominal(alpha: float, looks: Sequence[int], samples: int = 1) -> float:
    """Return the level of the intervals at each look: p is at most this level exactly if spent(p) is at most alpha."""
    if len(looks) < 2:
        return alpha
    allowed = math.floor(alpha * (PATHS + 1) + 1e-9) - 1
    return 0.0 if allowed < 0 else float(np.nextafter(_smallest_p(tuple(looks), samples)[allowed], 0.0))


@lru_cache(maxsize=16)
def _smallest_p(looks: tuple[int, ...], samples: int) -> Floats:
    """Return the smallest two-sided p of the t tests at all looks, for many draws under the null hypothesis, sorted.

    With two samples the test is Welch's, and both have the same variance: with unequal ones it is closer to the test
    of one sample, whose looks share as much.
    """
    from scipy.special import stdtr

    random = np.random.default_rng(0)
    smallest = []
    for start in range(0, PATHS, _AT_ONCE):
        size = min(_AT_ONCE, PATHS - start)
        sample = random.standard_normal((samples, looks[-1], size))
        sums, squares = sample.cumsum(axis=1), (sample**2).cumsum(axis=1)
        least = np.ones(size)
        for n in looks:
            totals = sums[:, n - 1]
            variances = (squares[:, n - 1] - totals**2 / n) / (n * (n - 1))
            variance = variances.sum(axis=0)
            freedom = (n - 1) * variance**2 / (variances**2).sum(axis=0)
            mean = (totals[0] - totals[1:].sum(axis=0)) / n
            np.minimum(least, 2 * stdtr(freedom, -np.abs(mean) / np.sqrt(variance)), out=least)
        smallest.append(least)
    smallest_sorted: Floats = np.sort(np.concatenate(smallest))
    smallest_sorted.flags.writeable = False
    return smallest_sorted
