"""What the choice of the best trial owes to chance, estimated from one tuning. A pure function of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 4000


@dataclass(frozen=True)
class Luck:
    """What another tuning with the same points would give."""

    spread: float
    """Standard deviation of the true score at the point that is chosen, on the scale of the scores."""
    another: float
    """Probability that another point is chosen."""


def luck_of_choice(
    scores: Sequence[float],
    noise: float,
    draws: int = DRAWS,
    seed: int = 0,
    *,
    chosen: int | None = None,
    repeats: int = 0,
    rivals: int = 1,
) -> Luck | None:
    """Estimate how much the chosen point's true score varies between tunings that try the same points.

    Each point's true score is estimated by shrinking its observed score towards the mean of all points, by the share of
    the variance that noise explains (James and Stein, 1961). Then the choice is repeated with new noise. Other start-up
    points are not simulated, and dev and test scores are taken to move alike, so the estimate gives the order of
    magnitude. Against repeated tunings of two losses it was .25 to .63 points where .23 to .58 was true
    (docs/statistics.md); `Budget(tunings=...)` measures it.

    Args:
        scores: dev scores of the trials, one per point.
        noise: standard deviation of a dev score over seeds at one point.
        draws: number of simulated choices.
        seed: seed of the random generator.
        chosen: index of the point that was chosen; the one with the highest score if None.
        repeats: number of further seeds with which the best points were trained before one of them was chosen.
        rivals: number of these points.

    Returns:
        The estimate; None for fewer than two points.
    """
    observed = np.asarray(scores, float)
    if len(observed) < 2:
        return None
    total = float(observed.var(ddof=1))
    share = max(0.0, 1 - noise**2 / total) if total else 0.0
    true = observed.mean() + share * (observed - observed.mean())
    random = np.random.default_rng(seed)
    measured = true + random.normal(0, noise, (draws, len(true)))
    best = np.argsort(-measured, axis=1)[:, :rivals]
    first = np.take_along_axis(measured, best, axis=1)
    again = repeats * true[best] + repeats**0.5 * random.normal(0, noise, best.shape)
    winners = best[np.arange(draws), ((first + again) / (1 + repeats)).argmax(axis=1)]
    return Luck(
        float(true[winners].std()), float(np.mean(winners != (observed.argmax() if chosen is None else chosen)))
    )
