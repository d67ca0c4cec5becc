"""How long does it take until a killed worker is noticed, and until it is replaced?

    python benchmarks/recovery.py [--executors local ray] [--repeats 5]

A worker receives SIGKILL during a call. For local workers, the benchmark measures the seconds until the call's future
raises, and until a new worker has finished another call. Ray repeats the lost call by itself, so the seconds until it
starts again are measured. The time for importing torch, which a new worker needs before its first run, is not included
and is printed separately.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.executors import Executor
from harness.executors.start import start


def hold(path: str) -> None:
    """Write the id of the process that executes this call to a file, and never return."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)


def import_seconds() -> float:
    """Return the seconds that importing the modules of a run takes."""
    began = time.perf_counter()
    importlib.import_module("harness.engine.run")
    return time.perf_counter() - began


def until(condition: Callable[[], bool]) -> float:
    """Wait until a condition is true, and return the seconds."""
    began = time.perf_counter()
    while not condition():
        time.sleep(0.001)
    return time.perf_counter() - began


def kill_worker(executor: Executor, name: str) -> tuple[float, float]:
    """Kill the worker of a call; return the seconds until that was noticed, and until the worker was replaced."""
    processes = Path(tempfile.mkdtemp()) / "processes"

    def callers() -> list[str]:
        return processes.read_text(encoding="utf-8").split() if processes.exists() else []

    future = executor.submit(hold, str(processes))
    until(lambda: len(callers()) == 1)
    time.sleep(0.3)
    os.kill(int(callers()[0]), signal.SIGKILL)
    if name == "ray":
        again = until(lambda: len(callers()) == 2)
        return again, again
    noticed = until(future.done)
    return noticed, noticed + until(executor.submit(os.getpid).done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executors", nargs="+", choices=("local", "ray"), default=["local", "ray"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| executor | noticed, median (most) | replaced, median (most) | importing |\n|---|--:|--:|--:|")
    for name in options.executors:
        measured = []
        for _ in range(options.repeats):
            executor = start(name, workers=1)
            measured.append(kill_worker(executor, name))
            executor.stop()
        executor = start(name, workers=1)
        heavy = executor.submit(import_seconds).result()
        executor.stop()
        cells = [f"{statistics.median(each):.2f} s ({max(each):.2f} s)" for each in zip(*measured, strict=True)]
        print(f"| {name} | {cells[0]} | {cells[1]} | {heavy:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
