"""Executors run a function somewhere and give its result back; they know nothing of training.

An executor has `slots`, how many calls run at once, `submit(function, *arguments)`, which returns a
`concurrent.futures.Future`, and `stop()`, which drops what is running. A call that dies with its process gives a future
that raises `WorkerDied`; the executor itself goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias

ExecutorName: TypeAlias = Literal["local", "ray", "inline"]


class WorkerDied(Exception):
    """The process that ran a call was killed or crashed before it could answer."""


def overdue(limit: float) -> WorkerDied:
    """Say that a call was stopped because it took longer than `limit` seconds."""
    return WorkerDied(f"it took longer than the time limit of {limit / 60:g} min and was stopped; raise --time-limit")


class Executor(Protocol):
    """Where runs happen."""

    slots: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]: ...

    def stop(self) -> None: ...
