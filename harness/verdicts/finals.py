"""The final runs that verdicts compare: which can be used, and what is missing or wrong with the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harness.planning.plan import Plan, PlannedRun
from harness.spec.budget import TUNING_STEP
from harness.spec.study import UNTRAINED
from harness.store.items import Pairs
from harness.verdicts.predictions import Predictions, flaw, predictions_of

NO_SPREAD = 0.0001
"""If the test scores of all seeds differ by less than this (0.01 points), the seed hardly affects training."""


@dataclass(frozen=True)
class Finals:
    """A study's final runs at one role's point that can be compared, and why the others cannot."""

    study: str
    """Name of the study, or "untrained"."""
    planned: int
    """Number of planned runs."""
    scores: Mapping[int | None, float] = field(default_factory=dict)
    """The value of `figure` by seed; the untrained model's seed is None."""
    predictions: Mapping[int | None, Predictions] = field(default_factory=dict)
    """The predictions by seed, if they are stored."""
    lacking: tuple[str, ...] = ()
    """What is missing of the planned runs or wrong with them; empty if nothing is."""
    figure: str = ""
    """Name of the score."""
    unit: str = "test pairs"
    """What the score's items are, for texts."""
    unfit: tuple[str, ...] = ()
    """The part of `lacking` that is about runs that ended without an error."""
    repeated: tuple[str, ...] = ()
    """Sentences about seeds that hardly affected the scores, e.g. because their predictions are identical."""
    diverged: tuple[int, ...] = ()
    """The seeds whose training diverged: they have no scores and count as 0."""
    tunings: int = 1
    """Number of tunings that the runs follow; 1 also for the default point."""

    @property
    def constant(self) -> bool:
        """True for the untrained model, whose scores do not depend on the seed."""
        return self.study == UNTRAINED

    @property
    def complete(self) -> bool:
        """Whether every planned run has a score."""
        return bool(self.scores) and not self.lacking and not self.diverged

    @property
    def ended(self) -> tuple[int | None, ...]:
        """The seeds that can be compared, in order: those with a score, and those that diverged."""
        return tuple(sorted((*self.scores, *self.diverged), key=lambda seed: seed or 0))

    @property
    def counted(self) -> tuple[float, ...]:
        """The scores that are independent repetitions: one per seed, or per tuning the mean over its seeds.

        A seed that diverged gave no model and counts as 0.
        """
        by_repetition: dict[int | None, list[float]] = defaultdict(list)
        for seed in self.ended:
            key = seed if self.tunings == 1 or seed is None else seed // TUNING_STEP
            by_repetition[key].append(self.scores.get(seed, 0.0))
        return tuple(float(np.mean(scores)) for scores in by_repetition.values())

    @property
    def repeated_over(self) -> str:
        """What the repetitions are, for texts."""
        return "tunings" if self.tunings > 1 else "seeds"

    @property
    def has_predictions(self) -> bool:
        """Whether there are predictions, and for every seed with a score."""
        return bool(self.predictions) and self.predictions.keys() == self.scores.keys()

    @property
    def losses(self) -> tuple[str, ...]:
        """A sentence about the seeds that diverged; empty if none did."""
        if not self.diverged:
            return ()
        seeds = f"seed{'s' * (len(self.diverged) > 1)} {', '.join(map(str, self.diverged))}"
        return (
            f"{self.study} diverged in {len(self.diverged)} of {self.planned} final runs ({seeds}): each counts as a "
            "score of 0.",
        )

    def at_seeds(self, seeds: Collection[int | None]) -> Finals:
        """Return only the final runs of these seeds."""
        return replace(
            self,
            scores={seed: score for seed, score in self.scores.items() if seed in seeds},
            predictions={seed: each for seed, each in self.predictions.items() if seed in seeds},
            diverged=tuple(seed for seed in self.diverged if seed in seeds),
        )


def finals(plan: Plan, study: str, role: str = "best", figure: str | None = None) -> Finals:
    """Collect a study's final runs of one role, or the untrained model's run, from the plan.

    Args:
        plan: the plan with its records.
        study: name of the study, or "untrained".
        role: "best" or "default".
        figure: the score to collect; the testbed's headline if None.
    """
    figure = figure or plan.ablation.testbed.headline
    runs = plan.of(study, "untrained") if study == UNTRAINED else plan.of(study, "final", role)
    scores: dict[int | None, float] = {}
    predictions: dict[int | None, Predictions] = {}
    diverged: list[int] = []
    unfit, kept = [], plan.ablation.testbed.needs_items(figure)
    at = " at a best point" if role == "best" and plan.of(study, "tune") else ""
    lacking = [] if runs else [f"{study} has no final runs{at} ({_why_none(plan, study)})"]
    budget = plan.ablation.budget
    tunings = budget.tunings if role == "best" and study != UNTRAINED else 1
    followed = {run.seed // TUNING_STEP for run in runs}
    without = [number + 1 for number in range(tunings) if runs and number not in followed]
    lacking += [f"{study} has no final runs after tuning {each} (none of its trials succeeded)" for each in without]
    for run in runs:
        seed = None if study == UNTRAINED else run.seed
        if seed is not None and run.record is not None and run.record.outcome == "diverged":
            diverged.append(seed)
            continue
        reason = problem(run, figure, kept)
        if reason is None and run.record is not None:
            scores[seed] = run.record.scores[figure]
            predicted = predictions_of(run.record, figure)
            if predicted is not None:
                predictions[seed] = predicted
        else:
            lacking.append(f"{study}{'' if seed is None else _numbered(seed)} {reason}")
            if run.record is not None and run.record.outcome == "ok":
                unfit.append(lacking[-1])
    repeated = _repeated(study, runs, plan.ablation.testbed.headline)
    measure = plan.ablation.testbed.measure_of(figure)
    return Finals(
        study,
        len(runs) + len(without) * budget.seeds,
        scores,
        predictions,
        tuple(lacking),
        figure,
        "items" if measure is None else f"test {measure.items}",
        tuple(unfit),
        repeated,
        tuple(diverged),
        tunings,
    )


def _numbered(seed: int) -> str:
    """Return how texts name a seed."""
    tuning = seed // TUNING_STEP
    return f" seed {seed % TUNING_STEP}" + (f" of tuning {tuning + 1}" if tuning else "")


def _repeated(study: str, runs: Iterable[PlannedRun], headline: str) -> tuple[str, ...]:
    """Describe which seeds of a study gave identical predictions for the test pairs.

    Equal values of other items say nothing: two models may rank all queries' documents alike.
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    ended = [(run.seed, run.record) for run in runs if run.record is not None and run.record.outcome == "ok"]
    ended = [
        (seed, record) for seed, record in ended if isinstance(record.items.get(headline.partition("/")[0]), Pairs)
    ]
    for seed, record in ended:
        predicted = predictions_of(record, headline)
        if predicted is not None:
            alike[predicted.values].append(seed)
    scores = [record.scores.get(headline, math.nan) for _, record in ended]
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


def problem(run: PlannedRun, figure: str, kept: bool = True) -> str | None:
    """Describe what prevents a run from being compared by a figure, None if nothing does.

    Args:
        run: the run.
        figure: name of the score.
        kept: whether its record must have predictions for the items of the figure.
    """
    record = run.record
    if record is None:
        return "is not done"
    if record.outcome != "ok":
        return f"is {record.outcome}"
    measure, _, name = figure.partition("/")
    if figure not in record.scores:
        why = (
            record.missing.get(measure)
            or record.missing.get(name)
            or f"it has {', '.join(sorted(record.scores)) or 'none'}"
        )
        return f"has no score {figure} ({why})"
    stored, predicted = record.scores[figure], predictions_of(record, figure)
    if not math.isfinite(stored):
        return f"has a score {figure} that is not a number"
    if predicted is None and kept:
        return f"lacks its predictions of {measure}"
    return None if predicted is None else flaw(predicted, stored, measure)
