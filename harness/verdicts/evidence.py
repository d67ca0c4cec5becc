"""Evidence for verdicts: usable final runs, paired differences, and distance from a target score.

Differences are paired: seed 1 of one study with seed 1 of the other, and both on the same resamples of the test pairs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from harness.planning.plan import Plan, PlannedRun
from harness.scores import DEV, HEADLINE, TEST
from harness.spec.study import UNTRAINED
from harness.stats import bootstrap, intervals
from harness.store.records import Pairs, Record

_AGREES = 1e-3  # tolerance between a record's score and the score of its pairs, whose cosines may be rounded

_CALLED = {TEST: "STSB test", DEV: "STSB dev"}

_MEASURES: Mapping[str, tuple[Callable[..., float], Callable[..., intervals.Floats]]] = {
    "spearman_cosine": (intervals.spearman, bootstrap.resampled_spearman),
    "pearson_cosine": (intervals.pearson, bootstrap.resampled_pearson),
}
"""By figure: the correlation of predictions with gold scores, and the same in resamples of the pairs."""


@dataclass(frozen=True)
class Finals:
    """A study's final runs at one role's point, those of them that can be compared.

    `scores` has `figure` by seed and `pairs` the predictions by seed, if they are stored; the untrained model's seed is
    None. `lacking` describes what is missing of the planned runs and is empty if nothing is; `unfit` is the part of it
    about runs that ended well. `repeated` describes seeds that gave bit-identical predictions.
    """

    study: str
    planned: int
    scores: Mapping[int | None, float] = field(default_factory=dict)
    pairs: Mapping[int | None, Pairs] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    figure: str = HEADLINE
    unfit: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """True for the untrained model, whose scores do not depend on the seed."""
        return self.study == UNTRAINED

    def at(self, seed: int | None) -> float:
        return self.scores[None if self.constant else seed]


@dataclass(frozen=True)
class Difference:
    """Study `better` minus study `worse`, for each seed that both have finished and for each resample.

    `notes` are sentences about the runs that a reader of the verdict has to know.
    """

    by_seed: tuple[float, ...]
    resampled: intervals.Floats
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_seed))

    def over_pairs(self, alpha: float = intervals.ALPHA) -> intervals.Interval:
        return intervals.percentile_interval(self.resampled, alpha)

    def over_seeds(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return intervals.t_interval(self.by_seed, alpha)

    def p_value(self, margin: float) -> float:
        """Return the two-sided p-value of the claim: the largest over pairs, over seeds, and over both at once."""
        below = -min(margin, 0.0)
        reached = _one_sided(self.by_seed, self.resampled, margin)
        missed = _one_sided(np.negative(self.by_seed), -self.resampled, below)
        return min(1.0, 2 * min(reached, missed))

    def detectable(self, alpha: float = intervals.ALPHA) -> float | None:
        """Return the smallest difference detectable with these seeds and pairs together; None for one seed."""
        if len(self.by_seed) < 2:
            return None
        over_seeds = intervals.detectable(len(self.by_seed), float(np.std(self.by_seed, ddof=1)), alpha)
        return math.hypot(over_seeds, intervals.detectable_over_pairs(float(np.std(self.resampled, ddof=1)), alpha))


def _one_sided(by_seed: ArrayLike, resampled: intervals.Floats, least: float) -> float:
    """Return the largest of the one-sided p-values of "below `least`"."""
    over_pairs, over_seeds = intervals.bootstrap_p(resampled, least), intervals.t_p(by_seed, least)
    return max(over_pairs, over_seeds, intervals.together_p(by_seed, resampled, least))


@dataclass(frozen=True)
class Distance:
    """A study's figure minus a target score, for each seed and, if predictions are stored, for each resample.

    `constant` means that the figure does not depend on the seed: it is the untrained model's. `notes` as in
    `Difference`.
    """

    by_seed: tuple[float, ...]
    resampled: intervals.Floats | None
    constant: bool
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_seed))

    @property
    def undecidable(self) -> bool:
        """True for one seed of a trained study: the spread over seeds cannot be estimated."""
        return not self.constant and len(self.by_seed) < 2

    def over_pairs(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return None if self.resampled is None else intervals.percentile_interval(self.resampled, alpha)

    def over_seeds(self, alpha: float = intervals.ALPHA) -> intervals.Interval | None:
        return None if self.constant else intervals.t_interval(self.by_seed, alpha)

    def p_within(self, tolerance: float) -> float:
        """Return the two-sided p-value of "it is at most `tolerance` from 0", of agreement or of disagreement.

        Only over seeds: a published score is of the same test pairs, so the distance has no sampling error over pairs.
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
        found = [0.0] if self.constant else [intervals.t_p(by_seed, 0.0)]
        if resampled is not None:
            found.append(intervals.bootstrap_p(resampled * sign, 0.0))
            if not self.constant:
                found.append(intervals.together_p(by_seed, resampled * sign, 0.0))
        return max(found)

    def detectable(self, alpha: float = intervals.ALPHA) -> float | None:
        """Return the smallest distance detectable with pairs and seeds together; None if neither is known."""
        known = []
        if self.resampled is not None:
            known.append(intervals.detectable_over_pairs(float(np.std(self.resampled, ddof=1)), alpha))
        if not self.constant and len(self.by_seed) > 1:
            known.append(intervals.detectable(len(self.by_seed), float(np.std(self.by_seed, ddof=1)), alpha))
        return math.hypot(*known) if known and not self.undecidable else None


def finals(plan: Plan, study: str, role: str = "best", figure: str = HEADLINE) -> Finals:
    """Collect a study's final runs of one role, or the untrained model's run, from the plan.

    Args:
        plan: the plan with its records.
        study: name of the study, or "untrained".
        role: "best" or "default".
        figure: the score to collect.
    """
    runs = plan.of(study, "untrained") if study == UNTRAINED else plan.of(study, "final", role)
    scores: dict[int | None, float] = {}
    pairs: dict[int | None, Pairs] = {}
    unfit = []
    lacking = [] if runs else [f"{study} has no final runs ({_why_none(plan, study)})"]
    for run in runs:
        seed = None if study == UNTRAINED else run.seed
        flaw = problem(run, figure)
        if flaw is None and run.record is not None:
            scores[seed] = run.record.scores[figure]
            predicted = _predictions(run.record, figure)
            if predicted is not None:
                pairs[seed] = predicted
        else:
            lacking.append(f"{study}{'' if seed is None else f' seed {seed}'} {flaw}")
            if run.record is not None and run.record.outcome == "ok":
                unfit.append(lacking[-1])
    return Finals(study, len(runs), scores, pairs, tuple(lacking), figure, tuple(unfit), _repeated(study, runs))


def _repeated(study: str, runs: Iterable[PlannedRun]) -> tuple[str, ...]:
    """Describe which seeds of a study gave identical predictions for the test pairs."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for run in runs:
        if run.record is not None and run.record.outcome == "ok" and TEST in run.record.pairs:
            alike[run.record.pairs[TEST].cosine].append(run.seed)
    scores = [run.record.scores.get(HEADLINE, math.nan) for run in runs if run.record and run.record.outcome == "ok"]
    if len(alike) > 1 and max(scores) - min(scores) < NO_SPREAD:
        return (
            f"The scores of all seeds of {study} are equal to within {100 * NO_SPREAD:g} points: the seed hardly "
            "affected training, so the interval over seeds does not describe new seeds.",
        )
    return tuple(
        f"Seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]} of {study} gave bit-identical predictions: the seed "
        "did not affect training, so the interval over seeds does not describe new seeds."
        for seeds in alike.values()
        if len(seeds) > 1
    )


NO_SPREAD = 0.0001
"""If the test scores of all seeds differ by less than this (0.01 points), the seed hardly affects training."""


def _why_none(plan: Plan, study: str) -> str:
    return "none of its trials succeeded" if plan.of(study, "tune") else "it was left out of this plan"


def _predictions(record: Record, figure: str) -> Pairs | None:
    """Return the predictions behind a figure, None if none are stored or the figure is no correlation."""
    test_set, _, measure = figure.partition("/")
    return record.pairs.get(test_set) if measure in _MEASURES else None


def problem(run: PlannedRun, figure: str = HEADLINE) -> str | None:
    """Describe what prevents a run from being compared, None if nothing does."""
    record = run.record
    if record is None:
        return "is not done"
    if record.outcome != "ok":
        return f"is {record.outcome}"
    test_set, _, measure = figure.partition("/")
    called = _CALLED.get(test_set, test_set)
    if figure == HEADLINE and (HEADLINE not in record.scores or TEST not in record.pairs):
        return "lacks its STSB test predictions"
    if figure not in record.scores:
        why = record.missing.get(measure) or f"it has {', '.join(sorted(record.scores)) or 'none'}"
        return f"has no score {figure} ({why})"
    stored, predicted = record.scores[figure], _predictions(record, figure)
    if not math.isfinite(stored):
        return f"has a score {figure} that is not a number"
    if predicted is None:
        return None
    if len(predicted.gold) != len(predicted.cosine) or len(predicted.gold) < 3:
        return f"has damaged {called} predictions"
    if not (np.isfinite(predicted.gold).all() and np.isfinite(predicted.cosine).all()):
        return f"has {called} predictions that are not numbers"
    again = _MEASURES[measure][0](predicted.gold, predicted.cosine)
    if math.isnan(again):
        return f"gives every {called} pair the same cosine"
    if abs(again - stored) > _AGREES:
        return f"has a score ({stored:.4f}) that does not match its stored predictions ({again:.4f})"
    if not _is_defined(predicted):
        return f"gives nearly every {called} pair the same cosine, so its correlation is undefined in some resamples"
    return None


@lru_cache(maxsize=1024)
def _is_defined(predicted: Pairs) -> bool:
    return bootstrap.is_defined(predicted.cosine) and bootstrap.is_defined(predicted.gold)


def difference(better: Finals, worse: Finals) -> Difference | None:
    """Return better - worse over the seeds that both have finished; None without such seeds or if test pairs differ."""
    if better.constant and worse.constant:
        return None
    varying = [side for side in (better, worse) if not side.constant]
    seeds = sorted(
        seed for seed in varying[0].scores if seed is not None and all(seed in side.scores for side in varying)
    )
    if not seeds or any(side.constant and None not in side.scores for side in (better, worse)):
        return None
    used = [tuple(side.pairs[seed] for seed in ([None] if side.constant else seeds)) for side in (better, worse)]
    if len({p.gold for side in used for p in side}) > 1:
        return None
    left, right = (_mean_resampled(side[0].gold, tuple(p.cosine for p in side)) for side in used)
    notes = tuple(dict.fromkeys((*better.repeated, *worse.repeated)))
    return Difference(tuple(better.at(seed) - worse.at(seed) for seed in seeds), left - right, notes)


def distance(study: Finals, number: float) -> Distance | None:
    """Return the study's figure minus `number`; None if no run has it, or its runs' test pairs differ."""
    if not study.scores:
        return None
    seeds = sorted(study.scores, key=lambda seed: seed or 0)
    resampled = None
    if all(seed in study.pairs for seed in seeds):
        used = [study.pairs[seed] for seed in seeds]
        if len({pairs.gold for pairs in used}) > 1:
            return None
        measure = study.figure.partition("/")[2]
        resampled = _mean_resampled(used[0].gold, tuple(p.cosine for p in used), measure) - number
    by_seed = tuple(study.scores[seed] - number for seed in seeds)
    return Distance(by_seed, resampled, study.constant, study.repeated)


@lru_cache(maxsize=64)  # a study is in several claims, and in the report's tables
def _mean_resampled(
    gold: tuple[float, ...], cosines: tuple[tuple[float, ...], ...], measure: str = "spearman_cosine"
) -> intervals.Floats:
    """Return the mean over seeds of the correlation in each resample of the pairs."""
    mean: intervals.Floats = _MEASURES[measure][1](gold, cosines)
    mean.flags.writeable = False
    return mean
