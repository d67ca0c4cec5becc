"""Which studies a change moved: paired differences over seeds, one interval a study, and a verdict. Pure functions.

The two sides of a comparison train the same points with the same seeds, so rows, dropout and initial weights are drawn
alike, and a run is compared with its twin. If nothing that counts has changed, the twins' scores are identical or
differ by what rounding becomes in a training; over seeds, that has the mean 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

from harness.spec.study import UNTRAINED
from harness.stats.estimates import Estimate, over_seeds
from harness.stats.intervals import ALPHA, Interval, holm_levels
from harness.store.records import Record
from harness.text import failure

Verdict: TypeAlias = Literal["MOVED", "SAME", "UNDECIDED", "INCOMPLETE"]
Key: TypeAlias = tuple[str, int]
"""A study and a seed."""

WITHIN = 0.001
"""Default margin, on a 0 to 1 scale: a tenth of a point."""


@dataclass(frozen=True)
class Pair:
    """The scores of one study and seed on both sides."""

    seed: int
    """The seed."""
    old: float | None
    """The score under the old side, on a 0 to 1 scale; None if the run is missing or failed."""
    new: float | None
    """The score under the new side."""
    identical: bool
    """Whether every score of both runs is the same number."""
    problem: str = ""
    """Why a score is missing; empty if none is."""


@dataclass(frozen=True)
class Change:
    """What a change did to one study."""

    study: str
    """Name of the study; "untrained" for the base model."""
    verdict: Verdict
    """MOVED, SAME, UNDECIDED, or INCOMPLETE if a run has no score."""
    reason: str
    """Why, in a sentence."""
    seeds: int
    """Seeds that have a score on both sides."""
    old: float | None
    """Mean score of the old side over these seeds, on a 0 to 1 scale."""
    new: float | None
    """Mean score of the new side."""
    interval: Interval | None
    """Interval of the mean difference, new minus old; None if there is only one seed."""
    identical: bool
    """Whether every score is the same number on both sides."""

    @property
    def difference(self) -> float | None:
        """The mean difference, new minus old, on a 0 to 1 scale."""
        return None if self.new is None or self.old is None else self.new - self.old


def pairs(
    old: Iterable[Record], new: Iterable[Record], figure: str | None = None, planned: Iterable[Key] = ()
) -> dict[str, list[Pair]]:
    """Return each study's pairs of runs with the same seed; a point that differs makes a pair incomplete.

    A run that diverged counts as 0, as in all verdicts; where both did, there is nothing to compare.

    Args:
        old: final runs and the untrained model of the old side.
        new: those of the new side.
        figure: name of the score; the record's own headline if None.
        planned: studies and seeds that should have run on both sides.
    """
    by_key: list[dict[Key, Record]] = [{(r.study, r.seed): r for r in records} for records in (old, new)]
    together: dict[str, list[Pair]] = {}
    for key in sorted({*by_key[0], *by_key[1], *planned}):
        left, right = (of_side.get(key) for of_side in by_key)
        together.setdefault(key[0], []).append(_pair(key[1], left, right, figure))
    return together


def _pair(seed: int, old: Record | None, new: Record | None, figure: str | None) -> Pair:
    if old is not None and new is not None and old.point != new.point:
        return Pair(seed, None, None, False, f"seed {seed} has point {old.point} on one side, {new.point} on the other")
    if old is not None and new is not None and old.outcome == new.outcome == "diverged":
        return Pair(seed, None, None, False, f"seed {seed} diverged on both sides")
    scores = [None if record is None else _score(record, figure) for record in (old, new)]
    for record, value, name in ((old, scores[0], "old"), (new, scores[1], "new")):
        if value is None:
            why = "it was not run" if record is None else failure(record.error) or f"it has no {figure}"
            return Pair(seed, scores[0], scores[1], False, f"seed {seed} has no score on the {name} side: {why}")
    same = old is not None and new is not None and old.scores == new.scores
    return Pair(seed, scores[0], scores[1], same)


def _score(record: Record, figure: str | None) -> float | None:
    if record.outcome == "diverged":
        return 0.0
    return None if record.outcome != "ok" else record.scores.get(figure or record.headline)


def changes(by_study: Mapping[str, Sequence[Pair]], within: float = WITHIN, alpha: float = ALPHA) -> list[Change]:
    """Return what a change did to each study.

    One interval decides a study, Student's t over the differences of its seeds. Its level is Holm's over the studies,
    so that if nothing has changed, any study is called moved in at most `alpha` of all comparisons.

    Args:
        by_study: the pairs of each study.
        within: margin inside which a difference counts as none, on a 0 to 1 scale.
        alpha: probability that any study is wrongly called moved.
    """
    estimates = {study: over_seeds(_differences(pairs)) for study, pairs in by_study.items()}
    judged = {study: estimate for study, estimate in estimates.items() if estimate is not None}
    levels = dict(zip(judged, holm_levels([_p_value(each) for each in judged.values()], alpha), strict=True))
    intervals = {study: estimate.interval(levels[study]) for study, estimate in judged.items()}
    return [_change(study, pairs, intervals.get(study), within) for study, pairs in by_study.items()]


def _differences(pairs: Sequence[Pair]) -> list[float]:
    return [pair.new - pair.old for pair in pairs if pair.new is not None and pair.old is not None]


def _p_value(estimate: Estimate) -> float:
    """Return the two-sided p-value of "the difference is 0"."""
    if not estimate.error:
        return float(estimate.mean == 0)
    below = estimate.p_below(0.0)
    return 2 * min(below, 1 - below)


def _change(study: str, pairs: Sequence[Pair], interval: Interval | None, within: float) -> Change:
    complete = [(pair.old, pair.new) for pair in pairs if pair.old is not None and pair.new is not None]
    old, new = (fmean(side) for side in zip(*complete, strict=True)) if complete else (None, None)
    identical = bool(pairs) and all(pair.identical for pair in pairs)
    verdict, reason = _verdict(study, pairs, None if old is None or new is None else new - old, interval, within)
    return Change(study, verdict, reason, len(complete), old, new, interval, identical)


def _verdict(
    study: str, pairs: Sequence[Pair], mean: float | None, interval: Interval | None, within: float
) -> tuple[Verdict, str]:
    """Return the verdict on a study, with its reason."""
    margin = f"{100 * within:g} points"
    problem = next((pair.problem for pair in pairs if pair.problem), None)
    if problem is not None or mean is None:
        return "INCOMPLETE", problem or "it has no runs"
    if all(pair.identical for pair in pairs):
        return "SAME", "every score is the same number on both sides"
    if study == UNTRAINED:  # nothing is drawn at random, so the difference is what it is
        moved = abs(mean) > within
        return ("MOVED" if moved else "SAME"), f"without training, it is {'not ' * moved}within {margin}"
    if interval is None:
        return "UNDECIDED", "one seed shows no spread; give --seeds 3 or more"
    if -within <= interval.low and interval.high <= within:
        return "SAME", f"the whole interval lies within {margin}"
    if interval.low == interval.high:  # a few queries give few scores, so that equal differences are often chance
        return "UNDECIDED", "all seeds have the same difference, so its spread is not known; add --seeds"
    if abs(mean) > within and (interval.low > 0 or interval.high < 0):
        return "MOVED", f"the interval excludes 0, and the mean is more than {margin}"
    return "UNDECIDED", f"the interval neither excludes 0 with a mean beyond {margin} nor lies within them; add --seeds"
