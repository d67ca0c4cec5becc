"""How long until a killed worker is noticed, and until another has its place?

    python benchmarks/recovery.py [--executors local ray] [--repeats 5]

A worker in the middle of a call gets SIGKILL. Local workers: seconds until the call's future raises, and until a new
worker has done another call. Ray makes the lost call again by itself: seconds until it has begun anew. `import torch`,
which a new worker needs before its first run, comes on top and is printed, too.
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
    """Write down who carries out this call, and go on for ever."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)


def importing() -> float:
    began = time.perf_counter()
    importlib.import_module("harness.engine.run")
    return time.perf_counter() - began


def until(happened: Callable[[], bool]) -> float:
    began = time.perf_counter()
    while not happened():
        time.sleep(0.001)
    return time.perf_counter() - began


def strike(executor: Executor, name: str) -> tuple[float, float]:
    """Kill the worker of a call; return seconds until that was noticed, and until there is another in its place."""
    told = Path(tempfile.mkdtemp()) / "told"

    def callers() -> list[str]:
        return told.read_text(encoding="utf-8").split() if told.exists() else []

    future = executor.submit(hold, str(told))
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
        found = []
        for _ in range(options.repeats):
            executor = start(name, workers=1)
            found.append(strike(executor, name))
            executor.stop()
        executor = start(name, workers=1)
        heavy = executor.submit(importing).result()
        executor.stop()
        cells = [f"{statistics.median(each):.2f} s ({max(each):.2f} s)" for each in zip(*found, strict=True)]
        print(f"| {name} | {cells[0]} | {cells[1]} | {heavy:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
