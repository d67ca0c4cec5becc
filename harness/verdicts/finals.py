"""The final runs that verdicts compare: which can be used, and what is missing or wrong with the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from harness.planning.plan import Plan, PlannedRun
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

    @property
    def constant(self) -> bool:
        """True for the untrained model, whose scores do not depend on the seed."""
        return self.study == UNTRAINED

    @property
    def complete(self) -> bool:
        """Whether every planned run has a score."""
        return bool(self.scores) and not self.lacking

    def at(self, seed: int | None) -> float:
        return self.scores[None if self.constant else seed]


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
    unfit, kept = [], plan.ablation.testbed.needs_items(figure)
    at = " at a best point" if role == "best" and plan.of(study, "tune") else ""
    lacking = [] if runs else [f"{study} has no final runs{at} ({_why_none(plan, study)})"]
    for run in runs:
        seed = None if study == UNTRAINED else run.seed
        reason = problem(run, figure, kept)
        if reason is None and run.record is not None:
            scores[seed] = run.record.scores[figure]
            predicted = predictions_of(run.record, figure)
            if predicted is not None:
                predictions[seed] = predicted
        else:
            lacking.append(f"{study}{'' if seed is None else f' seed {seed}'} {reason}")
            if run.record is not None and run.record.outcome == "ok":
                unfit.append(lacking[-1])
    repeated = _repeated(study, runs, plan.ablation.testbed.headline)
    measure = plan.ablation.testbed.measure_of(figure)
    return Finals(
        study,
        len(runs),
        scores,
        predictions,
        tuple(lacking),
        figure,
        "items" if measure is None else f"test {measure.items}",
        tuple(unfit),
        repeated,
    )


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
