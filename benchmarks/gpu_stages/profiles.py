"""d. Twenty steps in the profiler: the fifteen longest kernels, launches a step, time in which no kernel runs."""

from __future__ import annotations

import tempfile
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from training import train_plainly
from transformers import TrainerCallback

from gpu_stages.common import Stage, base_model, failure, model_folder, now, pairs, release
from harness.model.certificate import certify
from harness.spec import losses
from harness.spec.space import Point
from harness.training.train import Schedule, train

STEPS, LONGEST = 20, 15
CASES = (("harness", 32), ("harness", 512), ("plain bf16", 32), ("plain bf16", 512))
MNR = losses.MultipleNegativesRankingLoss


class Window(TrainerCallback):
    """Profiles the last steps of a training."""

    def __init__(self, device: str, first: int, last: int) -> None:
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
        self.device, self.first, self.last, self.done = device, first, last, 0
        self.profile: Any = profile(activities=kinds)
        self.seconds = 0.0

    def step(self, share: float = 0.0) -> None:
        """Count a step; start the profiler at step `first`, and stop it at step `last`."""
        self.done += 1
        if self.done == self.first:
            self.profile.start()
            self.seconds = -now(self.device)
        elif self.done == self.last:
            self.seconds += now(self.device)
            self.profile.stop()

    def on_step_end(self, *arguments: Any, **others: Any) -> None:
        self.step()


def run(stage: Stage) -> None:
    """Profile each case for which there is time."""
    for side, size in CASES:
        if stage.left() < 5:
            return
        try:
            _profiled(stage, side, size)
        except Exception as problem:
            traceback.print_exc()
            stage.report(f"{side} at {size}", failure(problem))
        release()


def _profiled(stage: Stage, side: str, size: int) -> None:
    """Profile one training and report its kernels; only one profiler can run at a time."""
    name = f"{side} at {size}"
    steps = 3 if stage.small else STEPS
    warm = 2 if stage.small else 40 if size == 32 else 4  # by then the graphs are recorded
    size = min(size, 16) if stage.small else size
    rows, window = pairs(size * (steps + warm)), Window(stage.device, warm, warm + steps)
    folder, precision = Path(tempfile.mkdtemp()), "bf16" if stage.device == "cuda" else "fp32"
    if side == "harness":
        model = base_model("bert-base", stage.small)
        way = certify(model, MNR, {}, rows, precision).path
        point = Point(batch_size=size, lr=2e-5)
        train(
            model,
            MNR(model),
            rows,
            point,
            Schedule(1),
            seed=0,
            precision=precision,
            folder=folder,
            way=way,
            on_step=window.step,
        )
    else:
        plain = SentenceTransformer(model_folder("bert-base", stage.small), device=stage.device)
        train_plainly(
            plain, MNR(plain), rows, size, 2e-5, folder, stage.device, callbacks=[window], bf16=precision == "bf16"
        )
    seconds: defaultdict[str, float] = defaultdict(float)
    launches = 0
    device_type = DeviceType.CUDA if stage.device == "cuda" else DeviceType.CPU
    for event in window.profile.profiler.kineto_results.events():
        launches += event.name().startswith(("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch"))
        if event.device_type() == device_type:
            seconds[event.name()] += event.duration_ns() / 1e9 / steps
    busy = sum(seconds.values()) * steps
    slowest = sorted(seconds.items(), key=lambda each: -each[1])[:LONGEST]
    longest = [(kernel[:120], 1000 * took) for kernel, took in slowest]
    idle = 1 - busy / window.seconds if stage.device == "cuda" else None
    top = ", ".join(f"{kernel.split('<')[0].split('(')[0][-28:]} {took:.2f}" for kernel, took in longest[:3])
    share = "" if idle is None else f"{idle:.0%} of the time no kernel; "
    stage.report(
        name,
        f"{1000 * window.seconds / steps:.1f} ms a step, {launches / steps:.0f} launches; {share}longest (ms): {top}",
        longest=longest,
        idle=idle,
        launches=launches / steps,
        step=window.seconds / steps,
    )
