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
from harness.audit import cache as audits
from harness.data.checks import unprobed_label
from harness.data.findings import Audit, Finding, by_severity
from harness.engine import resolve
from harness.engine.options import Options
from harness.errors import AuditFailed, HarnessError, TestbedUnavailable
from harness.executors import ExecutorName, WorkerDied
from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.spec.ablation import Ablation
from harness.spec.views import named
from harness.store import contents
from harness.store.folder import Store, create, load, load_of
from harness.store.records import Record
from harness.verdicts import until_decided

if TYPE_CHECKING:
    from harness.verdicts.rules import Verdict

__all__ = ["audit", "check", "fetch", "load", "plan", "report", "run"]


def default_store(ablation: Ablation) -> Path:
    return Path("runs") / f"{ablation.name}-{ablation.testbed.name}"


def default_report(ablation: Ablation) -> Path:
    return Path("reports") / f"{ablation.name}-{ablation.testbed.name}"


def plan(
    ablation: Ablation,
    store: Path | str | None = None,
    *,
    study_file: Path | None = None,
    allow_mixed: bool = False,
) -> Plan:
    """Return the plan as a store stands; an ablation without a store has everything to do.

    Args:
        store: the store's folder; `runs/<ablation>-<testbed>` if None.
        study_file: where the ablation comes from: whether it changed since the runs were made can then be told.
        allow_mixed: judge runs that several versions of a library made, too.
    """
    folder = Path(store) if store else default_store(ablation)
    exists = (folder / "store.json").exists()
    records = load_of(folder, ablation.name, ablation.testbed.name).records() if exists else []
    found = contents.resolved(ablation, contents.read(folder))
    return _plan(found, records, folder, study_file, allow_mixed)


def _plan(
    ablation: Ablation, records: list[Record], folder: Path, study_file: Path | None, allow_mixed: bool
) -> Plan:
    """Plan from the store only: tasks that records name as missing were unavailable, pruned trials were allowed."""
    grown = until_decided.grown(
        ablation,
        records,
        pruning=True,
        unavailable={task for record in records for task in record.missing},
        designs=unlocking.read(folder),
        allow_mixed=allow_mixed,
    )
    today = None if study_file is None else provenance.file_hash(study_file)
    return replace(grown, audit=audits.read(folder), study_file=today)


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
    """Do what an ablation's plan still lacks, on a store of its own, and return the plan as it then stands.

    Args:
        store: the store's folder; `runs/<ablation>-<testbed>` if None.
        workers: worker processes; `runs_per_gpu` a GPU, or one for every `threads` cores, if None.
        threads: of each worker; if None one, or its share of the cores if it has a GPU. Not for "inline".
        executor: "local" for worker processes, "ray" for a Ray cluster, "inline" for this process.
        time_limit: seconds after which a run is stopped and has failed; not for "inline".
        study_file: recorded, with its hash, as where the ablation comes from.
        allow_mixed: judge runs that several versions of a library made, too.
        console: where progress goes; stderr if None.

    Raises StoreLocked if another driver holds the store, TestbedUnavailable if what the runs need is not available,
    AuditFailed, before anything is trained, if the data have an error.
    """
    from harness.engine.worker import prepare
    from harness.executors.start import start

    console = console or Console(stderr=True)
    options = options or Options()
    opened = create(Path(store) if store else default_store(ablation), ablation.name, ablation.testbed.name)
    with opened.locked():
        records, damaged = opened.set_damaged_aside()
        for aside in damaged:
            _tell(console, f"damaged record set aside: {aside}")
        retrying = [record.id for record in records if options.retry_failed and record.retryable]
        log, known = unlocking.read(opened.folder), contents.read(opened.folder)
        found = contents.resolved(ablation, known)
        as_planned = until_decided.grown(
            found, records, pruning=options.prune, only=options.only, designs=log, retrying=retrying
        )
        runs = as_planned.unfinished()
        if not runs and resolve.unchanged(ablation, known):
            return _plan(found, records, opened.folder, study_file, allow_mixed)
        # Workers import torch from here on.
        where = start(executor, workers, runs_per_gpu, time_limit, prepare, ahead=max(1, runs), threads=threads)
        try:
            import harness.report  # noqa: F401  # matplotlib, which every run needs at its end
            from harness.engine.driver import Driver  # Optuna
            from harness.engine.progress import Board

            missing = _fetched(ablation, console)
            precision = resolve.precision_of(where, ablation.precision)
            ablation = resolve.resolved(ablation, opened, known, precision, console)
            _audited(ablation, opened, missing, console, options.only)
            with Board(console) as board:
                driver = Driver(ablation, opened, where, board, options, missing, _provenance(study_file), records)
                driver.drive()
        finally:
            where.stop()
        records = list({**{r.id: r for r in records}, **driver.records}.values())
        return _plan(ablation, records, opened.folder, study_file, allow_mixed)


def _tell(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def audit(
    ablation: Ablation,
    store: Path | str | None = None,
    *,
    only: Sequence[str] = (),
    console: Console | None = None,
) -> Audit:
    """Audit an ablation's data, or read the store's audit of them, and return it; nothing is trained.

    Args:
        store: where the audit is kept, so that `run` need not repeat it; `runs/<ablation>-<testbed>` if None.
        only: audit the data of these studies and of the studies that mine for them (all if empty).
        console: where missing tasks are told; stderr if None.

    Raises StoreLocked, TestbedUnavailable as `run` does; errors of the data are findings of what is returned.
    """
    opened = create(Path(store) if store else default_store(ablation), ablation.name, ablation.testbed.name)
    with opened.locked():
        missing = _fetched(ablation, console or Console(stderr=True))
        parts, files = resolve.measured(ablation, only_there=False)
        found = contents.updated(contents.read(opened.folder), ablation, parts, files)
        contents.write(opened.folder, found)
        return _audit(contents.resolved(ablation, found), opened, missing, only)


def _audited(
    ablation: Ablation, store: Store, missing: Mapping[str, str], console: Console, only: Sequence[str] = ()
) -> None:
    """Audit what is about to run, before it does; raise AuditFailed if the data have an error."""
    found = _audit(ablation, store, missing, only)
    for line in audits.lines(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    audits.refuse_errors(found)


def _audit(ablation: Ablation, store: Store, missing: Mapping[str, str], only: Sequence[str] = ()) -> Audit:
    """Return the store's audit if it is of these very data, else a new one, which the store then keeps.

    Args:
        only: audit the data of these studies and of the studies that mine for them (all if empty).
    """
    from harness.engine.job import packed
    from harness.engine.worker import audit as audit_job
    from harness.engine.worker import probe as probe_job
    from harness.executors.processes import in_fresh_process

    known = audits.read(store.folder)
    if known is not None and audits.still_holds(known, ablation, missing) and not (only and known.of("error")):
        return known
    whole, ablation = ablation, audits.only(ablation, only)
    if known is not None and audits.still_holds(known, ablation, missing):
        return known
    pickled = packed(ablation, ablation.name)
    try:
        found: Audit = in_fresh_process(audit_job, pickled, audits.key(ablation), sorted(missing))
    except HarnessError:
        raise
    except (WorkerDied, MemoryError, OSError) as problem:
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that audits the data ended early "
            f"({type(problem).__name__}: {problem}); nothing was trained; give the same command again"
        ) from problem
    except Exception as problem:  # the data are of no form that was foreseen
        raise AuditFailed(
            f"testbed {ablation.testbed.name!r}: the audit of the data could not be made ({type(problem).__name__}: "
            f"{problem}); nothing was trained. Are the rows and sets of the testbed's form?"
        ) from problem
    tried: list[Finding] = []
    for study in audits.unheard(ablation):
        try:
            tried += in_fresh_process(probe_job, pickled, study.name)
        except Exception as problem:  # the loss ended the process, or could not be read in it: its runs will tell
            tried.append(unprobed_label(study.name, named(study.view), f"{type(problem).__name__}"))
    part = () if ablation is whole else tuple(study.name for study in ablation.studies)
    found = replace(found, findings=tuple(by_severity([*found.findings, *tried])), studies=part)
    audits.write(store.folder, found)
    return found


def _fetched(ablation: Ablation, console: Console) -> Mapping[str, str]:
    """Fetch what an ablation needs; print and return the tasks whose data are unavailable, with the reason."""
    missing = fetch(ablation)
    for task, reason in missing.items():
        console.print(f"missing: task {task}: {reason}", highlight=False, markup=False, soft_wrap=True)
    return missing


def _provenance(study_file: Path | None) -> dict[str, Any]:
    """Return where the code comes from: the study file's repository and the harness's own."""
    found: dict[str, Any] = {"git": provenance.git(Path.cwd() if study_file is None else study_file.resolve().parent)}
    if study_file is not None:
        found["study_file"] = provenance.file_hash(study_file)
    own = provenance.git(Path(__file__).parent)
    return {**found, "harness_git": own}


def fetch(ablation: Ablation) -> Mapping[str, str]:
    """Bring what an ablation needs into the cache; return the tasks whose data are unavailable, with the reason.

    Raises TestbedUnavailable if the model, the rows, the dev set or the test set is unavailable.
    """
    from harness.engine.worker import fetch as fetch_job
    from harness.executors.processes import in_fresh_process

    try:
        found: Mapping[str, str] = in_fresh_process(fetch_job, ablation.testbed)
    except HarnessError:
        raise
    except Exception as problem:  # it was killed, or had no memory: for its data, or for loading a library
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that fetches its parts ended early "
            f"({type(problem).__name__}: {problem}); give the same command again"
        ) from problem
    return found


def report(
    ablation: Ablation,
    store: Path | str | None = None,
    folder: Path | str | None = None,
    command: str = "",
    *,
    study_file: Path | None = None,
    allow_mixed: bool = False,
) -> Path:
    """Write the report from a store alone and return its README's path; arguments as for `plan`."""
    from harness.report import write_report

    found = plan(ablation, _existing(ablation, store), study_file=study_file, allow_mixed=allow_mixed)
    return write_report(found, Path(folder) if folder else default_report(ablation), command)


def check(ablation: Ablation, store: Path | str | None = None, *, allow_mixed: bool = False) -> list[Verdict]:
    """Return a verdict on each claim of the ablation's expectations, from a store alone; arguments as for `plan`."""
    from harness.verdicts.judge import judge

    return judge(plan(ablation, _existing(ablation, store), allow_mixed=allow_mixed))


def _existing(ablation: Ablation, store: Path | str | None) -> Path:
    """Return the store's folder; raise UsageError if there is none."""
    return load(Path(store) if store else default_store(ablation)).folder
