"""From which lowest to which highest score pairs are rated, and scores that may be marks of missing ones."""

from __future__ import annotations

from typing import Any

import pandas as pd

ENDS = (1.0, 5.0, 10.0, 100.0)
"""Highest scores of usual scales."""

GRADES = 10
"""Highest grade."""

FAR = 10
"""A score is suspicious if it is so many times as far from the others as these are from each other."""


def scale(scores: pd.Series[Any]) -> tuple[float, float]:
    """Return the lowest and highest possible score.

    Three or more grades (whole numbers without a gap) are their own scale: relevance from 0 to 3, stars from 1 to 5.
    Other scores have the narrowest usual scale that holds them, because its ends need not occur.

    Args:
        scores: the scores that occur.
    """
    low, high = float(scores.min()), float(scores.max())
    if high <= GRADES and high - low >= 2 and {*scores} == {*map(float, range(int(low), int(high) + 1))}:
        return low, high
    ends = next((end for end in ENDS if high <= end), high)
    return (0.0 if low >= 0 else -1.0 if low >= -1 and ends == 1 else low), ends


def suspicious(scores: pd.Series[Any]) -> float | None:
    """Return a score that may mark pairs without one, such as -1 among 0 to 5, or 999; None if there is none."""
    values: list[float] = sorted({*scores.astype(float)})
    if len(values) < 3 or {*values} == {-1, 0, 1}:
        return None
    if values[0] < 0 <= values[1] and values[0] % 1 == 0:
        return values[0]
    if values[-1] - values[-2] > FAR * (values[-2] - values[0]):
        return values[-1]
    return values[0] if values[1] - values[0] > FAR * (values[-1] - values[1]) else None
