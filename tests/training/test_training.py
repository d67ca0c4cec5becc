"""Training: seeded, counted, equal to the plain trainer's, and watched for the ways in which it silently fails."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hub import nli_rows
from mishaps import crash, mishap, not_a_number
from models import FAST_WAYS, make_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor, nn
from transformers import set_seed

from harness import Ablation, Budget, Point, Space, Study, choice, log_uniform, testbeds
from harness.api import run
from harness.compat import losses as st_losses
from harness.compat import warm_up
from harness.engine import search
from harness.errors import Diverged, FrozenLoss, FrozenModel
from harness.model.fast import FastSentenceTransformer
from harness.planning.plan import Plan
from harness.spec import losses
from harness.training.train import Schedule, train

POINT = Point(batch_size=8, lr=1e-3)
PAIRS = nli_rows(1, 200).query("label == 0")[["premise", "hypothesis"]].head(52)


def rows() -> Dataset:
    return Dataset.from_pandas(PAIRS, preserve_index=False)


def trained(hub_root: Path, folder: Path, seed: int) -> SentenceTransformer:
    set_seed(seed)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    loss = st_losses.MultipleNegativesRankingLoss(model)
    train(model, loss, rows(), POINT, Schedule(1), seed=seed, precision="fp32", folder=folder)
    return model


def distance(left: nn.Module, right: nn.Module) -> float:
    pairs = zip(left.parameters(), right.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_the_seed_decides_the_weights(hub_root: Path, tmp_path: Path) -> None:
    first, again, other = (trained(hub_root, tmp_path, seed) for seed in (3, 3, 4))

    assert distance(first, again) == 0
    assert distance(first, other) > 1e-4
    assert distance(first, make_model(hub_root, FastSentenceTransformer, dtype="float32")) > 1e-4


@pytest.mark.parametrize("study", ["mnr", "softmax"])
def test_weights_are_those_of_the_plain_trainer(study: str, hub_root: Path, tmp_path: Path) -> None:
    """In float64: Adam divides a gradient by its own size, so rounding in one that should be 0 would move weights.

    Of softmax's the head, too, whose gradients are not clipped: the trainer's norm is that of the model's.
    """
    makers: dict[str, Callable[[SentenceTransformer], nn.Module]] = {
        "mnr": st_losses.MultipleNegativesRankingLoss,
        "softmax": losses.softmax,
    }
    labelled = Dataset.from_pandas(nli_rows(1, 60)[["premise", "hypothesis", "label"]], preserve_index=False)
    data = rows() if study == "mnr" else labelled

    def loss_of(kind: type[SentenceTransformer]) -> nn.Module:
        set_seed(7)
        return makers[study](make_model(hub_root, kind, dtype="float64")).double()

    ours, plain = loss_of(FastSentenceTransformer), loss_of(SentenceTransformer)
    assert isinstance(ours.model, FastSentenceTransformer)
    assert isinstance(plain.model, SentenceTransformer)
    took = train(
        ours.model, ours, data, POINT, Schedule(2), seed=7, precision="fp32", folder=tmp_path, way=FAST_WAYS[0]
    )
    assert set(took.passes) == {FAST_WAYS[0]}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "plain"),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        **warm_up(0.1),
        seed=7,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    SentenceTransformerTrainer(plain.model, arguments, train_dataset=data, loss=plain).train()

    assert distance(ours, loss_of(SentenceTransformer)) > 5e-3
    assert distance(ours, plain) < 1e-8


@pytest.mark.parametrize("lr", [1e-3, 1e30])
def test_training_leaves_the_model_its_own_functions(lr: float, hub_root: Path, tmp_path: Path) -> None:
    """What the trainer puts in their place, or what we do to spare it walks, is gone; also when training fails."""
    set_seed(3)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    loss = st_losses.MultipleNegativesRankingLoss(model)
    with pytest.raises(Diverged) if lr > 1 else nullcontext():
        train(model, loss, rows(), Point(8, lr), Schedule(1), seed=3, precision="fp32", folder=tmp_path)

    assert not {"parameters", "train"} & vars(model).keys()


@pytest.mark.parametrize(
    ("schedule", "batch_size", "steps", "examples"),
    [
        ({"epochs": 1}, 8, 7, 52),
        ({"epochs": 1}, 13, 4, 52),
        ({"epochs": 2}, 8, 14, 104),
        ({"epochs": 0.5}, 8, 4, 32),
        ({"epochs": 1.5}, 8, 11, 52 + 32),
        ({"epochs": 0.001}, 8, 1, 8),
        ({"epochs": 1}, 64, 1, 52),
        ({"epochs": 1, "examples": 20}, 8, 3, 24),
        ({"epochs": 1, "examples": 60}, 8, 8, 60),  # each epoch's last batch holds four rows
        ({"epochs": 1, "examples": 104}, 8, 14, 104),
        ({"epochs": 1, "examples": 60}, 64, 2, 104),
    ],
)
def test_steps_and_examples_are_counted(
    schedule: dict[str, Any], batch_size: int, steps: int, examples: int, hub_root: Path, tmp_path: Path
) -> None:
    seen = []

    class Counting(nn.Module):
        def __init__(self, model: SentenceTransformer) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            seen.append(len(features[0]["input_ids"]))
            value: Tensor = self.model(features[0])["sentence_embedding"].square().mean()
            return value

    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    point = replace(POINT, batch_size=batch_size)
    took = train(model, Counting(model), rows(), point, Schedule(**schedule), seed=0, precision="fp32", folder=tmp_path)

    assert (took.steps, took.examples_seen) == (steps, examples)
    assert (len(seen), sum(seen)) == (steps, examples)
    assert took.seconds > 0


def test_looks_are_taken_at_their_shares_and_can_stop_training(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    shares: list[float] = []
    steps: list[float] = []
    modes: set[bool] = set()
    model[0].register_forward_pre_hook(lambda module, inputs: modes.add(module.training))

    def look(share: float) -> bool:
        model.eval()
        assert not model[0].training
        model.train()
        shares.append(share)
        return len(shares) == 2

    took = train(
        model,
        st_losses.MultipleNegativesRankingLoss(model),
        rows(),
        POINT,
        Schedule(2, looks=(0.25, 0.5, 0.75)),
        seed=0,
        precision="fp32",
        folder=tmp_path,
        on_step=steps.append,
        on_look=look,
    )

    assert shares == [4 / 14, 7 / 14]
    assert took.steps == 7
    assert steps == [step / 14 for step in range(1, 8)]
    assert modes == {True}
    model[0].eval()
    assert model.train()[0].training, "what trained a model must not stay in its way"
    assert list(model.parameters(recurse=False)) == []


class Detached(nn.Module):
    """A loss with a head that no gradient reaches."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(32, 32)

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        left, right = (self.model(column)["sentence_embedding"] for column in features)
        value: Tensor = (self.head(left).detach() + left - right).square().mean()
        return value


class Hidden(Detached):
    """A loss with a head whose gradients are all zero."""

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        left, right = (self.model(column)["sentence_embedding"] for column in features)
        value: Tensor = (self.head(left) * 0 + left - right).square().mean()
        return value


@pytest.mark.parametrize("frozen", [Detached, Hidden])
def test_a_head_that_never_moves_fails_the_run(frozen: type[nn.Module], hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")

    with pytest.raises(FrozenLoss, match=r"parameters head\.weight, head\.bias did not change in 7 steps"):
        train(model, frozen(model), rows(), POINT, Schedule(1), seed=0, precision="fp32", folder=tmp_path)


class Aside(Detached):
    """A loss that trains its head and never the model."""

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        left, right = (self.model(column)["sentence_embedding"].detach() for column in features)
        value: Tensor = (self.head(left) - right).square().mean()
        return value


def test_a_model_that_never_moves_is_no_study(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")

    with pytest.raises(FrozenModel, match="Aside: no parameter of the model changed in 7 steps"):
        train(model, Aside(model), rows(), POINT, Schedule(1), seed=0, precision="fp32", folder=tmp_path)


def test_softmax_heads_move(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    loss = losses.softmax(model)
    assert isinstance(loss, st_losses.SoftmaxLoss)
    before = loss.classifier.weight.detach().clone()
    data = Dataset.from_pandas(
        nli_rows(1, 60).query("label >= 0")[["premise", "hypothesis", "label"]], preserve_index=False
    )

    train(model, loss, data, POINT, Schedule(1), seed=0, precision="fp32", folder=tmp_path)

    assert not torch.equal(before, loss.classifier.weight)


REMEDY = 'lower the learning rate, warm up for longer, or train with precision="fp32"$'


def test_a_loss_that_is_not_a_number_diverges_and_is_named_with_its_step(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    with pytest.raises(Diverged, match=f"^Loss: the training loss became nan by step 2 of 7; {REMEDY}"):
        train(model, not_a_number(model), rows(), POINT, Schedule(1), seed=0, precision="fp32", folder=tmp_path)


class Last(nn.Module):
    """A loss that is not a number in the last step only, after the last log."""

    def __init__(self, model: SentenceTransformer, steps: int) -> None:
        super().__init__()
        self.model, self.left = model, steps

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        self.left -= 1
        value: Tensor = self.model(features[0])["sentence_embedding"].square().mean()
        return value if self.left else value * float("nan")


def test_a_loss_that_is_not_a_number_in_the_last_step_diverges_too(hub_root: Path, tmp_path: Path) -> None:
    model, point = make_model(hub_root, FastSentenceTransformer, dtype="float32"), Point(batch_size=1, lr=1e-3)
    schedule = Schedule(1, examples=101)  # logged at every second step
    with pytest.raises(Diverged, match=f"^Last: the mean loss of 101 steps is nan; {REMEDY}"):
        train(model, Last(model, 101), rows(), point, schedule, seed=0, precision="fp32", folder=tmp_path)


TRAINED: list[weakref.ref[nn.Module]] = []


class Remembered(nn.Module):
    """A loss that never has the memory, and remembers for which models."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        TRAINED.append(weakref.ref(model))

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        return self.model(features[0])["sentence_embedding"].sum() + torch.zeros(10**15).sum()  # type: ignore[no-any-return]


out_of_memory = mishap(lambda value: value + torch.zeros(10**15).sum())


@pytest.fixture(scope="module")
def mishaps(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A finished ablation in this process: one study that works among four that fail, each in its own way."""
    studies = {
        "works": losses.MultipleNegativesRankingLoss,
        "nan": not_a_number,
        "memory": out_of_memory,
        "frozen": Detached,
        "crash": mishap(crash),
    }
    ablation = Ablation(
        name="mishaps",
        testbed=replace(testbeds.book, also=()),
        studies=[Study(name, loss, "pair") for name, loss in studies.items()],
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        budget=Budget(trials=3, epochs=0.5, seeds=1),  # two steps of the largest batches
        precision="fp32",
    )
    return run(ablation, tmp_path_factory.mktemp("mishaps"), executor="inline")


@pytest.mark.parametrize(
    ("study", "outcome", "said"),
    [
        ("works", "ok", ""),
        ("nan", "diverged", "study 'nan': Loss: the training loss became nan by step 2 of"),
        ("memory", "infeasible", "out of memory"),
        ("crash", "failed", "ZeroDivisionError: a bug in the loss"),
        ("frozen", "failed", "FrozenLoss: Detached: its parameters head.weight"),
    ],
)
def test_a_run_that_fails_is_recorded_and_others_go_on(mishaps: Plan, study: str, outcome: str, said: str) -> None:
    records = [planned.record for planned in mishaps.of(study, "tune")]

    assert len(records) == 3
    for record in records:
        assert record is not None
        assert record.outcome == outcome
        assert said in (record.error or "")
        assert ("stsb-dev/spearman_cosine" in record.scores) == (outcome == "ok")


def test_a_run_that_ran_out_of_memory_leaves_none_of_it(cache: Path, tmp_path: Path) -> None:
    """A model in training is part of cycles; on a GPU that others share, nobody else could have its memory."""
    ablation = Ablation(
        name="memory",
        testbed=replace(testbeds.book, also=()),
        studies=[Study("memory", Remembered, "pair")],
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        budget=Budget(trials=1, epochs=0.2, seeds=1),
        precision="fp32",
    )
    gc.disable()
    try:
        run(ablation, tmp_path, executor="inline")
        assert TRAINED
        assert not [model for model in TRAINED if model() is not None]
    finally:
        gc.enable()


def test_finals_follow_the_tuning(mishaps: Plan) -> None:
    assert [r.state for r in mishaps.of("works", "final", "best")] == ["done"]
    # nothing of these studies worked: they have no best point, and their default point fails as it did in tuning
    for study in ("nan", "memory", "crash", "frozen"):
        assert mishaps.of(study, "final", "best") == []
        assert len(mishaps.of(study, "final", "default")) == 1
    assert not mishaps.unfinished()


def test_the_search_goes_on_after_infeasible_points(mishaps: Plan) -> None:
    ablation = mishaps.ablation
    for study in ("memory", "nan", "crash"):
        earlier = [r.record for r in mishaps.of(study, "tune") if r.record]
        assert search.ask(ablation, ablation.study(study), earlier) not in {r.point for r in earlier}
