"""The trainer's `torch_compile=True` in bf16, in a separate stage because compiling takes long."""

from __future__ import annotations

import traceback

from gpu_stages.common import Stage, failure, release
from gpu_stages.training import STEPS, measured


def run(stage: Stage) -> None:
    """Measure plain bf16 with `torch_compile=True`: the time of a compiled step, and that of compiling."""
    for size in (32, 128, 512):
        if stage.left() < 10:
            return
        if stage.small:
            stage.skipped("torch_compile=True")
            return
        try:
            for turn in ("first", "again"):
                figures = measured(stage, "compiled", size)
                rate = figures["steps a second"]
                compiling = figures["seconds"] - STEPS[size] / rate
                stage.report(
                    f"plain bf16 compiled at {size}, {turn}",
                    f"{1000 / rate:.1f} ms a step, {figures['memory']:.1f} GiB; compiling took {compiling:.0f} s",
                )
                release()
        except Exception as problem:
            traceback.print_exc()
            stage.report(f"plain bf16 compiled at {size}", failure(problem))
            return
