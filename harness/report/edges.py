"""Best values at an edge of the space, or of the values that were tried, or outside: a better one may lie beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.spec.space import Choice, Dimension, LogUniform, outside

EDGE = 0.05
"""A best value in the outer 5 percent of its (logarithmic) range counts as at the edge of the space."""


@dataclass(frozen=True)
class Edge:
    """A dimension whose best value is at an edge or outside the space, so that a better one may exist beyond it."""

    study: str
    """Name of the study."""
    dimension: str
    """Name of the dimension."""
    value: float
    """The best value."""
    why: str
    """Which edge it is at, or where the space is, as the end of a sentence."""


def edge_of(dimension: Dimension, value: float, trial_values: Sequence[float]) -> str | None:
    """Describe the edge of the dimension, or of its tried values, that a value is at; None if it is at none.

    A default point may also lie outside the space.
    """
    if why := outside(dimension, value):
        return why
    if isinstance(dimension, LogUniform):
        low, high = np.log(dimension.low), np.log(dimension.high)
        place = 0.5 if high == low else (np.log(value) - low) / (high - low)
        if place < EDGE or place > 1 - EDGE:
            return f"the {'low' if place < EDGE else 'high'} edge of the space"
    elif isinstance(dimension, Choice):
        numbers = [v for v in dimension.values if isinstance(v, (int, float))]
        if len(numbers) > 1 and value in (min(numbers), max(numbers)):
            return f"the {'lowest' if value == min(numbers) else 'highest'} value of the space"
    if len(set(trial_values)) > 1 and value in (min(trial_values), max(trial_values)):
        return f"the {'lowest' if value == min(trial_values) else 'highest'} value that was tried"
    return None
