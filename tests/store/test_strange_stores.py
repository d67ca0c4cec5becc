"""Stores that a stranger sends: whatever one holds, a command that reads it ends soon, and touches nothing else.

HARNESS_FUZZ=50 tries fifty times as many changed stores.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strange import KINDS, change, entries

from harness.cli.main import main

TIMES = int(os.environ.get("HARNESS_FUZZ", "1"))
COMMANDS = ("check", "show", "plan", "compare", "report")
TOLD: Counter[str] = Counter()


class Hung(BaseException):
    """A command took too long."""


@contextlib.contextmanager
def at_most(computing: float, waiting: float) -> Iterator[None]:
    """Raise Hung in a block that computes or waits for so many seconds."""

    def late(number: int, frame: object) -> None:
        raise Hung

    before = [signal.signal(number, late) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, computing)
    signal.setitimer(signal.ITIMER_REAL, waiting)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return kind, size, time and content of all entries below a folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        small = path.is_file() and not path.is_symlink() and status.st_size < 2**20
        content = path.read_bytes() if small else b""
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


def ended(command: str, study: Path, store: Path, whole: Path, folder: Path) -> tuple[int, str]:
    """Return the exit code of a command on a store, and what it printed."""
    arguments = {"compare": ["compare", str(store), str(whole)], "report": ["report", str(study), "--report", "report"]}
    given = arguments.get(command, [command, str(study)])
    given += [] if command == "compare" else ["--store", str(store)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(given)
    return code, f"{out.getvalue()}{err.getvalue()}"


def test_no_changed_store_breaks_hangs_or_leads_a_command_astray(finished: Path) -> None:
    whole, names = finished / "runs" / "small-book", entries(finished / "runs" / "small-book")
    import mteb  # noqa: F401  # a task that the store names would import it within the time of a command

    @settings(
        max_examples=40 * TIMES,
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,) if TIMES > 1 else (Phase.generate, Phase.shrink),
    )
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "here")
            store, canary = Path(temporary, "store"), Path(temporary, "canary")
            (canary / "0123456789abcdef").mkdir(parents=True)
            (canary / "file.json").write_text("{}")
            (canary / ".0123456789abcdef.json.01234567").write_text("somebody's")
            folder.mkdir()
            shutil.copytree(whole, store)
            changed = data.draw(
                st.lists(st.tuples(st.sampled_from(names), st.sampled_from(KINDS)), min_size=1, max_size=2)
            )
            for name, kind in changed:
                change(store, name, kind, canary, data.draw)
            before = seen(store) | seen(canary)
            command = data.draw(st.sampled_from(COMMANDS))
            with at_most(computing=10, waiting=60):
                code, said = ended(command, finished / "study.py", store, whole, folder)
            TOLD[f"{command}: {code}"] += 1
            assert code in (0, 1, 2, 3), said
            assert "Traceback" not in said
            assert seen(store) | seen(canary) == before
            assert {path.name for path in folder.iterdir()} <= {"report"}

    attempt()
    print(f"{sum(TOLD.values())} stores: {dict(sorted(TOLD.items()))}")
    assert len(TOLD) > len(COMMANDS), "some were refused, and some were read"
