"""A fast way is taken where it was seen to agree with the plain one, on the run's own rows; else the plain one is."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import ALWAYS_REFUSED, FAST_WAYS, Counted, make_model, needs_packing, sentences
from recorder import Recorder, by_borders, needs_capturing
from sentence_transformers import SentenceTransformer
from tokenizers import processors
from torch import Tensor, nn

from harness import Ablation, Budget, Point, Space, Study, choice, log_uniform, testbeds
from harness.api import run
from harness.compat import Pooling, load_transformer
from harness.compat import losses as st_losses
from harness.executors import library_output
from harness.model import attention, blocks, capture, certificate, fast
from harness.model.agreement import in_float32
from harness.model.attention import flash_serves
from harness.model.capture import CapturedPasses
from harness.model.certificate import Certificate, certify
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.tokens import TokenMemory
from harness.planning.plan import Plan
from harness.spec import losses
from harness.training.train import Schedule, train

MNR = losses.MultipleNegativesRankingLoss


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_CERTIFICATES", {})


def rows(texts: int = 2, label: str | None = None) -> Dataset:
    columns = {f"text{i}": sentences(random.Random(i), 60, longest=12) for i in range(texts)}
    return Dataset.from_dict(columns | ({} if label is None else {label: [i % 3 for i in range(60)]}))


def base(hub_root: Path) -> FastSentenceTransformer:
    """The tiny hub's model with its dropout, as a run begins with it."""
    folder = hub_root / "models" / "google-bert" / "bert-base-uncased"
    transformer = load_transformer(str(folder), model_kwargs={"dtype": "float32"})
    return FastSentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")


def test_nothing_fast_is_taken_before_it_is_certified(hub_root: Path) -> None:
    model = base(hub_root).train()
    counted = Counted(model)
    features = model.preprocess(sentences(random.Random(1), 9))
    assert "token_embeddings" in model(features)
    assert counted.tokens == features["input_ids"].numel()
    assert model.ran == {"plain": 1}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("loss", "data"),
    [
        (MNR, rows()),
        (losses.softmax, rows(2, "label")),
        (losses.CosineSimilarityLoss, rows(2, "score")),
        (losses.TripletLoss, rows(3)),
        (losses.CachedMultipleNegativesRankingLoss, rows(3)),
        (losses.gist, rows()),
    ],
    ids=["mnr", "softmax", "cosine", "triplet", "cached", "gist"],
)
def test_a_way_that_agrees_is_taken(loss: Any, data: Dataset, precision: str, hub_root: Path) -> None:
    found = certify(base(hub_root), loss, {}, data, precision)

    assert found.path == FAST_WAYS[0]
    assert 0 < found.difference <= found.bound
    assert found.refused == ALWAYS_REFUSED
    assert set(found.as_record()) - {"reason"} == {"path", "difference", "bound", "seconds"}


def one_key(places: blocks.Blocks, way: str, n: int, of: Tensor, count: int) -> Tensor:
    """The defect that a certificate is for: where no row is padding, gathering and scattering shared their places."""
    if n == 1:
        return of
    return places._places.setdefault((str(count), n), (of + torch.arange(n)[:, None] * count).flatten())


def broken(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a fault in some of the fast ways."""

    def raising(problem: Exception) -> Callable[..., Any]:
        def raise_(*arguments: Any, **options: Any) -> Any:
            raise problem

        return raise_

    if fault == "one key":
        monkeypatch.setattr(blocks.Blocks, "_of_each", one_key)
    elif fault == "no memory":
        monkeypatch.setattr(attention, "within_sentences", raising(torch.OutOfMemoryError("out of memory")))
    elif fault == "a number off":
        within = blocks.within_sentences
        monkeypatch.setattr(attention, "within_sentences", lambda *given: within(*given) * (1 + 3e-3))
    elif fault == "nothing works":
        monkeypatch.setattr(fast, "packed", raising(ValueError("no")))
        monkeypatch.setattr(FastSentenceTransformer, "_in_chunks", raising(IndexError("neither")))
    elif fault == "chunks in another order":
        monkeypatch.setattr(blocks.Blocks, "_of_each", one_key)
        chunked = FastSentenceTransformer._in_chunks
        monkeypatch.setattr(FastSentenceTransformer, "_in_chunks", lambda self, given: chunked(self, given).flip(0))
    elif fault == "stale tokens":
        features = TokenMemory.features
        stale = lambda self, texts, ask: features(self, [text.replace("river", "park") for text in texts], ask)  # noqa: E731
        monkeypatch.setattr(TokenMemory, "features", stale)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("fault", "path", "reasons"),
    [
        ("one key", "chunks", ("packed: gradient of 0.model",)),
        ("no memory", "chunks", ("packed: OutOfMemoryError: out of memory",)),
        ("a number off", "chunks", ("packed: gradient",)),
        ("nothing works", "plain", ("packed: ValueError: no", "chunks: IndexError")),
        ("chunks in another order", "plain", ("packed: gradient", "chunks: gradient")),
        ("stale tokens", "plain", ("packed: gradient", "chunks: gradient")),
    ],
)
@needs_packing
def test_a_way_that_does_not_agree_is_not_taken(
    fault: str,
    path: str,
    reasons: tuple[str, ...],
    precision: str,
    hub_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = base(hub_root)  # as loaded, it looks well
    broken(fault, monkeypatch)
    heard_first: dict[str, None] = {}
    heard_again: dict[str, None] = {}
    with library_output.warnings_collected(heard_first):
        found = certify(model, MNR, {}, rows(), precision)

    assert found.path == path
    assert len(found.refused) == len(reasons)
    assert all(said.startswith(reason) for said, reason in zip(found.refused, reasons, strict=True)), found.refused
    assert found.as_record()["reason"] == "; ".join(found.refused)
    told = [f"a fast forward is not taken: {reason}" for reason in found.refused]
    assert [line for line in heard_first if "a fast forward" in line] == told
    with library_output.warnings_collected(heard_again):
        certify(model, MNR, {}, rows(), precision)
    assert list(heard_again) == told, "each run's record has it"


def test_it_is_kept_by_model_loss_and_precision(hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    once = certificate._certify
    model, data = base(hub_root), rows()

    def noted(*given: Any) -> Certificate:
        tried.append(given[3])
        return once(*given)

    monkeypatch.setattr(certificate, "_certify", noted)

    def count(loss: Any = MNR, precision: str = "fp32", model: Any = model, **options: Any) -> int:
        before = len(tried)
        certify(model, loss, options, data, precision)
        return len(tried) - before

    assert count() == 1
    assert count() == 0
    assert count(model=copy.deepcopy(model)) == 0
    assert count(scale=10.0) == 1, "an option more"
    assert count(scale=30.0) == 1, "another value: one of 0 may switch a part of a loss off"
    assert count(precision="bf16") == 1
    assert count(losses.CachedMultipleNegativesRankingLoss, mini_batch_size=2) == 1
    assert count(losses.CachedMultipleNegativesRankingLoss, mini_batch_size=5) == 1
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    assert count(model=other) == 1
    shorter = copy.deepcopy(model)
    shorter.max_seq_length = 9
    assert count(model=shorter) == 1


@pytest.mark.parametrize("loss", [MNR, st_losses.MultipleNegativesSymmetricRankingLoss])
def test_no_random_number_and_no_weight_is_touched(loss: Any, hub_root: Path, tmp_path: Path) -> None:
    """A run trains the same weights whether its certificate is made, or kept from an earlier run."""
    trained = []
    for _ in range(2):  # the second finds it kept
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        model = base(hub_root)
        before = copy.deepcopy(model.state_dict())
        states = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state()
        modes = [module.training for module in model.modules()]
        found = certify(model, loss, {}, rows(), "fp32")
        assert states[:2] == (random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist())
        assert torch.equal(states[2], torch.get_rng_state())
        assert modes == [module.training for module in model.modules()]
        assert model.way == "plain"
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())
        train(
            model,
            loss(model),
            rows(),
            Point(8, 1e-3),
            Schedule(1),
            seed=5,
            precision="fp32",
            folder=tmp_path,
            way=found.path,
        )
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], value) for name, value in trained[1].items())


@needs_capturing
@pytest.mark.parametrize("fault", ["", "scale", "raises"])
def test_captured_passes_are_taken_where_they_agree(
    fault: str, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for CUDA's graphs, and for its kernel; where graphs are not to be had the passes themselves are."""
    flash_serves.cache_clear()
    monkeypatch.setattr(attention, "FLASH", by_borders)
    monkeypatch.setattr(capture, "GRID", 64)
    assert flash_serves(torch.device("cpu"), torch.float32, 2, 16)
    model = base(hub_root)
    model.passes = CapturedPasses(Recorder(fault))
    found = certify(model, MNR, {}, rows(), "fp32")
    flash_serves.cache_clear()

    assert found.path == ("packed" if fault else "captured")
    assert len(found.refused) == (1 if fault else 0)


class InSixteenBits(Recorder):
    """Records as on a GPU, where attention in float32 has no kernel that reads the sentences' borders."""

    def __call__(self, *given: Any, **options: Any) -> Callable[..., Tensor]:
        if not torch.is_autocast_enabled("cpu"):
            raise NotImplementedError("no other kernel than flash attention's")
        return super().__call__(*given, **options)


@needs_capturing
def test_captured_passes_that_16_bits_alone_have_are_taken(hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate in bf16 compares in float32, too, where nothing is captured: that says nothing against a graph."""
    flash_serves.cache_clear()
    monkeypatch.setattr(attention, "FLASH", by_borders)
    monkeypatch.setattr(capture, "GRID", 64)
    for dtype in (torch.float32, torch.bfloat16):
        assert flash_serves(torch.device("cpu"), dtype, 2, 16)
    model = base(hub_root)
    model.passes = CapturedPasses(InSixteenBits())
    found = certify(model, MNR, {}, rows(), "bf16")
    flash_serves.cache_clear()

    assert found.path == "captured"
    assert found.refused == ()


class Reading(nn.Module):
    """A loss that reads what the transformer's tokens became, by name or if it is there, as losses of studies do."""

    def __init__(self, model: SentenceTransformer, how: str) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        outputs = [self.model(column) for column in features]
        value = cast(Tensor, sum(output["sentence_embedding"].square().mean() for output in outputs))
        for output in outputs:
            tokens = output["token_embeddings"] if self.how == "by name" else output.get("token_embeddings")
            value = value + (0 if tokens is None else tokens.square().mean())
        return value


def reading(model: SentenceTransformer, how: str = "by name") -> nn.Module:
    return Reading(model, how)


@needs_packing
@pytest.mark.parametrize("how", ["by name", "if there"])
def test_a_loss_that_reads_tokens_gets_the_plain_path(how: str, hub_root: Path, tmp_path: Path) -> None:
    model = base(hub_root)
    found = certify(model, reading, {"how": how}, rows(), "fp32")
    assert found.path == "plain"
    assert len(found.refused) == 2
    assert all("TokensWanted: the loss reads token_embeddings" in reason for reason in found.refused)
    took = train(
        model,
        reading(model, how),
        rows(),
        Point(8, 1e-3),
        Schedule(1),
        seed=0,
        precision="fp32",
        folder=tmp_path,
        way=found.path,
    )
    assert set(took.passes) == {"plain"}


@pytest.fixture(scope="module")
def plan(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A finished ablation in this process: a loss that any way serves, and one that reads tokens."""
    ablation = Ablation(
        name="ways",
        testbed=replace(testbeds.book, also=()),
        studies=[Study("any", losses.MultipleNegativesRankingLoss, "pair"), Study("tokens", reading, "pair")],
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        budget=Budget(trials=2, epochs=0.2, seeds=1),
        precision="fp32",
    )
    return run(ablation, tmp_path_factory.mktemp("ways"), executor="inline")


@needs_packing
def test_a_record_tells_which_way_its_run_went(plan: Plan) -> None:
    for study, path in (("any", FAST_WAYS[0]), ("tokens", "plain")):
        for planned in plan.of(study, "tune"):
            record = planned.record
            assert record is not None
            assert record.outcome == "ok", record.error
            assert record.forward["path"] == path
            assert record.forward["seconds"] >= 0
            assert record.forward["passes"].keys() == {path}
            assert sum(record.forward["passes"].values()) >= record.steps
            told = [line for line in record.warnings if line.startswith("a fast forward is not taken: ")]
            assert len(told) == (2 if study == "tokens" else 0)
            assert ("the loss reads token_embeddings" in record.forward.get("reason", "")) is (study == "tokens")
            if study == "any":
                assert 0 < record.forward["difference"] <= record.forward["bound"]


@pytest.mark.parametrize("fails", ["to be built", "on a small batch"])
def test_a_certificate_fails_no_run(fails: str, hub_root: Path) -> None:
    def loss(model: SentenceTransformer) -> nn.Module:
        if fails == "to be built":
            raise LookupError("no such thing")
        return Reading(model, "by name").register_forward_pre_hook(None)  # type: ignore[return-value, arg-type]

    found = certify(base(hub_root), loss, {}, rows(), "fp32")
    assert found.path == "plain"
    assert found.refused[0].startswith("the plain path failed on a small batch (")


@pytest.mark.parametrize("mini_batch_size", [1, 3, 5])
def test_a_cached_loss_has_the_gradients_of_the_plain_path(mini_batch_size: int, hub_root: Path) -> None:
    """Batch 32, pieces of one row and odd ones: no row of theirs is padding."""
    columns = [sentences(random.Random(i), 32, longest=12) for i in range(2)]
    found = []
    kinds: tuple[tuple[type[SentenceTransformer], Callable[..., nn.Module]], ...] = (
        (SentenceTransformer, st_losses.MultipleNegativesRankingLoss),
        (SentenceTransformer, st_losses.CachedMultipleNegativesRankingLoss),
        (FastSentenceTransformer, st_losses.CachedMultipleNegativesRankingLoss),
    )
    for cls, kind in kinds:
        model = make_model(hub_root, cls, "float32").train()
        options = {} if kind is st_losses.MultipleNegativesRankingLoss else {"mini_batch_size": mini_batch_size}
        kind(model, **options)([model.preprocess(column) for column in columns], None).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for plain in found[:2]:
        assert max(gap.difference for gap in in_float32("", plain, found[2])) <= 1e-5


def test_a_folder_is_loaded_in_the_modes_of_the_plain_class(hub_root: Path, tmp_path: Path) -> None:
    base(hub_root).save_pretrained(str(tmp_path))
    plain, fast = (cls(str(tmp_path), device="cpu") for cls in (SentenceTransformer, FastSentenceTransformer))
    modes = [{name: module.training for name, module in model.named_modules()} for model in (plain, fast)]
    assert modes[0] == modes[1]
    batch = sentences(random.Random(2), 7)
    embedded = [model(model.preprocess(batch))["sentence_embedding"] for model in (plain, fast)]
    assert torch.equal(*embedded)


def pair_of_models(hub_root: Path) -> tuple[SentenceTransformer, FastSentenceTransformer]:
    return make_model(hub_root, SentenceTransformer), make_model(hub_root, FastSentenceTransformer)


def left(tokenizer: Any) -> None:
    tokenizer.padding_side = "left"


def cut_on_the_left(tokenizer: Any) -> None:
    tokenizer.truncation_side = "left"


def added(tokenizer: Any) -> None:
    tokenizer.add_tokens(["man holds"])


def ended_otherwise(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP] [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )


def uncased_no_more(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.normalizer = None


def shorter(tokenizer: Any) -> None:
    tokenizer.model_max_length = 5


@pytest.mark.parametrize("change", [left, cut_on_the_left, added, ended_otherwise, uncased_no_more, shorter])
def test_tokens_are_forgotten_when_the_tokenizer_changes(change: Callable[[Any], None], hub_root: Path) -> None:
    batch = ["The man holds", "a young man holds the old apple near the river", ""]
    models = pair_of_models(hub_root)
    before = [model.preprocess(batch) for model in models]
    assert torch.equal(before[0]["input_ids"], before[1]["input_ids"])
    for model in models:
        model.max_seq_length = 8
        model.preprocess(batch)
        change(model.tokenizer)
    plain, fast = (model.preprocess(batch) for model in models)
    assert list(plain) == list(fast)
    assert all(torch.equal(plain[name], fast[name]) for name in ("input_ids", "attention_mask"))


def test_a_mask_with_gaps_is_not_packed(hub_root: Path) -> None:
    """A loss may hide words in the middle of a sentence."""
    embedded = []
    for model in pair_of_models(hub_root):
        features = model.preprocess(["the young man holds the apple", "a boat near the river"])
        features["attention_mask"][0, 2] = 0
        embedded.append(model.train()(features)["sentence_embedding"])
    assert (embedded[0] - embedded[1]).abs().max() <= 1e-12


@pytest.mark.parametrize("options", [{"mini_batch_size": 3}, {"mini_batch_num_tokens": 40}, {"mini_batch_size": 1}])
@pytest.mark.parametrize("prompt", [None, "the old boat: "])
def test_cached_losses_by_prompt_and_by_tokens(options: dict[str, int], prompt: str | None, hub_root: Path) -> None:
    if not options.keys() <= signature(st_losses.CachedMultipleNegativesRankingLoss).parameters.keys():
        pytest.skip("sentence-transformers before 5.7 does not count tokens")
    make: Callable[..., nn.Module] = st_losses.CachedMultipleNegativesRankingLoss
    columns = [sentences(random.Random(i), 8, longest=9) for i in range(3)]
    found = []
    for model in pair_of_models(hub_root):
        pooling = model[1]
        assert isinstance(pooling, Pooling)
        pooling.include_prompt = prompt is None
        features = [model.preprocess(column, prompt=prompt) for column in columns]
        loss = make(model.train(), **options)
        loss(features, None).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert all((found[1][name] - gradient).abs().max() <= 1e-12 for name, gradient in found[0].items())


class Masking(st_losses.MultipleNegativesRankingLoss):
    """Trains on the first three tokens of each sentence."""

    def forward(self, sentence_features: Any, labels: Any = None) -> Tensor:
        for column in sentence_features:
            mask = column["attention_mask"]
            column["attention_mask"] = mask * (torch.arange(mask.shape[1]) < 3)
        return super().forward(sentence_features, labels)


class Swapping(st_losses.MultipleNegativesRankingLoss):
    """Changes each column in place just before it is embedded: the first one's pass must not have taken the second."""

    def forward(self, sentence_features: Any, labels: Any = None) -> Tensor:
        embedded = []
        for column in sentence_features:
            column["input_ids"][:, 1::2] = 4
            embedded.append(self.model(column)["sentence_embedding"])
        return self.compute_loss_from_embeddings(embedded, labels)


@pytest.mark.parametrize("way", FAST_WAYS)
@pytest.mark.parametrize("kind", [Masking, Swapping])
def test_what_a_loss_does_to_a_batch_that_was_announced_is_seen(kind: Any, way: Way, hub_root: Path) -> None:
    found = {}
    ways: tuple[Way, Way] = ("plain", way)
    for taken in ways:
        torch.manual_seed(0)
        model = make_model(hub_root, FastSentenceTransformer).train()
        model.way = taken
        columns = [model.preprocess(column) for column in (rows()["text0"][:9], rows()["text1"][:9])]
        columns = [{name: v.clone() if isinstance(v, Tensor) else v for name, v in c.items()} for c in columns]
        model.announce_batch(columns, [column["attention_mask"].sum(dim=1).numpy() for column in columns])
        value = kind(model)(columns, None)
        value.backward()
        found[taken] = [value.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]
    assert len(found[way]) == len(found["plain"])
    for got, plain in zip(found[way], found["plain"], strict=True):
        assert torch.allclose(got, plain, rtol=1e-9, atol=1e-12)


class LateTokens(st_losses.MultipleNegativesRankingLoss):
    """Looks for hidden states from its fourth call on, as a loss with a warm-up does."""

    def __init__(self, model: Any, scale: float = 20.0, weight: float = 1.0) -> None:
        super().__init__(model, scale=scale)
        self.calls, self.weight = 0, weight

    def forward(self, sentence_features: Any, labels: Any = None) -> Tensor:
        self.calls += 1
        outputs = [self.model(column) for column in sentence_features]
        value = self.compute_loss_from_embeddings([out["sentence_embedding"] for out in outputs], labels)
        if self.weight and self.calls > 3 and outputs[0].get("token_embeddings") is not None:
            value = value + self.weight * outputs[0]["token_embeddings"].square().mean()
        return value


@pytest.mark.usefixtures("cache")
def test_hidden_states_that_are_asked_for_late_send_the_whole_run_the_plain_way(tmp_path: Path) -> None:
    def final(weight: float, name: str) -> Any:
        ablation = Ablation(
            name="late",
            testbed=replace(testbeds.book, max_rows=200, also=()),
            studies=[Study("late", lambda model: LateTokens(model, weight=weight), "pair")],
            space=Space(batch_size=choice(8), lr=log_uniform(1e-4, 1e-2)),
            budget=Budget(trials=1, epochs=4, seeds=1),
            precision="fp32",
        )
        plan = run(ablation, tmp_path / name, executor="inline")
        return plan.of("late", "final")[0].record

    without, with_tokens = final(0.0, "without"), final(50.0, "with")
    assert without.forward["path"] != "plain"
    assert with_tokens.forward["path"] == "plain"
    assert "token_embeddings" in with_tokens.forward["reason"]
    assert any("token_embeddings" in line for line in with_tokens.warnings)
    assert with_tokens.scores != without.scores


def test_a_certificate_is_of_one_value_of_an_option(hub_root: Path) -> None:
    def loss(model: SentenceTransformer, weight: float) -> nn.Module:
        made = LateTokens(model, weight=weight)
        made.calls = 9
        return made

    data = rows()
    assert certify(base(hub_root), loss, {"weight": 0.0}, data, "fp32").path != "plain"
    assert certify(base(hub_root), loss, {"weight": 50.0}, data, "fp32").path == "plain"
