"""b. Every fast path on this device against plain sentence-transformers: embeddings, gradients, three optimizer steps.

The comparison is that of the harness's certificate (`harness/model/trial.py`), on more and larger batches than in a
run. Then follow the weights after three steps of AdamW, a bitwise comparison of two equal trainings, and whether a step
waits for the GPU.
"""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.util import batch_to_device
from torch import Tensor

from gpu_stages.common import Stage, base_model, failure, own_pairs, pairs, release, sentence
from gpu_stages.waiting import waits
from harness.model import packing
from harness.model.agreement import FLOOR, RATIO, RATIO_IN_FLOAT32, ROUNDING
from harness.model.batches import Batch, lengths_of
from harness.model.certificate import certify
from harness.model.fast import AGREEMENT
from harness.model.trial import Trial, autocast_forward
from harness.spec import losses
from harness.spec.space import Point
from harness.training.train import Schedule, train

MNR = losses.MultipleNegativesRankingLoss
CACHED = losses.CachedMultipleNegativesRankingLoss
ROWS = 64


def run(stage: Stage) -> None:
    """Certify bert-base, then a training of it as a whole, then the other shapes."""
    checks: tuple[tuple[str, Callable[[Stage], None]], ...] = (
        ("embedded", lambda stage: _certified(stage, "embedded")),
        ("bert-base", lambda stage: _certified(stage, "bert-base")),
        ("the same run twice", _twice),
        ("waiting for the GPU", _waiting),
        ("minilm", lambda stage: _certified(stage, "minilm")),
    )
    for what, check in checks:
        try:
            check(stage)
        except Exception as problem:
            traceback.print_exc()
            stage.report(what, failure(problem), held=False)
        release()


def _certified(stage: Stage, shape: str) -> None:
    """Report for each path of a shape how near it came to its bound, and on which batch."""
    model, rows = base_model(shape, stage.small), own_pairs(ROWS) if shape == "embedded" else pairs(ROWS)
    precision = "bf16" if stage.device == "cuda" else "fp32"
    certificate = certify(model, MNR, {}, rows, precision)
    stage.report(f"{shape}: a run's own", None, **certificate.as_record())
    for way in model.ways:
        said, held = [], True
        worst, where = 0.0, "no batch"
        for name, batch, make in _batches(rows, stage.small):
            try:
                share, took = _share(model, make, rows, precision, batch, way)
            except Exception as problem:
                traceback.print_exc()
                held = False
                said.append(f"{name}: {failure(problem)}")
                continue
            stage.report(f"{shape}, {way}, {name}", None, share=share, passes=took)
            if share is None:
                if way == "captured" and batch.by_loss:
                    continue  # a cached loss's passes wait for one another: none is captured
                held = False
                said.append(f"{name}: never taken")
            elif share > worst:
                worst, where = share, name
        steps, within = _three_steps(model, way, rows, precision, stage.device)
        stage.report(
            f"{shape}, {way}",
            "; ".join([f"{worst:.2f} of its bound ({where})", f"three steps {steps}", *said]),
            held=held and worst <= 1 and within,
            chosen=certificate.path == way,
        )
    refused = f"; refused: {'; '.join(certificate.refused)}" if certificate.refused else ""
    stage.report(f"{shape}: taken", f"{certificate.path}{refused}", path=certificate.path)


def _batches(rows: Any, small: bool) -> Iterator[tuple[str, Batch, Any]]:
    """Yield batches by name, each with its loss."""
    rng, columns = random.Random(1), [list(rows[name]) for name in rows.column_names]
    words = " ".join(columns[0]).split()

    def of_length(length: int) -> str:
        return " ".join(rng.choices(words, k=length))

    for name, count in (("usual", 32), ("one row", 1), ("prime", 31)):
        yield name, Batch(name, [column[:count] for column in columns], None, announced=True), MNR
    equal = [[of_length(18) for _ in range(16)] for _ in range(2)]
    yield "equal lengths", Batch("equal lengths", equal, None, announced=True), MNR
    yield "all cut", Batch("all cut", [column[:16] for column in columns], 8, announced=True), MNR
    mixed = [[of_length(40 if small else 400), *(of_length(1) for _ in range(6))] for _ in range(2)]
    yield "long and short", Batch("long and short", mixed, None, announced=True), MNR
    odd = Batch("GradCache", [column[:37] for column in columns], None, announced=True, by_loss=True)
    yield "GradCache", odd, CACHED


def _share(
    model: Any, make: Any, rows: Any, precision: str, batch: Batch, way: Any
) -> tuple[float | None, dict[str, int]]:
    """Compare one path on one batch with the plain path.

    Args:
        model: the model.
        make: builds the loss from a model.
        rows: rows of the certificate.
        precision: "bf16", "fp16" or "fp32".
        batch: the batch.
        way: the path.

    Returns:
        The difference as a share of its bound, None if the path was not used; and the number of passes by path.
    """
    trial = Trial(model, make, rows, precision)
    if batch.by_loss:
        vars(trial.loss)["mini_batch_size"] = 8  # of 37 rows: the last part has five
    trial.groups = [([batch], ("fp32",) if precision == "fp32" else ("fp32", precision))]
    worst = trial.worst_gap(way)
    return None if worst is None else worst.share, {str(name): count for name, count in trial.model.ran.items()}


def _three_steps(model: Any, way: Any, rows: Any, precision: str, device: str) -> tuple[str, bool]:
    """Compare the weights after three steps of AdamW with those of the plain path in float64.

    Args:
        model: the model.
        way: the path.
        rows: training rows.
        precision: "bf16", "fp16" or "fp32".
        device: "cuda" or "cpu".

    Returns:
        The relative distances of the path and of the plain path, as text; and whether they are within the bound.
    """
    exact = _moved(model, "plain", rows, "fp32", device, double=True)
    size, said, held = float(exact.norm()), [], True
    for each in dict.fromkeys(("fp32", precision)):
        usual, fast = (float((_moved(model, go, rows, each, device) - exact).norm()) / size for go in ("plain", way))
        bound = max(AGREEMENT, RATIO_IN_FLOAT32 * usual)
        if each != "fp32":
            bound = RATIO * usual + FLOOR * ROUNDING[each][1]
        held = held and fast <= bound
        said.append(f"{each} {fast:.1e} (plain {usual:.1e})")
    return ", ".join(said), held


def _moved(model: Any, way: Any, rows: Any, precision: str, device: str, double: bool = False) -> Tensor:
    """Return the change of all weights in three steps on one batch without dropout, as one vector."""
    import copy

    model = copy.deepcopy(model)
    model = model.double() if double else model
    for module in model:
        module.eval()
    model.training, model.way = True, way
    loss, parameters = MNR(model), [p for p in model.parameters() if p.requires_grad]
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, eps=1e-6, fused=device == "cuda")
    for step in range(-2, 3):  # two passes first, because a graph is recorded when its shape occurs again
        columns = [dict(batch_to_device(model.preprocess(rows[name][:32]), model.device)) for name in rows.column_names]
        model.announce_batch(columns, lengths_of(columns))
        with autocast_forward(model, precision), nullcontext() if way == "plain" else column_merging_disabled():
            value = loss(columns, None)
        torch.autograd.backward(value)
        if step >= 0:
            optimizer.step()
        optimizer.zero_grad()
    model.end_training()
    return torch.cat([(p.detach() - then).double().flatten() for p, then in zip(parameters, before, strict=True)])


def _trained(stage: Stage, way: Any, steps: int = 12) -> Tensor:
    """Return all weights after some steps of a training as in a run, as one vector."""
    torch.manual_seed(0)
    model = base_model("bert-base", stage.small)
    train(
        model,
        MNR(model),
        pairs(ROWS),
        Point(batch_size=16, lr=1e-4),
        Schedule(1, examples=16 * steps),
        seed=0,
        precision="bf16" if stage.device == "cuda" else "fp32",
        folder=Path(tempfile.mkdtemp()),
        way=way,
    )
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _twice(stage: Stage) -> None:
    """Compare two equal trainings bit by bit, and a third one whose copies to the device are synchronous.

    If they differ, the reason is nondeterministic kernels if two trainings by the plain path also differ, and if
    synchronous copies make no difference; a copy that arrived too late would make one.
    """
    start = torch.cat([p.detach().flatten() for p in base_model("bert-base", stage.small).parameters()])

    def apart(way: Any, context: Callable[[], Any] = nullcontext) -> float:
        one = _trained(stage, way)
        with context():
            other = _trained(stage, way)
        return float((one - other).norm() / (one - start).norm())

    ways = ("captured", "packed") if stage.device == "cuda" else ("packed",)
    plain = apart("plain")
    differences = {way: apart(way) for way in ways}
    waiting = apart("packed", lambda: patch.object(packing, "index_tensor", _at_once))
    alike = plain == 0 and not any(differences.values())
    explained = plain > 0 and max(*differences.values(), waiting) <= max(10 * plain, 0.05)
    why = "bitwise equal" if alike else "nondeterministic kernels" if explained else "NOT EXPLAINED"
    by_path = ", ".join(f"{way} {difference:.1e}" for way, difference in differences.items())
    stage.report(
        "the same run twice",
        f"{why}: {by_path}, plain {plain:.1e}, synchronous copies {waiting:.1e}, relative to the change of the weights",
        held=alike or explained,
    )


def _at_once(device: torch.device, numbers: Any) -> Tensor:
    moved = torch.from_numpy(numbers).to(device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return moved


def _waiting(stage: Stage) -> None:
    if stage.device != "cuda":
        stage.skipped("waiting for the GPU")
        return
    rng = random.Random(0)  # of one length, because a step waits when a new shape is recorded
    texts = [sentence(rng, 20) for _ in range(16 * ROWS)]
    rows = Dataset.from_dict({"anchor": texts, "positive": texts[::-1]})
    for way in ("captured", "packed"):
        places = waits(base_model("bert-base", False), MNR, rows, way)
        text = ", ".join(f"{place} x{count}" for place, count in places.most_common(3)) or "never in ten steps"
        stage.report(f"waiting for the GPU, {way}", text, held=not places, places=dict(places))
