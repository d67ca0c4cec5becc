"""The commands as functions: what `harness plan`, `run`, `report` and `check` do, for scripts and notebooks.

from harness.api import check, load, run
plan = run(ablation, store="runs/mine")
load("runs/mine").frame()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from harness import provenance
from harness.data.findings import Audit
from harness.engine import auditing, planned, resolve
from harness.engine.options import Options
from harness.engine.telling import tell
from harness.errors import HarnessError, TestbedUnavailable
from harness.executors import ExecutorName
from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.spec.ablation import Ablation
from harness.store import contents
from harness.store.folder import create, exists, load, load_of
from harness.verdicts import until_decided

if TYPE_CHECKING:
    from harness.verdicts.rules import Verdict

__all__ = ["audit", "check", "fetch", "load", "plan", "report", "run"]


def default_store(ablation: Ablation) -> Path:
    """Return the store's folder that commands use if none is given: `runs/<ablation>-<testbed>`."""
    return Path("runs") / f"{ablation.name}-{ablation.testbed.name}"


def default_report(ablation: Ablation) -> Path:
    """Return the report's folder that commands use if none is given: `reports/<ablation>-<testbed>`."""
    return Path("reports") / f"{ablation.name}-{ablation.testbed.name}"


def plan(
    ablation: Ablation,
    store: Path | str | None = None,
    options: Options | None = None,
    *,
    study_file: Path | None = None,
    allow_mixed: bool = False,
) -> Plan:
    """Return the plan of an ablation and its store; without a store, no run is done.

    Args:
        ablation: the ablation.
        store: the store's folder; `runs/<ablation>-<testbed>` if None.
        options: those of the `run` that is planned; if None, of one that accepts the store's pruned trials.
        study_file: the file of the ablation; the plan then states which runs another version of it made.
        allow_mixed: also judge runs that were made with different library versions or precisions.

    Returns:
        Every run of the ablation with its state.

    Raises:
        StudyFileError: a loss or view contains an object that another process cannot recreate.
        UsageError: the store belongs to another ablation or testbed.
        StoreError: the store cannot be read.
    """
    folder = Path(store) if store else default_store(ablation)
    records = load_of(folder, ablation.name, ablation.testbed.name).records() if exists(folder) else []
    resolved = contents.resolved(ablation, contents.read(folder))
    asked, file = options or planned.PRUNED_COUNT, _hash(study_file)
    return planned.plan_of(resolved, records, folder, asked, study_file=file, allow_mixed=allow_mixed)


def run(
    ablation: Ablation,
    store: Path | str | None = None,
    options: Options | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    executor: ExecutorName = "local",
    runs_per_gpu: int = 1,
    time_limit: float | None = None,
    study_file: Path | None = None,
    allow_mixed: bool = False,
    console: Console | None = None,
) -> Plan:
    """Execute all runs of an ablation that are not done yet, and return the plan afterwards.

    Args:
        ablation: the ablation.
        store: the store's folder; `runs/<ablation>-<testbed>` if None.
        options: which runs to execute and what to save of them.
        workers: number of worker processes; if None `runs_per_gpu` per GPU, or one per `threads` cores.
        threads: threads per worker; if None one, or its share of the cores if it has a GPU. Not for "inline".
        executor: "local" for worker processes, "ray" for a Ray cluster, "inline" for this process.
        runs_per_gpu: number of runs that share a GPU.
        time_limit: seconds after which a run is stopped and counts as failed; not for "inline".
        study_file: the file of the ablation, whose hash and repository are recorded.
        allow_mixed: also judge runs that were made with different library versions or precisions.
        console: where progress is printed; stderr if None.

    Returns:
        Every run of the ablation with its state.

    Raises:
        StudyFileError: a loss or view contains an object that another process cannot recreate.
        UsageError: the store belongs to another ablation or testbed.
        StoreLocked: another driver writes to the store.
        TestbedUnavailable: the model, rows, dev set or test set is not available.
        AuditFailed: the data have an error; nothing was trained.
    """
    from harness.engine.worker import prepare
    from harness.executors.start import start

    console = console or Console(stderr=True)
    options, as_read = options or Options(), _hash(study_file)
    opened = create(Path(store) if store else default_store(ablation), ablation.name, ablation.testbed.name)
    with opened.locked() as still_there:
        log = unlocking.read(opened.folder)
        records, damaged = opened.set_damaged_aside()
        for path in damaged:
            tell(console, f"damaged record set aside: {path}")
        hashes = resolve.intact(opened, console)
        resolved = contents.resolved(ablation, hashes)
        runs = until_decided.grown(planned.planner_of(resolved, records, options), log).unfinished()
        if not runs and resolve.unchanged(ablation, hashes):
            return planned.plan_of(resolved, records, opened.folder, study_file=as_read, allow_mixed=allow_mixed)
        # Workers import torch from here on.
        where = start(executor, workers, runs_per_gpu, time_limit, prepare, ahead=max(1, runs), threads=threads)
        try:
            import harness.report  # noqa: F401  # matplotlib, which every run needs at its end
            from harness.engine.driver import Driver  # Optuna
            from harness.engine.progress import Board

            missing = _fetched(ablation, console)
            precision = resolve.precision_of(where, ablation.precision)
            ablation = resolve.resolved(ablation, opened, hashes, precision, console)
            auditing.require_audit(ablation, opened, missing, console, options.only, time_limit, where)
            with Board(console) as board:
                source = _provenance(study_file, as_read)
                driver = Driver(ablation, opened, where, board, options, missing, source, records, still_there)
                driver.drive()
        finally:
            where.stop()
        records = list({**{r.id: r for r in records}, **driver.records}.values())
        if _hash(study_file) != as_read:
            tell(console, f"{study_file} was edited while it ran; the runs are of the file as it was when it was read.")
        return planned.plan_of(ablation, records, opened.folder, study_file=as_read, allow_mixed=allow_mixed)


def audit(
    ablation: Ablation,
    store: Path | str | None = None,
    *,
    only: Sequence[str] = (),
    time_limit: float | None = None,
    console: Console | None = None,
) -> Audit:
    """Audit an ablation's data, or read the store's audit of the same data; nothing is trained.

    Args:
        ablation: the ablation.
        store: the folder where the audit is kept for `run`; `runs/<ablation>-<testbed>` if None.
        only: audit the data of these studies and of the studies that mine for them (all if empty).
        time_limit: seconds after which the trial of a loss is stopped, at most 600.
        console: where missing tasks are printed; stderr if None.

    Returns:
        The audit. Errors of the data are among its findings.

    Raises:
        StoreLocked: another driver writes to the store.
        TestbedUnavailable: the model, rows, dev set or test set is not available.
    """
    opened = create(Path(store) if store else default_store(ablation), ablation.name, ablation.testbed.name)
    console = console or Console(stderr=True)
    with opened.locked():
        earlier = resolve.intact(opened, console)
        missing = _fetched(ablation, console)
        parts, files = resolve.measured(ablation, only_there=False)
        hashes = contents.updated(earlier, parts, files)
        contents.write(opened.folder, hashes)
        return auditing.audit(contents.resolved(ablation, hashes), opened, missing, only, time_limit)


def _fetched(ablation: Ablation, console: Console) -> Mapping[str, str]:
    """Fetch what an ablation needs; print and return the tasks whose data are unavailable, with the reason."""
    missing = fetch(ablation)
    for task, reason in missing.items():
        tell(console, f"missing: task {task}: {reason}")
    return missing


def _hash(study_file: Path | None) -> str | None:
    """Return the hash of a study file; None if there is none, or if it was removed."""
    return provenance.file_hash(study_file) if study_file is not None and study_file.is_file() else None


def _provenance(study_file: Path | None, as_read: str | None) -> dict[str, Any]:
    """Return where the code comes from: the study file, its repository, and the harness's own."""
    source: dict[str, Any] = {"git": provenance.git(Path.cwd() if study_file is None else study_file.resolve().parent)}
    if as_read is not None:
        source["study_file"] = as_read
    own = provenance.git(Path(__file__).parent)
    return {**source, "harness_git": own}


def fetch(ablation: Ablation) -> Mapping[str, str]:
    """Download what an ablation needs into the hub's cache.

    Returns:
        The tasks whose data are not available, with the reason.

    Raises:
        TestbedUnavailable: the model, rows, dev set or test set is not available.
    """
    from harness.engine.job import packed
    from harness.engine.worker import fetch as fetch_job
    from harness.executors.processes import in_fresh_process

    try:
        missing: Mapping[str, str] = in_fresh_process(
            fetch_job, packed((ablation.testbed, ablation.sources), ablation.name)
        )
    except HarnessError:
        raise
    except Exception as problem:  # the process was killed or ran out of memory
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that downloads its parts ended early "
            f"({type(problem).__name__}: {problem}); repeat the same command"
        ) from problem
    return missing


def report(
    ablation: Ablation,
    store: Path | str | None = None,
    folder: Path | str | None = None,
    command: str = "",
    *,
    study_file: Path | None = None,
    allow_mixed: bool = False,
) -> Path:
    """Write the report of an ablation from its store.

    Args:
        ablation: the ablation.
        store: the store's folder, which must exist; `runs/<ablation>-<testbed>` if None.
        folder: the report's folder; `reports/<ablation>-<testbed>` if None.
        command: the shell command that reproduces the runs, for the report's last section.
        study_file: the file of the ablation; the report then states which runs another version of it made.
        allow_mixed: also judge runs that were made with different library versions or precisions.

    Returns:
        The path of the report's README.md.

    Raises:
        UsageError: there is no store, or it belongs to another ablation or testbed.
        StoreError: the store cannot be read, or the folder cannot be written.
    """
    from harness.report import write_report

    existing = _existing(ablation, store)
    reported = plan(ablation, existing, study_file=study_file, allow_mixed=allow_mixed)
    reported = replace(reported, changed_data=tuple(resolve.edited(ablation, existing)))
    return write_report(reported, Path(folder) if folder else default_report(ablation), command)


def check(ablation: Ablation, store: Path | str | None = None, *, allow_mixed: bool = False) -> list[Verdict]:
    """Return a verdict on each claim of the ablation's expectations, from its store.

    Args:
        ablation: the ablation.
        store: the store's folder, which must exist; `runs/<ablation>-<testbed>` if None.
        allow_mixed: also judge runs that were made with different library versions or precisions.

    Raises:
        UsageError: there is no store, or it belongs to another ablation or testbed.
        StoreError: the store cannot be read.
    """
    from harness.verdicts.judge import judge

    return judge(plan(ablation, _existing(ablation, store), allow_mixed=allow_mixed))


def _existing(ablation: Ablation, store: Path | str | None) -> Path:
    """Return the store's folder.

    Raises:
        UsageError: there is no store.
    """
    return load(Path(store) if store else default_store(ablation)).folder
