"""Executor with worker processes on this machine, which stay alive because importing torch takes seconds.

Pools of libraries share a queue and a lock among their processes, so a process that is killed or stopped at the wrong
moment (starting, idle, taking a call) breaks or blocks the pool. Here each worker has its own pipe.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import cloudpickle

import harness
from harness.executors import WorkerDied, module_path, streams, time_limit_exceeded
from harness.executors.signals import interrupts_deferred

BOOT = Path(__file__).with_name("boot.py")

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class ProcessExecutor:
    """Executor with one worker process per slot, each with its own environment variables (its GPU, its threads).

    A worker that died, or was stopped for its time limit, is replaced when its slot is next used.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        time_limit: float | None = None,
        prepare: Callable[[], None] | None = None,
        ahead: int | None = None,
    ) -> None:
        """Make one slot for each environment.

        Args:
            environments: environment variables of each slot's worker.
            time_limit: seconds after which a call and its worker are killed. The time counts from `submit`, so that a
                worker that hangs while it starts is also noticed.
            prepare: function that each worker calls before its first call; it must pickle. Without it, workers start
                on demand.
            ahead: number of workers that start now if there is a `prepare`; all if None.
        """
        self.slots = len(environments)
        self._environments = [dict(environment) for environment in environments]
        self._time_limit = time_limit
        self._workers: list[_Worker | None] = [None] * self.slots
        self._busy: dict[int, Future[Any]] = {}
        self._prepare = prepare
        if prepare is not None:
            with interrupts_deferred():
                for slot in range(self.slots if ahead is None else min(ahead, self.slots)):
                    self._workers[slot] = _Worker(self._environments[slot], prepare)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run `function(*arguments)` in a free slot; both must pickle.

        Raises:
            RuntimeError: no slot is free.
        """
        slot = next((s for s in range(self.slots) if s not in self._busy or self._busy[s].done()), None)
        if slot is None:
            raise RuntimeError(f"all {self.slots} slots of the executor are busy; wait for a call to end")
        with interrupts_deferred():  # otherwise an interrupted start would leak a worker
            worker = self._workers[slot]
            if worker is None or not worker.alive():
                worker = self._workers[slot] = _Worker(self._environments[slot], self._prepare)
        call = cloudpickle.dumps((function, arguments))  # pickles definitions of the user's main module by value
        result: Future[Any] = Future()
        result.set_running_or_notify_cancel()
        self._busy[slot] = result
        threading.Thread(target=worker.answer, args=(result, call, self._time_limit), daemon=True).start()
        return result

    def stop(self) -> None:
        """End the workers at once, with the calls that they are running."""
        with interrupts_deferred():
            for worker in filter(None, self._workers):
                worker.kill()
            self._workers = [None] * self.slots


class _Worker:
    """A process, and the driver's end of the pipe to it."""

    def __init__(self, environment: Mapping[str, str], prepare: Callable[[], None] | None) -> None:
        streams.open_missing()
        self._pipe, theirs = Pipe()
        self._asking = threading.Lock()  # poll() from two threads at once can report a dead process as alive
        # A new process and not a fork, because the driver has threads and CUDA cannot be forked; and not a process of
        # multiprocessing, which imports the user's main module again and searches the current folder first.
        command = [sys.executable, "-P", str(BOOT), str(theirs.fileno()), str(os.getpid())]
        surroundings = {**os.environ, "PYTHONUTF8": str(sys.flags.utf8_mode), **environment}
        # A terminal sends Ctrl-C to workers as well. They inherit the blocked signal before their first instruction.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                command, env=surroundings, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that the worker's death ends the pipe
        with suppress(OSError):  # the worker may have died already; its first call will report that
            self._pipe.send((module_path(), harness.__file__))
            self._pipe.send_bytes(cloudpickle.dumps(prepare))

    def alive(self) -> bool:
        """Return whether the process is running."""
        with self._asking:
            return self._process.poll() is None

    def kill(self) -> None:
        """End the process, even one that is stopped or stuck outside of Python."""
        with self._asking:
            self._process.kill()
            self._process.wait()

    def answer(self, result: Future[Any], call: bytes, time_limit: float | None) -> None:
        """Let the process execute a pickled call, and put its result or exception into `result`; runs in a thread.

        Args:
            result: future of the call.
            call: the pickled function and arguments.
            time_limit: seconds after which the process is killed.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.kill()

        clock = threading.Timer(time_limit or threading.TIMEOUT_MAX, stop)
        clock.daemon = True
        if time_limit:
            clock.start()
        good, value = False, None
        try:
            self._pipe.send_bytes(call)
            while not self._pipe.poll(1.0):  # a child of the worker may keep the pipe open after the worker's death
                if not self.alive() and not self._pipe.poll(0):
                    raise EOFError
            good, value = self._pipe.recv()
        except (EOFError, OSError):
            self.kill()
            code = self._process.returncode
            value = WorkerDied(f"the worker process died (exit code {code}); --retry-failed repeats the run")
        except Exception as problem:  # the answer cannot be unpickled here
            value = problem
        clock.cancel()
        if late.is_set():
            self.kill()
            good, value = False, time_limit_exceeded(time_limit or 0.0)
        if good:
            result.set_result(value)
        else:
            result.set_exception(value)


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process and return its result; its imports and memory are freed with the process."""
    executor = ProcessExecutor([{}])
    try:
        return executor.submit(function, *arguments).result()
    finally:
        executor.stop()


def serve(pipe: Connection, driver: int) -> None:
    """Run a worker: prepare, then execute one call after another until the driver ends."""
    streams.guard()
    _exit_with(driver)
    with suppress(Exception):  # the first call will raise and report the same error
        if (ready := pickle.loads(pipe.recv_bytes())) is not None:
            ready()
    while True:
        try:
            call = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_execute_call(call))


def _execute_call(call: bytes) -> bytes:
    """Return the pickled answer to a pickled call: (True, its result) or (False, its exception)."""
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((True, function(*arguments)))
    except BaseException as problem:
        try:
            answer = pickle.dumps((False, problem))
            pickle.loads(answer)  # some exceptions can be pickled, but not unpickled
            return answer
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(problem).__name__}: {problem}")))


def _exit_with(driver: int) -> None:
    """End this process when the driver has died; the next driver will repeat the run.

    On Linux the kernel does so at once, even if the process is stopped or holds the interpreter's lock.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
