"""Facts of a report, computed once from a plan; tables, figures and sentences only present them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from harness.planning.pairing import share_seeds
from harness.planning.plan import ENDED, Plan, PlannedRun, winner_of
from harness.report.edges import Edge, edge_of
from harness.spec.space import Point
from harness.spec.study import UNTRAINED
from harness.store.records import Record
from harness.testbeds.measure_kinds import headline
from harness.verdicts.evidence import Evidence, difference
from harness.verdicts.finals import Finals, finals
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict

PUBLIC_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Row:
    """A study's runs and results; the untrained model has a row, too, with one run and no trials."""

    name: str
    """Name of the study."""
    loss: str
    """The loss, as tables show it."""
    view: str
    """The view and settings that differ from the testbed's, as tables show them."""
    trials: tuple[PlannedRun, ...]
    """The planned trials of the first tuning."""
    later: tuple[PlannedRun, ...]
    """The planned trials of later tunings."""
    repeats: tuple[PlannedRun, ...]
    """The planned further runs of the best trials, of all tunings."""
    best: tuple[PlannedRun, ...]
    """The planned final runs at the best point."""
    default: tuple[PlannedRun, ...]
    """The planned final runs at the default point."""
    finals: Finals
    """Those of `best` that can be compared."""
    untuned: Finals
    """Those of `default` that can be compared."""

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """All runs; a final run that belongs to both points is counted once."""
        finals = self.best + tuple(run for run in self.default if run not in self.best)
        return self.trials + self.later + self.repeats + finals

    @property
    def records(self) -> list[Record]:
        return [run.record for run in self.runs if run.record is not None]

    @property
    def ended(self) -> list[Record]:
        """The records of the final runs at the best point that have scores."""
        return succeeded(self.best)

    @property
    def done(self) -> int:
        return sum(run.state == "done" for run in self.runs)

    @property
    def point(self) -> Point | None:
        """The best point, as the final runs have it; None while they wait for the last trials."""
        return next((run.point for run in self.best), None)

    @property
    def minutes(self) -> float:
        return sum(record.train_seconds + record.eval_seconds for record in self.records) / 60

    @property
    def scored_points(self) -> set[Point | None]:
        """The points that the best one was chosen from."""
        return {record.point for record in succeeded(self.trials)}

    @property
    def winner(self) -> Record | None:
        """The trial with the best dev score so far."""
        return winner_of([*self.trials, *(run for run in self.repeats if not run.tuning)])

    def values(self, metric: str) -> list[float]:
        """Return a metric of the final runs at the best point, in the order of seeds; runs without it are left out."""
        return [record.scores[metric] for record in self.ended if metric in record.scores]

    def mean(self, metric: str) -> float | None:
        values = list(self.finals.scores.values()) if metric == self.finals.figure else self.values(metric)
        return float(np.mean(values)) if values else None

    def typical(self, field: str) -> float | None:
        """Return the mean over the final runs at the best point of a number such as `steps` or `train_seconds`."""
        values = [float(getattr(record, field)) for record in self.ended]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Step:
    """The comparison of a study with the one declared before it, or of the first study with the untrained model."""

    before: Row
    """The row of the first study, or the untrained model's."""
    after: Row
    """The row of the second study."""
    difference: Evidence | None
    """After minus before; None if no common seeds can be compared."""


@dataclass(frozen=True)
class Facts:
    """Everything that a report states."""

    plan: Plan
    """The plan with its records."""
    rows: tuple[Row, ...]
    """The untrained model's row, then one row per study."""
    steps: tuple[Step, ...]
    """The comparison of each row with the one before it."""
    verdicts: tuple[Verdict, ...]
    """The verdicts on the plan's claims."""

    @property
    def headline(self) -> str:
        """Name of the score that verdicts are about."""
        return self.plan.ablation.testbed.headline

    @property
    def objective(self) -> str:
        """Name of the score that tuning maximises."""
        return self.plan.ablation.testbed.objective

    @property
    def items(self) -> str:
        """What the headline scores one by one: pairs, queries, triplets or texts."""
        test = self.plan.ablation.testbed.test
        return "items" if test is None else test.items

    @cached_property
    def besides(self) -> tuple[str, ...]:
        """Names of the scores that the measures of `also` stand for."""
        return tuple(headline(measure) for measure in self.plan.ablation.testbed.besides)

    @property
    def untrained(self) -> Row:
        return self.rows[0]

    @property
    def studies(self) -> tuple[Row, ...]:
        return self.rows[1:]

    @cached_property
    def fewer_points(self) -> list[str]:
        """The tuned studies whose best point was chosen from fewer scored points than another study's."""
        points = {row.name: len(row.scored_points) for row in self.studies}
        tuned = [row for row in self.studies if all(run.state in ENDED for run in row.trials)]
        return [row.name for row in tuned if points[row.name] < max(points.values())]

    @cached_property
    def records(self) -> list[Record]:
        """All records of the plan, by id."""
        by_id = {run.record.id: run.record for run in self.plan.runs if run.record is not None}
        return [by_id[key] for key in sorted(by_id)]

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The testbed's tasks; a task for which runs found several subsets is replaced by its subsets."""
        names: dict[str, None] = {}
        for task in self.plan.ablation.testbed.tasks:
            figures = {name: None for record in self._tested for name in record.figures_of(task)} or {
                f"mteb/{task}": None
            }
            names |= {name.removeprefix("mteb/"): None for name in figures}
        return tuple(names)

    @cached_property
    def languages(self) -> dict[str, str]:
        """The languages of each subset of a task that has several."""
        by_subset: dict[str, str] = {}
        for record in self._tested:
            for subsets in record.provenance.get("subsets", {}).values():
                by_subset |= subsets
        return {name: by_subset[name] for name in self.tasks if name in by_subset}

    @cached_property
    def _tested(self) -> list[Record]:
        return [record for row in self.rows for record in succeeded(row.best + row.default)]

    @cached_property
    def common_tasks(self) -> tuple[str, ...]:
        """The tasks scored by the untrained model and all finished runs at best points: means use only these."""
        tested = [record for row in self.rows for record in row.ended]
        return tuple(task for task in self.tasks if tested and all(f"mteb/{task}" in r.scores for r in tested))

    @cached_property
    def missing(self) -> dict[str, str]:
        """The tasks and further measures that a finished final run, or the untrained one, lacks, each with a reason."""
        reasons: dict[str, str] = {}
        besides = [measure.name for measure in self.plan.ablation.testbed.besides]
        for record in self._tested:
            reasons |= {name: record.missing[name] for name in besides if name in record.missing}
            for task in self.tasks:
                if f"mteb/{task}" not in record.scores:
                    reasons.setdefault(task, "not evaluated yet")
                    why = record.missing.get(task) or record.missing.get(task.partition(":")[0])
                    reasons[task] = why or reasons[task]
        return {name: reasons[name] for name in (*besides, *self.tasks) if name in reasons}

    def task_mean(self, row: Row) -> float | None:
        """Return the mean over the common tasks of a row's mean scores."""
        means = [row.mean(f"mteb/{task}") for task in self.common_tasks]
        scored = [mean for mean in means if mean is not None]
        return float(np.mean(scored)) if scored else None

    @cached_property
    def edges(self) -> list[Edge]:
        """The best points that are at an edge of the space or of the values that were tried."""
        return [edge for row in self.studies for edge in self._edges(row)]

    def _edges(self, row: Row) -> list[Edge]:
        winner = row.winner
        if winner is None or winner.point is None:
            return []
        declared = self.plan.ablation.study(row.name)
        edges = []
        for name, dimension in self.plan.ablation.dimensions(declared).items():
            value = winner.point.as_dict().get(name)
            trial_values = [r.point.as_dict().get(name) for r in succeeded(row.trials) if r.point is not None]
            if isinstance(value, (int, float)):
                why = edge_of(dimension, value, [v for v in trial_values if isinstance(v, (int, float))])
                if why:
                    edges.append(Edge(row.name, name, value, why))
        return edges

    def provenance(self, key: str) -> list[tuple[Any, int]]:
        """Return the distinct values under a key of the records' provenance with their numbers, most frequent first."""
        counts = Counter(repr(r.provenance[key]) for r in self.records if r.provenance.get(key) is not None)
        values = {repr(r.provenance[key]): r.provenance[key] for r in self.records if key in r.provenance}
        return [(values[text], n) for text, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


DRAWN = 24
"""Maximum number of studies in a figure: more could not be distinguished, and two take a second to draw."""


def drawable(facts: Facts) -> Facts:
    """Return the facts that figures show: the untrained model, the first DRAWN studies, and the steps between them."""
    return replace(facts, rows=facts.rows[: DRAWN + 1], steps=facts.steps[:DRAWN])


def gather(plan: Plan) -> Facts:
    """Compute the facts of a plan, done or not."""
    untrained = tuple(plan.of(UNTRAINED))
    nothing = Finals(UNTRAINED, 0)
    rows = [Row(UNTRAINED, "none", "none", (), (), (), untrained, (), finals(plan, UNTRAINED), nothing)]
    planned = {run.study for run in plan.runs}
    rows += [
        Row(
            study.name,
            study.label,
            study.reads,
            tuple(plan.trials(study.name)),
            tuple(run for run in plan.of(study.name, "tune") if run.tuning),
            tuple(plan.of(study.name, "repeat")),
            tuple(plan.of(study.name, "final", "best")),
            tuple(plan.of(study.name, "final", "default")),
            finals(plan, study.name),
            finals(plan, study.name, "default"),
        )
        for study in plan.ablation.studies
        if study.name in planned
    ]
    steps = (
        Step(a, b, difference(b.finals, a.finals, paired=share_seeds(plan.ablation, a.name, b.name)))
        for a, b in pairwise(rows)
    )
    return Facts(plan, tuple(rows), tuple(steps), tuple(judge(plan)))


def succeeded(runs: Iterable[PlannedRun]) -> list[Record]:
    return [run.record for run in runs if run.record is not None and run.record.outcome == "ok"]


_PATH = re.compile(r"(?<![\w:/.])(?:/(?:[\w.@+~-]+/)+|[A-Za-z]:\\(?:[^\\\s]+\\)+)")


def without_paths(text: str) -> str:
    """Shorten absolute paths to their last part: reports are published, and local folders mean nothing to readers."""
    return _PATH.sub("", text)
