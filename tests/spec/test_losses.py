"""Losses: every class of the library has a view or a reason; each line of docs/losses.md is trained for two steps."""

from __future__ import annotations

import gc
import inspect
import math
import pickle
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import Dataset
from models import FAST_WAYS, make_model
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import set_seed

from harness.compat import losses as library
from harness.data.clean import clean
from harness.data.ranges import of_labels
from harness.errors import RunFailed, StudyFileError
from harness.identity import digest
from harness.model.fast import FastSentenceTransformer
from harness.spec import losses, views
from harness.spec.space import Point
from harness.training.train import Schedule, train

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `(.+?)` \| (.*?) ?\| `(.+?)` \|$", PAGE, re.MULTILINE)
NAMES = {"losses": losses, "partial": partial, **{name: getattr(views, name) for name in views.__all__}}


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_not_collected() -> Iterator[None]:
    """Spare the trainer, which collects garbage before each training, the walk through all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


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
ROWS = pd.DataFrame(
    {
        **{
            name: [f"{WORDS[row]} {WORDS[(row * step + shift) % 16]} {name[0]}" for row in range(12)]
            for shift, (name, step) in enumerate(
                [("query", 3), ("answer", 5), ("wrong", 7), ("worse", 11), ("text1", 3), ("text2", 5)]
            )
        },
        "topic": ["sports", "news"] * 6,
        "stars": [5, 0, 2.5] * 4,
        "alike": [True, False] * 6,
        "margin": [0.5, -0.2, 0.1] * 4,
        "right_score": [9.0, 8.5] * 6,
        "wrong_score": [1.0, 2.5] * 6,
        "teacher_scores": [[9.0, 1.0], [8.5, 2.5]] * 6,
        "teacher": [[math.sin(row * 32 + place) for place in range(32)] for row in range(12)],
    }
)


def classes() -> list[str]:
    return [
        name for name in library.__all__ if inspect.isclass(it := getattr(library, name)) and issubclass(it, nn.Module)
    ]


needs_all_losses = pytest.mark.skipif(
    not hasattr(library, "EmbedDistillLoss"),
    reason="the page describes the losses of sentence-transformers from 5.5 on",
)
LATER = ("AnglELoss", "ContrastiveTensionLossInBatch", "EmbedDistill", "MarginMSE", "SoftmaxLoss.given", "with_regular")
"""Losses that earlier versions do not have, or that take fewer kinds of rows there."""


@needs_all_losses
def test_every_class_of_the_library_has_inputs_or_another_function() -> None:
    assert losses.INPUTS.keys().isdisjoint(losses.ELSEWHERE)
    assert sorted([*losses.INPUTS, *losses.ELSEWHERE]) == sorted(classes())


@pytest.mark.parametrize("name", losses.ELSEWHERE)
def test_a_class_without_a_name_says_which_function_to_use(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"losses\.{name} cannot be named") as refused:
        getattr(losses, name)
    function = re.findall(r"use losses\.(\w+)", str(refused.value))[0]
    assert callable(getattr(losses, function))


def test_the_page_has_each_loss_with_what_it_reads() -> None:
    named: dict[str, str] = {}
    for loss, reads, view in LINES:
        made = eval(loss, NAMES)
        inputs = losses.inputs_of(made)
        assert inputs is not None
        assert eval(view, NAMES).feeds(inputs), f"{loss}: {view}"
        assert reads in ("", "as the loss inside", str(inputs)), loss
        if isinstance(made, losses.Loss):
            named.setdefault(made.name, reads)

    assert named.keys() == losses.INPUTS.keys()
    assert all(named.values())


@pytest.mark.parametrize("name", losses.INPUTS)
def test_the_view_that_a_message_proposes_feeds_the_loss(name: str) -> None:
    proposed = losses.fitting(losses.INPUTS[name])

    assert proposed.startswith("view=columns(")
    assert eval(proposed.removeprefix("view="), NAMES).feeds(losses.INPUTS[name])


@pytest.mark.parametrize(
    ("loss", "view"),
    [
        pytest.param(loss, view, marks=needs_all_losses if any(name in loss for name in LATER) else ())
        for loss, _, view in LINES
    ],
)
def test_each_line_of_the_page_trains(loss: str, view: str, hub_root: Path, tmp_path: Path) -> None:
    made, taken = eval(loss, NAMES), eval(view, NAMES)
    rows, dropped = clean(taken, taken.build(ROWS, 12))
    assert tuple(rows.columns) == taken.columns
    assert not dropped
    if taken.label in ("class", "score"):
        assert not of_labels(taken, rows[taken.columns[-1]], "s", made)
    set_seed(0)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    module = made(model)
    seen: list[float] = []
    module.register_forward_hook(lambda *given: seen.append(total(given[2]).item()))

    took = train(
        model,
        module,
        Dataset.from_pandas(rows, preserve_index=False),
        Point(6, 1e-3),
        Schedule(1),
        seed=0,
        precision="fp32",
        folder=tmp_path,
    )  # raises FrozenModel if the model did not change

    assert (took.steps, took.examples_seen) == (2, 12)
    assert len(seen) == 2
    assert all(map(math.isfinite, seen))


def test_the_denoising_decoder_may_leave_the_weights_by_which_it_would_choose(hub_root: Path, tmp_path: Path) -> None:
    """It attends to one vector only, so their gradient is zero, or rounding."""
    set_seed(0)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    module: Any = losses.DenoisingAutoEncoderLoss(model)
    module.decoder.set_attn_implementation("eager")
    rows = Dataset.from_pandas(views.denoised("query").build(ROWS, 12), preserve_index=False)

    took = train(model, module, rows, Point(6, 1e-3), Schedule(1), seed=0, precision="fp32", folder=tmp_path)

    assert took.steps == 2


def total(value: Any) -> Any:
    return sum(value.values()) if isinstance(value, dict) else value


MNR = losses.MultipleNegativesRankingLoss
WRAPPED: dict[str, Any] = {
    "matryoshka": losses.matryoshka(MNR, dims=[1.0, 0.5]),
    "other dimensions": losses.matryoshka(MNR, dims=[1.0, 0.25]),
    "other loss": losses.matryoshka(MNR.given(scale=3), dims=[1.0, 0.5]),
    "matryoshka_2d": losses.matryoshka_2d(MNR, dims=[1.0, 0.5]),
    "option": losses.matryoshka(MNR, dims=[1.0, 0.5], n_dims_per_step=1),
    "adaptive": losses.adaptive_layer(MNR),
    "regularized": losses.with_regularization(MNR),
    "half": losses.with_regularization(MNR, 0.5),
}


def test_losses_around_a_loss_are_values() -> None:
    """They travel to workers, and their identity is what they compute."""
    for name, loss in WRAPPED.items():
        again = pickle.loads(pickle.dumps(loss))
        assert again == loss
        assert digest(again) == digest(loss), name
        assert losses.inputs_of(loss) == losses.inputs_of(partial(loss, scale=3)) == MNR.inputs
    assert len({digest(loss) for loss in WRAPPED.values()}) == len(WRAPPED)
    assert (
        losses.label(WRAPPED["other loss"]) == "MatryoshkaLoss(MultipleNegativesRankingLoss(scale=3), dims=[1.0, 0.5])"
    )
    assert (
        losses.label(partial(losses.adaptive_layer(MNR), scale=3))
        == "AdaptiveLayerLoss(MultipleNegativesRankingLoss(scale=3))"
    )
    assert losses.label(WRAPPED["half"]) == "MultipleNegativesRankingLoss + 0.5 GlobalOrthogonalRegularizationLoss"


def test_dimensions_are_numbers_or_shares(hub_root: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32")
    built: Any = losses.matryoshka(MNR, dims=[1.0, 16, 0.25, 8])(model, scale=3)

    assert built.matryoshka_dims == (32, 16, 8)
    assert built.loss.scale == 3
    with pytest.raises(RunFailed, match=r"dims=\[64\] exceed the model's 32 dimensions"):
        losses.matryoshka(MNR, dims=[64])(model)
    for dims in ([], [0], [1.5], [-8], [True]):
        with pytest.raises(StudyFileError, match="dims="):
            losses.matryoshka(MNR, dims=dims)


@needs_all_losses
def test_the_regularisation_is_added_with_its_weight(hub_root: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float64")
    model.eval()
    features: list[Any] = [dict(model.preprocess(ROWS[name].tolist())) for name in ("query", "answer")]

    def value(loss: nn.Module) -> float:
        return float(total(loss([dict(column) for column in features], None)))

    plain, term = value(MNR(model)), value(library.GlobalOrthogonalRegularizationLoss(model))
    both = value(losses.with_regularization(MNR, 0.25)(model))

    assert term != 0
    assert both == pytest.approx(plain + 0.25 * term, rel=1e-9)


def test_losses_that_cannot_be_combined_are_refused(hub_root: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32")
    cached = losses.CachedMultipleNegativesRankingLoss

    for loss in (losses.adaptive_layer(cached), losses.matryoshka_2d(losses.MegaBatchMarginLoss, dims=[0.5])):
        with pytest.raises(RunFailed, match=r"cannot wrap .*MultipleNegativesRankingLoss"):
            loss(model)
    with pytest.raises(RunFailed, match="CachedMultipleNegativesRankingLoss has no compute_loss_from_embeddings"):
        losses.with_regularization(cached)(model)
    with pytest.raises(StudyFileError, match="weight=0"):
        losses.with_regularization(MNR, 0)


TWO, FOUR = pd.Series([0, 1, 0]), pd.Series([0, 3, 1, 2])


@pytest.mark.parametrize(
    ("loss", "labels", "severity", "advice"),
    [
        (losses.softmax, pd.Series([0, 1, 2]), None, ""),
        (losses.softmax, FOUR, "error", r"loss=partial\(losses\.softmax, num_labels=4\)"),
        (losses.softmax, TWO, "warning", r"No row .* label 2.*num_labels=2\)"),
        (partial(losses.softmax, num_labels=4), FOUR, None, ""),
        (partial(losses.adaptive_layer(partial(losses.softmax, num_labels=2)), num_labels=4), FOUR, None, ""),
        (losses.adaptive_layer(partial(losses.softmax, num_labels=2)), FOUR, "error", "num_labels=4"),
        (partial(losses.adaptive_layer(losses.softmax), num_labels=4), FOUR, None, ""),
        (losses.softmax, pd.Series([-1, 0, 1]), "error", "whole numbers from 0"),
        (losses.matryoshka(losses.CosineSimilarityLoss, dims=[1.0]), pd.Series([0.0, 5.0]), "error", r"range=\(LOWEST, 5\)"),
        (losses.with_regularization(losses.ContrastiveLoss), pd.Series([0.0, 0.5]), "error", "0 and 1"),
    ],
)  # fmt: skip
def test_labels_that_do_not_suit_the_loss_are_found_with_the_fix(
    loss: Any, labels: pd.Series[Any], severity: str | None, advice: str
) -> None:
    view = views.columns("text1", "text2", label="topic")
    found = of_labels(view, labels, "s", loss)

    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert not found or re.search(advice, found[0].explain)


def test_equal_texts_of_two_columns_get_different_dropout(hub_root: Path) -> None:
    """SimCSE learns nothing but this; a path that embedded equal texts once would take it away."""
    set_seed(0)
    model = make_model(hub_root, FastSentenceTransformer, dtype="float32")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    model.train()
    for way in (*FAST_WAYS, "plain"):
        model.way = way
        columns: list[Any] = [dict(model.preprocess(ROWS["query"].tolist())) for _ in range(2)]
        model.announce_batch(columns)
        first, second = (model(column)["sentence_embedding"] for column in columns)
        assert not torch.allclose(first, second, atol=1e-4), way
