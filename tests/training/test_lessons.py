"""Several data sets in one training: equal to the plain trainer's, counted, mixed as declared, and nothing left out."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hub import nli_rows
from models import ALWAYS_REFUSED, FAST_WAYS, NO_DUPLICATES, cosine, make_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor, nn
from transformers import set_seed

from harness.compat import losses as library
from harness.compat import warm_up
from harness.errors import FrozenLoss, RunFailed
from harness.model.certificate import Certificate, certify
from harness.model.fast import FastSentenceTransformer
from harness.spec import losses
from harness.spec.parts import Mixing
from harness.spec.settings import Settings
from harness.spec.space import Point
from harness.training.train import Schedule, Training, train

MIXINGS: tuple[Mixing, ...] = ("proportional", "round_robin")


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_not_collected() -> Iterator[None]:
    """Spare the trainer, which collects garbage before each training, the walk through all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


TEXTS = nli_rows(1, 300).query("label == 0")[["premise", "hypothesis"]].reset_index(drop=True)


def pairs(number: int) -> Dataset:
    return Dataset.from_pandas(TEXTS.head(number), preserve_index=False)


def scored(number: int) -> Dataset:
    rows = TEXTS.tail(number).set_axis(["one", "two"], axis=1)
    return Dataset.from_pandas(rows.assign(score=[(n % 7) / 7 for n in range(number)]), preserve_index=False)


def classes(number: int) -> Dataset:
    rows = TEXTS.tail(number).assign(label=[n % 3 for n in range(number)])
    return Dataset.from_pandas(rows, preserve_index=False)


class Counting(nn.Module):
    """A loss that keeps the token ids of the first column of each batch in a list that several losses share."""

    def __init__(self, model: SentenceTransformer, name: str, seen: list[tuple[str, list[list[int]]]]) -> None:
        super().__init__()
        self.model, self.name, self.seen = model, name, seen

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        assert (labels is None) == (self.name != "scored"), "the labels of another part"
        self.seen.append((self.name, features[0]["input_ids"].tolist()))
        value: Tensor = sum(self.model(column)["sentence_embedding"][:, 0].mean() for column in features)
        return value


class Learning(Counting):
    """A loss with a weight of its own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        return super().forward(features, labels) * self.weight


class Idle(Counting):
    """A loss with a parameter that it does not use."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unused = nn.Parameter(torch.ones(1))


def trained(
    root: Path, folder: Path, rows: Mapping[str, Dataset], schedule: Schedule, kind: Any = Counting, **options: Any
) -> tuple[Training, list[tuple[str, list[list[int]]]]]:
    set_seed(1)
    model = make_model(root, FastSentenceTransformer, dtype="float32")
    seen: list[tuple[str, list[list[int]]]] = []
    made = {name: kind(model, name, seen) for name in rows}
    took = train(
        model, made, rows, Point(4, 1e-3), schedule, seed=1, precision="fp32", folder=folder, **options
    )  # fmt: skip
    return took, seen


def sizes(seen: list[tuple[str, list[list[int]]]]) -> dict[str, list[int]]:
    return {name: [len(ids) for other, ids in seen if other == name] for name, _ in seen}


MAKERS: dict[str, Callable[[SentenceTransformer], nn.Module]] = {
    "bias": library.MultipleNegativesRankingLoss,
    "train": cosine,
    "x.y": losses.softmax,
}
"""Losses by names of parts that would be refused, or change the weight decay, if the trainer named modules so."""


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("way", ["plain", FAST_WAYS[0]])
def test_weights_are_those_of_the_plain_trainer(mixing: Mixing, way: Any, hub_root: Path, tmp_path: Path) -> None:
    """In float64, so that neither rounding nor the path explains a difference. The third loss has weights."""
    rows = {"bias": pairs(22), "train": scored(9), "x.y": classes(13)}

    def made(kind: type[SentenceTransformer]) -> tuple[Any, dict[str, nn.Module]]:
        set_seed(7)
        model = make_model(hub_root, kind, dtype="float64")
        return model, {name: make(model).double() for name, make in MAKERS.items()}

    def weights(model: nn.Module, made: Mapping[str, nn.Module]) -> Tensor:
        own = [*model.parameters(), *made["x.y"].classifier.parameters()]  # type: ignore[union-attr]
        return torch.cat([parameter.detach().flatten() for parameter in own])

    ours = made(FastSentenceTransformer)
    took = train(
        ours[0], ours[1], rows, Point(4, 1e-3), Schedule(2), seed=7, precision="fp32", folder=tmp_path, mixing=mixing,
        way=way, settings=Settings(weight_decay=0.1),
    )  # fmt: skip
    assert set(took.passes) == {way}

    def plainly(sampler: str) -> Tensor:
        model, by_name = made(SentenceTransformer)
        keys = dict(zip(rows, ("a", "b", "c"), strict=True))  # the names that matter to nothing
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path / "plain"), num_train_epochs=2, per_device_train_batch_size=4, learning_rate=1e-3,
            **warm_up(0.1), weight_decay=0.1, seed=7, use_cpu=True, save_strategy="no", report_to="none",
            disable_tqdm=True, multi_dataset_batch_sampler=sampler,
        )  # fmt: skip
        trainer = SentenceTransformerTrainer(
            model,
            arguments,
            train_dataset={keys[name]: pairs(22) if name == "bias" else data for name, data in rows.items()},
            loss={keys[name]: loss for name, loss in by_name.items()},
        )
        trainer.train()
        assert trainer.state.global_step == (took.steps if sampler == mixing else trainer.state.global_step)
        return weights(model, by_name)

    other = next(each for each in MIXINGS if each != mixing)
    assert float((weights(*ours) - plainly(mixing)).abs().max()) < 1e-8
    assert float((weights(*ours) - plainly(other)).abs().max()) > 1e-4
    assert float((weights(*ours) - weights(*made(SentenceTransformer))).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("mixing", "numbers", "settings", "schedule", "steps", "by_part"),
    [
        ("proportional", (22, 9), {}, Schedule(1), 9, (22, 9)),
        ("round_robin", (22, 9), {}, Schedule(1), 6, (12, 9)),
        ("proportional", (3, 22), {}, Schedule(2), 14, (6, 44)),
        ("round_robin", (3, 22), {}, Schedule(2), 4, (6, 8)),
        ("round_robin", (22, 1), {}, Schedule(3), 6, (12, 3)),
        ("proportional", (8, 8), {}, Schedule(1), 4, (8, 8)),
        ("round_robin", (8, 8), {}, Schedule(1), 4, (8, 8)),
        ("proportional", (22, 9), {"accumulation": 4}, Schedule(1), 3, (22, 9)),
        ("round_robin", (22, 9), {"accumulation": 4}, Schedule(2), 4, (24, 18)),
        ("proportional", (22, 9), {"epochs": 2}, Schedule(1, examples=8), 18, (44, 18)),
    ],
)
def test_steps_and_rows_are_counted(
    mixing: Mixing,
    numbers: tuple[int, int],
    settings: dict[str, Any],
    schedule: Schedule,
    steps: int,
    by_part: tuple[int, int],
    hub_root: Path,
    tmp_path: Path,
) -> None:
    rows = {"pairs": pairs(numbers[0]), "scored": scored(numbers[1])}
    took, seen = trained(hub_root, tmp_path, rows, schedule, mixing=mixing, settings=Settings(**settings))

    counts = {name: sum(each) for name, each in sizes(seen).items()}
    assert counts == dict(zip(("pairs", "scored"), by_part, strict=True))
    assert (took.steps, took.examples_seen) == (steps, sum(by_part))


def test_round_robin_takes_turns_in_the_order_of_the_parts(hub_root: Path, tmp_path: Path) -> None:
    rows = {"scored": scored(9), "pairs": pairs(22)}
    _, seen = trained(hub_root, tmp_path, rows, Schedule(1), mixing="round_robin")
    assert [name for name, _ in seen] == ["scored", "pairs"] * 3


def test_each_row_is_trained_on_once_an_epoch_with_its_own_loss(hub_root: Path, tmp_path: Path) -> None:
    rows = {"pairs": pairs(22), "scored": scored(9)}
    _, seen = trained(hub_root, tmp_path, rows, Schedule(1))
    tokenizer = make_model(hub_root, SentenceTransformer, dtype="float32").tokenizer
    columns = {"pairs": "premise", "scored": "one"}
    for name, data in rows.items():
        wanted = Counter(tuple(tokenizer(text)["input_ids"]) for text in data[columns[name]])
        ids = [tuple(row) for other, batch in seen if other == name for row in batch]
        assert Counter(tuple(token for token in row if token != tokenizer.pad_token_id) for row in ids) == wanted


@pytest.mark.parametrize("sampler", NO_DUPLICATES)
def test_the_sampler_draws_the_batches_of_each_part(sampler: Any, hub_root: Path, tmp_path: Path) -> None:
    words = ["apple", "boat", "house", "park", "river"]
    repeated = pairs(20).remove_columns("premise").add_column("premise", [words[n % 5] for n in range(20)])
    rows = {"repeated": repeated.select_columns(["premise", "hypothesis"]), "pairs": pairs(9)}
    took, seen = trained(hub_root, tmp_path, rows, Schedule(2), sampler=sampler)

    drawn = [ids for name, ids in seen if name == "repeated"]
    assert all(len({tuple(row) for row in ids}) == len(ids) for ids in drawn)
    assert took.steps == len(seen) == 2 * (5 + 3)
    assert took.examples_seen == sum(map(sum, sizes(seen).values()))


def test_one_data_set_may_be_two_parts(hub_root: Path, tmp_path: Path) -> None:
    same = pairs(8)
    _, seen = trained(hub_root, tmp_path, {"a": same, "b": same}, Schedule(1))
    assert sizes(seen) == {"a": [4, 4], "b": [4, 4]}
    assert same[0].keys() == {"premise", "hypothesis"}, "the caller's rows stay as they were"


@pytest.mark.parametrize("way", ["plain", FAST_WAYS[0]])
def test_prompts_are_of_one_part(way: Any, hub_root: Path, tmp_path: Path) -> None:
    prompt = "the old house "
    rows = {"a": pairs(8), "b": pairs(8)}
    _, without = trained(hub_root, tmp_path, rows, Schedule(1), mixing="round_robin", way=way)
    _, seen = trained(
        hub_root, tmp_path, rows, Schedule(1), mixing="round_robin", prompts={"b": {"premise": prompt}}, way=way
    )
    longer = {name: [sum(map(len, ids)) for other, ids in seen if other == name] for name in rows}
    before = {name: [sum(map(len, ids)) for other, ids in without if other == name] for name in rows}
    assert longer["a"] == before["a"]
    assert all(now > then for now, then in zip(longer["b"], before["b"], strict=True))
    with pytest.raises(RunFailed, match="no text column 'one'"):
        trained(hub_root, tmp_path, rows, Schedule(1), prompts={"a": {"one": prompt}})


def test_a_part_without_a_batch_fails_the_training(hub_root: Path, tmp_path: Path) -> None:
    """Its scores would be taken for those of a model that was trained on it."""
    rows = {"pairs": pairs(40), "scored": scored(1)}
    with pytest.raises(RunFailed, match="part 'scored' had no batch in 1 steps"):
        trained(hub_root, tmp_path, rows, Schedule(0.01))
    stopped: dict[str, Any] = {"on_look": lambda share: True, "settings": Settings(warmup=0)}
    took, seen = trained(hub_root, tmp_path, rows, Schedule(1.0, looks=(0.01,)), kind=Learning, **stopped)
    assert (took.steps, len(seen)) == (1, 1), "a training that was stopped is not complete, and no loss is at fault"


def test_a_loss_whose_only_batch_is_in_the_step_without_learning_rate_is_not_at_fault(
    hub_root: Path, tmp_path: Path
) -> None:
    rows = {"scored": scored(4), "pairs": pairs(4)}
    took, seen = trained(hub_root, tmp_path, rows, Schedule(1), kind=Learning, mixing="round_robin")
    assert [name for name, _ in seen] == ["scored", "pairs"]
    assert took.steps == 2


def test_what_cannot_be_trained_is_refused(hub_root: Path, tmp_path: Path) -> None:
    rows = {"pairs": pairs(8), "scored": scored(8)}
    with pytest.raises(RunFailed, match="8 examples cannot be divided"):
        trained(hub_root, tmp_path, rows, Schedule(1, examples=8))
    with pytest.raises(RunFailed, match="needs a view with label="):
        trained(hub_root, tmp_path, rows, Schedule(1), sampler="group_by_label")
    with pytest.raises(FrozenLoss, match="Idle: its parameters unused did not change"):
        trained(hub_root, tmp_path, rows, Schedule(1), kind=Idle)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    made = {name: Counting(model, name, []) for name in ("scored", "pairs")}
    with pytest.raises(RunFailed, match="losses are given for scored, pairs"):
        train(model, made, rows, Point(4, 1e-3), Schedule(1), seed=1, precision="fp32", folder=tmp_path)


def test_a_fast_path_is_taken_if_it_is_that_of_all_parts(hub_root: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    good = {
        "pairs": certify(model, losses.MultipleNegativesRankingLoss, {}, pairs(16), "fp32"),
        "scored": certify(model, losses.CoSENTLoss, {}, scored(16), "fp32"),
    }
    together = Certificate.of_all(good)
    assert together.path == FAST_WAYS[0]
    assert together.seconds == pytest.approx(sum(each.seconds for each in good.values()))
    assert together.difference in {each.difference for each in good.values()}

    worse = Certificate(FAST_WAYS[0], 0.999, 1.0, refused=("captured: no graph",))
    assert Certificate.of_all({**good, "worse": worse}).difference == 0.999
    assert Certificate.of_all({**good, "worse": worse}).refused == (*ALWAYS_REFUSED, "captured: no graph")
    assert Certificate.of_all({"only": good["pairs"]}) == good["pairs"]
    mixed = Certificate.of_all({**good, "plain": Certificate("plain", refused=("packed: too far",))})
    assert mixed.path == "plain"
    assert mixed.refused[:-1] == (*ALWAYS_REFUSED, "packed: too far")
    fast = FAST_WAYS[0]
    assert f"pairs by {fast!r}, scored by {fast!r}, plain by 'plain'" in mixed.refused[-1]
