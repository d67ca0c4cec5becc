"""Progress: workers send datagrams to the driver, which draws one bar per study or prints plain lines.

Datagrams are robust if a worker is killed at any moment: there is no lock that it could hold and no pipe that could
fill. A lost datagram only delays a bar. Everything goes to stderr; stdout is for data.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.engine.telling import LOST, tell
from harness.planning.plan import Plan
from harness.spec.budget import TUNING_STEP
from harness.store.records import TUNING, Record
from harness.text import failure
from harness.waiting import announced

EVERY = 0.5
"""Seconds between two datagrams of a run."""

RUNS = "runs: a line tells of each that has ended, and --time-limit MINUTES stops those that hang"

AT_ONCE = 1000
"""Maximum number of datagrams that a driver reads at once."""


class Reporter:
    """The worker's end: sends the progress of a run to the driver's port."""

    def __init__(self, port: int | None, run_id: str, token: str = "") -> None:
        """Open a socket.

        Args:
            port: the driver's UDP port; nothing is sent if it is None.
            run_id: id of the run.
            token: secret by which the driver recognises its workers.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if port else None
        self._address = ("127.0.0.1", port or 0)
        self._run_id, self._token = run_id, token
        self._last = 0.0

    def tell(self, share: float) -> None:
        """Report the share of the run's training that is done, at most every EVERY seconds."""
        now = time.monotonic()
        if self._socket is None or now - self._last < EVERY:
            return
        self._last = now
        with suppress(OSError):  # a progress error must not end a run
            self._socket.sendto(f"{self._token} {self._run_id} {share}".encode(), self._address)


class Board:
    """The driver's end: one bar per study on a terminal, otherwise one line per finished run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self.token = secrets.token_hex()  # because any program on this machine can send to the port
        self._shares: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._next_drawing = 0.0
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._announcement: AbstractContextManager[None] = nullcontext()
        if not console.is_terminal:
            self._announcement = announced(RUNS)
        self._total = self._progress.add_task("all runs", total=None, note="")

    def __enter__(self) -> Board:
        self._announcement.__enter__()
        with suppress(*LOST):
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(*LOST):
            self._progress.stop()
        self._socket.close()
        self._announcement.__exit__(kind, error, trace)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        tell(self.console, text)

    def show(self, planned: Callable[[], Plan], running: dict[str, str]) -> None:
        """Draw the plan's state; `running` maps the ids of runs under way to their studies.

        Only on a terminal, and throttled so that drawing takes at most 10 percent of the driver's time.
        """
        self._shares |= self._received(running)
        began = time.monotonic()
        if self._progress.disable or (running and began < self._next_drawing):
            return
        plan = planned()
        with suppress(*LOST):
            self._draw(plan, running)
        self._next_drawing = began + max(0.2, 10 * (time.monotonic() - began))

    def _draw(self, plan: Plan, running: dict[str, str]) -> None:
        for name in dict.fromkeys(run.study for run in plan.runs):
            runs = plan.of(name)
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=len(runs), note="")
            ended = sum(run.state in ("done", "failed") for run in runs)
            under_way = sum(self._shares.get(run_id, 0.0) for run_id, study in running.items() if study == name)
            stages = {run.stage for run in runs if run.state in ("to do", "waiting")}
            stage = "tuning" if stages.intersection(TUNING) else "final runs" if stages else "done"
            self._progress.update(self._bars[name], total=len(runs), completed=round(ended + under_way, 1), note=stage)
        seconds = plan.seconds_left()
        left = "" if seconds is None or not running else f"about {spell(seconds / len(running))} left"
        ended = sum(run.state in ("done", "failed") for run in plan.runs)
        self._progress.update(self._total, total=len(plan.runs), completed=ended, note=left)

    def _received(self, running: Collection[str]) -> dict[str, float]:
        """Read the waiting datagrams, at most AT_ONCE; those not from a current run are dropped."""
        shares = {}
        for _ in range(AT_ONCE):
            try:
                token, run_id, share = self._socket.recv(4096).split()
                if hmac.compare_digest(token, self.token.encode()) and run_id.decode() in running:
                    shares[run_id.decode()] = min(1.0, max(0.0, float(share)))
            except OSError:  # nothing is left
                break
            except ValueError:
                continue
        return shares


def spell(seconds: float) -> str:
    """Format a duration: 48 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def sentence(record: Record) -> str:
    """Describe a run's result in one line."""
    what = f"{record.study}: {record.stage}"
    if record.trial is not None:
        what += f" trial {record.trial}"
    elif record.stage in ("repeat", "final"):
        what += f" seed {record.seed % TUNING_STEP}"
    if record.tuning:
        what += f" of tuning {record.tuning + 1}"
    where = f" ({record.point})" if record.point else ""
    if record.outcome == "pruned" and record.curve:
        share, score = record.curve[-1]
        return f"{what}{where}: pruned after {100 * share:.0f} % of its training, at a dev score of {score:.4f}"
    if record.outcome != "ok":
        return f"{what}{where}: {record.outcome}: {failure(record.error) or 'the record names no reason'}"
    figures = [
        f"{name.split('/')[0]} {record.scores[name]:.4f}"
        for name in (record.objective, record.headline)
        if name in record.scores
    ]
    return f"{what}{where}: {', '.join(figures)} in {spell(record.train_seconds + record.eval_seconds)}"
