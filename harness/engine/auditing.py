"""Audit the data of an ablation before its runs, in processes of their own, and keep the result in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console

from harness.audit import base_model, cache, outcome
from harness.data.findings import Audit, Finding, by_severity
from harness.data.loss_findings import RAISES, UNFIT, untried_loss
from harness.engine.telling import tell
from harness.errors import AuditFailed, HarnessError, TestbedUnavailable
from harness.executors import Executor, WorkerDied
from harness.spec.ablation import Ablation
from harness.spec.loading import folder_beside
from harness.store.folder import Store
from harness.waiting import announced

LIMIT = 600.0
"""Seconds after which the trial of a loss is stopped."""


def require_audit(
    ablation: Ablation,
    store: Store,
    missing: Mapping[str, str],
    console: Console,
    only: Sequence[str] = (),
    time_limit: float | None = None,
    where: Executor | None = None,
) -> None:
    """Audit the data of the runs to come and print the warnings; arguments as for `audit`.

    Raises:
        AuditFailed: the data have an error.
        TestbedUnavailable: the audit's process ended early.
    """
    result = audit(ablation, store, missing, only, time_limit, where)
    for line in outcome.lines(result):
        tell(console, line)
    outcome.refuse_errors(result)


def audit(
    ablation: Ablation,
    store: Store,
    missing: Mapping[str, str],
    only: Sequence[str] = (),
    time_limit: float | None = None,
    where: Executor | None = None,
) -> Audit:
    """Return the store's audit if it is of the same data, else make a new one and write it to the store.

    Args:
        ablation: the ablation, its names resolved to content hashes.
        store: the store, locked.
        missing: the tasks whose data are not available, with the reason.
        only: audit the data of these studies and of the studies that mine for them (all if empty).
        time_limit: seconds after which a run, and so the trial of a loss, is stopped.
        where: loads the base model, because its workers have imported torch; a new process if None.

    Raises:
        AuditFailed: the data have a form that the audit cannot read.
        TestbedUnavailable: a process of the audit ended early.
    """
    from harness.engine.job import packed
    from harness.engine.worker import audit as audit_job
    from harness.executors.processes import in_fresh_process

    stored = cache.read(store.folder)
    if stored is not None and any(finding.what in (RAISES, UNFIT) for finding in stored.of("error")):
        stored = None  # the error may be gone with a package or a file that the loss needs, which the key does not show
    if stored is not None and cache.still_holds(stored, ablation, missing) and not (only and stored.of("error")):
        return stored
    whole, ablation = ablation, cache.only(ablation, only)
    if stored is not None and cache.still_holds(stored, ablation, missing):
        return stored
    pickled = packed(ablation, ablation.name)
    findings = _of_base_model(ablation, where)
    told = "the process that audits the data; Ctrl-C ends the command"
    with _explained(ablation, "audits the data"), announced(told):
        result: Audit = in_fresh_process(audit_job, pickled, cache.key(ablation), sorted(missing))
    findings += [*result.findings, *_of_losses(ablation, pickled, min(time_limit or LIMIT, LIMIT))]
    part = () if ablation is whole else tuple(study.name for study in ablation.studies)
    result = replace(result, findings=tuple(by_severity(findings)), studies=part)
    cache.write(store.folder, result)
    return result


def _of_base_model(ablation: Ablation, where: Executor | None) -> list[Finding]:
    """Let an executor, or a worker of its own, load the base model as the studies do."""
    from harness.engine.job import packed
    from harness.engine.worker import load_base_model
    from harness.executors.processes import ProcessExecutor
    from harness.executors.start import ENVIRONMENT

    loadings = base_model.loadings(ablation)
    if not loadings:
        return []
    pickled = packed((ablation.testbed.name, ablation.testbed.base, loadings), ablation.name)
    executor = where or ProcessExecutor([ENVIRONMENT])
    try:
        with _explained(ablation, "loads the base model"):
            findings: list[Finding] = executor.submit(load_base_model, pickled).result()
    finally:
        if where is None:
            executor.stop()
    return findings


@contextmanager
def _explained(ablation: Ablation, does: str) -> Iterator[None]:
    """Explain why a process of the audit failed.

    Raises:
        TestbedUnavailable: it was killed, or ran out of memory.
        AuditFailed: it raised an error that is not the harness's.
    """
    testbed = f"testbed {ablation.testbed.name!r}"
    try:
        yield
    except HarnessError:
        raise
    except (WorkerDied, MemoryError, OSError) as problem:
        raise TestbedUnavailable(
            f"{testbed}: the process that {does} ended early ({type(problem).__name__}: {problem}); nothing was "
            "trained; give the same command again"
        ) from problem
    except Exception as problem:  # data of a form that was not foreseen may raise anything
        raise AuditFailed(
            f"{testbed}: the process that {does} failed ({type(problem).__name__}: {problem}); nothing was trained. "
            "Are the model, the rows and the sets of the testbed's form?"
        ) from problem


def _of_losses(ablation: Ablation, pickled: bytes, limit: float) -> list[Finding]:
    """Try the losses that the study file defines, in one process, which is replaced if a loss ends it."""
    from harness.engine.worker import try_loss
    from harness.executors.processes import ProcessExecutor

    findings: list[Finding] = []
    executor = ProcessExecutor([{}], time_limit=limit)
    try:
        for study in cache.own_losses(ablation):
            try:
                with announced(f"the trial of the loss of study {study.name!r} (at most {limit:.0f} s)"):
                    findings += executor.submit(try_loss, pickled, study.name, folder_beside()).result()
            except Exception as problem:  # the loss ended the process, or memory ran out
                why = str(problem).partition(";")[0] if isinstance(problem, WorkerDied) else type(problem).__name__
                own = cache.own_parts(study).items()
                findings += [untried_loss("warning", title, part, why) for title, part in own]
    finally:
        executor.stop()
    return findings
