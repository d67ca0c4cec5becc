"""The runs of one study: its trials, tuning by tuning, then the final runs at the best points and the default point."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.planning.choice import RIVALS, by_trial, repeat_seeds, rivals
from harness.planning.plan import ENDED, TUNE_SEED, PlannedRun, State, start_up_points, winner_of
from harness.spec.ablation import Ablation
from harness.spec.budget import TUNING_STEP
from harness.spec.space import Point
from harness.spec.study import UNTRAINED, Study
from harness.store.records import TUNING, Record, Stage


@dataclass(frozen=True)
class StateOf:
    """Decides the state of a run from its record."""

    ablation: Ablation
    pruning: bool
    unavailable: frozenset[str]
    retrying: Collection[str] = ()

    def __call__(self, record: Record | None) -> State:
        if record is None or record.id in self.retrying or (record.outcome == "pruned" and not self.pruning):
            return "to do"
        if record.outcome == "failed":
            return "failed"
        scored = record.outcome == "ok" and record.stage not in TUNING
        return "to do" if scored and not all(map(record.is_unfit_for, self._lacking(record))) else "done"

    def _lacking(self, record: Record) -> list[str]:
        """Return the available tasks and further measures of which a record lacks scores."""
        bed = self.ablation.testbed
        tasks = [task for task in bed.tasks if task not in self.unavailable and record.lacks(task)]
        return tasks + [
            measure.name
            for measure in bed.besides
            if measure.name not in self.unavailable and record.lacks_measure(measure.name, bed.content_of(measure))
        ]


@dataclass(frozen=True)
class StudyRuns:
    """Plans the runs of a study."""

    ablation: Ablation
    """The ablation, with the trial that mines the study's negatives if it is known."""
    study: Study
    """The study."""
    records: Mapping[str, Record]
    """The study's records by id."""
    state: StateOf
    """Decides the state of a run."""
    id_of: Callable[..., str]
    """Returns the id of a run, given the study's name, stage, seed and point."""

    def planned(self, more: int) -> list[PlannedRun]:
        """Return all runs in order.

        Args:
            more: final seeds at the best point, if they are more than the budget's.
        """
        trials = self._waiting_trials if self._waits_for_its_miner else self._trials
        tunings = [self._with_repeats(tuning, trials(tuning)) for tuning in range(self.ablation.budget.tunings)]
        finals = self._waiting_finals() if self._waits_for_its_miner else self._finals(tunings, more)
        return [*itertools.chain.from_iterable(tunings), *finals]

    @property
    def _waits_for_its_miner(self) -> bool:
        mining = self.study.mining
        return mining is not None and mining.by != UNTRAINED and mining.trial is None

    def _waiting_trials(self, tuning: int) -> list[PlannedRun]:
        """Plan the trials of a tuning whose negatives cannot be mined yet, without ids."""
        points: list[Point | None] = [*start_up_points(self.ablation, self.study, tuning)]
        points += [None] * (self.ablation.trials(self.study) - len(points))
        seed = _tune_seed(tuning)
        return [PlannedRun(self.study.name, "tune", seed, "waiting", each, trial) for trial, each in enumerate(points)]

    def _waiting_finals(self) -> list[PlannedRun]:
        budget = self.ablation.budget
        places = [*((tuning, "best") for tuning in range(budget.tunings)), (0, "default")]
        return [
            PlannedRun(self.study.name, "final", seed, "waiting", roles=(role,))
            for tuning, role in places
            for seed in _final_seeds(tuning, budget.seeds)
        ]

    def _trials(self, tuning: int) -> list[PlannedRun]:
        """Plan the trials of a tuning: fixed points, then points that the sampler chose, then points not chosen yet."""
        name, seed = self.study.name, _tune_seed(tuning)
        runs, number = [], self.ablation.trials(self.study)
        for trial, point in enumerate(start_up_points(self.ablation, self.study, tuning)):
            key = self.id_of(name, "tune", seed, point)
            record = own(self.records.get(key), "tune", seed, point, trial)
            runs.append(PlannedRun(name, "tune", seed, self.state(record), point, trial, key, record=record))
        known = [r for r in self.records.values() if r.id == self.id_of(name, "tune", seed, r.point)]
        for trial, of_trial in itertools.groupby(by_trial(known, name), lambda record: record.trial):
            if trial == len(runs) < number:
                record = _deciding(of_trial)
                planned = PlannedRun(name, "tune", seed, self.state(record), record.point, trial, record.id)
                runs.append(replace(planned, record=record))
        while len(runs) < number:
            runs.append(PlannedRun(name, "tune", seed, "waiting", trial=len(runs)))
        return runs

    def _with_repeats(self, tuning: int, trials: list[PlannedRun]) -> list[PlannedRun]:
        """Add the further runs of the best points, once all trials have ended; a single point needs none."""
        points: list[Point | None] = [None] * min(RIVALS, len(trials))
        if all(run.state in ENDED for run in trials):
            points = [record.point for record in rivals(run.record for run in trials if run.record is not None)]
        seeds = repeat_seeds(tuning, self.ablation.budget.further_seeds) if len(points) > 1 else ()
        return [*trials, *(self._of_point("repeat", point, seed) for seed in seeds for point in points)]

    def _finals(self, tunings: Sequence[Sequence[PlannedRun]], more: int) -> list[PlannedRun]:
        """Plan the final runs: at each tuning's best point, once it is known, and at the default point.

        Seeds beyond the budget's, up to `more`, are only for the best point, which the claims are about.
        """
        default, planned = self.ablation.default_point(self.study), self.ablation.budget.seeds
        runs: dict[tuple[Point | None, int], tuple[str, ...]] = {}
        for tuning, tuned in enumerate(tunings):
            for point in _best_points(tuned):
                runs |= {(point, seed): ("best",) for seed in _final_seeds(tuning, max(planned, more))}
        for seed in _final_seeds(0, planned):
            runs[default, seed] = (*runs.get((default, seed), ()), "default")
        return [self._of_point("final", point, seed, roles) for (point, seed), roles in runs.items()]

    def _of_point(self, stage: Stage, point: Point | None, seed: int, roles: tuple[str, ...] = ()) -> PlannedRun:
        """Plan a run that is not a trial; it waits if its point is not known."""
        if point is None:
            return PlannedRun(self.study.name, stage, seed, "waiting", roles=roles)
        key = self.id_of(self.study.name, stage, seed, point)
        record = own(self.records.get(key), stage, seed, point)
        return PlannedRun(self.study.name, stage, seed, self.state(record), point, None, key, roles, record)


def _tune_seed(tuning: int) -> int:
    return TUNE_SEED + TUNING_STEP * tuning


def _final_seeds(tuning: int, number: int) -> range:
    """Return the seeds of the final runs after a tuning."""
    first = TUNING_STEP * tuning + 1
    return range(first, first + number)


def _best_points(tuned: Sequence[PlannedRun]) -> list[Point | None]:
    """Return the best point of a tuning: None while runs of it are left, nothing if no trial succeeded."""
    if not all(run.state in ENDED for run in tuned):
        return [None]
    winner = winner_of(tuned)
    return [] if winner is None else [winner.point]


def own(record: Record | None, stage: Stage, seed: int, point: Point | None, trial: int | None = None) -> Record | None:
    """Return the record if it is of this very run; a copy of another run's record under its id is ignored."""
    if record is None:
        return None
    says = (record.stage, record.seed, record.point, record.trial)
    return record if says == (stage, seed, point, trial) else None


def _deciding(records: Iterable[Record]) -> Record:
    """Return which of several records of one trial counts: a successful one first, then the smallest id.

    There is more than one only where stores were put together by hand: a trial that is retried keeps its point.
    """
    return min(records, key=lambda record: (record.outcome != "ok", record.id))
