"""c. Training, alternating: plain fp32, plain bf16, the library's unpadding, the harness with and without graphs.

Steps per second are those of the last two thirds of a training, when graphs are recorded; results.json also has those
of the whole training. Each is compared with two lower bounds of the time: the model's arithmetic at the measured rate
of products, and the 28 bytes per weight that AdamW moves at the measured rate of copying.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from training import arithmetic, train_plainly
from transformers import TrainerCallback

from gpu_stages.ceilings import copy_rate, product_rate
from gpu_stages.common import BYTES_A_WEIGHT, Stage, base_model, failure, model_folder, now, pairs, release
from harness.model.certificate import certify
from harness.spec import losses
from harness.spec.space import Point
from harness.training.train import Schedule, train

SHAPE = "bert-base"
STEPS = {16: 45, 32: 60, 64: 45, 128: 36, 512: 15, 4096: 2}
"""Steps of a training by batch size; the largest batch is that of GradCache."""

CACHED = 4096
MNR = losses.MultipleNegativesRankingLoss
GRADCACHE = losses.CachedMultipleNegativesRankingLoss.given(mini_batch_size=64)

OF_HARNESS = {"harness": None, "not captured": "packed"}
PLAIN = {"plain fp32": {}, "plain bf16": {"bf16": True}, "unpadded": {"bf16": True}, "compiled": {"bf16": True}}

ORDER = (
    *((size, side) for side in ("harness", "plain bf16", "not captured") for size in (32, 128, 512)),
    (32, "plain fp32"),
    *((size, side) for size in (16, 64) for side in ("plain bf16", "harness", "not captured")),
    *((CACHED, side) for side in ("plain bf16", "harness")),
    *((size, "unpadded") for size in (32, 512)),
    *((size, "plain fp32") for size in (512, 128, 16, 64)),
)
"""The measurements, the most important first."""


@dataclass
class Marks(TrainerCallback):
    """The time after a third of the steps and after the last."""

    device: str
    steps: int
    done: int = 0
    times: list[float] = field(default_factory=list)

    def step(self, share: float = 0.0) -> None:
        """Count a step."""
        self.done += 1
        if self.done in (max(1, self.steps // 3), self.steps):
            self.times.append(now(self.device))

    def on_step_end(self, *arguments: Any, **others: Any) -> None:
        self.step()

    @property
    def rate(self) -> float:
        """Steps a second between the two marks."""
        return (self.steps - max(1, self.steps // 3)) / (self.times[1] - self.times[0])


def run(stage: Stage) -> None:
    """Measure in rounds until the time is over, then report the medians, one line per batch size."""
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    longest = 0.0
    try:
        for repeat in range(1 if stage.small else 3):
            for size, side in ORDER:
                if stage.left() < 2 + 1.3 * longest:
                    return
                if repeat and size == CACHED:
                    continue
                began = time.monotonic()
                try:
                    found.setdefault((size, side), []).append(measured(stage, side, size))
                except Exception as problem:
                    traceback.print_exc()
                    stage.report(f"batch {size}, {side}", None, failed=failure(problem))
                    if not repeat:
                        stage.report(f"{side} at {size}", failure(problem))
                release()
                longest = max(longest, time.monotonic() - began)
    finally:
        _report_medians(stage, found)


def measured(stage: Stage, side: str, size: int) -> dict[str, Any]:
    """Train once and report the rates, their shares of the bounds, the passes and the peak memory."""
    size, steps = (min(size, 16), 3) if stage.small else (size, STEPS[size])
    rows, folder = _rows(size * steps), Path(tempfile.mkdtemp())
    make = GRADCACHE if size >= CACHED else MNR
    if stage.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    marks, precision = Marks(stage.device, steps), "bf16" if stage.device == "cuda" and side != "plain fp32" else "fp32"
    figures: dict[str, Any] = {}
    if side in OF_HARNESS:
        model = base_model(SHAPE, stage.small)
        certificate = certify(model, make, {}, rows, precision)
        way: Any = OF_HARNESS[side] or certificate.path
        torch.manual_seed(0)
        done = train(
            model,
            make(model),
            rows,
            Point(batch_size=size, lr=2e-5),
            Schedule(1),
            seed=0,
            precision=precision,
            folder=folder,
            way=way,
            on_step=marks.step,
        )
        passes = {str(name): count for name, count in done.passes.items()}
        graphs = model.passes.problem if model.passes is not None else None
        figures |= {"seconds": done.seconds, "way": way, "certificate": certificate.seconds, "passes": passes}
        figures |= {"captured": passes.get("captured", 0) / max(1, sum(passes.values())), "graphs": graphs}
    else:
        plain: Any = (
            _unpadding(stage) if side == "unpadded" else SentenceTransformer(_folder(stage), device=stage.device)
        )
        others = PLAIN[side] if stage.device == "cuda" else {}
        others = {**others, "torch_compile": True} if side == "compiled" else others
        seconds, _ = train_plainly(
            plain, make(plain), rows, size, 2e-5, folder, stage.device, callbacks=[marks], **others
        )
        figures |= {"seconds": seconds, "captured": 0.0}
    tokens, operations, weights = _work(stage)
    tokens, operations = tokens * size, operations * size
    arithmetic_floor = operations / product_rate(stage.device, precision)
    figures |= {
        "steps a second": marks.rate,
        "tokens a second": marks.rate * tokens,
        "of the peak": marks.rate * arithmetic_floor,
        "arithmetic floor": arithmetic_floor,
        "optimizer floor": weights * BYTES_A_WEIGHT / copy_rate(stage.device),
        "memory": torch.cuda.max_memory_allocated() / 2**30 if stage.device == "cuda" else 0.0,
    }
    stage.report(f"batch {size}, {side}", None, batch=size, side=side, **figures)
    return figures


def _report_medians(stage: Stage, found: dict[tuple[int, str], list[dict[str, Any]]]) -> None:
    """Tell a line for each batch size: milliseconds a step of each side, ratios, floors."""
    for size in sorted({size for size, _ in found}):
        sides = {side: rounds for (other, side), rounds in found.items() if other == size and rounds}
        rates = {side: statistics.median(each["steps a second"] for each in rounds) for side, rounds in sides.items()}
        if not rates:
            continue
        best = sides.get("harness", next(iter(sides.values())))[-1]
        times = ", ".join(f"{side} {1000 / rate:.1f}" for side, rate in rates.items())
        ratio = ""
        if "harness" in rates:
            ratios = [f"{rates['harness'] / rates[side]:.1f}x {side[6:]}" for side in rates if side.startswith("plain")]
            ratio = f"; harness {', '.join(ratios)}, {best['of the peak']:.0%} of peak, {best['captured']:.0%} captured"
        floors = f"floors {1000 * best['arithmetic floor']:.1f} + {1000 * best['optimizer floor']:.1f}"
        memory = f"{best['memory']:.1f} GiB, {best['tokens a second']:,.0f} tokens/s"
        stage.report(
            f"batch {size}",
            f"ms per step: {times}; {floors}{ratio}, {memory}",
            batch=size,
            rates=rates,
            medians_of=len(sides),
        )
    refused = {each["graphs"] for rounds in found.values() for each in rounds if each.get("graphs")}
    if refused:
        stage.report("graphs given up", "; ".join(sorted(refused)))


@cache
def _rows(count: int) -> Any:
    return pairs(count)


def _folder(stage: Stage) -> str:
    return model_folder(SHAPE, stage.small)


@cache
def _work(stage: Stage) -> tuple[float, float, int]:
    """Return the real tokens and the operations of a row, and the model's weights."""
    model, rows = base_model(SHAPE, stage.small), _rows(2000).to_pandas()
    tokens, operations = arithmetic(model, rows)
    return tokens / len(rows), operations / len(rows), sum(p.numel() for p in model.parameters())


def _unpadding(stage: Stage) -> Any:
    """Return the library's model that concatenates its inputs, with flash attention if its kernels are available."""
    return SentenceTransformer(
        _folder(stage), device=stage.device, model_kwargs={"attn_implementation": "flash_attention_2"}
    )
