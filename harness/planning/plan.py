"""The plan: the runs that an ablation needs and their states, computed only from the ablation and its records."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from harness.data.findings import Audit
from harness.files import as_json
from harness.planning.choice import best
from harness.spec.ablation import Ablation
from harness.spec.budget import TUNING_STEP
from harness.spec.space import Point, Value
from harness.spec.study import UNTRAINED, Study
from harness.store.designs import Design
from harness.store.records import TUNING, Record, Stage

RECIPE = 8
"""Increased by hand when training or evaluation changes the result of a run: all runs are then new."""

TUNE_SEED = 0
"""Every trial of every study trains with this seed; final runs use 1, 2, ... Later tunings add `TUNING_STEP`."""

START_UP = 8
"""Trials whose points are fixed in advance and the same for every study; the sampler decides the later ones."""

State: TypeAlias = Literal["done", "to do", "failed", "waiting"]
ENDED: tuple[State, ...] = ("done", "failed")
"""The states of runs that a driver has ended."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of the plan."""

    study: str
    """Name of the study, or "untrained"."""
    stage: Stage
    """Whether it tunes, is a final run, or scores the untrained model."""
    seed: int
    """Seed of the training."""
    state: State
    """Whether it is done; a "waiting" run's point, and so its id, depends on runs that are not done."""
    point: Point | None = None
    """The point, None as long as it is unknown."""
    trial: int | None = None
    """Number of the trial, None for other stages."""
    id: str | None = None
    """The run's id, None as long as the point is unknown."""
    roles: tuple[str, ...] = ()
    """What a final run is for: the "best" point, the "default" point, or both at once."""
    record: Record | None = None
    """The record of the run, None if there is none."""

    @property
    def tuning(self) -> int:
        """Number of the tuning that the run belongs to, from 0."""
        return self.seed // TUNING_STEP


@dataclass(frozen=True)
class Plan:
    """The ordered runs of an ablation, and what its verdicts must allow for."""

    ablation: Ablation
    """The ablation."""
    runs: tuple[PlannedRun, ...]
    """The runs: the untrained model's, then trials and final runs of one study after the other."""
    designs: tuple[Design, ...] = ()
    """The store's log of designs (`harness.planning.unlocking`)."""
    present: Design | None = None
    """The present design."""
    scored: frozenset[str] = frozenset()
    """The studies that have test scores, and "untrained" if that model has."""
    otherwise: frozenset[str] = frozenset()
    """The studies whose present search once had another best point, which was scored."""
    looks: tuple[int, ...] = ()
    """The numbers of final seeds at which verdicts are judged if seeds are added until decided, else empty."""
    audit: Audit | None = None
    """The audit of the data (`harness.audit`)."""
    allow_mixed: bool = False
    """Also judge runs of several versions (`harness.planning.mixing`)."""
    study_file: str | None = None
    """Hash of the current study file."""
    changed_data: tuple[str, ...] = ()
    """Which data of this machine have other content than at the store's last run (`harness.engine.resolve.edited`)."""
    strays: Mapping[str, int] = field(default_factory=dict)
    """By study, the number of trials in the store that belong to another search."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """By study, the number of scored final runs that the plan does not use although they are of its points."""

    def of(self, study: str, stage: Stage | None = None, role: str | None = None) -> list[PlannedRun]:
        """Return a study's runs, of one stage or final role if given."""
        runs = self._by_study.get(study, [])
        return [run for run in runs if stage in (None, run.stage) and (role is None or role in run.roles)]

    def trials(self, study: str, tuning: int = 0) -> list[PlannedRun]:
        """Return the trials of one of a study's tunings, the first unless another is asked for."""
        return [run for run in self.tuned(study, tuning) if run.stage == "tune"]

    def tuned(self, study: str, tuning: int = 0) -> list[PlannedRun]:
        """Return the trials of one of a study's tunings and the further runs of its best points."""
        return [run for run in self.of(study) if run.stage in TUNING and run.tuning == tuning]

    @cached_property
    def _by_study(self) -> dict[str, list[PlannedRun]]:
        runs: dict[str, list[PlannedRun]] = {}
        for run in self.runs:
            runs.setdefault(run.study, []).append(run)
        return runs

    def study_file_changed(self) -> int:
        """Count the runs that were made with another version of the study file; 0 if unknown."""
        hashes = [run.record.provenance.get("study_file") for run in self.runs if run.record is not None]
        return 0 if self.study_file is None else sum(file not in (None, self.study_file) for file in hashes)

    def stray_trials(self) -> list[str]:
        """Return a sentence for each study with trials in the store that belong to another search."""
        return [
            f"{study}: the store holds {number} trial{'s' * (number > 1)} of another search (its space, default, "
            "options, loss, rows or number of trials differed), which are not counted"
            for study, number in self.strays.items()
        ]

    def count(self, state: State) -> int:
        """Count the runs in a state."""
        return sum(run.state == state for run in self.runs)

    def unfinished(self) -> int:
        """Count the runs that a driver still has to execute: those to do, and those that wait for them."""
        return self.count("to do") + self.count("waiting")

    def seconds_left(self) -> float | None:
        """Estimate the seconds left, on one worker, from done runs of the same study and stage; None if unknown."""
        costs_by_stage: dict[tuple[str, str], list[float]] = {}
        for run in self.runs:
            if run.record is not None and run.record.outcome == "ok":
                cost = run.record.train_seconds + run.record.eval_seconds
                costs_by_stage.setdefault((run.study, run.stage), []).append(cost)
        if not costs_by_stage:
            return None
        mean = {key: sum(costs) / len(costs) for key, costs in costs_by_stage.items()}
        overall = sum(mean.values()) / len(mean)
        return sum(mean.get((run.study, run.stage), overall) for run in self.runs if run.state in ("to do", "waiting"))


def winner_of(tuned: Iterable[PlannedRun]) -> Record | None:
    """Return the record of the best trial (`harness.planning.choice`) of a tuning's runs, so far."""
    records = [run.record for run in tuned if run.record is not None]
    return best([r for r in records if r.stage == "tune"], [r for r in records if r.stage == "repeat"])


def run_id(ablation: Ablation, study: str, stage: Stage, seed: int, point: Point | None) -> str:
    """Hash everything that decides a run's result, by content: equal ids mean equal results up to rounding.

    The commit and the versions of libraries are not part of it, because they are provenance (`harness.planning.mixing`
    compares them); neither are the tasks, which do not affect training.

    Raises:
        StudyFileError: a loss or view contains an object that another process cannot recreate.
    """
    decides = _decides(ablation, study, stage, seed)
    if point is not None:
        decides["point"] = point.as_dict()
    if stage == "tune":
        decides["search"] = search_id(ablation, study, seed // TUNING_STEP)
    return _hashed(decides)


def search_id(ablation: Ablation, study: str, tuning: int = 0) -> str:
    """Hash what decides the points of a study's trials: another space, default or option is another search.

    It is part of the ids of its trials, so a trial belongs to one search only. The number of trials is not part of it:
    a search continues where it stopped. Neither is Optuna's version, which each record holds.
    """
    declared = ablation.study(study)
    dimensions = {name: repr(dimension) for name, dimension in ablation.dimensions(declared).items()}
    return _hashed(
        {
            "seed": ablation.name,
            "dimensions": dimensions,
            "default": ablation.default_point(declared).as_dict(),
            "start_up": START_UP,
            **({"tuning": tuning} if tuning else {}),
        }
    )


def subject_id(ablation: Ablation, study: str) -> str:
    """Hash what a study trains and is scored on, without its points and name: its loss, view, rows, model and sets.

    Which trial of another study mines for it is not part of it, because a study file does not declare that.
    """
    decides = _decides(ablation, study, "tune", TUNE_SEED)
    return _hashed({name: value for name, value in decides.items() if name not in ("mined_by", "study")})


def trained(ablation: Ablation, study: str) -> dict[str, Any]:
    """Return what enters a study's run ids besides point, seed and stage, for its records and for comparing stores."""
    decides = _decides(ablation, study, "tune", TUNE_SEED)
    content = {name: value for name, value in decides.items() if name not in ("stage", "seed", "study", "mined_by")}
    search = {} if study == UNTRAINED else {"search": search_id(ablation, study)}
    return {"subject": subject_id(ablation, study), **search, "trained": content}


def _hashed(parts: dict[str, Any]) -> str:
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:16]


def _decides(ablation: Ablation, study: str, stage: Stage, seed: int) -> dict[str, Any]:
    """Return what decides the results of a study's runs of one stage and seed, without the point."""
    bed = ablation.testbed_of(study)
    decides: dict[str, Any] = {
        "recipe": RECIPE,
        "stage": stage,
        "seed": seed,
        "testbed": bed.identity(),
        "precision": ablation.precision,
    }
    if study != UNTRAINED:
        declared = ablation.study(study)
        decides |= {
            "study": study,
            **ablation.decides(declared),
            "rows": bed.max_rows,
            "epochs": ablation.budget.epochs,
            "examples": ablation.budget.examples,
            **({} if ablation.budget.checkpoint == "last" else {"checkpoint": ablation.budget.checkpoint}),
        }
        mining = declared.mining
        if mining is not None and mining.by != UNTRAINED:
            decides["mined_by"] = mining.trial
    return decides


def start_up_points(ablation: Ablation, study: Study, tuning: int = 0) -> list[Point]:
    """Return the default point, then points that fill the space evenly, the same for every study of the ablation.

    They are a Kronecker sequence (multiples of an irrational number modulo 1, one number a dimension): unlike a Latin
    hypercube its first points stay the same when the budget grows, so amended ablations repeat nothing. Each further
    tuning shifts them at random (Cranley and Patterson, 1976), so that tunings are independent of each other.
    """
    points = [ablation.default_point(study)]
    dimensions = ablation.dimensions(study)
    irrational = dict(zip(dimensions, _irrationals(), strict=False))
    shifts = {name: _shift(f"{ablation.name}/{name}", tuning) for name in dimensions}
    number = min(START_UP, ablation.trials(study))
    step = 3  # the golden ratio's multiples from here on begin with the larger learning rates, which waste fewer trials
    while len(points) < number:
        values: dict[str, Value] = {
            name: d.at((step * irrational[name] + shifts[name]) % 1) for name, d in dimensions.items()
        }
        point = Point.from_dict(values)
        if point not in points:
            points.append(point)
        step += 1
    return points


def _shift(name: str, tuning: int) -> float:
    """Return a number from 0 to 1 for a dimension of a tuning; 0 for the first tuning."""
    digest = hashlib.sha256(f"{name}/{tuning}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 if tuning else 0.0


def _irrationals() -> Iterator[float]:
    """Yield the square roots of the primes, with the golden ratio, which spreads best, instead of 5's."""
    yield from (math.sqrt(2), (1 + math.sqrt(5)) / 2, math.sqrt(3))
    yield from (math.sqrt(n) for n in itertools.count(7) if all(n % k for k in range(2, n)))
