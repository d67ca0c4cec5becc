"""The exact forward: the same function, the same gradients, less padding."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import nn

from harness.training.forward import ChunkedSentenceTransformer, cheapest_chunks

LOSSES: dict[str, tuple[Callable[[SentenceTransformer], nn.Module], int]] = {
    "mnr": (losses.MultipleNegativesRankingLoss, 2),
    "mnr with negatives": (losses.MultipleNegativesRankingLoss, 3),
    "cosine": (losses.CosineSimilarityLoss, 2),
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


def make_model(
    hub_root: Path, cls: type[SentenceTransformer], dtype: str = "float64", pooling: str = "mean"
) -> SentenceTransformer:
    folder = hub_root / "models" / "google-bert" / "bert-base-uncased"
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    transformer = Transformer(str(folder), model_kwargs={"dtype": dtype}, config_kwargs=no_dropout)
    return cls(modules=[transformer, Pooling(32, pooling_mode=pooling)], device="cpu")


def sentences(rng: random.Random, count: int, longest: int = 30) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


def backward(
    model: SentenceTransformer,
    make: Callable[[SentenceTransformer], nn.Module],
    columns: list[list[str]],
    labels: torch.Tensor | None,
) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    loss = make(model).to(model.dtype if hasattr(model, "dtype") else torch.float64)
    model.train()
    value = loss([model.preprocess(column) for column in columns], labels)
    value.backward()
    gradients = {f"loss.{n}": p.grad for n, p in loss.named_parameters() if p.grad is not None}
    return {"": value.detach(), **gradients, **{n: p.grad for n, p in model.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_are_those_of_the_plain_forward(name: str, seed: int, hub_root: Path) -> None:
    rng = random.Random(seed)
    make, texts = LOSSES[name]
    size = (23, 33, 40)[seed]
    columns = [sentences(rng, size) for _ in range(texts)]
    labels = {"cosine": torch.rand(size, dtype=torch.float64), "softmax": torch.arange(size) % 3}.get(name)
    counted, plainly = Counted(), Counted()
    plain = make_model(hub_root, SentenceTransformer)
    chunked = make_model(hub_root, ChunkedSentenceTransformer)
    plain[0].register_forward_pre_hook(plainly, with_kwargs=True)
    chunked[0].register_forward_pre_hook(counted, with_kwargs=True)

    wanted, got = backward(plain, make, columns, labels), backward(chunked, make, columns, labels)

    assert wanted.keys() == got.keys()
    for key, gradient in wanted.items():
        assert (got[key] - gradient).abs().max() <= 1e-12, key
    assert counted.calls > plainly.calls, "nothing was cut into chunks: the test would compare a thing with itself"


class Counted:
    """Counts how often the transformer runs, and over how many tokens, padding included."""

    def __init__(self) -> None:
        self.calls = self.tokens = 0

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls += 1
        self.tokens += args[0]["input_ids"].numel()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_embeddings_come_back_in_the_batchs_order(pooling: str, hub_root: Path) -> None:
    model = make_model(hub_root, ChunkedSentenceTransformer, pooling=pooling)
    batch = sentences(random.Random(5), 40)
    model.train()
    together = model(model.preprocess(batch))["sentence_embedding"]
    one_by_one = torch.cat([model(model.preprocess([text]))["sentence_embedding"] for text in batch])

    assert (together - one_by_one).abs().max() <= 1e-12


def test_it_leaves_padding_out(hub_root: Path) -> None:
    model, counted = make_model(hub_root, ChunkedSentenceTransformer), Counted()
    model[0].register_forward_pre_hook(counted, with_kwargs=True)
    features = model.preprocess(sentences(random.Random(5), 64))
    padded, real = features["input_ids"].numel(), int(features["attention_mask"].sum())
    model.train()
    model(features)

    assert counted.tokens < (padded + real) / 2


def test_evaluation_takes_the_plain_forward(hub_root: Path) -> None:
    model, counted = make_model(hub_root, ChunkedSentenceTransformer), Counted()
    model[0].register_forward_pre_hook(counted, with_kwargs=True)
    features = model.preprocess(sentences(random.Random(5), 64))
    model.eval()
    output = model(features)

    assert counted.calls == 1
    assert "token_embeddings" in output


@pytest.mark.parametrize("cost", [0, 1, 7, 80, 10**6])
def test_cheapest_chunks_is_the_best_of_all_ways_to_cut(cost: int) -> None:
    rng = random.Random(cost)
    for _ in range(60):
        lengths = sorted(rng.choices(range(1, 40), k=rng.randint(1, 9)))

        def price(borders: tuple[int, ...], lengths: list[int] = lengths) -> int:
            return sum((end - begin) * lengths[end - 1] + cost for begin, end in itertools.pairwise(borders))

        n = len(lengths)
        ways = [(0, *cuts, n) for k in range(n) for cuts in itertools.combinations(range(1, n), k)]
        got = cheapest_chunks(lengths, cost)

        assert got[0] == 0
        assert got[-1] == n
        assert got == sorted(set(got))
        assert price(tuple(got)) == min(map(price, ways))


def test_a_saved_model_loads_as_a_plain_one_with_equal_embeddings(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, ChunkedSentenceTransformer, dtype="float32")
    model.save_pretrained(str(tmp_path / "m"))
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    batch = sentences(random.Random(6), 20)

    assert type(loaded) is SentenceTransformer
    assert (
        loaded.encode(batch, convert_to_tensor=True) - model.encode(batch, convert_to_tensor=True)
    ).abs().max() <= 1e-6
    assert copy.deepcopy(model).encode("the man").shape == (32,)
