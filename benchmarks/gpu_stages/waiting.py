"""Where a training waits for the GPU, found by torch's debug mode during ten whole steps of the trainer."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from harness.spec.space import Point
from harness.training.train import Schedule, train

STEPS, FIRST, LAST = 1000, 45, 55
"""A training of STEPS steps logs its loss every twentieth step, which waits; none is logged between FIRST and LAST."""


def waits(model: Any, make_loss: Any, rows: Any, way: Any) -> Counter[str]:
    """Return the lines of code at which ten steps waited for the GPU, with their counts; ideally none.

    `torch.cuda.set_sync_debug_mode("error")` would stop at the first of them, and "warn" reports all.

    Args:
        model: the model.
        make_loss: builds the loss from the model.
        rows: training rows.
        way: forward path of the model.
    """
    done = 0
    caught: Any = warnings.catch_warnings(record=True)
    found: list[warnings.WarningMessage] = []

    def on_step(share: float) -> None:
        nonlocal done, found
        done += 1
        if done == FIRST:
            found = caught.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        elif done == LAST:
            torch.cuda.set_sync_debug_mode("default")
            caught.__exit__(None, None, None)

    try:
        train(
            model,
            make_loss(model),
            rows,
            Point(batch_size=16, lr=1e-5),
            Schedule(1, examples=16 * STEPS, looks=((LAST + 1) / STEPS,)),
            seed=0,
            precision="bf16",
            folder=Path(tempfile.mkdtemp()),
            way=way,
            on_step=on_step,
            on_look=lambda share: True,
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(
        f"{'/'.join(Path(each.filename).parts[-2:])}:{each.lineno}"
        for each in found
        if "synchroniz" in str(each.message)
    )
