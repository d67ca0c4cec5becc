"""What only a GPU can show; skipped where there is none. The same functions are tested for equality on a CPU."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import make_model, sentences
from sentence_transformers import SentenceTransformer

from harness.compat import losses
from harness.model.attention import flash_serves, jagged_attention
from harness.model.blocks import within_sentences
from harness.model.capture import CapturedPasses
from harness.model.fast import FastSentenceTransformer
from harness.model.packing import Packing
from harness.spec.space import Point
from harness.training.precision import prefer_deterministic_kernels
from harness.training.train import Schedule, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_the_flash_kernel_serves_a_bert_in_bf16() -> None:
    assert flash_serves(torch.device("cuda"), torch.bfloat16, 12, 64)
    assert not flash_serves(torch.device("cuda"), torch.float32, 12, 64)


def test_jagged_attention_is_what_the_cpu_computes() -> None:
    lengths = np.array([1, 3, 3, 6])
    torch.manual_seed(0)
    inputs = torch.randn(3, 13, 2, 8)
    on_gpu = inputs.cuda()
    wanted = within_sentences(inputs[0], inputs[1], inputs[2], Packing(lengths, torch.device("cpu")), 0.5, 0.0)
    got = jagged_attention(on_gpu[0], on_gpu[1], on_gpu[2], Packing(lengths, torch.device("cuda")), 0.5, 0.0)

    assert (got.cpu() - wanted).abs().max() < 1e-5


def test_gradients_are_those_of_the_plain_forward(hub_root: Path) -> None:
    columns = [sentences(random.Random(i), 40) for i in range(3)]
    found = []
    for cls in (SentenceTransformer, FastSentenceTransformer):
        model = make_model(hub_root, cls, "float32").cuda().train()
        loss = losses.MultipleNegativesRankingLoss(model)
        features = [
            {name: x.cuda() if isinstance(x, torch.Tensor) else x for name, x in model.preprocess(column).items()}
            for column in columns
        ]
        if isinstance(model, FastSentenceTransformer):
            model.way = "packed"
            model.announce_batch(features)
        loss(features, None).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    plain, fast = found

    assert all((fast[name] - gradient).abs().max() < 1e-4 for name, gradient in plain.items())


def test_captured_passes_give_the_gradients_of_the_pass_itself(hub_root: Path) -> None:
    found, used = [], []
    for passes in (None, CapturedPasses()):
        model = make_model(hub_root, FastSentenceTransformer, "float32").cuda().train()
        model.passes, model.way = passes, "packed" if passes is None else "captured"
        loss = losses.MultipleNegativesRankingLoss(model)
        for batch in range(6):
            features = [model.preprocess(sentences(random.Random(10 * batch + i), 32)) for i in range(2)]
            lengths = [column["attention_mask"].sum(dim=1).tolist() for column in features]
            for column in features:
                column.update({name: x.cuda() for name, x in column.items() if isinstance(x, torch.Tensor)})
            model.zero_grad()
            with torch.autocast("cuda", dtype=torch.bfloat16):
                model.announce_batch(features, lengths)
                value = loss(features, None)
            value.backward()
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        used.append(passes.used if passes is not None else 0)
        model.end_training()

    assert used[0] == 0
    assert used[1] >= 2, "also while the last batch's loss is alive, whose gradients are another stream's"
    for wanted, got in zip(found[:6], found[6:], strict=True):
        assert (got - wanted).norm() < 0.02 * wanted.norm()


def test_a_step_never_waits_for_the_gpu(hub_root: Path) -> None:
    """With the lengths told by the collator, nothing between batch and gradients asks the GPU for a value."""
    model = make_model(hub_root, FastSentenceTransformer, "float32").cuda().train()
    model.way = "packed"
    loss = losses.MultipleNegativesRankingLoss(model)
    features = [model.preprocess(sentences(random.Random(i), 16)) for i in range(2)]
    lengths = [column["attention_mask"].sum(dim=1).tolist() for column in features]
    for column in features:
        column.update({name: x.cuda() for name, x in column.items() if isinstance(x, torch.Tensor)})
    for mode in ("default", "error"):  # the first pass tries the kernels, which may wait
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                model.announce_batch([dict(column) for column in features], lengths)
                value = loss(model._columns, None)
            value.backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_training_in_bf16_lowers_the_loss(hub_root: Path, tmp_path: Path) -> None:
    words = sentences(random.Random(1), 64, longest=8)
    rows = Dataset.from_dict({"anchor": words, "positive": [f"{text} {text}" for text in words]})
    model = make_model(hub_root, FastSentenceTransformer, "float32").cuda()
    loss = losses.MultipleNegativesRankingLoss(model)

    def value() -> float:
        features = [
            {name: x.cuda() if isinstance(x, torch.Tensor) else x for name, x in model.preprocess(rows[name_]).items()}
            for name_ in rows.column_names
        ]
        with torch.no_grad():
            return float(loss(features, None))

    before = value()
    train(model, loss, rows, Point(batch_size=16, lr=1e-3), Schedule(5), seed=0, precision="bf16", folder=tmp_path)
    model.eval()

    assert value() < 0.9 * before
    assert np.isfinite(model.embed(words)).all()


@pytest.mark.parametrize("way", ["captured", "packed"])
def test_the_same_run_twice_is_the_same_to_the_bit(way: Any, hub_root: Path, tmp_path: Path) -> None:
    prefer_deterministic_kernels()
    words = sentences(random.Random(1), 256, longest=8)
    rows = Dataset.from_dict({"anchor": words, "positive": [f"{text} {text}" for text in words]})
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        model = make_model(hub_root, FastSentenceTransformer, "float32").cuda()
        loss = losses.MultipleNegativesRankingLoss(model)
        point, schedule = Point(batch_size=16, lr=1e-3), Schedule(1)
        train(model, loss, rows, point, schedule, seed=0, precision="bf16", folder=tmp_path, way=way)
        found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))

    assert torch.equal(*found)
