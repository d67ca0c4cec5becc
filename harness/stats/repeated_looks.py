"""Significance levels for repeated looks as seeds are added (group-sequential test; Pocock, 1977). Pure functions.

Testing again after every further seed decides wrongly far more often than each test says. The solution is a group
sequential test (Pocock, 1977): one stricter level, the same at every look, such that under the null hypothesis the
chance of ever reaching it is alpha. The tables of the literature assume normal statistics and tens of observations a
look; here are 2 to 20 seeds, so the level is found for Student's t itself: the t statistics of a growing normal sample
have a joint law that depends on nothing unknown, and simulating it gives the level to about 1 percent of itself.
Bonferroni's alpha / looks would hold, too, but looks share most of their seeds, and it is up to three times stricter
than need be. O'Brien and Fleming's levels rise from look to look: at the 2 to 4 degrees of freedom of the first looks
nothing would pass them, and early looks are where seeds are saved.

`spent` turns a p-value into a sequential one (Liu and Anderson, 2008), valid however and whenever the looking stopped,
so that Holm's correction applies to it as to any other; `nominal` turns a level back into that of the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from harness.stats.intervals import Floats

PATHS = 99_999
"""Simulated samples. One more is a round number, so that usual levels are whole numbers of them."""

_AT_ONCE = 20_000


def looks_between(first: int, last: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which a verdict may fall: every one from `first` on that has an interval."""
    return tuple(range(max(2, first), last + 1))


def spent(p_value: float, looks: Sequence[int]) -> float:
    """Return the chance, under the null hypothesis, that any of the looks gives a two-sided p as small as this one.

    Args:
        looks: numbers of seeds, rising, each at least two; with fewer than two of them, p is returned as it is.
    """
    if len(looks) < 2:
        return p_value
    below = int(np.searchsorted(_smallest_p(tuple(looks)), p_value, side="right"))
    return (1 + below) / (PATHS + 1)


def nominal(alpha: float, looks: Sequence[int]) -> float:
    """Return the level of each look's intervals that together spend alpha: p <= it exactly where spent(p) <= alpha."""
    if len(looks) < 2:
        return alpha
    allowed = math.floor(alpha * (PATHS + 1) + 1e-9) - 1
    return 0.0 if allowed < 0 else float(np.nextafter(_smallest_p(tuple(looks))[allowed], 0.0))


@lru_cache(maxsize=16)
def _smallest_p(looks: tuple[int, ...]) -> Floats:
    """Return, sorted, the smallest two-sided p of the t tests at all looks, for each of many samples of zero mean."""
    from scipy.special import stdtr

    random = np.random.default_rng(0)
    smallest = []
    for start in range(0, PATHS, _AT_ONCE):
        size = min(_AT_ONCE, PATHS - start)
        sample = random.standard_normal((looks[-1], size))
        sums, squares = sample.cumsum(axis=0), (sample**2).cumsum(axis=0)
        least = np.ones(size)
        for n in looks:
            total = sums[n - 1]
            error = np.sqrt((squares[n - 1] - total**2 / n) / (n * (n - 1)))
            np.minimum(least, 2 * stdtr(n - 1, -np.abs(total / n) / error), out=least)
        smallest.append(least)
    smallest_sorted: Floats = np.sort(np.concatenate(smallest))
    smallest_sorted.flags.writeable = False
    return smallest_sorted
