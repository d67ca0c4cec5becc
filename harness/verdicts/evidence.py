"""Evidence for verdicts: the difference between two studies, or a study's distance from a target score.

All studies are scored on the same resamples of the test items, so differences over items are paired. Seeds are paired
only if the two studies share them (`harness.planning.pairing`), which is decided by what they declare and never by the
scores. A final run that diverged gives no model that can be used, so it counts as a score of 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.stats import estimates, intervals
from harness.stats.rare import Rare
from harness.verdicts.finals import Finals
from harness.verdicts.predictions import Predictions, mean_resampled


@dataclass(frozen=True)
class Evidence:
    """Study `better` minus study `worse`, or minus a target score, in one figure, on a 0 to 1 scale."""

    new: tuple[float, ...]
    """One number per seed or tuning: scores of `better`, or differences if seeds are paired or a side is constant."""
    old: tuple[float, ...] | None
    """The scores of `worse` per seed; None if `new` has differences."""
    resampled: intervals.Floats | None
    """The mean difference in each bootstrap resample of the items; None without predictions."""
    notes: tuple[str, ...] = ()
    """Sentences about the runs that belong to the verdict's reason."""
    unit: str = "test pairs"
    """What the items are, for texts."""
    items: int | None = None
    """Number of items; None without predictions."""
    independent: int | None = None
    """Number of items that are independent of each other: of groups of items that depend on each other."""
    effective: float | None = None
    """Number of groups of equal size that would say as much."""
    differing: int | None = None
    """How many items have another mean over seeds in the two studies; None for pairs."""
    rare: Rare | None = None
    """The items, or groups, that do not have the most frequent value; None for pairs, which have no values."""
    over: str = "seeds"
    """What each number of `new` is of: "seeds", or "tunings" with their final seeds."""
    constant: bool = False
    """True if no side depends on a seed: the untrained model's distance from a target."""

    @property
    def mean(self) -> float:
        """The observed difference."""
        return float(np.mean(self.new)) - (0.0 if self.old is None else float(np.mean(self.old)))

    @property
    def seeds(self) -> int:
        """Number of seeds, of the study that has fewer."""
        return len(self.new) if self.old is None else min(len(self.new), len(self.old))

    @property
    def undecidable(self) -> bool:
        """True for one seed of a trained study: the spread over seeds cannot be estimated."""
        return not self.constant and self.seeds < 2

    @property
    def identical(self) -> bool:
        """Whether both sides have exactly the same scores and predictions."""
        same = not any(self.new) if self.old is None else sorted(self.new) == sorted(self.old)
        return same and (self.resampled is None or not self.resampled.any())

    @property
    def estimate(self) -> estimates.Estimate | None:
        """The difference over seeds; None for one seed, or if no side depends on a seed."""
        return None if self.constant else estimates.over_seeds(self.new, self.old)

    def over_items(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        """Return the interval over test items, for other items of the same kind; an exact one if too few differ."""
        if self.resampled is None:
            return None
        found = intervals.percentile_interval(self.resampled, alpha, self.unit)
        if self.rare is None or not self.rare.few(alpha):
            return found
        return intervals.hull([found, self.rare.interval(alpha, self.unit)], self.unit)

    def over_seeds(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        """Return the interval over seeds, for other trainings of the same kind."""
        return None if self.estimate is None else self.estimate.interval(alpha, self.over)

    def deciding(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        """Return the interval that decides: the smallest that contains those over items, over seeds, and over both."""
        each = [self.over_items(alpha), self.over_seeds(alpha)]
        if self._both is not None:
            each.append(self._both.interval(alpha, self.over))
        known = [interval for interval in each if interval is not None]
        if not known or self.undecidable:
            return None
        return known[0] if len(known) == 1 else intervals.hull(known, f"{self.over} and {self.unit}")

    @property
    def _both(self) -> estimates.Estimate | None:
        """The difference with both variances added up."""
        if self.resampled is None or self.estimate is None:
            return None
        error, number = estimates.error_over_items(self.resampled), self.effective
        if number is not None and 1 < number < (self.items or 0):  # a bootstrap of n groups divides by n, not by n - 1
            error *= math.sqrt(number / (number - 1))
        return self.estimate.plus(error, max(1.0, (number or 1000.0) - 1))

    def too_few(self, alpha: float) -> bool:
        """Return whether nearly all items have the same value, so that level 1 - alpha needs exact bounds."""
        return self.rare is not None and self.rare.few(alpha)

    def p_value(self, margin: float) -> float:
        """Return the two-sided p-value of "it reaches `margin`": `deciding(p)` just excludes it, or 0 from above."""
        if self.undecidable:
            return 1.0
        reached, missed = self._p_below(margin), self._negative()._p_below(-min(margin, 0.0))
        return min(1.0, 2 * min(reached, missed))

    def p_within(self, tolerance: float) -> float:
        """Return the two-sided p-value of "it is at most `tolerance` from 0", of agreement or of disagreement.

        Only over seeds: a published score is of the same items, so the distance has no sampling error over items.
        """
        if self.undecidable:
            return 1.0
        if self.constant:
            return 0.0
        above, below = self._p_seeds(tolerance), self._negative()._p_seeds(tolerance)
        inside = self._p_seeds(-tolerance), self._negative()._p_seeds(-tolerance)
        return min(1.0, 2 * min(max(inside), above, below))

    def detectable(self, alpha: float = intervals.ALPHA) -> float | None:
        """Return the smallest difference detectable with these seeds and items together.

        None if neither is known, or if too few items differ.
        """
        parts: list[float] = []
        if self.too_few(alpha):
            return None
        if self.resampled is not None:
            parts.append(intervals.detectable_over_items(estimates.error_over_items(self.resampled), alpha))
        if self.estimate is not None:
            parts.append(self.estimate.detectable(alpha))
        return math.hypot(*parts) if parts and not self.undecidable else None

    def _negative(self) -> Evidence:
        return replace(
            self,
            new=tuple(-value for value in self.new),
            old=None if self.old is None else tuple(-value for value in self.old),
            resampled=None if self.resampled is None else -self.resampled,
            rare=None if self.rare is None else self.rare.negative(),
        )

    def _p_seeds(self, least: float) -> float:
        return estimates.p_below(least, self.new, self.old)

    def _p_below(self, least: float) -> float:
        """Return the largest of the one-sided p-values of "below `least`"."""
        p_values = [0.0 if self.constant else self._p_seeds(least)]
        if self.resampled is not None:
            p_values.append(intervals.bootstrap_p(self.resampled, least))
        if self.rare is not None:  # the exact bound counts at levels at which the others are too few
            p_values.append(min(self.rare.p_signs, self.rare.p_below(least)))
        if self._both is not None:
            p_values.append(self._both.p_below(least))
        return max(p_values)


def difference(better: Finals, worse: Finals, *, paired: bool = False) -> Evidence | None:
    """Return better - worse; None without seeds of both, or if their items differ.

    Args:
        better: the final runs of one study.
        worse: the final runs of the other.
        paired: whether the studies share their seeds; only seeds of both then count.
    """
    if better.constant and worse.constant:
        return None
    sides = [better, worse]
    if paired:
        common = [seed for seed in better.ended if seed in worse.ended]
        sides = [side.at_seeds(common) for side in sides]
    if not all(side.ended for side in sides):
        return None
    scores = [side.counted for side in sides]
    one_sample = paired or better.constant or worse.constant
    resampled, differing, rare = None, None, None
    if all(side.has_predictions for side in sides):
        of_sides = [list(side.predictions.values()) for side in sides]
        if len({(each.items, each.groups) for side in of_sides for each in side}) > 1:
            return None
        resampled = _mean(sides[0]) - _mean(sides[1])
        a, b = (_of_items(side) for side in sides)
        if a is not None and b is not None:
            differing = int(np.sum(np.abs(a - b) > 1e-9))
            rare = _rare(a - b, of_sides[0][0], _lowest(a) - 1, 1 - _lowest(b))
    if one_sample:
        longest = max(map(len, scores))
        aligned = [side if len(side) == longest else side * longest for side in scores]  # a constant is repeated
        scores = [tuple(a - b for a, b in zip(*aligned, strict=True)), ()]
    notes = tuple(dict.fromkeys((*better.repeated, *worse.repeated, *better.losses, *worse.losses)))
    over = worse.repeated_over if better.constant else better.repeated_over
    old = None if one_sample else scores[1]
    found = Evidence(scores[0], old, resampled, notes, better.unit, differing=differing, rare=rare, over=over)
    return found if resampled is None else _counted(found, better if better.predictions else worse)


def distance(study: Finals, number: float) -> Evidence | None:
    """Return the study's figure minus `number`; None if no run has it, or its runs' items differ."""
    if not study.ended:
        return None
    resampled, rare = None, None
    if study.has_predictions:
        if len({(each.items, each.groups) for each in study.predictions.values()}) > 1:
            return None
        resampled = _mean(study) - number
        if (items := _of_items(study)) is not None:
            first = next(iter(study.predictions.values()))
            rare = _rare(items - number, first, _lowest(items) - number, 1 - number)
    new = tuple(score - number for score in study.counted)
    notes = (*study.repeated, *study.losses)
    over = study.repeated_over
    found = Evidence(new, None, resampled, notes, study.unit, rare=rare, over=over, constant=study.constant)
    return found if resampled is None else _counted(found, study)


def _counted(evidence: Evidence, side: Finals) -> Evidence:
    """Add the number of items, of groups that are independent, and of groups of equal size."""
    first = next(iter(side.predictions.values()), None)
    if first is None:
        return evidence
    return replace(evidence, items=len(first.values), independent=first.independent, effective=first.effective)


def _mean(side: Finals) -> intervals.Floats:
    """Return the mean over a study's seeds in each resample of the items; diverged seeds count as 0."""
    share = len(side.predictions) / len(side.ended)
    resampled = mean_resampled(list(side.predictions.values()))
    assert resampled is not None
    mean: intervals.Floats = share * resampled
    return mean


def _of_items(side: Finals) -> intervals.Floats | None:
    """Return each item's mean over a study's seeds, as `_mean` weighs them; None for pairs, which have no values."""
    runs = list(side.predictions.values())
    if not runs or not all(isinstance(item, str) for item in runs[0].items):
        return None
    values: intervals.Floats = len(runs) / len(side.ended) * np.mean([each.values for each in runs], axis=0)
    return values


def _lowest(values: intervals.Floats) -> float:
    """Return the lowest value that an item can have: only a study file's own measures have negative ones."""
    return -1.0 if values.min() < 0 else 0.0


def _rare(values: intervals.Floats, items: Predictions, lowest: float, highest: float) -> Rare:
    """Count the rare values of what resamples draw: of items, or of the means of groups."""
    if items.drawn:
        sizes = np.bincount(items.drawn)
        values = np.bincount(items.drawn, values)[sizes > 0] / sizes[sizes > 0]
    return Rare.of(values, items.effective, lowest, highest)
