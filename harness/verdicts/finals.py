"""The final runs that verdicts compare: which can be used, and what is missing or wrong with the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from harness.planning.plan import Plan, PlannedRun
from harness.scores import DEV, HEADLINE, TEST
from harness.spec.study import UNTRAINED
from harness.stats import bootstrap, intervals
from harness.store.records import Pairs, Record

NO_SPREAD = 0.0001
"""If the test scores of all seeds differ by less than this (0.01 points), the seed hardly affects training."""

_ROUNDING = 1e-3
"""Tolerance between a record's score and the score of its pairs, whose cosines may be rounded."""

_TITLES = {TEST: "STS test", DEV: "STS dev"}

_MEASURES: Mapping[str, tuple[Callable[..., float], Callable[..., intervals.Floats]]] = {
    "spearman_cosine": (intervals.spearman, bootstrap.resampled_spearman),
    "pearson_cosine": (intervals.pearson, bootstrap.resampled_pearson),
}
"""By figure: the correlation of predictions with gold scores, and the same in resamples of the pairs."""


@dataclass(frozen=True)
class Finals:
    """A study's final runs at one role's point that can be compared, and why the others cannot."""

    study: str
    """Name of the study, or "untrained"."""
    planned: int
    """Number of planned runs."""
    scores: Mapping[int | None, float] = field(default_factory=dict)
    """The value of `figure` by seed; the untrained model's seed is None."""
    pairs: Mapping[int | None, Pairs] = field(default_factory=dict)
    """The predictions by seed, if they are stored."""
    lacking: tuple[str, ...] = ()
    """What is missing of the planned runs or wrong with them; empty if nothing is."""
    figure: str = HEADLINE
    """Name of the score."""
    unfit: tuple[str, ...] = ()
    """The part of `lacking` that is about runs that ended without an error."""
    repeated: tuple[str, ...] = ()
    """Sentences about seeds that hardly affected the scores, e.g. because their predictions are identical."""

    @property
    def constant(self) -> bool:
        """True for the untrained model, whose scores do not depend on the seed."""
        return self.study == UNTRAINED

    def at(self, seed: int | None) -> float:
        return self.scores[None if self.constant else seed]


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
            predictions = _predictions(run.record, figure)
            if predictions is not None:
                pairs[seed] = predictions
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
    title = _TITLES.get(test_set, test_set)
    if figure == HEADLINE and (HEADLINE not in record.scores or TEST not in record.pairs):
        return "lacks its predictions of the STS test set"
    if figure not in record.scores:
        why = record.missing.get(measure) or f"it has {', '.join(sorted(record.scores)) or 'none'}"
        return f"has no score {figure} ({why})"
    stored, predictions = record.scores[figure], _predictions(record, figure)
    if not math.isfinite(stored):
        return f"has a score {figure} that is not a number"
    if predictions is None:
        return None
    if len(predictions.gold) != len(predictions.cosine) or len(predictions.gold) < 3:
        return f"has damaged {title} predictions"
    if not (np.isfinite(predictions.gold).all() and np.isfinite(predictions.cosine).all()):
        return f"has {title} predictions that are not numbers"
    again = _MEASURES[measure][0](predictions.gold, predictions.cosine)
    if math.isnan(again):
        return f"gives every {title} pair the same cosine"
    if abs(again - stored) > _ROUNDING:
        return f"has a score ({stored:.4f}) that does not match its stored predictions ({again:.4f})"
    if not _is_defined(predictions):
        return f"gives nearly every {title} pair the same cosine, so its correlation is undefined in some resamples"
    return None


@lru_cache(maxsize=1024)
def _is_defined(pairs: Pairs) -> bool:
    return bootstrap.is_defined(pairs.cosine) and bootstrap.is_defined(pairs.gold)


@lru_cache(maxsize=64)  # a study is in several claims, and in the report's tables
def mean_resampled(
    gold: tuple[float, ...], cosines: tuple[tuple[float, ...], ...], measure: str = "spearman_cosine"
) -> intervals.Floats:
    """Return the mean over seeds of the correlation in each resample of the pairs."""
    mean: intervals.Floats = _MEASURES[measure][1](gold, cosines)
    mean.flags.writeable = False
    return mean
