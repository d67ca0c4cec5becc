"""Evidence for verdicts: paired differences between two studies, and a study's distance from a target score.

Differences are paired: seed 1 of one study with seed 1 of the other, and both on the same resamples of the test items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import intervals
from harness.verdicts.finals import Finals
from harness.verdicts.predictions import Predictions, mean_resampled


@dataclass(frozen=True)
class Difference:
    """Study `better` minus study `worse` in one figure, on a 0 to 1 scale."""

    by_seed: tuple[float, ...]
    """The difference for each seed that both studies have finished."""
    resampled: intervals.Floats | None
    """The mean difference over these seeds in each bootstrap resample of the items; None without predictions."""
    notes: tuple[str, ...] = ()
    """Sentences about the runs that belong to the verdict's reason."""
    unit: str = "test pairs"
    """What the items are, for texts."""
    differing: tuple[int, int] | None = None
    """How many items have another mean over seeds in the two studies, and how many there are; None for pairs."""

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_seed))

    def over_items(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return None if self.resampled is None else intervals.percentile_interval(self.resampled, alpha, self.unit)

    def over_seeds(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return intervals.t_interval(self.by_seed, alpha)

    def p_value(self, margin: float) -> float:
        """Return the two-sided p-value of the claim: the largest over pairs, over seeds, and over both at once."""
        below, resampled = -min(margin, 0.0), self.resampled
        reached = _one_sided(self.by_seed, resampled, margin)
        missed = _one_sided(np.negative(self.by_seed), None if resampled is None else -resampled, below)
        return min(1.0, 2 * min(reached, missed))

    def detectable(self, alpha: float = intervals.ALPHA) -> float | None:
        """Return the smallest difference detectable with these seeds and items together; None for one seed."""
        if len(self.by_seed) < 2:
            return None
        over_seeds = intervals.detectable(len(self.by_seed), float(np.std(self.by_seed, ddof=1)), alpha)
        if self.resampled is None:
            return over_seeds
        return math.hypot(over_seeds, intervals.detectable_over_items(float(np.std(self.resampled, ddof=1)), alpha))


def _one_sided(by_seed: ArrayLike, resampled: intervals.Floats | None, least: float) -> float:
    """Return the largest of the one-sided p-values of "below `least`"."""
    if resampled is None:
        return intervals.t_p(by_seed, least)
    over_items, over_seeds = intervals.bootstrap_p(resampled, least), intervals.t_p(by_seed, least)
    return max(over_items, over_seeds, intervals.together_p(by_seed, resampled, least))


@dataclass(frozen=True)
class Distance:
    """A study's figure minus a target score, on a 0 to 1 scale."""

    by_seed: tuple[float, ...]
    """The distance for each seed that the study has finished."""
    resampled: intervals.Floats | None
    """The mean distance over these seeds in each bootstrap resample of the items; None without predictions."""
    constant: bool
    """True for the untrained model, whose figure does not depend on the seed."""
    notes: tuple[str, ...] = ()
    """Sentences about the runs that belong to the verdict's reason."""
    unit: str = "test pairs"
    """What the items are, for texts."""

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_seed))

    @property
    def undecidable(self) -> bool:
        """True for one seed of a trained study: the spread over seeds cannot be estimated."""
        return not self.constant and len(self.by_seed) < 2

    def over_items(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return None if self.resampled is None else intervals.percentile_interval(self.resampled, alpha, self.unit)

    def over_seeds(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return None if self.constant else intervals.t_interval(self.by_seed, alpha)

    def p_within(self, tolerance: float) -> float:
        """Return the two-sided p-value of "it is at most `tolerance` from 0", of agreement or of disagreement.

        Only over seeds: a published score is of the same items, so the distance has no sampling error over pairs.
        """
        if self.undecidable:
            return 1.0
        if self.constant:
            return 0.0
        above, below = intervals.t_p(self.by_seed, tolerance), intervals.t_p(np.negative(self.by_seed), tolerance)
        inside = intervals.t_p(self.by_seed, -tolerance), intervals.t_p(np.negative(self.by_seed), -tolerance)
        return min(1.0, 2 * min(max(inside), above, below))

    def p_reaches(self) -> float:
        """Return the two-sided p-value of "it is at least 0": the largest over pairs, over seeds, and over both."""
        if self.undecidable:
            return 1.0
        return min(1.0, 2 * min(self._reaches(1.0), self._reaches(-1.0)))

    def _reaches(self, sign: float) -> float:
        """Return the one-sided p-value of "it is below 0", or, if `sign` is -1, of "it is above 0"."""
        resampled, by_seed = self.resampled, np.multiply(self.by_seed, sign)
        p_values = [0.0] if self.constant else [intervals.t_p(by_seed, 0.0)]
        if resampled is not None:
            p_values.append(intervals.bootstrap_p(resampled * sign, 0.0))
            if not self.constant:
                p_values.append(intervals.together_p(by_seed, resampled * sign, 0.0))
        return max(p_values)

    def detectable(self, alpha: float = intervals.ALPHA) -> float | None:
        """Return the smallest distance detectable with pairs and seeds together; None if neither is known."""
        parts = []
        if self.resampled is not None:
            parts.append(intervals.detectable_over_items(float(np.std(self.resampled, ddof=1)), alpha))
        if not self.constant and len(self.by_seed) > 1:
            parts.append(intervals.detectable(len(self.by_seed), float(np.std(self.by_seed, ddof=1)), alpha))
        return math.hypot(*parts) if parts and not self.undecidable else None


def difference(better: Finals, worse: Finals) -> Difference | None:
    """Return better - worse over the seeds that both have finished; None without them or if items differ."""
    if better.constant and worse.constant:
        return None
    varying = [side for side in (better, worse) if not side.constant]
    seeds = sorted(
        seed for seed in varying[0].scores if seed is not None and all(seed in side.scores for side in varying)
    )
    if not seeds or any(side.constant and None not in side.scores for side in (better, worse)):
        return None
    sides = [[side.predictions.get(seed) for seed in ([None] if side.constant else seeds)] for side in (better, worse)]
    resampled, differing = None, None
    if all(each is not None for side in sides for each in side):
        if len({each.items for side in sides for each in side if each is not None}) > 1:
            return None
        left, right = (mean_resampled([each for each in side if each is not None]) for side in sides)
        differing = _differing(*([each for each in side if each is not None] for side in sides))
        assert left is not None
        assert right is not None
        resampled = left - right
    notes = tuple(dict.fromkeys((*better.repeated, *worse.repeated)))
    return Difference(
        tuple(better.at(seed) - worse.at(seed) for seed in seeds), resampled, notes, better.unit, differing
    )


def _differing(left: Sequence[Predictions], right: Sequence[Predictions]) -> tuple[int, int] | None:
    """Count the items whose mean over seeds differs; None for pairs, whose values are no scores of their own."""
    if not all(isinstance(item, str) for item in left[0].items):
        return None
    means = [np.mean([each.values for each in side], axis=0) for side in (left, right)]
    return int(np.sum(np.abs(means[0] - means[1]) > 1e-9)), len(means[0])


def distance(study: Finals, number: float) -> Distance | None:
    """Return the study's figure minus `number`; None if no run has it, or its runs' items differ."""
    if not study.scores:
        return None
    seeds = sorted(study.scores, key=lambda seed: seed or 0)
    resampled = None
    if all(seed in study.predictions for seed in seeds):
        resampled = mean_resampled([study.predictions[seed] for seed in seeds])
        if resampled is None:
            return None
        resampled = resampled - number
    by_seed = tuple(study.scores[seed] - number for seed in seeds)
    return Distance(by_seed, resampled, study.constant, study.repeated, study.unit)
