"""Resolve names of data, models and files to content hashes, and the precision, before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.audit import cache
from harness.engine.telling import tell
from harness.errors import HarnessError, RunFailed, TestbedUnavailable
from harness.executors import Executor, TookTooLong, WorkerDied
from harness.identity import paths_in
from harness.spec.ablation import Ablation, Precision
from harness.store import contents
from harness.store.contents import Contents
from harness.store.folder import Store
from harness.testbeds.measure_kinds import Own
from harness.testbeds.origins import files_of
from harness.waiting import announced

ATTEMPTS = 3
"""Number of attempts to determine a worker's precision if workers die."""


def intact(store: Store, console: Console) -> Contents:
    """Return the content hashes of a locked store; set them aside if they are damaged, and a damaged audit as well."""
    say = partial(tell, console)
    store.intact(cache.read, cache.FILE, None, say)
    return store.intact(contents.read, contents.FILE, Contents(), say)


def precision_of(where: Executor, requested: Precision) -> str:
    """Return a worker's training precision; a worker that dies is replaced, as for a run.

    Raises:
        RunFailed: several workers in a row died.
    """
    from harness.engine.worker import precision

    for _ in range(ATTEMPTS):
        try:
            with announced("the first worker, which imports torch; Ctrl-C ends the command"):
                precision_there: str = where.submit(precision, requested).result()
            return precision_there
        except WorkerDied as problem:
            died = problem
    if isinstance(died, TookTooLong):
        raise RunFailed(
            "no worker has started within --time-limit: importing torch takes a worker some seconds; nothing was "
            "trained; raise it, or leave it out"
        )
    raise RunFailed(f"{ATTEMPTS} workers in a row died before they started a run ({died}); repeat the command")


def resolved(ablation: Ablation, store: Store, earlier: Contents, precision: str, console: Console) -> Ablation:
    """Hash the ablation's data and files, write the hashes into the store, and print what changed.

    Args:
        ablation: the ablation.
        store: its locked store.
        earlier: the contents of the store's last run.
        precision: training precision of the workers' device.
        console: receives the changes since the last run.

    Returns:
        The ablation with content hashes and precision.

    Raises:
        TestbedUnavailable: a part of the testbed cannot be read.
    """
    parts, files = measured(ablation, only_there=False)
    auto = (
        precision if ablation.precision == "auto" else earlier.precision
    )  # an explicit precision says nothing about "auto"
    current = contents.updated(replace(earlier, precision=auto), parts, files)
    for change in contents.changes(earlier, current, ablation):
        line = f"The data or the device changed since the last run, so the affected runs are new: {change}."
        tell(console, line)
    contents.write(store.folder, current)
    return contents.resolved(ablation, current)


def unchanged(ablation: Ablation, earlier: Contents) -> bool:
    """Return whether the ablation's data on this machine are those of a finished store's runs."""
    parts, files = measured(ablation, only_there=True)
    return contents.updated(earlier, parts, files) == earlier


def edited(ablation: Ablation, folder: Path) -> list[str]:
    """Describe which data of this machine have other content than at the last `harness run` of a store.

    Only files that were written since then are read again, in another process, because that takes more than a second.
    Data that are missing, or cannot be read, are not described: the next run says so.

    Args:
        ablation: the ablation.
        folder: the store's folder; nothing is described if there is no store.
    """
    try:
        last_run = (folder / contents.FILE).stat().st_mtime_ns
        if not any(_written(path) >= last_run for path in _local(ablation)):
            return []
        earlier = contents.read(folder)
        current = contents.updated(earlier, *measured(ablation, only_there=True))
    except (OSError, HarnessError):
        return []
    return contents.changes(earlier, current, ablation)


def _local(ablation: Ablation) -> Iterator[Path]:
    """Yield the files and folders of this machine that the runs of an ablation may depend on."""
    bed = ablation.testbed
    if bed.base.local:
        yield bed.base.folder
    for part in (bed.source, *ablation.sources, *bed.measures):
        yield from files_of(part)
    own = [name for part in bed.measures if isinstance(part, Own) for name in paths_in(part.function)]
    for path in map(Path, (*ablation.names_files(), *own)):
        if path.is_file() or (path / "config.json").is_file() or (path / "modules.json").is_file():
            yield path


def _written(path: Path) -> int:
    """Return when a file, or any file of a folder, was last written, moved or replaced; 0 if it is not there."""
    files = path.rglob("*") if path.is_dir() else [path]
    times = [(found.st_mtime_ns, found.st_ctime_ns) for file in files if file.is_file() for found in [file.stat()]]
    return max(itertools.chain.from_iterable(times), default=0)


def measured(ablation: Ablation, only_there: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return the content hashes of an ablation: parts of its testbed, sources of studies, files of losses and views.

    Raises:
        TestbedUnavailable: a part cannot be read, or the process ended early.
    """
    from harness.engine.job import packed
    from harness.engine.worker import measure
    from harness.executors.processes import in_fresh_process

    pickled = packed((ablation.testbed, ablation.sources, ablation.names_files()), ablation.name)
    try:
        with announced("the process that reads rows, sets and weights to hash them; Ctrl-C ends the command"):
            hashes: tuple[dict[str, str], dict[str, str]] = in_fresh_process(measure, pickled, only_there)
    except HarnessError:
        raise
    except Exception as problem:  # the process was killed, or ran out of memory
        raise TestbedUnavailable(
            f"testbed {ablation.testbed.name!r}: the process that reads its parts ended early "
            f"({type(problem).__name__}: {problem}); nothing was trained; repeat the command"
        ) from problem
    return hashes
