"""The driver: plan, ask, submit, store, tell. One process, the only writer of its store.

It keeps nothing that the store does not hold: at each step it plans anew from the records, so giving the same command
again after any kind of end goes on where the store stands.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from harness import lock, search, sequential
from harness.errors import StoreError, UsageError
from harness.executors import Executor, WorkerDied
from harness.job import Job, packed
from harness.plan import Plan, PlannedRun, run_id
from harness.progress import Board, spell
from harness.publish import keep_only_best, publish
from harness.records import HEADLINE, OBJECTIVE, Record, Unlocking
from harness.store import Store
from harness.study import Ablation
from harness.worker import do

KeepModels: TypeAlias = Literal["best", "all", "none"]


@dataclass(frozen=True)
class Options:
    """How to execute a plan; none of this changes what a run's result is."""

    only: tuple[str, ...] = ()
    retry_failed: bool = False
    fail_fast: bool = False
    prune: bool = False
    keep_models: KeepModels = "best"
    report_to: tuple[str, ...] = ()
    storage: str | None = None


@dataclass
class Driver:
    """Executes an ablation's plan on a locked store."""

    ablation: Ablation
    store: Store
    executor: Executor
    board: Board
    options: Options
    missing: Mapping[str, str]
    provenance: Mapping[str, Any]
    records: dict[str, Record] = field(default_factory=dict)
    _running: dict[Future[Record], PlannedRun] = field(default_factory=dict)
    _attempted: set[str] = field(default_factory=set)
    _unlocked: tuple[Unlocking, ...] = ()

    def drive(self) -> Plan:
        """Do every run that can be done; returns the plan as it stands at the end."""
        self._staging().mkdir(parents=True, exist_ok=True)
        self._unlocked = lock.read(self.store.folder)
        found = {record.id: record for record in self.store.records()}
        self.records = {key: r for key, r in found.items() if not (self.options.retry_failed and r.outcome == "failed")}
        with _uninterrupted():
            mirror = self._mirror()
            for run in self.plan().runs:
                if run.record is not None:
                    self._tell(mirror, run.record)
        try:
            stop = False
            plan = self.plan()
            while True:
                for run in self._ready(plan) if not stop else ():
                    self._unlock(run, plan)
                    self._submit(run, plan.ablation)
                self.board.show(plan, {run.id or "": run.study for run in self._running.values()})
                if not self._running:
                    return plan
                ended, _ = wait(self._running, timeout=0.25, return_when=FIRST_COMPLETED)
                for future in ended:
                    with _uninterrupted():
                        record = self._finish(self._running.pop(future), future)
                        self._tell(mirror, record)
                    stop |= self.options.fail_fast and record.outcome == "failed"
                if ended:
                    plan = self.plan()
        finally:
            with _uninterrupted():
                mirror.close()
                shutil.rmtree(self._staging(), ignore_errors=True)

    def _mirror(self) -> search.Mirror:
        """Open optuna's storage; the store's own is made anew if it broke, as all of it is in the records."""
        if self.options.storage is not None:
            return search.Mirror(self.ablation, self.options.storage)
        own = self.store.folder / "optuna.db"
        try:
            return search.Mirror(self.ablation, f"sqlite:///{own}")
        except UsageError:
            own.unlink(missing_ok=True)
            return search.Mirror(self.ablation, f"sqlite:///{own}")

    def _tell(self, mirror: search.Mirror, record: Record) -> None:
        """Mirror a record; that it cannot be is no reason to stop, because the records have everything."""
        try:
            mirror.tell(record)
        except StoreError as problem:
            self.board.line(str(problem))

    def plan(self) -> Plan:
        """Return the plan as the records stand."""
        return sequential.grown(
            self.ablation,
            self.records.values(),
            pruning=self.options.prune,
            only=self.options.only,
            unavailable=self.missing,
            unlocked=self._unlocked,
        )

    def _ready(self, plan: Plan) -> Iterator[PlannedRun]:
        """Yield as many runs as there are free slots: the untrained model, then the studies in turn."""
        free = self.executor.slots - len(self._running)
        under_way = {(run.study, run.trial) for run in self._running.values() if run.trial is not None}
        in_turn = (
            sorted(
                (index, position, run)
                for position, study in enumerate(dict.fromkeys(run.study for run in plan.runs))
                for index, run in enumerate(plan.of(study))
            )
            if free
            else []
        )
        for _, _, run in in_turn:
            if not free:
                return
            if run.state == "waiting":
                if run.trial is None or (run.study, run.trial) in under_way:
                    continue
                known = self._with_point(plan, run)
                if known is None:
                    continue
                run = known
            if run.state in ("to do", "waiting") and run.id not in self._attempted:
                free -= 1
                yield run

    def _with_point(self, plan: Plan, run: PlannedRun) -> PlannedRun | None:
        """Ask the sampler for a waiting trial's point, if all trials before it have ended."""
        if run.point is not None:  # it is known: the trial waits for the study whose model mines for it
            return None
        earlier = [trial for trial in plan.of(run.study, "tune") if (trial.trial or 0) < (run.trial or 0)]
        if any(trial.state not in ("done", "failed") for trial in earlier):
            return None
        ablation = plan.ablation
        point = search.ask(ablation, ablation.study(run.study), [t.record for t in earlier if t.record is not None])
        return replace(run, point=point, id=run_id(ablation, run.study, "tune", run.seed, point), state="to do")

    def _unlock(self, run: PlannedRun, plan: Plan) -> None:
        """Log, before a run that scores the test sets starts, what its study had been given by then."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = lock.due(run, plan, self._unlocked, len(self.records), now)
        if entry is not None:
            lock.append(self.store.folder, entry)
            self._unlocked = (*self._unlocked, entry)

    def _submit(self, run: PlannedRun, ablation: Ablation) -> None:
        assert run.id is not None
        tuning, bed = run.stage == "tune", ablation.testbed
        self._attempted.add(run.id)
        staging = self._staging() / run.id
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        job = Job(
            run=replace(run, record=None),
            ablation=replace(ablation, testbed=bed.sealed()) if tuning else ablation,
            tasks=() if tuning else tuple(task for task in bed.tasks if task not in self.missing),
            missing=self.missing,
            staging=staging.resolve(),
            keep_model=self._keeps(run),
            report_to=self.options.report_to,
            rivals=self._rivals(run) if self.options.prune and run.stage == "tune" else None,
            progress_port=self.board.port,
            provenance=self.provenance,
        )
        self._running[self.executor.submit(do, packed(job, self.ablation.name))] = run

    def _keeps(self, run: PlannedRun) -> bool:
        """Tell whether a run saves its model: a default point's, too, which the last trial may show to be best."""
        return run.stage == "final" and self.options.keep_models != "none"

    def _sort_models(self, study: str) -> None:
        """Keep but the best model of a study's final runs at its best point, as soon as trials have shown it."""
        plan = self.plan()
        best = plan.of(study, "final", "best")
        if all(run.id is not None for run in best):
            kept = [run.record for run in best if run.record]
            others = [run.record for run in plan.of(study, "final") if run.record and run.record not in kept]
            keep_only_best(self.store.folder, kept, others)

    def _rivals(self, run: PlannedRun) -> tuple[tuple[tuple[float, float], ...], ...]:
        """Return the dev curves that a trial is pruned against: those of its study's earlier trials."""
        earlier = [
            t.record for t in self.plan().of(run.study, "tune") if t.record and (t.trial or 0) < (run.trial or 0)
        ]
        return tuple(record.curve for record in earlier if record.outcome == "ok" and len(record.curve) > 1)

    def _finish(self, run: PlannedRun, future: Future[Record]) -> Record:
        """Store what a run gave: its files first, then its record, whose existence says that all this was done."""
        assert run.id is not None
        try:
            record = lock.dev_only(future.result())
        except Exception as problem:  # the worker died, or could not even begin
            error = str(problem) if isinstance(problem, WorkerDied) else f"{type(problem).__name__}: {problem}"
            record = Record(
                run.id,
                run.study,
                run.stage,
                run.seed,
                run.point,
                run.trial,
                "failed",
                error,
                provenance=self.provenance,
            )
        staging = self._staging() / run.id
        publish(self.store.folder, staging, record, self._keeps(run))
        self.records[record.id] = record
        if self.options.keep_models == "best":
            self._sort_models(run.study)
        self.store.write(record)
        shutil.rmtree(staging, ignore_errors=True)
        self.board.line(_sentence(record))
        return record

    def _staging(self) -> Path:
        return self.store.folder / ".staging"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended: raised in a callback of the database, Python would lose it."""
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not default or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def _sentence(record: Record) -> str:
    """Tell in one line what a run gave."""
    what = f"{record.study}: {record.stage}"
    if record.trial is not None:
        what += f" trial {record.trial}"
    elif record.stage == "final":
        what += f" seed {record.seed}"
    where = f" ({record.point})" if record.point else ""
    if record.outcome != "ok":
        return (
            f"{what}{where}: {record.outcome}: {(record.error or '').strip().splitlines()[-1] if record.error else ''}"
        )
    figures = [
        f"{name.split('/')[0]} {record.scores[name]:.4f}" for name in (OBJECTIVE, HEADLINE) if name in record.scores
    ]
    return f"{what}{where}: {', '.join(figures)} in {spell(record.train_seconds + record.eval_seconds)}"
