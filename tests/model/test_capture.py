"""Captured passes, with a stand-in for CUDA's graphs: what it records it does again, whatever the host knows by then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from models import LOSSES, Counted, backward, make_model, sentences
from recorder import TOLD, Recorder, by_borders, needs_capturing
from sentence_transformers import SentenceTransformer

from harness.compat import Pooling, load_transformer, losses
from harness.model import attention, capture
from harness.model.attention import flash_serves
from harness.model.capture import CapturedPasses
from harness.model.fast import FastSentenceTransformer
from harness.spec.space import Point
from harness.training.train import Schedule, train

pytestmark = needs_capturing


@pytest.fixture(autouse=True)
def _flash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    flash_serves.cache_clear()
    monkeypatch.setattr(attention, "FLASH", by_borders)
    monkeypatch.setattr(capture, "GRID", 64)
    for dtype in (torch.float32, torch.float64):  # on a GPU, the first batch asks; while it is recorded nobody could
        assert flash_serves(torch.device("cpu"), dtype, 2, 16)
    yield
    flash_serves.cache_clear()


def capturing(model: FastSentenceTransformer, fault: str = "") -> Recorder:
    """Let a model capture by a recorder, which is returned."""
    recorder = Recorder(fault)
    model.passes, model.way = CapturedPasses(recorder), "captured"
    return recorder


def batches(texts: int, count: int = 8) -> list[list[list[str]]]:
    """Make batches of as many sentences, whose tokens come to two or three multiples of the grid."""
    rng = random.Random(3)
    return [[sentences(rng, 24, longest=12) for _ in range(texts)] for _ in range(count)]


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_plain_forward(name: str, hub_root: Path) -> None:
    make, texts = LOSSES[name]
    plain, fast = make_model(hub_root, SentenceTransformer), make_model(hub_root, FastSentenceTransformer)
    capturing(fast)
    for columns in batches(texts):
        labels = {"cosine": torch.rand(24, dtype=torch.float64), "softmax": torch.arange(24) % 3}.get(name)
        for model in (plain, fast):
            model.zero_grad()
        wanted, got = backward(plain, make, columns, labels), backward(fast, make, columns, labels, announced=True)
        assert wanted.keys() == got.keys()
        for key, gradient in wanted.items():
            assert (got[key] - gradient).abs().max() <= 1e-12, key

    assert fast.passes is not None
    if name == "cached mnr":
        assert not fast.passes.used, "a pass whose backward waits for others' would lose its memory to them"
    else:
        assert fast.passes.used >= 3, fast.passes.problem


@pytest.mark.parametrize("fault", ["", "raises", "stale", "borders", "scale", "gradients"])
def test_what_gives_anything_else_is_not_used(fault: str, hub_root: Path) -> None:
    """And the gradients are as if it had never been tried."""
    make, texts = LOSSES["mnr"]
    plain, fast = make_model(hub_root, SentenceTransformer), make_model(hub_root, FastSentenceTransformer)
    capturing(fast, fault)
    for columns in batches(texts, 5):
        for model in (plain, fast):
            model.zero_grad()
        wanted, got = backward(plain, make, columns, None), backward(fast, make, columns, None, announced=True)
        assert all((got[key] - gradient).abs().max() <= 1e-12 for key, gradient in wanted.items())

    assert fast.passes is not None
    assert (fast.passes.used > 0) is (fault == "")


def test_a_seed_trains_the_same_model_with_captured_passes_as_without(
    hub_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.training.train.quick_dropout", nullcontext)  # whose bits no GPU draws
    folder = hub_root / "models" / "google-bert" / "bert-base-uncased"
    rng = random.Random(5)
    anchors, positives = sentences(rng, 320, longest=12), sentences(rng, 320, longest=12)
    rows = Dataset.from_dict({"anchor": anchors, "positive": positives})
    trained = []
    for fault in ("", "raises", "scale"):
        no_weights = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.2}
        transformer = load_transformer(str(folder), model_kwargs={"dtype": "float32"}, config_kwargs=no_weights)
        model = FastSentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")
        recorder = capturing(model, fault)
        train(
            model,
            losses.MultipleNegativesRankingLoss(model),
            rows,
            Point(batch_size=32, lr=1e-3),
            Schedule(2),
            seed=7,
            precision="fp32",
            folder=tmp_path,
            way="captured",
        )
        assert model.passes is not None
        assert (model.passes.used > 10) is (fault == "")
        assert not recorder.alive, "evaluation would find the passes' gradients on the GPU"
        trained.append(model.embed(anchors))

    assert all(abs(trained[0] - other).max() < 1e-4 for other in trained[1:])


@pytest.mark.parametrize("words", [5, 40])
def test_the_kernel_is_told_of_no_shorter_sentence_than_there_is(
    words: int, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "GRID", 16)
    fast = make_model(hub_root, FastSentenceTransformer)
    capturing(fast)
    batch = [" ".join(["river"] * words)] * 3
    longest = int(fast.preprocess(batch)["attention_mask"].sum(dim=1).max())
    TOLD.clear()
    for _ in range(2):
        backward(fast, losses.MultipleNegativesRankingLoss, [batch, batch[::-1]], None, announced=True)

    assert fast.passes is not None
    assert fast.passes.used == 1
    assert TOLD, "what is recorded attends by the kernel"
    assert all(told >= longest for told in TOLD)


def test_what_fills_a_batch_may_be_longer_than_the_model_has_positions(
    hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "GRID", 512)  # the model has 64 positions
    make, texts = LOSSES["mnr"]
    plain, fast = make_model(hub_root, SentenceTransformer), make_model(hub_root, FastSentenceTransformer)
    capturing(fast)
    for columns in batches(texts, 3):
        for model in (plain, fast):
            model.zero_grad()
        wanted, got = backward(plain, make, columns, None), backward(fast, make, columns, None, announced=True)
        assert all((got[key] - gradient).abs().max() <= 1e-12 for key, gradient in wanted.items())

    assert fast.passes is not None
    assert fast.passes.used == 2


def test_large_batches_are_neither_filled_nor_captured(hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = batches(2)[0]
    for most, used in ((10_000, 2), (10, 0)):
        monkeypatch.setattr(capture, "TOKENS", most)
        model = make_model(hub_root, FastSentenceTransformer)
        counted = Counted(model)
        capturing(model)
        backward(model, losses.MultipleNegativesRankingLoss, columns, None, announced=True)
        real = sum(int(model.preprocess(column)["attention_mask"].sum()) for column in columns)
        assert counted.tokens == (-(-real // 64) * 64 if used else real)
        for _ in range(2):
            backward(model, losses.MultipleNegativesRankingLoss, columns, None, announced=True)
        assert model.passes is not None
        assert model.passes.used == used
