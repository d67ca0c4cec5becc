"""Runs calls in worker processes of this machine, kept alive because importing torch takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pebble import ProcessExpired, ProcessPool

from harness.executors import WorkerDied, overdue


class ProcessExecutor:
    """One worker process a slot, each with environment variables of its own (its GPU, its threads).

    Each slot is a pool of one (pebble's, which replaces a killed worker), so that a replacement has its slot's
    environment. Workers are spawned, never forked: the driver has threads, and CUDA cannot be forked.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]], time_limit: float | None = None) -> None:
        """Make one slot for each of `environments`; a call that takes longer than `time_limit` seconds is killed."""
        self.slots = len(environments)
        self._time_limit = time_limit
        context = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPool(max_workers=1, context=context, initializer=_begin, initargs=(dict(environment), os.getpid()))
            for environment in environments
        ]
        self._busy: dict[int, Future[Any]] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run `function(*arguments)` in a free slot; both must pickle. Raises RuntimeError if no slot is free."""
        free = [slot for slot in range(self.slots) if slot not in self._busy or self._busy[slot].done()]
        if not free:
            raise RuntimeError("no free slot")
        result: Future[Any] = Future()
        result.set_running_or_notify_cancel()
        self._busy[free[0]] = result

        def pass_on(done: Future[Any]) -> None:
            problem = None if done.cancelled() else done.exception()
            if isinstance(problem, TimeoutError) and self._time_limit:
                result.set_exception(overdue(self._time_limit))
            elif done.cancelled() or isinstance(problem, ProcessExpired):
                code = getattr(problem, "exitcode", None)
                result.set_exception(WorkerDied(f"the worker process died (exit code {code})"))
            elif problem is not None:
                result.set_exception(problem)
            else:
                result.set_result(done.result())

        call = self._pools[free[0]].schedule(function, args=list(arguments), timeout=self._time_limit)
        call.add_done_callback(pass_on)
        return result

    def stop(self) -> None:
        """End the workers at once; what they were running is lost."""
        for pool in self._pools:
            pool.stop()  # type: ignore[no-untyped-call]
        for pool in self._pools:
            pool.join()


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own and return its result: its imports and its memory go with it."""
    executor = ProcessExecutor([{}])
    try:
        return executor.submit(function, *arguments).result()
    finally:
        executor.stop()


def _begin(environment: dict[str, str], driver: int) -> None:
    """Set a worker up, before it imports anything heavy: its environment, and its end when the driver has died."""
    os.environ.update(environment)

    def end_with_driver() -> None:
        while os.getppid() == driver:
            time.sleep(0.5)
        os._exit(1)  # the driver was killed: nobody waits for this run, and its successor will do it again

    threading.Thread(target=end_with_driver, daemon=True).start()
