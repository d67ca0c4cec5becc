"""Audit the data of an ablation before its runs, in processes of their own, and keep the result in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from harness.audit import cache
from harness.data.checks import unprobed_label
from harness.data.findings import Audit, Finding, by_severity
from harness.errors import AuditFailed, HarnessError, TestbedUnavailable
from harness.executors import WorkerDied
from harness.spec.ablation import Ablation
from harness.spec.views import named
from harness.store.folder import Store


def require_audit(
    ablation: Ablation, store: Store, missing: Mapping[str, str], console: Console, only: Sequence[str] = ()
) -> None:
    """Audit the data of the runs to come and print the warnings; arguments as for `audit`.

    Raises:
        AuditFailed: the data have an error.
        TestbedUnavailable: the audit's process ended early.
    """
    result = audit(ablation, store, missing, only)
    for line in cache.lines(result):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    cache.refuse_errors(result)


def audit(ablation: Ablation, store: Store, missing: Mapping[str, str], only: Sequence[str] = ()) -> Audit:
    """Return the store's audit if it is of the same data, else make a new one and write it to the store.

    Args:
        ablation: the ablation, its names resolved to content hashes.
        store: the store, locked.
        missing: the tasks whose data are not available, with the reason.
        only: audit the data of these studies and of the studies that mine for them (all if empty).

    Raises:
        AuditFailed: the data have a form that the audit cannot read.
        TestbedUnavailable: the audit's process ended early.
    """
    from harness.engine.job import packed
    from harness.engine.worker import audit as audit_job
    from harness.engine.worker import probe as probe_job
    from harness.executors.processes import in_fresh_process

    stored = cache.read(store.folder)
    if stored is not None and cache.still_holds(stored, ablation, missing) and not (only and stored.of("error")):
        return stored
    whole, ablation = ablation, cache.only(ablation, only)
    if stored is not None and cache.still_holds(stored, ablation, missing):
        return stored
    pickled = packed(ablation, ablation.name)
    try:
        result: Audit = in_fresh_process(audit_job, pickled, cache.key(ablation), sorted(missing))
    except HarnessError:
        raise
    except (WorkerDied, MemoryError, OSError) as problem:
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that audits the data ended early "
            f"({type(problem).__name__}: {problem}); nothing was trained; give the same command again"
        ) from problem
    except Exception as problem:  # data of a form that was not foreseen may raise anything
        raise AuditFailed(
            f"testbed {ablation.testbed.name!r}: the audit of the data could not be made ({type(problem).__name__}: "
            f"{problem}); nothing was trained. Are the rows and sets of the testbed's form?"
        ) from problem
    on_labels: list[Finding] = []
    for study in cache.with_untested_labels(ablation):
        try:
            on_labels += in_fresh_process(probe_job, pickled, study.name)
        except Exception as problem:  # the loss ended the process, or cannot be unpickled in it: its runs report it
            on_labels.append(unprobed_label(study.name, named(study.view), f"{type(problem).__name__}"))
    part = () if ablation is whole else tuple(study.name for study in ablation.studies)
    result = replace(result, findings=tuple(by_severity([*result.findings, *on_labels])), studies=part)
    cache.write(store.folder, result)
    return result
