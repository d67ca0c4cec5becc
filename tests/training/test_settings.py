"""Settings, samplers and prompts: what the trainer gets, steps and rows as counted by the loss, and what is refused."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hub import nli_rows
from models import FAST_WAYS, NO_DUPLICATES, hashes_rows, make_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor, nn
from transformers import set_seed

from harness.compat import Pooling, Router, warm_up
from harness.compat import losses as library
from harness.errors import RunFailed, StudyFileError
from harness.model.certificate import certify
from harness.model.fast import FastSentenceTransformer
from harness.spec.settings import Settings
from harness.spec.space import Point
from harness.training.train import Schedule, Training, train


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_not_collected() -> Iterator[None]:
    """Spare the trainer, which collects garbage before each training, the walk through all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


TEXTS = nli_rows(1, 200).query("label == 0")[["premise", "hypothesis"]].head(22).reset_index(drop=True)
PAIRS = Dataset.from_pandas(TEXTS, preserve_index=False)
CLASSES = Dataset.from_dict({"text": TEXTS["hypothesis"].tolist(), "label": [0, 1, 2, 0, 1] * 4 + [0, 0]})
REPEATED = Dataset.from_dict(
    {"a": [["apple", "boat", "house", "park", "river"][n % 5] for n in range(22)], "b": TEXTS["hypothesis"].tolist()}
)


class Counting(nn.Module):
    """A loss that keeps the size and the token ids of each column of each batch."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        self.batches: list[list[list[list[int]]]] = []
        self.labels: list[list[int]] = []

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        self.batches.append([column["input_ids"].tolist() for column in features])
        self.labels.append([] if labels is None else labels.tolist())
        parts = [self.model(column)["sentence_embedding"] for column in features]
        value: Tensor = sum(part[:, 0].mean() for part in parts)
        return value

    @property
    def sizes(self) -> list[int]:
        return [len(columns[0]) for columns in self.batches]


def trained(
    root: Path, folder: Path, rows: Dataset, schedule: Schedule, batch_size: int = 4, **options: Any
) -> tuple[Training, Counting, FastSentenceTransformer]:
    set_seed(1)
    model = make_model(root, FastSentenceTransformer, dtype="float32")
    loss = Counting(model)
    took = train(
        model, loss, rows, Point(batch_size, 1e-3), schedule, seed=1, precision="fp32", folder=folder, **options
    )
    return took, loss, model


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"warmup": 1.0}, "warmup=1.0"),
        ({"warmup": -0.1}, "share of the steps"),
        ({"warmup": math.nan}, "warmup=nan"),
        ({"scheduler": "steps"}, "choose from linear, cosine"),
        ({"scheduler": "constant"}, "has no warm-up; give warmup=0"),
        ({"weight_decay": -1}, "weight_decay=-1"),
        ({"accumulation": 0}, "accumulation=0"),
        ({"accumulation": 1.5}, "accumulation=1.5"),
        ({"accumulation": True}, "accumulation=True"),
        ({"max_grad_norm": math.inf}, "max_grad_norm=inf"),
        ({"max_seq_length": 0}, "max_seq_length=0"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyFileError, match=says):
        Settings(**wrong)
    assert Settings(scheduler="constant", warmup=0)


@pytest.mark.parametrize(
    ("accumulation", "schedule", "steps", "batches", "rows"),
    [
        (1, Schedule(1), 6, 6, 22),
        (2, Schedule(1), 3, 6, 22),
        (4, Schedule(1), 2, 6, 22),  # the last step has two batches
        (4, Schedule(2), 4, 12, 44),
        (4, Schedule(1.5), 3, 10, 38),  # the second epoch's first step has four whole batches
        (9, Schedule(1), 1, 6, 22),
        (2, Schedule(1, examples=30), 4, 8, 30),
        (2, Schedule(1, examples=31), 5, 10, 38),
    ],
)
def test_steps_and_rows_with_accumulation(
    accumulation: int, schedule: Schedule, steps: int, batches: int, rows: int, hub_root: Path, tmp_path: Path
) -> None:
    took, loss, _ = trained(hub_root, tmp_path, PAIRS, schedule, settings=Settings(accumulation=accumulation))

    assert (took.steps, len(loss.sizes), sum(loss.sizes), took.examples_seen) == (steps, batches, rows, rows)


def test_own_epochs_replace_the_budget(hub_root: Path, tmp_path: Path) -> None:
    for schedule in (Schedule(1), Schedule(1, examples=8)):
        assert trained(hub_root, tmp_path, PAIRS, schedule, settings=Settings(epochs=2))[0].examples_seen == 44


def test_accumulated_batches_train_as_one(hub_root: Path, tmp_path: Path) -> None:
    """In float64 and with a loss that is a mean over rows, two batches of four are a batch of eight."""
    weights = []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        set_seed(1)
        model = make_model(hub_root, SentenceTransformer, dtype="float64")
        train(
            model, Counting(model), PAIRS.select(range(16)), Point(batch_size, 1e-3), Schedule(1), seed=1,
            precision="fp32", folder=tmp_path, settings=Settings(accumulation=accumulation),
        )  # fmt: skip
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))

    assert float((weights[0] - weights[1]).abs().max()) < 1e-6


def test_settings_train_as_the_plain_trainer_does(hub_root: Path, tmp_path: Path) -> None:
    chosen = Settings(warmup=0.25, scheduler="cosine", weight_decay=0.1, max_grad_norm=0.01)

    def weights(settings: Settings | None) -> Tensor:
        set_seed(1)
        model = make_model(hub_root, SentenceTransformer, dtype="float64")
        loss = library.MultipleNegativesRankingLoss(model)
        if settings is not None:
            train(
                model,
                loss,
                PAIRS,
                Point(4, 1e-3),
                Schedule(2),
                seed=1,
                precision="fp32",
                folder=tmp_path,
                settings=settings,
            )
        else:
            arguments = SentenceTransformerTrainingArguments(
                output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=4, learning_rate=1e-3, seed=1,
                **warm_up(0.25), lr_scheduler_type="cosine", weight_decay=0.1, max_grad_norm=0.01, use_cpu=True,
                save_strategy="no", report_to="none", disable_tqdm=True,
            )  # fmt: skip
            SentenceTransformerTrainer(model, arguments, train_dataset=PAIRS, loss=loss).train()
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    plain = weights(None)
    assert float((weights(chosen) - plain).abs().max()) < 1e-8
    for change in ({"warmup": 0.1}, {"scheduler": "linear"}, {"weight_decay": 0.0}, {"max_grad_norm": 1.0}):
        assert float((weights(replace(chosen, **change)) - plain).abs().max()) > 1e-7, change


def test_texts_are_cut_at_the_maximum_that_is_set(hub_root: Path, tmp_path: Path) -> None:
    _, loss, model = trained(hub_root, tmp_path, PAIRS, Schedule(1), settings=Settings(max_seq_length=5))

    assert max(len(ids) for columns in loss.batches for column in columns for ids in column) == 5
    assert model.max_seq_length == 5


@pytest.mark.parametrize("sampler", NO_DUPLICATES)
def test_no_text_stands_twice_in_a_batch(sampler: Any, hub_root: Path, tmp_path: Path) -> None:
    took, loss, _ = trained(hub_root, tmp_path, REPEATED, Schedule(2), batch_size=8, sampler=sampler)

    assert all(len({tuple(ids) for ids in columns[0]}) == len(columns[0]) for columns in loss.batches)
    assert took.steps == len(loss.sizes) == 6
    assert took.examples_seen == sum(loss.sizes) < 44, (
        "an epoch of smaller batches leaves rows out, and the count says so"
    )
    assert trained(hub_root, tmp_path, REPEATED, Schedule(1), batch_size=8)[0].examples_seen == 22


def test_classes_are_grouped_and_the_rows_counted(hub_root: Path, tmp_path: Path) -> None:
    took, loss, _ = trained(hub_root, tmp_path, CLASSES, Schedule(2), sampler="group_by_label")

    assert all(min(map(labels.count, labels)) >= 2 for labels in loss.labels)  # of two classes only since 6.2
    assert (took.steps, took.examples_seen) == (len(loss.sizes), sum(loss.sizes))
    assert (took.steps, took.examples_seen) == (10, 40) or not hashes_rows


@pytest.mark.parametrize(
    ("rows", "batch_size", "options", "says"),
    [
        (CLASSES, 5, {"sampler": "group_by_label"}, "batch size of 5.*(even|divisible by 2)"),
        (PAIRS, 4, {"sampler": "group_by_label"}, "needs a view with label="),
        pytest.param(
            CLASSES.filter(lambda row: row["label"] == 0), 4, {"sampler": "group_by_label"}, "two classes of two rows",
            marks=pytest.mark.skipif(not hashes_rows, reason="sentence-transformers before 5.3 takes a single class"),
        ),
        (PAIRS, 4, {"sampler": "no_duplicates", "schedule": Schedule(1, examples=8)}, "8 examples .* give the budget in epochs"),
        (PAIRS, 4, {"prompts": {"premis": "query: "}}, "no text column 'premis'; the view has premise, hypothesis"),
        (CLASSES, 4, {"prompts": {"label": "query: "}}, "no text column 'label'; the view has text"),
    ],
)  # fmt: skip
def test_what_does_not_suit_the_rows_is_refused(
    rows: Dataset, batch_size: int, options: dict[str, Any], says: str, hub_root: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match=says):
        trained(hub_root, tmp_path, rows, **{"schedule": Schedule(1), "batch_size": batch_size, **options})


PROMPTS = {"premise": "the old house "}


def test_a_prompt_stands_before_the_texts_of_its_column_on_every_path(hub_root: Path, tmp_path: Path) -> None:
    sent = {}
    for way in ("plain", FAST_WAYS[0]):
        took, loss, model = trained(hub_root, tmp_path, PAIRS, Schedule(1), prompts=PROMPTS, way=way)
        sent[way] = loss.batches
        assert set(took.passes) == {way}
    first = {tuple(token for token in ids if token) for columns in sent["plain"] for ids in columns[0]}
    expected = model.tokenizer([PROMPTS["premise"] + text for text in TEXTS["premise"]])["input_ids"]

    assert sent["plain"] == sent[FAST_WAYS[0]]
    assert first == set(map(tuple, expected))
    assert sent["plain"] != trained(hub_root, tmp_path, PAIRS, Schedule(1))[1].batches


def left_out(root: Path, prompt: bool) -> FastSentenceTransformer:
    model = make_model(root, FastSentenceTransformer, dtype="float32")
    model._modules["1"] = Pooling(32, pooling_mode="mean", include_prompt=prompt)
    model.way = "plain"
    return model


def test_the_certificate_sees_the_prompts(hub_root: Path) -> None:
    seen: list[list[int]] = []

    def loss(model: SentenceTransformer) -> nn.Module:
        made = library.MultipleNegativesRankingLoss(model)
        made.register_forward_pre_hook(lambda module, given: seen.extend(given[0][0]["input_ids"].tolist()))
        return made

    given = certify(left_out(hub_root, True), loss, {}, PAIRS, "fp32", PROMPTS)
    words = make_model(hub_root, FastSentenceTransformer).tokenizer(PROMPTS["premise"], add_special_tokens=False)

    assert given.path == FAST_WAYS[0]
    assert seen
    assert all(ids[1 : len(words["input_ids"]) + 1] == words["input_ids"] for ids in seen)
    assert certify(left_out(hub_root, False), loss, {}, PAIRS, "fp32").path == FAST_WAYS[0]


def lengths_of_prompts(features: dict[str, Any]) -> list[int | None]:
    """Return the prompts' lengths in a batch of features; before sentence-transformers 5.4, each row has its own."""
    length = features.get("prompt_length")
    return length.tolist() if isinstance(length, Tensor) else [length]


def test_a_pooling_without_the_prompt_trains_by_the_plain_path_and_says_so(hub_root: Path, tmp_path: Path) -> None:
    given = certify(left_out(hub_root, False), library.MultipleNegativesRankingLoss, {}, PAIRS, "fp32", PROMPTS)
    assert (given.path, given.refused) == (
        "plain",
        ("prompts are given, and the model's pooling leaves their tokens out",),
    )

    lengths = []
    model = left_out(hub_root, False)
    model[1].register_forward_pre_hook(lambda module, given: lengths.extend(lengths_of_prompts(given[0])))
    options: dict[str, Any] = {"seed": 1, "precision": "fp32", "folder": tmp_path, "prompts": PROMPTS}
    with pytest.raises(RunFailed, match="pooling leaves prompts out"):
        train(model, Counting(model), PAIRS, Point(4, 1e-3), Schedule(1), way=FAST_WAYS[0], **options)
    train(model, Counting(model), PAIRS, Point(4, 1e-3), Schedule(1), way="plain", **options)
    assert {None, 4} == set(lengths), "the library's own way: prompt and [CLS] of one column are left out"


def test_a_model_that_routes_queries_and_documents_is_refused(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    model._modules["1"] = Router({role: [Pooling(32)] for role in ("query", "document")}, default_route="query")
    with pytest.raises(RunFailed, match=r"has a Router.*use a base model without one"):
        train(
            model, Counting(model), PAIRS, Point(4, 1e-3), Schedule(1), seed=1, precision="fp32", folder=tmp_path,
        )  # fmt: skip
