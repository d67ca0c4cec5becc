"""Make a plan from an ablation and its records, study by study; only studies with new records are planned again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial

from harness.planning.plan import ENDED, TUNE_SEED, Plan, PlannedRun, run_id, winner_of
from harness.planning.study_runs import StateOf, StudyRuns, own
from harness.planning.unlocking import design, scored
from harness.spec.ablation import Ablation
from harness.spec.study import UNTRAINED
from harness.spec.views import named
from harness.store.designs import Design
from harness.store.records import Record


def make_plan(
    ablation: Ablation,
    records: Iterable[Record],
    *,
    pruning: bool = False,
    only: Sequence[str] = (),
    unavailable: Iterable[str] = (),
    designs: Iterable[Design] = (),
    seeds: Mapping[str, int] | None = None,
    looks: tuple[int, ...] = (),
) -> Plan:
    """Return the ordered runs of an ablation: the untrained model, then trials and final runs, study by study in turn.

    Args:
        records: the records of the store, in any order; records of other rows, budgets or recipes are ignored.
        pruning: accept pruned trials as done; without it they are to do.
        only: plan only these studies (all if empty).
        unavailable: tasks whose data are not available; a final run that lacks only these is done.
        designs: the log of designs, kept in the plan.
        looks: the looks of a sequential test, kept in the plan.
        seeds: final seeds at the best point, by study, if they are more than the budget's.
    """
    planner = Planner(ablation, records, pruning=pruning, only=only, unavailable=unavailable)
    planner.designs, planner.looks = tuple(designs), looks
    planner.set_seeds(seeds or {})
    return planner.plan()


class Planner:
    """Plans an ablation study by study; only studies with new records are planned again.

    The plan is a function of ablation and records. Plans of studies are cached because the driver plans after each run.
    """

    def __init__(
        self,
        ablation: Ablation,
        records: Iterable[Record],
        *,
        pruning: bool = False,
        only: Sequence[str] = (),
        unavailable: Iterable[str] = (),
        retrying: Iterable[str] = (),
    ) -> None:
        """Take the arguments of `make_plan`, and in `retrying` the ids of runs to repeat."""
        assert ablation.testbed.headline  # raises StudyFileError for a testbed without test measure
        self.ablation = ablation
        self.only = tuple(only)
        selected = {name for study in only for name in (study, ablation.study(study).miner)}
        self.studies = (UNTRAINED, *(s.name for s in ablation.studies if not only or s.name in selected))
        self.seeds: Mapping[str, int] = {}
        self.designs: tuple[Design, ...] = ()
        self.looks: tuple[int, ...] = ()
        self.allow_mixed = False
        self._retrying = set(retrying)
        self._state = StateOf(ablation, pruning, frozenset(unavailable), self._retrying)
        self._id = cache(partial(run_id, ablation))
        self._known: dict[str, dict[str, Record]] = {}
        self._parts: dict[str, Plan] = {}
        self._mined_by: dict[str, list[str]] = {}
        for study in ablation.studies:
            self._mined_by.setdefault(study.miner or UNTRAINED, []).append(study.name)
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Add a record; it replaces an earlier record of the same run."""
        if record.id in self._known.get(record.study, {}):
            self._retrying.discard(record.id)
        self._known.setdefault(record.study, {})[record.id] = record
        for study in (record.study, *self.mined_by(record.study)):
            self._parts.pop(study, None)

    def mined_by(self, study: str) -> Sequence[str]:
        """Return the studies whose negatives this study's model mines."""
        return () if study == UNTRAINED else self._mined_by.get(study, ())

    def ablation_of(self, name: str) -> Ablation:
        """Return the ablation with the trial that mines for this study in its view, if it is known."""
        study = None if name == UNTRAINED else self.ablation.study(name)
        mining = study.mining if study is not None else None
        if study is None or study.view is None or mining is None or mining.by == UNTRAINED:
            return self.ablation
        tuned = self.part(mining.by).tuned(mining.by)
        winner = winner_of(tuned) if all(run.state in ENDED for run in tuned) else None
        if winner is None:
            return self.ablation
        with_trial = replace(named(study.view), mining=replace(mining, trial=winner.id, point=winner.point))
        studies = [replace(s, view=with_trial) if s.name == name else s for s in self.ablation.studies]
        return replace(self.ablation, studies=studies)

    def set_seeds(self, seeds: Mapping[str, int]) -> None:
        """Set the number of final seeds at the best point, by study, if it exceeds the budget's."""
        self.seeds = dict(seeds)
        self._parts.clear()

    def part(self, study: str) -> Plan:
        """Return the plan of only one study's runs."""
        if study not in self._parts:
            self._parts[study] = Plan(self.ablation, tuple(self._runs(study)))
        return self._parts[study]

    def plan(self) -> Plan:
        """Return the plan of all runs."""
        runs = itertools.chain.from_iterable(self.part(study).runs for study in self.studies)
        return Plan(
            self._with_miners(),
            tuple(runs),
            self.designs,
            self._design,
            scored(record for records in self._known.values() for record in records.values()),
            frozenset(study.name for study in self.ablation.studies if self._was_best_otherwise(study.name)),
            self.looks,
            allow_mixed=self.allow_mixed,
            strays=self._strays(),
            left_out=self._left_out(),
        )

    def _strays(self) -> dict[str, int]:
        """Count, by study, the tuning records of searches that are no longer declared."""
        planned = {study: {run.id for run in self.part(study).of(study, "tune")} for study in self.studies}
        numbers = {
            study: sum(r.stage == "tune" and r.id not in ids for r in self._known.get(study, {}).values())
            for study, ids in planned.items()
        }
        return {study: number for study, number in numbers.items() if number}

    def _left_out(self) -> dict[str, int]:
        """Count, by study, the scored final runs that are not planned although the study still trains them so.

        They are at its present points, with seeds that are not planned, or follow tunings that are not. A run that
        diverged has a score, too: it counts as 0.
        """
        tunings, numbers = self.ablation.budget.tunings, {}
        for study in self.studies:
            planned = self.part(study).of(study, "final")
            ids, points = {run.id for run in planned}, {run.point for run in planned}
            further = [
                record
                for record in self._known.get(study, {}).values()
                if record.stage == "final" and record.id not in ids
                if record.scores or record.outcome == "diverged"
                if record.point in points or record.tuning >= tunings
            ]
            id_of = self._id_of(self.ablation_of(study))
            numbers[study] = sum(r.id == id_of(study, "final", r.seed, r.point) for r in further)
        return {study: number for study, number in numbers.items() if number}

    @cached_property
    def _design(self) -> Design:
        return design(self.ablation)

    def _was_best_otherwise(self, study: str) -> bool:
        """Return whether another best point of the present search was scored before a trial was retried."""
        declared, now = self._design.studies[study], {run.point for run in self.part(study).of(study, "final")}
        tunings, known = self.ablation.budget.tunings, self._known.get(study, {}).values()
        finals = [r for r in known if r.stage == "final" and r.scores and r.tuning < tunings]
        searches = [(r.provenance.get("subject"), r.provenance.get("search")) for r in finals if r.point not in now]
        return None not in now and (declared.subject, declared.search) in searches

    def _with_miners(self) -> Ablation:
        if not self._mined_by.keys() - {UNTRAINED}:
            return self.ablation
        studies = [self.ablation_of(study.name).study(study.name) for study in self.ablation.studies]
        return replace(self.ablation, studies=studies)

    def _runs(self, name: str) -> list[PlannedRun]:
        records = self._known.get(name, {})
        if name == UNTRAINED:
            key = self._id(name, "untrained", TUNE_SEED, None)
            record = own(records.get(key), "untrained", TUNE_SEED, None)
            return [PlannedRun(name, "untrained", TUNE_SEED, self._state(record), id=key, record=record)]
        ablation = self.ablation_of(name)
        runs = StudyRuns(ablation, ablation.study(name), records, self._state, self._id_of(ablation))
        return runs.planned(self.seeds.get(name, 0))

    def _id_of(self, ablation: Ablation) -> Callable[..., str]:
        """Return what gives the ids of an ablation's runs, which are cached for the planner's own."""
        return self._id if ablation is self.ablation else partial(run_id, ablation)
