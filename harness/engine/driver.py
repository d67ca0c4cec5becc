"""The driver: plans runs, submits them to workers and stores their records. It is the only writer of its store.

It has no state besides the store: at each step it plans from the records, and studies with new records are planned
again. So repeating the same command after any interruption resumes the ablation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.engine import search
from harness.engine.job import Job, packed
from harness.engine.options import Options
from harness.engine.progress import Board, sentence
from harness.engine.turns import Turns
from harness.engine.worker import execute_job
from harness.errors import StoreError, UsageError
from harness.executors import Executor, WorkerDied
from harness.executors.signals import interrupts_deferred
from harness.files import writing
from harness.planning import unlocking
from harness.planning.plan import Plan, PlannedRun, run_id, trained
from harness.planning.planner import Planner
from harness.provenance import without_secrets
from harness.spec.ablation import Ablation
from harness.spec.loading import folder_beside
from harness.spec.study import UNTRAINED
from harness.store.artifacts import clear, drop_models, keep_only_best, publish
from harness.store.folder import Store
from harness.store.records import TUNING, Record, completed
from harness.verdicts import until_decided


class Driver:
    """Executes an ablation's plan on a locked store. `drive` also stops the executor."""

    def __init__(
        self,
        ablation: Ablation,
        store: Store,
        executor: Executor,
        board: Board,
        options: Options,
        missing: Mapping[str, str],
        provenance: Mapping[str, Any],
        records: Iterable[Record] | None = None,
        still_there: Callable[[], None] = lambda: None,
        work: Callable[[bytes], Record] = execute_job,
    ) -> None:
        """Plan the ablation from the store's records and log its design.

        Args:
            ablation: the ablation.
            store: its locked store.
            executor: runs the jobs; `drive` stops it.
            board: shows progress.
            options: how the plan is executed.
            missing: tasks whose data are not available, with the reason.
            provenance: provenance of the code, for every record.
            records: the store's records, if they were read before.
            still_there: raises StoreError once the store was deleted or replaced; called before anything is written.
            work: the function that a worker calls with a packed job.
        """
        self.ablation, self.store, self.executor, self.board, self.options = ablation, store, executor, board, options
        self.missing, self.provenance, self._work = missing, provenance, work
        self._still_there = still_there
        loaded = store.records() if records is None else list(records)
        self.records = {record.id: record for record in loaded}
        self._planner = Planner(
            ablation,
            self.records.values(),
            pruning=options.prune,
            only=options.only,
            unavailable=missing,
            retrying=[record.id for record in loaded if options.retry_failed and record.retryable],
        )
        self._running: dict[Future[Record], PlannedRun] = {}
        self._warned: set[str] = set()
        self._log_design()

    def drive(self) -> Plan:
        """Execute every run that can be executed; return the final plan."""
        until_decided.grow(self._planner)
        for note in self._planner.plan().stray_trials():
            self.board.line(note)
        with interrupts_deferred():
            mirror = self._mirror()
        try:
            with writing(self._staging):
                self._staging.mkdir(parents=True, exist_ok=True)
            stop, turns = False, Turns(self._planner)
            while True:
                while len(self._running) < self.executor.slots and not stop and (run := turns.take()):
                    self._submit(self._with_point(run))
                self.board.show(self._planner.plan, {run.id or "": run.study for run in self._running.values()})
                if not self._running:
                    return self._planner.plan()
                ended, _ = wait(self._running, timeout=0.25, return_when=FIRST_COMPLETED)
                self._still_there()
                for future in ended:
                    with interrupts_deferred():
                        record = self._finish(self._running.pop(future), future)
                        self._tell(mirror, record)
                    stop |= self.options.fail_fast and record.outcome == "failed"
                    turns.refresh(record.study, *self._planner.mined_by(record.study))
                if ended and self._grown():
                    turns.refresh(*self._planner.studies)
        finally:
            with interrupts_deferred():
                self.executor.stop()
                if mirror is not None:
                    mirror.close()
                clear(self._staging, self._still_there)

    def _mirror(self) -> search.Mirror | None:
        """Open the copy of the trials for optuna-dashboard; rebuild the store's file from the records if damaged."""
        if self.options.storage == "none":
            return None
        records = [run.record for run in self._planner.plan().runs if run.record is not None]
        if self.options.storage is not None:
            return search.Mirror(self.ablation, self.options.storage, records)
        own, journal = self.store.folder / "optuna.db", self.store.folder / "optuna.db-journal"
        with writing(own):
            if own.is_dir():
                self.store.set_aside(own)
            if journal.exists():  # of a killed driver, or a stranger's: SQLite would delete a file that it names
                own.unlink(missing_ok=True)
                journal.unlink()
        try:
            return search.Mirror(self.ablation, own, records)
        except UsageError:
            with writing(own):
                own.unlink(missing_ok=True)
            return search.Mirror(self.ablation, own, records)

    def _tell(self, mirror: search.Mirror | None, record: Record) -> None:
        """Add a record to the copy for optuna-dashboard; a failure is only printed, as the records are complete."""
        try:
            if mirror is not None:
                mirror.tell(record)
        except StoreError as problem:
            self.board.line(str(problem))

    def _grown(self) -> bool:
        """Plan the final seeds that open claims need (`until_decided`); return whether there are more than before."""
        before = self._planner.seeds
        until_decided.grow(self._planner)
        return self._planner.seeds != before

    def _with_point(self, run: PlannedRun) -> PlannedRun:
        """Ask the sampler for a waiting trial's point; all trials before it have ended."""
        if run.point is not None or run.trial is None:
            return run
        ablation = self._planner.ablation_of(run.study)
        trials = self._planner.part(run.study).trials(run.study, run.tuning)
        earlier = [trial.record for trial in trials[: run.trial] if trial.record]
        point = search.ask(ablation, ablation.study(run.study), earlier, run.tuning)
        return replace(run, point=point, id=run_id(ablation, run.study, "tune", run.seed, point), state="to do")

    def _log_design(self) -> None:
        """Log the present design before the first run starts, with the studies whose test scores are known."""
        now, file = datetime.now(UTC).isoformat(timespec="seconds"), self.provenance.get("study_file")
        entry = unlocking.design(self.ablation, self.records.values(), now, file)
        log = unlocking.read(self.store.folder)
        if unlocking.is_news(entry, log):
            unlocking.append(self.store.folder, entry)
            log = (*log, entry)
        self._planner.designs, self._planner.looks = log, until_decided.looks(self.ablation, log)

    def _submit(self, run: PlannedRun) -> None:
        """Send a run to a free worker."""
        assert run.id is not None
        ablation = self._planner.ablation_of(run.study)
        tuning, bed = run.stage in TUNING, ablation.testbed
        staging = self._staging / run.id
        with writing(staging):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
        # Only the run's study and its miner's: sending a large ablation would take longer than a short run.
        miners = {study.miner for study in ablation.studies if study.name == run.study}
        studies = [study for study in ablation.studies if study.name in {run.study, *miners}]
        studies = studies or [study for study in ablation.studies if study.miner in (None, UNTRAINED)][:1]
        job = Job(
            run=replace(run, record=None),
            ablation=replace(ablation, testbed=bed.sealed() if tuning else bed, studies=studies, expect=()),
            tasks=() if tuning else tuple(task for task in bed.tasks if task not in self.missing),
            missing=self.missing,
            staging=staging.resolve(),
            keep_model=self._keeps(run),
            report_to=self.options.report_to,
            rivals=self._rivals(run) if self.options.prune and run.stage == "tune" else None,
            progress_port=self.board.port,
            progress_token=self.board.token,
            provenance=self.provenance,
            beside=folder_beside(),
        )
        self._running[self.executor.submit(self._work, packed(job, self.ablation.name))] = run

    def _keeps(self, run: PlannedRun) -> bool:
        """Return whether a run saves its model; also at the default point, which may turn out to be the best point."""
        return run.stage == "final" and self.options.keep_models != "none"

    def _sort_models(self, study: str) -> None:
        """Keep only the best model of a study's final runs at its best point, once that point is known.

        The best model of the default point is also kept while a failed trial may be retried and make that point best.
        """
        plan = self._planner.part(study)
        best = plan.of(study, "final", "best")
        if all(run.id is not None for run in best):
            at_best = {run.id for run in best}
            finals = [run.record for run in plan.of(study, "final") if run.record]
            others = [record for record in finals if record.id not in at_best]
            unsure = any(r.record is not None and r.record.retryable for r in plan.of(study) if r.stage in TUNING)
            keep_only_best(self.store.folder, [record for record in finals if record.id in at_best])
            (keep_only_best if unsure else drop_models)(self.store.folder, others)

    def _rivals(self, run: PlannedRun) -> tuple[tuple[tuple[float, float], ...], ...]:
        """Return the dev curves that a trial is pruned against: those of its study's earlier trials."""
        tuned = self._planner.part(run.study).trials(run.study, run.tuning)
        earlier = [t.record for t in tuned if t.record and (t.trial or 0) < (run.trial or 0)]
        return tuple(record.curve for record in earlier if record.outcome == "ok" and len(record.curve) > 1)

    def _finish(self, run: PlannedRun, future: Future[Record]) -> Record:
        """Store a run's results: its files first, its record last, so that a record implies complete files."""
        assert run.id is not None
        try:
            record = unlocking.dev_only(future.result(), self.ablation.testbed.dev.name)
        except Exception as problem:  # the worker died, or could not start the run
            error = str(problem) if isinstance(problem, WorkerDied) else f"{type(problem).__name__}: {problem}"
            record = Record(
                run.id,
                run.study,
                run.stage,
                run.seed,
                run.point,
                run.trial,
                "failed",
                without_secrets(error),
                provenance=self.provenance,
            )
        # added here because the worker of a tuning run has a testbed without test set
        bed = self.ablation.testbed
        contents = {} if record.stage in TUNING else {each.name: bed.content_of(each) for each in bed.besides}
        measures = {name: content for name, content in contents.items() if content is not None}
        training = trained(self._planner.ablation_of(run.study), run.study)
        record = replace(
            record,
            provenance={**record.provenance, **training, "measures": measures},
            objective=bed.objective,
            headline=bed.headline,
        )
        record = completed(self.records.get(run.id), record)
        staging = self._staging / run.id
        publish(self.store.folder, staging, record, self._keeps(run))
        self._planner.add(record)  # `_sort_models` plans with this record
        if self.options.keep_models == "best":
            self._sort_models(run.study)
        record = self.records[record.id] = self.store.write(record)
        self._planner.add(record)  # again, with the predictions left on disk
        shutil.rmtree(staging, ignore_errors=True)
        self.board.line(sentence(record))
        new = [f"{name}: {why}" for name, why in record.missing.items() if name not in self.missing]
        for line in (*(f"no score by {each}" for each in new), *record.warnings):
            if line not in self._warned:
                self._warned.add(line)
                self.board.line(f"warning: {record.study}: {line}")
        return record

    @property
    def _staging(self) -> Path:
        return self.store.folder / ".staging"
