"""Whether a figure of pairs is defined in every resample: some have no correlation, or no average precision.

A figure that is undefined in a resample has no interval, so no claim about it can be judged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.bootstrap import RESAMPLES, draws

SURE = 40
"""So many items or groups are in every resample: the probability of one without any is below exp(-40)."""


def have_two_values(values: ArrayLike, groups: Sequence[int] = ()) -> bool:
    """Return whether every resample has at least two different values, so that a correlation is defined.

    Args:
        values: the values, shape (pairs,): cosines, or gold scores.
        groups: the number of each pair's group, from 0, whose pairs are drawn together; empty if each is its own group.
    """
    given, number = _with_groups(values, groups)
    low, high = np.full(number.max() + 1, np.inf), np.full(number.max() + 1, -np.inf)
    np.minimum.at(low, number, given)
    np.maximum.at(high, number, given)
    levels, counts = np.unique(low[low == high], return_counts=True)
    may_be_alone = levels[counts > len(low) - SURE]
    return all(_always_drawn((low != level) | (high != level)) for level in may_be_alone)


def have_a_positive(labels: ArrayLike, groups: Sequence[int] = ()) -> bool:
    """Return whether every resample has a pair with the label 1, so that average precision is defined.

    Args:
        labels: the labels, 0 or 1, shape (pairs,).
        groups: as of `have_two_values`.
    """
    given, number = _with_groups(labels, groups)
    return _always_drawn(np.bincount(number, given) > 0)


def _with_groups(values: ArrayLike, groups: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    given = np.asarray(values, float)
    return given, np.asarray(groups, np.intp) if len(groups) else np.arange(len(given))


def _always_drawn(these: NDArray[np.bool_]) -> bool:
    """Return whether every resample has at least one of these items or groups; no resample is made if it is sure."""
    return bool(these.sum() >= SURE) or all(
        bool(block[these].any(axis=0).all()) for block in draws(len(these), RESAMPLES, 0)
    )
