"""Resolve names of data, models and files to content hashes, and the precision, before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from harness.errors import HarnessError, RunFailed, TestbedUnavailable
from harness.executors import Executor, WorkerDied
from harness.spec.ablation import Ablation, Precision
from harness.store import contents
from harness.store.contents import Contents
from harness.store.folder import Store

ASKED = 3
"""Number of attempts to ask a worker for its precision if workers die."""


def precision_of(where: Executor, asked: Precision) -> str:
    """Ask a worker for its training precision; a worker that dies is replaced, as for a run.

    Raises:
        RunFailed: several workers in a row died.
    """
    from harness.engine.worker import precision

    for _ in range(ASKED):
        try:
            found: str = where.submit(precision, asked).result()
            return found
        except WorkerDied as problem:
            died = problem
    raise RunFailed(f"{ASKED} workers in a row died before they started a run ({died}); repeat the command")


def resolved(ablation: Ablation, store: Store, known: Contents, precision: str, console: Console) -> Ablation:
    """Hash the ablation's data and files, keep the hashes in the store, and print what changed since its last run."""
    parts, files = measured(ablation, only_there=False)
    auto = precision if ablation.precision == "auto" else known.precision  # one that was asked for says nothing of it
    found = contents.added(replace(known, precision=auto), ablation, parts, files)
    for change in contents.changes(known, found):
        line = f"changed since the last run, so runs are new: {change}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    contents.write(store.folder, found)
    return contents.resolved(ablation, found)


def unchanged(ablation: Ablation, known: Contents) -> bool:
    """Return whether the ablation's data on this machine are those of a finished store's runs."""
    parts, files = measured(ablation, only_there=True)
    return contents.added(known, ablation, parts, files) == known


def measured(ablation: Ablation, only_there: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return the content hashes of an ablation: parts of its testbed, and files of losses and views.

    Raises:
        TestbedUnavailable: a part cannot be read, or the process ended early.
    """
    from harness.engine.job import packed
    from harness.engine.worker import measure
    from harness.executors.processes import in_fresh_process

    asked = packed((ablation.testbed, ablation.names_files()), ablation.name)
    try:
        found: tuple[dict[str, str], dict[str, str]] = in_fresh_process(measure, asked, only_there)
    except HarnessError:
        raise
    except Exception as problem:  # the process was killed, or had no memory
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that reads its parts ended early "
            f"({type(problem).__name__}: {problem}); nothing was trained; repeat the command"
        ) from problem
    return found
