"""Means, differences and intervals over seeds, in points, by the tests of scipy.

Two studies that share their seeds are compared seed by seed, others by Welch's test. A run that diverged counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from harness.report.verification.published import Seeds


def mean(seeds: Seeds, score: str) -> list[float]:
    """Return the mean over the seeds that have a score, as a list; an empty one without any."""
    values = seeds.values(score).values()
    return [100 * fmean(values)] if values else []


def interval(values: Sequence[float], level: float = 0.95) -> list[float]:
    """Return the ends of Student's interval of a mean; none for fewer than two values."""
    from scipy.stats import ttest_1samp

    if len(values) < 2:
        return []
    if min(values) == max(values):
        return [100 * values[0]] * 2
    return [100 * float(end) for end in ttest_1samp(values, 0).confidence_interval(level)]


def difference(new: Seeds, old: Seeds, score: str, *, paired: bool, level: float = 0.95) -> list[float]:
    """Return `new` minus `old`, and the ends of its interval over seeds if it has one; nothing without both."""
    from scipy.stats import ttest_ind

    seeds = new.ended(score).keys() & old.ended(score).keys() if paired else None
    left, right = new.repetitions(score, seeds), old.repetitions(score, seeds)
    if not (left and right):
        return []
    apart = 100 * (fmean(left) - fmean(right))
    if new.constant and old.constant:
        return [apart]
    if paired or new.constant or old.constant:
        most = max(len(left), len(right))
        by_seed = [a - b for a, b in zip(*(s * (most // len(s)) for s in (left, right)), strict=True)]
        return [apart, *interval(by_seed, level)]
    if min(len(left), len(right)) < 2:
        return [apart]
    if min(left) == max(left) and min(right) == max(right):
        return [apart] * 3
    return [apart, *(100 * float(end) for end in ttest_ind(left, right, equal_var=False).confidence_interval(level))]
