"""Executor that runs each call immediately in this process, for debuggers, profilers and notebooks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class InlineExecutor:
    """One slot; `submit` returns when the call has ended."""

    slots = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call `function(*arguments)` and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as problem:
            future.set_exception(problem)
        return future

    def stop(self) -> None:
        """Do nothing, because nothing runs between calls."""
