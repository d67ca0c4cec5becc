"""Fetch what a testbed names once; everything else reads local folders and files.

`fetch` is the only step that may take long or use the network, so runs do not depend on the hub, and a machine without
a network works once the cache is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

from huggingface_hub import constants
from rich.console import Console
from rich.progress import Progress

from harness import embedded
from harness.errors import TestbedUnavailable
from harness.testbeds import Testbed, described, hub
from harness.testbeds.measure_kinds import Measure
from harness.testbeds.origins import files_of, refs_of
from harness.testbeds.refs import EMBEDDED, MODEL, Ref
from harness.testbeds.sources import Source
from harness.waiting import announced

Part: TypeAlias = Ref | Source | Measure
"""A base model, rows, or a measure."""


def fetch(
    testbed: Testbed,
    sources: Iterable[Source],
    task_refs: Callable[[], Mapping[str, list[Ref]]],
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, str]:
    """Make or download everything that a testbed and its studies name.

    Args:
        testbed: the testbed.
        sources: the studies' own sources.
        task_refs: returns the data sets of each mteb task; called once the testbed's own parts are there.
        tell: receives a line at the start of each download.

    Returns:
        The tasks and further measures whose data are not available, with the reason.

    Raises:
        TestbedUnavailable: the model, the rows, the dev set or the test set is not available.
    """
    online = cache(partial(_online, tell))
    for part, has in _parts(testbed, sources):
        tell(f"{part}: {has if isinstance(has, (Ref, Source)) else described(has)}")
        try:
            _fetch_part(has, online)
        except hub.CannotHave as problem:
            raise TestbedUnavailable(
                f"testbed {testbed.name!r}: cannot get the {part}, {has}: {problem}. {_ways_out(has)}"
            ) from problem
    missing = {}
    for measure in testbed.besides:
        tell(f"measure: {measure.name}")
        try:
            _fetch_part(measure, online)
        except hub.CannotHave as problem:
            missing[measure.name] = str(problem)
    for task, refs in task_refs().items():
        tell(f"task: {task}")
        try:
            for ref in refs:
                _fetch_one(ref, is_model=False, online=online)
        except hub.CannotHave as problem:
            missing[task] = f"{refs[0].repo}: {problem}"
    for needed in (testbed.dev, testbed.test):
        if needed is not None and needed.name in missing:
            why = missing[needed.name]
            raise TestbedUnavailable(f"testbed {testbed.name!r}: cannot get {needed.name}: {why}. {_ways_out(needed)}")
    return missing


def _ways_out(part: Part) -> str:
    """Return what to do if a part is not there."""
    if part.local if isinstance(part, Ref) else any(True for _ in files_of(part)):
        return "Put it there, or change its path in the study file."
    return (
        "Where there is a network, run `harness fetch FILE` (and copy HF_HOME to machines without one); without any, "
        "use --testbed embedded."
    )


def _parts(testbed: Testbed, sources: Iterable[Source]) -> Iterator[tuple[str, Part]]:
    """Yield what runs cannot do without, by its name in messages."""
    yield "base model", testbed.base
    yield "training rows", testbed.source
    yield from (("training rows of a study", source) for source in dict.fromkeys(sources))
    yield "dev set", testbed.dev
    if testbed.test is not None:
        yield "test set", testbed.test


def _fetch_part(part: Part, online: Callable[[], bool]) -> None:
    """Make or download a base model, a source or the data of a measure.

    Raises:
        CannotHave: a part of it is not available, or a file is not there.
    """
    if isinstance(part, Ref):
        _fetch_one(part, is_model=True, online=online)
        return
    for ref in refs_of(part):
        _fetch_one(ref, is_model=False, online=online)
    absent = [str(path) for path in files_of(part) if not path.exists()]
    if absent:
        raise hub.CannotHave(f"there is no {', '.join(absent)}; a relative path starts from the study file's folder")


def _online(tell: Callable[[str], None]) -> bool:
    online = hub.reachable()
    if not online:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{hub.endpoint()} does not answer"
        tell(f"{why}: using only the cache")
    return online


def _fetch_one(ref: Ref, *, is_model: bool, online: Callable[[], bool]) -> None:
    if ref.local:
        if not ref.folder.is_dir():
            raise hub.CannotHave(
                f"there is no folder {ref.folder}; a relative path starts from the study file's folder"
            )
        return
    if ref.repo != EMBEDDED:
        hub.snapshot(ref, is_model=is_model, online=online())
        return
    if ref.config == MODEL:
        embedded.base_model()
        return
    console = Console(stderr=True)
    note = "the embedded testbed, which this or another process makes once"
    with announced(note), Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("making the embedded testbed, once", total=1.0)
        embedded.build(progress=lambda what, share: bar.update(row, description=what, completed=share))


def locate(ref: Ref, *, is_model: bool = False) -> Path:
    """Return the absolute path of a fetched folder; raise TestbedUnavailable if it is not there."""
    if ref.local:
        if not ref.folder.is_dir():
            raise TestbedUnavailable(f"{ref.folder}: no such folder; correct the path of the model in the study file")
        return ref.folder.resolve()
    if ref.repo == EMBEDDED:
        return embedded.base_model() if ref.config == MODEL else embedded.build() / (ref.config or "")
    try:
        return hub.snapshot(ref, is_model=is_model, online=False).resolve()
    except hub.CannotHave as problem:
        raise TestbedUnavailable(f"{ref}: {problem}; run `harness fetch FILE` where there is a network") from problem
