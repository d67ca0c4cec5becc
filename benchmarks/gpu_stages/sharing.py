"""f. Throughput of one, two and four runs that share the device, as with `--runs-per-gpu`."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_stages.common import Stage, failure
from harness.executors.processes import ProcessExecutor
from harness.executors.start import ENVIRONMENT

RUNS = (1, 2, 4)
STEPS = {"bert-base": 150, "embedded": 200}
WARM = 0.4
"""Share of a training that is not counted: by then its graphs are recorded, and it waits for the others."""


PATIENCE = 60
"""Seconds that one training waits for the others."""


def run(stage: Stage) -> None:
    """Let workers train at the same time, and report the total steps per second."""
    counts: Sequence[int] = RUNS[:2] if stage.small else RUNS
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    executor = ProcessExecutor([{**ENVIRONMENT, **threads}] * max(counts))
    try:
        ready = [
            executor.submit(trained, shape, stage.small, 2, tempfile.mkdtemp(), 1)
            for shape in ["bert-base"] * max(counts)
        ]
        for worker in ready:
            worker.result()
        for shape, steps in STEPS.items():
            rates: dict[int, float] = {}
            for count in counts:
                if stage.left() < 4:
                    break
                try:
                    rates[count] = _together(executor, shape, stage.small, 6 if stage.small else steps, count)
                except Exception as problem:
                    traceback.print_exc()
                    stage.report(f"{shape}, {count} runs", failure(problem))
            by_count = ", ".join(f"{count}: {rate:.1f}" for count, rate in rates.items())
            gain = max(rates.values(), default=0) / rates[1] if 1 in rates else 0.0
            text = f"total steps per second by number of runs: {by_count}; at most {gain:.2f} times a single run's"
            stage.report(f"{shape} at 32", text, rates=rates)
    finally:
        executor.stop()


def _together(executor: ProcessExecutor, shape: str, small: bool, steps: int, count: int) -> float:
    """Return the total steps per second of `count` trainings while all of them run.

    Args:
        executor: runs the trainings.
        shape: shape of the model.
        small: use a small shape.
        steps: steps of each training.
        count: number of trainings.
    """
    meeting = tempfile.mkdtemp()
    waiting = [executor.submit(trained, shape, small, steps, meeting, count) for _ in range(count)]
    times = [worker.result() for worker in waiting]
    begins, ends = max(each[0] for each in times), min(each[-1] for each in times)
    if ends <= begins:
        raise RuntimeError(f"{count} runs were never all at work at once")
    return float(sum(sum(begins < moment <= ends for moment in each) for each in times) / (ends - begins))


def trained(shape: str, small: bool, steps: int, meeting: str, count: int) -> list[float]:
    """Train in this process; return the moments at which steps ended, once `count` trainings that meet are warm."""
    import torch

    from gpu_stages.common import base_model, be_quiet, now, own_pairs, pairs
    from harness.model.certificate import certify
    from harness.spec import losses
    from harness.spec.space import Point
    from harness.training.train import Schedule, train

    be_quiet()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = "bf16" if device == "cuda" else "fp32"
    size = 8 if small else 32
    rows = own_pairs(64 * size) if shape == "embedded" else pairs(64 * size)
    model, make = base_model(shape, small), losses.MultipleNegativesRankingLoss
    moments: list[float] = []

    def on_step(share: float) -> None:
        if share < WARM:
            return
        now(device)
        if not moments:
            (Path(meeting) / str(os.getpid())).touch()
            patience = time.time() + PATIENCE
            while len(os.listdir(meeting)) < count and time.time() < patience:
                time.sleep(0.001)
        moments.append(time.time())

    way: Any = certify(model, make, {}, rows, precision).path
    train(
        model,
        make(model),
        rows,
        Point(batch_size=size, lr=2e-5),
        Schedule(1, examples=size * steps),
        seed=0,
        precision=precision,
        folder=Path(tempfile.mkdtemp()),
        way=way,
        on_step=on_step,
    )
    return moments
