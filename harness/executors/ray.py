"""Executor on the Ray cluster at RAY_ADDRESS, or on a new one on this machine."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import ray
from ray.exceptions import RayTaskError

from harness.errors import UsageError
from harness.executors import WorkerDied, module_path, time_limit_exceeded
from harness.executors.signals import interrupts_deferred
from harness.waiting import announced

RETRIES = 2
"""Number of times that Ray repeats a call after its worker or node was lost."""


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], path: list[str], here: str) -> Any:
    """Call a function with the driver's module path after the node's own; Ray puts the current folder first.

    Args:
        function: the function.
        arguments: its arguments.
        path: the driver's module path.
        here: the driver's current folder.
    """
    own = [folder for folder in sys.path if folder != here]
    sys.path[:] = [*own, *(folder for folder in path if folder not in own)]
    return function(*arguments)


class RayExecutor:
    """Executor with one Ray task per call. Ray keeps its processes, so that each imports torch only once.

    Ray transports results only: driver and workers must share the store's folder, and the package must be installed on
    every node. If nodes are lost, calls wait for the remaining slots.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        threads: int,
        share: float = 1.0,
        slots: int | None = None,
        time_limit: float | None = None,
    ) -> None:
        """Connect to the cluster.

        Args:
            environment: environment variables of the workers.
            threads: processors of a slot if the cluster has no GPU.
            share: share of a GPU of a slot if the cluster has GPUs.
            slots: maximum number of slots; as many as the cluster has room for if None.
            time_limit: seconds from submission after which a call is killed.

        Raises:
            UsageError: no cluster answers at RAY_ADDRESS.
        """
        if not ray.is_initialized():
            # "local", because without an address Ray waits long for the last cluster of this machine, which may be dead
            address = os.environ.get("RAY_ADDRESS", "local")
            own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            try:
                with announced(f"Ray to start or answer at {address}; Ctrl-C ends the command"):
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
            except (ConnectionError, RuntimeError) as problem:
                raise UsageError(
                    f"--executor ray: no cluster answers at RAY_ADDRESS={address} ({problem}); start one with "
                    "`ray start --head`, or unset RAY_ADDRESS to start one on this machine"
                ) from problem
        cluster = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = cluster.get("GPU", 0.0)
        capacity = int(gpus / share) if gpus else int(cluster.get("CPU", 1.0) // threads)
        self.slots = max(1, min(capacity, slots or capacity))
        self._time_limit = time_limit
        self._task: Any = ray.remote(_call).options(
            num_cpus=0 if gpus else threads,
            num_gpus=share if gpus else 0,
            max_retries=RETRIES,
            runtime_env={"env_vars": dict(environment)},
        )
        self._running: dict[Future[Any], Any] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run `function(*arguments)` in a free slot; both must pickle.

        Raises:
            RuntimeError: no slot is free.
        """
        if len(self._running) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots of the executor are busy; wait for a call to end")
        result: Future[Any] = Future()
        result.set_running_or_notify_cancel()
        reference, late = self._task.remote(function, arguments, module_path(), os.getcwd()), threading.Event()
        self._running[result] = reference

        def kill() -> None:
            late.set()
            ray.cancel(reference, force=True)

        clock = threading.Timer(self._time_limit or threading.TIMEOUT_MAX, kill)
        clock.daemon = True

        def pass_on(done: Future[Any]) -> None:
            clock.cancel()
            problem = done.exception()
            self._running.pop(result, None)
            if problem is None:
                result.set_result(done.result())
            elif late.is_set() and self._time_limit:
                result.set_exception(time_limit_exceeded(self._time_limit))
            elif isinstance(problem, RayTaskError):  # the call's own exception, which Ray wraps
                result.set_exception(getattr(problem, "cause", None) or problem)
            else:
                result.set_exception(WorkerDied(f"the Ray worker was lost ({problem}); --retry-failed repeats the run"))

        if self._time_limit:
            clock.start()
        reference.future().add_done_callback(pass_on)
        return result

    def stop(self) -> None:
        """End the workers at once, with the calls that they are running."""
        with interrupts_deferred():
            while self._running:
                ray.cancel(self._running.popitem()[1], force=True)
            ray.shutdown()
