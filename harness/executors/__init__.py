"""Executors run functions in worker processes or elsewhere and return futures; they do not depend on training.

An executor has `slots`, the number of calls that run at the same time; `submit(function, *arguments)`, which returns a
`concurrent.futures.Future`; and `stop()`, which ends the calls that are running. If a call's process dies, its future
raises `WorkerDied`, and the executor can still be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias

ExecutorName: TypeAlias = Literal["local", "ray", "inline"]


class WorkerDied(Exception):
    """The process of a call was killed or crashed before it could answer."""


class TookTooLong(WorkerDied):
    """The process of a call was stopped because the call took longer than the time limit."""


def time_limit_exceeded(limit: float) -> TookTooLong:
    """Return the exception for a call that was stopped because it took longer than `limit` seconds."""
    return TookTooLong(
        f"the run took longer than the time limit of {limit / 60:g} min and was stopped; raise --time-limit"
    )


def module_path() -> list[str]:
    """Return the module path for workers: that of this process, but with the current folder last.

    `python -m` and `python -c` search the current folder first, where a file such as `socket.py` would hide Python's
    own module.
    """
    here = os.getcwd()
    path = [folder or here for folder in sys.path]
    first_is_here = not sys.flags.safe_path and path[:1] == [here]
    return [*path[1:], here] if first_is_here else path


class Executor(Protocol):
    """Interface of all executors."""

    slots: int
    """Number of calls that run at the same time."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start `function(*arguments)` in a free slot."""
        ...

    def stop(self) -> None:
        """End all calls that are running."""
        ...
