"""Executors: run functions in worker processes or elsewhere and return futures; independent of training.

An executor has `slots`, how many calls run at once, `submit(function, *arguments)`, which returns a
`concurrent.futures.Future`, and `stop()`, which drops what is running. A call that dies with its process gives a future
that raises `WorkerDied`; the executor itself continues.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias

ExecutorName: TypeAlias = Literal["local", "ray", "inline"]


class WorkerDied(Exception):
    """The process that ran a call was killed or crashed before it could answer."""


def time_limit_exceeded(limit: float) -> WorkerDied:
    """Return the exception for a call that was stopped because it took longer than `limit` seconds."""
    return WorkerDied(f"it took longer than the time limit of {limit / 60:g} min and was stopped; raise --time-limit")


def module_path() -> list[str]:
    """Return where workers look for modules: where this process does, but in the current folder last.

    `python -m` and `python -c` search it first, where a `socket.py` that happens to lie there hides Python's own.
    """
    here = os.getcwd()
    path = [folder or here for folder in sys.path]
    first_is_here = not sys.flags.safe_path and path[:1] == [here]
    return [*path[1:], here] if first_is_here else path


class Executor(Protocol):
    """Where runs happen."""

    slots: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]: ...

    def stop(self) -> None: ...
