"""Exact bounds of a mean if nearly all items have the same value, where resamples of the items say too little.

Resamples only repeat the items that were seen. If all ten of ten items are right, each resample has the mean 1, though
a model that is right in 7 of 10 cases gives this once in 35 times; and four changes for the better among any number of
items exclude 0 at 95 percent, although one of eight pairs of equal models with four changes shows this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.stats.intervals import Floats, Interval


@dataclass(frozen=True)
class Rare:
    """Items that have another value than most: their number, and the range of what an item can have."""

    number: int
    """Number of items, or of groups of equal size that say as much."""
    value: float
    """The most frequent value."""
    below: int
    """How many have a lower value."""
    above: int
    """How many have a higher value."""
    lowest: float
    """The lowest value that an item can have."""
    highest: float
    """The highest value that an item can have."""

    @classmethod
    def of(cls, values: Floats, number: float, lowest: float, highest: float) -> Rare:
        """Count values; those that differ by rounding only are equal."""
        each, counts = np.unique(np.round(values, 9), return_counts=True)
        value = float(each[np.argmax(counts)])
        below, above = int(np.sum(values < value - 1e-9)), int(np.sum(values > value + 1e-9))
        return cls(max(1, round(number)), value, below, above, lowest, highest)

    @property
    def others(self) -> int:
        """How many do not have the most frequent value."""
        return self.below + self.above

    @property
    def p_signs(self) -> float:
        """The smallest one-sided p-value of a sign test, which it has if all these items agree (McNemar, 1947)."""
        return 0.5**self.others

    def few(self, alpha: float) -> bool:
        """Return whether these are too few for resamples: even if all agree, a sign test decides nothing."""
        return self.p_signs > alpha / 2

    def p_below(self, least: float) -> float:
        """Return the one-sided p-value of "the mean is below `least`".

        If it is, at least the share (value - least) / (value - lowest) of all such items has a lower value, as none has
        less than `lowest`. That at most `below` of `number` items show it has a binomial probability.
        """
        from scipy.stats import binom

        if least > self.value:
            return 1.0
        if self.value <= self.lowest:
            return 0.0
        share = (self.value - least) / (self.value - self.lowest)
        return float(binom.cdf(min(self.below, self.number), self.number, min(1.0, share)))

    def interval(self, alpha: float, over: str) -> Interval:
        """Return an interval of the mean whose level is at least 1 - alpha (Clopper and Pearson, 1934).

        It excludes a value exactly if `p_below` of it is at most alpha / 2, or that of the other side.

        Args:
            alpha: one minus the level.
            over: what the items are, for texts.
        """
        down, up = (_most(count, self.number, alpha) for count in (self.below, self.above))
        low = self.value - down * (self.value - self.lowest)
        return Interval(low, self.value + up * (self.highest - self.value), 1 - alpha, over)

    def negative(self) -> Rare:
        """Return the same of the values with the other sign."""
        return replace(
            self, value=-self.value, below=self.above, above=self.below, lowest=-self.highest, highest=-self.lowest
        )


def _most(count: int, number: int, alpha: float) -> float:
    """Return the upper end of the interval of a share of which `count` of `number` items were seen."""
    from scipy.stats import beta

    return 1.0 if count >= number else float(beta.ppf(1 - alpha / 2, count + 1, number - count))
