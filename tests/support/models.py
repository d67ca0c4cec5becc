"""Small models, their sentences and losses, for tests of the forward."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from harness.compat import (
    UNPACKED,
    NoDuplicatesBatchSampler,
    Pooling,
    column_merging_disabled,
    load_transformer,
    losses,
)
from harness.model.fast import FastSentenceTransformer, Way

Model = TypeVar("Model", bound=SentenceTransformer)

FAST_WAYS: tuple[Way, ...] = ("chunks",) if UNPACKED else ("packed", "chunks")
"""The fast paths of a BERT on a CPU under the installed version, fastest first."""
needs_packing = pytest.mark.skipif(bool(UNPACKED), reason=UNPACKED)

hashes_rows = "precompute_hashes" in signature(NoDuplicatesBatchSampler).parameters
"""Whether the samplers are those of sentence-transformers 5.3 and newer."""
NO_DUPLICATES = ["no_duplicates", *["no_duplicates_hashed"] * hashes_rows]
"""The samplers of the installed version that put no text twice into a batch."""
ALWAYS_REFUSED = (f"packed: {UNPACKED}",) if UNPACKED else ()
"""What every certificate says under the installed version."""


class MeanSquares(nn.MSELoss):
    """What the cosine loss takes, which makes labels float32: torch 2.11 has no gradient where the model is float64."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target.to(input.dtype))


def cosine(model: SentenceTransformer) -> nn.Module:
    return losses.CosineSimilarityLoss(model, loss_fct=MeanSquares())


LOSSES: dict[str, tuple[Callable[[SentenceTransformer], nn.Module], int]] = {
    "mnr": (losses.MultipleNegativesRankingLoss, 2),
    "mnr with negatives": (losses.MultipleNegativesRankingLoss, 3),
    "cosine": (cosine, 2),
    "softmax": (lambda model: losses.SoftmaxLoss(model, 32, 3), 2),
    "triplet": (losses.TripletLoss, 3),
    "cached mnr": (lambda model: losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=20), 2),
}


WORDS = [
    "the",
    "woman",
    "man",
    "child",
    "holds",
    "paints",
    "apple",
    "boat",
    "house",
    "in",
    "park",
    "near",
    "river",
    "never",
    "young",
    "old",
]


def make_model(hub_root: Path, cls: type[Model], dtype: str = "float64", pooling: str = "mean") -> Model:
    folder = hub_root / "models" / "google-bert" / "bert-base-uncased"
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    transformer = load_transformer(str(folder), model_kwargs={"dtype": dtype}, config_kwargs=no_dropout)
    return going(cls(modules=[transformer, Pooling(32, pooling_mode=pooling)], device="cpu"))


def going(model: Model, way: Way | None = None) -> Model:
    """Let a fast model train one way, the fastest that may suit it if none is given, as a certificate would."""
    if isinstance(model, FastSentenceTransformer):
        model.way = way or model.ways[0]
    return model


def sentences(rng: random.Random, count: int, longest: int = 30) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


def backward(
    model: Any,
    make: Callable[[SentenceTransformer], nn.Module],
    columns: list[list[str]],
    labels: torch.Tensor | None,
    announced: bool = False,
) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    loss = make(model).to(model.dtype if hasattr(model, "dtype") else torch.float64)
    model.train()
    features = [model.preprocess(column) for column in columns]
    with column_merging_disabled() if announced else nullcontext():
        if announced:
            model.announce_batch(features)
        value = loss(features, labels)
    value.backward()
    gradients = {f"loss.{n}": p.grad for n, p in loss.named_parameters() if p.grad is not None}
    return {"": value.detach(), **gradients, **{n: p.grad for n, p in model.named_parameters() if p.grad is not None}}


class Counted:
    """Counts how often a model's transformer runs, and over how many tokens, padding included."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.calls = self.tokens = 0
        bert: Any = model[0].auto_model
        bert.embeddings.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls += 1
        self.tokens += kwargs["input_ids"].numel()
