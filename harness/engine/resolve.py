"""What a run's names stand for, read before anything is trained, in processes that may import what reads them."""

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
"""Workers that are asked in what they train, if each before dies."""


def precision_of(where: Executor, asked: Precision) -> str:
    """Ask a worker in what it trains; one that dies is replaced, as for a run."""
    from harness.engine.worker import precision

    for _ in range(ASKED):
        try:
            found: str = where.submit(precision, asked).result()
            return found
        except WorkerDied as problem:
            died = problem
    raise RunFailed(f"{ASKED} workers in a row died before they had done anything ({died}); give the command again")


def resolved(ablation: Ablation, store: Store, known: Contents, precision: str, console: Console) -> Ablation:
    """Read what the ablation's names stand for, keep it in the store, and tell what has changed since its last run."""
    parts, files = measured(ablation, only_there=False)
    auto = precision if ablation.precision == "auto" else known.precision  # one that was asked for says nothing of it
    found = contents.added(replace(known, precision=auto), ablation, parts, files)
    for change in contents.changes(known, found):
        told = f"changed since the last run, so runs are new: {change}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    contents.write(store.folder, found)
    return contents.resolved(ablation, found)


def unchanged(ablation: Ablation, known: Contents) -> bool:
    """Tell whether what of the ablation's data is on this machine is what a finished store's runs were made with."""
    parts, files = measured(ablation, only_there=True)
    return contents.added(known, ablation, parts, files) == known


def measured(ablation: Ablation, only_there: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hashes of what is behind an ablation's names: parts of its testbed, and files of losses and views."""
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
            f"({type(problem).__name__}: {problem}); nothing was trained; give the same command again"
        ) from problem
    return found
