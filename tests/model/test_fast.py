"""The exact forward: the same function, the same gradients, less padding."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import FAST_WAYS, LOSSES, WORDS, Counted, backward, cosine, going, make_model, needs_packing, sentences
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import CONFIG_MAPPING, AutoModel, AutoTokenizer, BertModel, PretrainedConfig

from harness.compat import Pooling, load_transformer, losses
from harness.model import attention, products
from harness.model.attention import flash_serves, jagged_attention
from harness.model.blocks import within_sentences
from harness.model.chunks import cheapest_chunks
from harness.model.dropout import quick_dropout
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.packing import Packing, packed
from harness.spec.space import Point
from harness.training.train import Schedule, train


@pytest.fixture(autouse=True)
def _cheap_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut this tiny model's small batches, too: at its width of 32 a chunk costs more than they hold."""
    monkeypatch.setattr("harness.model.chunks.CHUNK_WORK", 80 * 32**2)


@pytest.mark.parametrize("way", FAST_WAYS)
@pytest.mark.parametrize("announced", [False, True], ids=["", "announced"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_are_those_of_the_plain_forward(
    name: str, seed: int, announced: bool, way: Way, hub_root: Path
) -> None:
    rng = random.Random(seed)
    make, texts = LOSSES[name]
    size = (23, 33, 40)[seed]
    columns = [sentences(rng, size) for _ in range(texts)]
    labels = {"cosine": torch.rand(size, dtype=torch.float64), "softmax": torch.arange(size) % 3}.get(name)
    plain = make_model(hub_root, SentenceTransformer)
    fast = make_model(hub_root, FastSentenceTransformer)
    assert fast.ways == FAST_WAYS
    going(fast, way)
    counted, plainly = Counted(fast), Counted(plain)

    wanted, got = backward(plain, make, columns, labels), backward(fast, make, columns, labels, announced)

    assert wanted.keys() == got.keys()
    for key, gradient in wanted.items():
        assert (got[key] - gradient).abs().max() <= 1e-12, key
    assert counted.tokens < plainly.tokens, "no padding was left out: the test would compare a thing with itself"


def test_a_loss_that_looks_into_the_layers_gets_the_plain_forward(hub_root: Path) -> None:
    def layers(model: SentenceTransformer) -> nn.Module:
        return losses.AdaptiveLayerLoss(model, cosine(model), n_layers_per_step=-1)

    columns, labels = [sentences(random.Random(i), 8) for i in range(2)], torch.rand(8, dtype=torch.float64)
    wanted = backward(make_model(hub_root, SentenceTransformer), layers, columns, labels)
    got = backward(make_model(hub_root, FastSentenceTransformer), layers, columns, labels, announced=True)

    assert wanted.keys() == got.keys()
    assert all((got[key] - gradient).abs().max() <= 1e-12 for key, gradient in wanted.items())


def tiny(kind: str, folder: Path, hub_root: Path) -> FastSentenceTransformer:
    """A small untrained model of another make, without dropout."""
    words = hub_root / "models" / "google-bert" / "bert-base-uncased"
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "pad_token_id": 0,
    }
    configure: Callable[..., PretrainedConfig] = CONFIG_MAPPING[kind]
    config = configure(
        **sizes, vocab_size=2000, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=80
    )
    torch.manual_seed(0)
    made = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)  # as made, positions would weigh next to nothing
    made.double().save_pretrained(folder)
    AutoTokenizer.from_pretrained(words).save_pretrained(folder)
    transformer = load_transformer(str(folder), model_kwargs={"dtype": "float64"})
    return going(FastSentenceTransformer(modules=[transformer, Pooling(32)], device="cpu"))


@pytest.mark.parametrize(("kind", "packs"), [("bert", True), ("roberta", True), ("mpnet", False)])
def test_a_model_is_packed_only_if_that_gives_its_embeddings(
    kind: str, packs: bool, tmp_path: Path, hub_root: Path
) -> None:
    """RoBERTa's positions begin elsewhere; MPNet's attention has biases by distance, which packing would lose."""
    model = tiny(kind, tmp_path, hub_root)
    batch = sentences(random.Random(5), 40)
    model.train()
    together = model(model.preprocess(batch))["sentence_embedding"]
    model.eval()
    plainly = model(model.preprocess(batch))["sentence_embedding"]

    assert model.ways == (FAST_WAYS if packs else ("chunks",))
    assert (together - plainly).abs().max() <= 1e-12


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_within_sentences_has_the_right_gradients(dropout: float) -> None:
    packing = Packing(np.array([1, 3, 3, 6]), torch.device("cpu"))
    torch.manual_seed(0)
    inputs = [torch.randn(13, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)  # the same elements are dropped each time
        return within_sentences(query, key, value, packing, 0.5, dropout)

    assert torch.autograd.gradcheck(attend, inputs)
    if not dropout:
        query, key, value = inputs
        jagged = jagged_attention(query, key, value, packing, 0.5, 0.0)
        assert (attend(query, key, value) - jagged).abs().max() <= 1e-12


@pytest.mark.parametrize("learnt", range(3), ids=["queries", "keys", "values"])
def test_attention_learns_whichever_of_its_inputs_is_not_frozen(learnt: int) -> None:
    packing = Packing(np.array([1, 3, 3, 6]), torch.device("cpu"))
    torch.manual_seed(0)
    inputs = [torch.randn(13, 2, 4, dtype=torch.float64) for _ in range(3)]
    inputs[learnt].requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k, v: within_sentences(q, k, v, packing, 0.5, 0.0), inputs)


@pytest.mark.parametrize("fault", ["", "scale", "order", "missing"])
def test_the_flash_kernel_is_used_only_where_it_gives_what_torch_gives(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No CPU has the kernel: what stands in for it attends as it should, or not quite."""

    def kernel(q: Any, k: Any, v: Any, offsets: Any, other: Any, *more: Any, scale: float) -> tuple[torch.Tensor]:
        assert offsets.dtype == torch.int32
        assert offsets is other
        assert more == (17, 17, 0.0, False, False)
        if fault == "missing":
            raise NotImplementedError
        ends = offsets.tolist()
        scale *= 1.5 if fault == "scale" else 1
        if fault == "order":
            v = v.flip(0)
        parts = [
            torch.einsum("hij,jhd->ihd", (torch.einsum("ihd,jhd->hij", q[a:b], k[a:b]) * scale).softmax(-1), v[a:b])
            for a, b in itertools.pairwise(ends)
        ]
        return (torch.cat(parts),)

    flash_serves.cache_clear()
    cpu = torch.device("cpu")
    assert not flash_serves(cpu, torch.float64, 3, 8)
    flash_serves.cache_clear()
    monkeypatch.setattr(attention, "FLASH", kernel)
    torch.manual_seed(0)
    before = torch.get_rng_state()

    assert flash_serves(cpu, torch.float64, 3, 8) is (fault == "")
    assert torch.equal(torch.get_rng_state(), before)
    flash_serves.cache_clear()


def test_attention_drops_weights_as_often_as_it_says_and_keeps_their_expectation() -> None:
    packing = Packing(np.array([5] * 2000), torch.device("cpu"))
    even = torch.zeros(10_000, 1, 2)  # every weight is a fifth
    torch.manual_seed(3)
    out = within_sentences(even, even, torch.ones(10_000, 1, 2), packing, 1.0, 0.25)[:, 0, 0]
    kept = out * 0.75 * 5  # how many of five weights each token kept

    assert torch.allclose(kept, kept.round(), atol=1e-4)
    assert abs(out.mean().item() - 1) < 4 * (0.25 / 0.75 / 50_000) ** 0.5
    assert abs(kept.var().item() - 5 * 0.25 * 0.75) < 0.06


def test_packing_in_bf16_is_as_near_as_bf16_is(hub_root: Path) -> None:
    batch = sentences(random.Random(5), 40)
    embedded = {}
    for name, cls in {"plain": SentenceTransformer, "fast": FastSentenceTransformer}.items():
        model = make_model(hub_root, cls, dtype="float32").train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedded[name] = model(model.preprocess(batch))["sentence_embedding"].float()
        embedded[name].sum().backward()
    exact = make_model(hub_root, SentenceTransformer, dtype="float32").eval()
    wanted = exact(exact.preprocess(batch))["sentence_embedding"]
    error = {name: (value - wanted).norm() / wanted.norm() for name, value in embedded.items()}

    assert 0 < error["fast"] < 1.5 * error["plain"]


@needs_packing
def test_an_announced_batch_shares_its_chunks_among_its_columns(hub_root: Path) -> None:
    columns = [["the man holds"] * 4, ["a boat", "the apple"] * 2, ["never", "in the park near the river"] * 2]
    calls = {}
    for announced in (False, True):
        model = make_model(hub_root, FastSentenceTransformer)
        counted = Counted(model)
        backward(model, losses.TripletLoss, columns, None, announced)
        calls[announced] = counted.calls

    assert calls == {False: 2, True: 1}


def test_a_column_embedded_twice_draws_its_dropout_twice(hub_root: Path) -> None:
    """Some losses embed the same features again for another view of them; a remembered answer would be none."""
    model = make_model(hub_root, FastSentenceTransformer)
    bert = model[0].auto_model
    assert isinstance(bert, BertModel)
    bert.embeddings.dropout.p = 0.5
    features = [model.preprocess(sentences(random.Random(i), 8)) for i in range(2)]
    model.train()
    model.announce_batch(features)
    first, again = (model(features[0])["sentence_embedding"].clone() for _ in range(2))

    assert (first - again).abs().max() > 1e-3


@pytest.mark.parametrize("kept", [10**6, 30])
def test_features_from_memory_are_those_of_the_model(
    kept: int, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.model.tokens.LIMIT", kept)
    fast, plain = make_model(hub_root, FastSentenceTransformer), make_model(hub_root, SentenceTransformer)
    rng = random.Random(2)
    pool = [*sentences(rng, 40, longest=300), "", " the  Man ", "the man"]
    for _ in range(25):
        batch = rng.choices(pool, k=rng.randint(1, 20))
        wanted, got = plain.preprocess(batch), copy.deepcopy(fast).preprocess(batch)
        assert list(wanted) == list(got)
        for name, value in wanted.items():
            same = torch.equal(got[name], value) if isinstance(value, torch.Tensor) else got[name] == value
            assert same, name
    for model in (plain, fast):
        model.max_seq_length = 7
    assert torch.equal(fast.preprocess(pool)["input_ids"], plain.preprocess(pool)["input_ids"])


def test_features_that_cannot_be_replayed_are_left_to_the_model(hub_root: Path) -> None:
    fast, plain = make_model(hub_root, FastSentenceTransformer), make_model(hub_root, SentenceTransformer)
    for model in (fast, plain):
        model.tokenizer.padding_side = "left"
    for batch in (["the man", "the"], ["the", "a young woman"]):
        assert torch.equal(fast.preprocess(batch)["input_ids"], plain.preprocess(batch)["input_ids"])
        assert torch.equal(fast.preprocess(batch)["attention_mask"], plain.preprocess(batch)["attention_mask"])


def test_dropout_keeps_the_share_and_the_expectation_it_says() -> None:
    torch.manual_seed(3)
    with quick_dropout():
        for p in (0.1, 0.5, 0.9):
            input = torch.full((1000, 401), 2.0, requires_grad=True)
            output = nn.Dropout(p).train()(input)
            output.sum().backward()
            kept = output != 0

            assert abs(1 - kept.double().mean().item() - p) < 4 * (p * (1 - p) / kept.numel()) ** 0.5 + 2**-17
            assert torch.allclose(output[kept], torch.tensor(2 / (1 - p)), rtol=1e-4)
            assert input.grad is not None
            assert torch.equal(input.grad, output / 2)
            columns = kept.double().mean(dim=0)
            assert columns.std() < 1.3 * (p * (1 - p) / 1000) ** 0.5, "some places are dropped more often than others"
        assert torch.equal(nn.Dropout(0.5).eval()(input), input)
        assert torch.equal(nn.Dropout(0.0).train()(input), input)
        assert not nn.Dropout(1.0).train()(input).any()


def test_quick_dropout_follows_the_seed_and_is_gone_afterwards() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        drawn: torch.Tensor = nn.Dropout(0.3).train()(torch.ones(99))
        return drawn

    usual = draw(1)
    with quick_dropout():
        first, again, other = map(draw, (1, 1, 2))
        inplace = torch.ones(99)
        assert nn.Dropout(0.3, inplace=True).train()(inplace) is inplace
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, usual), "it has bits of its own"
    assert torch.equal(draw(1), usual)


@pytest.mark.parametrize("way", [*FAST_WAYS, "plain"])
def test_whoever_sets_dropout_finds_it_and_it_takes_effect(way: Way, hub_root: Path, tmp_path: Path) -> None:
    """SimCSE's dropout of another share: a loss looks for the modules by their type or name, also while it trains."""
    spread: dict[float, list[float]] = {}

    class Setting(nn.Module):
        def __init__(self, model: SentenceTransformer, p: float) -> None:
            super().__init__()
            self.model, self.p = model, p

        def forward(self, features: Any, labels: Any) -> torch.Tensor:
            found = [module for module in self.model.modules() if type(module) is nn.Dropout]
            assert found == [module for module in self.model.modules() if type(module).__name__ == "Dropout"]
            assert len(found) >= 4
            for module in found:
                module.p = self.p
            twice = [self.model(dict(features[0]))["sentence_embedding"] for _ in range(2)]
            spread.setdefault(self.p, []).append(float((twice[0] - twice[1]).detach().abs().mean()))
            value: torch.Tensor = (twice[0] - twice[1]).square().mean() + twice[0].square().mean()
            return value

    for p in (0.0, 0.1, 0.4):
        model = make_model(hub_root, FastSentenceTransformer, "float32")
        train(
            model,
            Setting(model, p),
            Dataset.from_dict({"text": sentences(random.Random(1), 16)}),
            Point(batch_size=16, lr=1e-6),
            Schedule(1),
            seed=0,
            precision="fp32",
            folder=tmp_path,
            way=way,
        )
    (none,), (little,), (much,) = spread.values()
    assert none < 1e-7
    assert much > 1.3 * little > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_embeddings_come_back_in_the_batchs_order(pooling: str, hub_root: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, pooling=pooling)
    batch = sentences(random.Random(5), 40)
    model.train()
    together = model(model.preprocess(batch))["sentence_embedding"]
    one_by_one = torch.cat([model(model.preprocess([text]))["sentence_embedding"] for text in batch])

    assert (together - one_by_one).abs().max() <= 1e-12


@needs_packing
def test_it_leaves_padding_out(hub_root: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer)
    counted = Counted(model)
    features = model.preprocess(sentences(random.Random(5), 64))
    padded, real = features["input_ids"].numel(), int(features["attention_mask"].sum())
    model.train()
    model(features)
    assert counted.tokens == real

    counted.tokens = 0
    going(model, "chunks")(features)
    assert counted.tokens < (padded + real) / 2


@pytest.mark.skipif(not products.HAS_ONEDNN, reason="torch was built without oneDNN")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 7, 33), (5, 33), (1, 0, 33), (33,), (2, 3, 1, 33)])
def test_onednn_multiplies_as_torch_does(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.model.products.onednn_is_faster", lambda: True)
    layer, usual, given = nn.Linear(33, 12, bias), nn.Linear.forward, torch.randn(shape)
    wanted, strided = layer(given), given[..., None].expand(*shape, 2)[..., 0]
    with products.faster():
        assert nn.Linear.forward is not usual
        gradient = torch.autograd.grad(layer(given).sum(), layer.weight)[0]
        with torch.no_grad():
            with torch.autograd.profiler.profile() as profiled:
                product = layer(given)
            called = {event.name for event in profiled.function_events}
            assert ("mkldnn::_linear_pointwise" in called) == (given.numel() > 0)
            assert torch.allclose(product, wanted, atol=1e-6)
            assert torch.allclose(layer(strided), wanted, atol=1e-6)
            assert layer.double()(given.double()).dtype == torch.float64
    assert nn.Linear.forward is usual
    assert torch.allclose(gradient, given.reshape(-1, 33).sum(dim=0).expand(12, 33), atol=1e-4)


@needs_packing
@pytest.mark.parametrize("by_onednn", [False, products.HAS_ONEDNN], ids=["", "by oneDNN"])
def test_sentences_are_embedded_as_encode_embeds_them(
    by_onednn: bool, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after training in bf16: accelerate's autocast around the forward must not reach what is scored."""
    monkeypatch.setattr("harness.model.products.onednn_is_faster", lambda: by_onednn)
    model, plain = (
        make_model(hub_root, FastSentenceTransformer, "float32"),
        make_model(hub_root, SentenceTransformer, "float32"),
    )
    counted = Counted(model)
    rng = random.Random(6)  # long sentences are attended to by another kernel than short ones
    batch = [*sentences(rng, 300), *sentences(rng, 60, longest=90), "", " ".join(WORDS * 60)]
    wanted = plain.encode(batch)

    precisions = set()
    model[1].register_forward_pre_hook(lambda *given: precisions.add(torch.get_float32_matmul_precision()))
    torch.set_float32_matmul_precision("high")  # somebody else's choice
    try:
        assert np.abs(model.embed(batch, tf32=True) - wanted).max() < 1e-5
        assert precisions == {"highest"}, "TF32 is for GPUs"
        assert torch.get_float32_matmul_precision() == "high", "left as it was"
    finally:
        torch.set_float32_matmul_precision("highest")
    counted.tokens = 0
    assert np.abs(model.embed(batch) - wanted).max() < 1e-5
    real = sum(int(plain.preprocess([text])["attention_mask"].sum()) for text in batch)
    filled = counted.tokens - real
    assert counted.tokens % products.GRID == 0 and filled < 4 * products.GRID if by_onednn else filled == 0
    model._first_position, model._embeds = None, None  # as of a model that cannot be packed
    assert np.abs(model.embed(batch) - wanted).max() < 1e-5
    assert model._embeds == "chunks"


@pytest.mark.parametrize("way", FAST_WAYS)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_model_embeds_in_float32_in_the_midst_of_training_and_after(
    precision: str, way: Way, hub_root: Path, tmp_path: Path
) -> None:
    model = make_model(hub_root, FastSentenceTransformer, "float32")
    if way == "chunks":
        model._first_position = None  # as of a model that cannot be packed
    columns = {name: sentences(random.Random(i), 16) for i, name in enumerate(("anchor", "positive"))}
    gaps = []

    def compare(share: float) -> bool:
        same = make_model(hub_root, SentenceTransformer, "float32")
        same.load_state_dict(model.state_dict())
        gaps.append(np.abs(model.embed(columns["anchor"]) - same.encode(columns["anchor"])).max())
        model.train()
        return False

    train(
        model,
        losses.MultipleNegativesRankingLoss(model),
        Dataset.from_dict(columns),
        Point(batch_size=8, lr=1e-3),
        Schedule(1, looks=[0.5]),
        seed=0,
        precision=precision,
        folder=tmp_path,
        way=way,
        on_look=compare,
    )
    compare(1.0)
    model.eval()

    assert len(gaps) == 2
    assert max(gaps) < 1e-5
    assert np.abs(model.encode(columns["anchor"]) - model.embed(columns["anchor"])).max() < 1e-5


@needs_packing
def test_a_packed_batch_is_filled_in_bf16_and_nothing_of_it_is_learnt(hub_root: Path) -> None:
    """The sentence that fills up must reach neither loss nor gradients."""
    batch, found = sentences(random.Random(5), 9), {}
    for grid in (1, 32):
        model = make_model(hub_root, FastSentenceTransformer)
        counted = Counted(model)
        model.train()
        features = model.preprocess(batch)
        lengths = [features["attention_mask"].sum(dim=1).tolist()]
        pack = packed([features], lengths, 0, grid)
        assert pack is not None
        model._pass(pack[0])[pack[1]].square().sum().backward()  # type: ignore[no-untyped-call]
        found[grid] = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert counted.tokens == -(-sum(lengths[0]) // grid) * grid
    assert all((found[32][name] - gradient).abs().max() <= 1e-12 for name, gradient in found[1].items())


def test_evaluation_takes_the_plain_forward(hub_root: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer)
    counted = Counted(model)
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
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    model.save_pretrained(str(tmp_path / "m"))
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    batch = sentences(random.Random(6), 20)

    assert type(loaded) is SentenceTransformer
    assert (
        loaded.encode(batch, convert_to_tensor=True) - model.encode(batch, convert_to_tensor=True)
    ).abs().max() <= 1e-6
    assert copy.deepcopy(model).encode("the man").shape == (32,)


@pytest.mark.parametrize("by_onednn", [False, True], ids=["", "where oneDNN is faster"])
def test_a_cached_loss_finds_its_masks_again(by_onednn: bool, hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GradCache embeds twice, without and with gradients, and puts torch's generator back for the second time."""
    monkeypatch.setattr("harness.model.products.onednn_is_faster", lambda: by_onednn)
    gradients = []
    for make in (losses.MultipleNegativesRankingLoss, losses.CachedMultipleNegativesRankingLoss):
        model = make_model(hub_root, FastSentenceTransformer)
        for module in model.modules():
            if hasattr(module, "p"):
                assert isinstance(module, nn.Dropout)
                module.p = 0.2
        features = [model.train().preprocess(sentences(random.Random(i), 16)) for i in range(2)]
        torch.manual_seed(3)
        with quick_dropout():
            make(model)(features, None).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    plain, cached = gradients

    gap = max(float((cached[name] - gradient).abs().max()) for name, gradient in plain.items())
    assert gap <= 1e-6  # some versions keep a factor in float32; other masks show in the first digits
