"""Hyperparameter search with optuna; no other module imports it.

The state of optuna is rebuilt from the records. `ask` is a function of the earlier trials, so an ablation that was
killed and resumed, on any number of workers, tries the same points as one that was not. Scores are not rounded: rounded
ones change ranks just as often when a score moves by 5e-5 (docs/log.md, 2026-11-26). A search is reproducible because a
run has the same number of threads on any number of workers.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from harness import provenance
from harness.errors import StoreError, UsageError
from harness.planning.plan import START_UP
from harness.spec.ablation import Ablation
from harness.spec.space import Choice, Dimension, Point, Value
from harness.spec.study import Study
from harness.store.records import Record
from harness.waiting import announced

optuna.logging.set_verbosity(optuna.logging.ERROR)

BROKEN = (SQLAlchemyError, StorageInternalError, sqlite3.Error)
"""Exceptions of optuna when its database fails."""


def ask(ablation: Ablation, study: Study, earlier: Sequence[Record], tuning: int = 0) -> Point:
    """Choose the point of the next trial by TPE (Bergstra et al., 2011; multivariate, as implemented by optuna).

    The sampler's seed depends on the ablation's name and the number of the trial. Points that were tried are not
    repeated, because with the same seed their result is known.

    Args:
        ablation: the ablation.
        study: the study whose search this is.
        earlier: the records of all earlier trials of this tuning, in the order of the trials.
        tuning: number of the tuning, which has a sampler of its own.
    """
    dimensions = ablation.dimensions(study)
    history = [
        frozen(ablation, study, record) for record in earlier if record.point and _inside(dimensions, record.point)
    ]
    earlier_points = {record.point for record in earlier}
    sampler_name = f"{ablation.name}/{len(earlier)}" + (f"/{tuning}" if tuning else "")
    seed = int.from_bytes(hashlib.sha256(sampler_name.encode()).digest()[:4], "big")
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=START_UP)
    sampling = optuna.create_study(direction="maximize", sampler=sampler)
    sampling.add_trials(history)
    while True:
        trial = sampling.ask(_distributions(dimensions))
        point = Point.from_dict({name: _tidy(value, dimensions[name]) for name, value in trial.params.items()})
        if point not in earlier_points:
            return point
        if all(isinstance(dimension, Choice) for dimension in dimensions.values()):
            return next(point for point in ablation.grid(study) if point not in earlier_points)


def should_prune(finished: Sequence[Sequence[tuple[float, float]]], curve: Sequence[tuple[float, float]]) -> bool:
    """Return whether a run's dev curve is below the median of finished runs' curves at the same share of training.

    This is Optuna's MedianPruner, which needs four finished trials. Curves are (share, dev score) pairs.
    """
    study = optuna.create_study(direction="maximize")
    distribution: dict[str, BaseDistribution] = {}
    for scores in finished:
        study.add_trial(
            optuna.trial.create_trial(
                value=scores[-1][1], distributions=distribution, intermediate_values=_by_percent(scores)
            )
        )
    trial = study.ask(distribution)
    for step, score in _by_percent(curve).items():
        trial.report(score, step)
    return bool(optuna.pruners.MedianPruner(n_startup_trials=4).prune(study, study.trials[-1]))


def frozen(ablation: Ablation, study: Study, record: Record) -> FrozenTrial:
    """Return a record as optuna's trial.

    Infeasible and diverged points become pruned trials without a value, which TPE ranks below all others. Failed runs
    do not count against their point.

    Args:
        ablation: the ablation.
        study: the study whose search this is.
        record: record of a tuning run.
    """
    assert record.point is not None
    state = {
        "ok": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "infeasible": TrialState.PRUNED,
        "diverged": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }[record.outcome]
    # The book's default may lie outside the space; optuna then takes the trial without that parameter.
    inside = {name: d for name, d in ablation.dimensions(study).items() if _inside({name: d}, record.point)}
    return optuna.trial.create_trial(
        state=state,
        value=record.dev_score if state == TrialState.COMPLETE else None,
        params={name: value for name, value in record.point.as_dict().items() if name in inside},
        distributions=_distributions(inside),
        intermediate_values=_by_percent(record.curve) if record.outcome in ("ok", "pruned") else {},
        user_attrs={"run": record.id, "outcome": record.outcome, "seconds": record.train_seconds},
    )


class Mirror:
    """A database for optuna-dashboard: one optuna study per study, with the same trials as the records."""

    def __init__(self, ablation: Ablation, where: str | Path, records: Iterable[Record] = ()) -> None:
        """Open the storage and synchronise it with these records.

        A study whose trials all correspond to records is kept and extended; any other is rebuilt.

        Args:
            ablation: the ablation.
            where: a database's address, or an SQLite file, which may be lost in a system crash because it can be
                rebuilt.
            records: the records to mirror.

        Raises:
            UsageError: optuna cannot use the storage.
        """
        self._ablation = ablation
        self._studies: dict[str, optuna.Study] = {}
        tuned: dict[str, dict[str, Record]] = {study.name: {} for study in ablation.studies}
        for record in records:
            if record.stage == "tune" and record.study in tuned:
                tuned[record.study][record.id] = record
        named = "the store's optuna.db" if isinstance(where, Path) else "the database that --storage names"
        try:
            with announced(f"{named}; --storage none does without"):
                self._storage = _storage(where)
            if isinstance(where, Path):
                event.listen(self._storage.engine, "connect", _disable_fsync)
                self._storage.remove_session()
                self._storage.engine.dispose()
            there = set(optuna.get_all_study_names(self._storage))
            for name, expected in tuned.items():
                self._studies[name], has = self._opened(f"{ablation.name}/{name}", expected, there)
                for key, record in expected.items():
                    if key not in has:
                        self._add(record)
        # LookupError: a { in the address; ImportError: a database whose driver is not installed
        except (*BROKEN, ValueError, LookupError, ImportError) as problem:
            raise UsageError(
                f"{_without_password(str(where))}: optuna cannot use this storage ({_reason(str(where), problem)}); "
                "delete it if it is a broken file, or give another by --storage"
            ) from problem

    def _opened(
        self, name: str, expected: Mapping[str, Record], there: Container[str]
    ) -> tuple[optuna.Study, set[str]]:
        """Open or rebuild a study of the storage.

        Args:
            name: name of the study in the storage.
            expected: the records that its trials may correspond to, by run id.
            there: names of all studies in the storage.

        Returns:
            The study, and the ids of the runs for which it has trials.
        """
        if name in there:
            study = optuna.load_study(study_name=name, storage=self._storage)
            attributes = [trial.user_attrs for trial in study.get_trials(deepcopy=False)]
            has = {str(each.get("run")): each.get("outcome") for each in attributes}
            agreed = all(key in expected and expected[key].outcome == outcome for key, outcome in has.items())
            if agreed and len(has) == len(attributes):
                return study, set(has)
            optuna.delete_study(study_name=name, storage=self._storage)
        return optuna.create_study(storage=self._storage, study_name=name, direction="maximize"), set()

    def _add(self, record: Record) -> None:
        trial = frozen(self._ablation, self._ablation.study(record.study), record)
        self._studies[record.study].add_trial(trial)

    def tell(self, record: Record) -> None:
        """Add a finished tuning run; other records are ignored.

        Raises:
            StoreError: the database fails.
        """
        if record.stage == "tune" and record.study in self._studies:
            try:
                self._add(record)
            except BROKEN as problem:
                raise StoreError(
                    f"run {record.id} could not be added to optuna's database ({_first_line(problem)}); the next start "
                    "adds it"
                ) from problem

    def close(self) -> None:
        """Close the connections to the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _storage(where: str | Path) -> optuna.storages.RDBStorage:
    """Open a database by its address, or a file by its path, in which no character needs escaping."""
    if isinstance(where, str):
        return optuna.storages.RDBStorage(where)
    file = str(where.resolve())
    with closing(sqlite3.connect(file)) as database:  # a stranger's could hold programs: they would run at each insert
        if database.execute("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchone():
            raise ValueError("it has a trigger or a view, which optuna never makes")
    return optuna.storages.RDBStorage(
        "sqlite:///optuna.db", {"creator": lambda: sqlite3.connect(file, check_same_thread=False)}
    )


def _disable_fsync(connection: Any, _: Any) -> None:
    """Skip fsync in SQLite: the mirror can be rebuilt."""
    connection.execute("PRAGMA synchronous=OFF")


def _distributions(dimensions: dict[str, Dimension]) -> dict[str, BaseDistribution]:
    return {
        name: CategoricalDistribution(d.values) if isinstance(d, Choice) else FloatDistribution(d.low, d.high, log=True)
        for name, d in dimensions.items()
    }


def _inside(dimensions: dict[str, Dimension], point: Point) -> bool:
    values = point.as_dict()
    return all(
        values[name] in d.values if isinstance(d, Choice) else d.low <= float(values[name]) <= d.high
        for name, d in dimensions.items()
    )


def _first_line(problem: Exception) -> str:
    """Return an error's message without the statement that sqlalchemy appends."""
    return provenance.without_secrets(str(problem.__cause__ or problem).splitlines()[0])


def _without_password(address: str) -> str:
    """Return an address without user and password, which may hold anything, even spaces and further @."""
    scheme, separator, rest = address.partition("://")
    _, at, host = rest.rpartition("@")
    return provenance.without_secrets(f"{scheme}{separator}{'***@' if at else ''}{host}")


def _reason(address: str, problem: Exception) -> str:
    """Return why an address cannot be used; of one with several @, optuna takes a part of the password for the host."""
    return _first_line(problem) if address.count("@") < 2 else "write an @ within its password as %40"


def _tidy(value: Value, dimension: Dimension) -> Value:
    return value if isinstance(dimension, Choice) else float(f"{value:.4g}")


def _by_percent(curve: Sequence[tuple[float, float]]) -> dict[int, float]:
    return {round(100 * share): score for share, score in curve}
