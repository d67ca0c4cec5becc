"""What the checks work on: the embedded testbed's model and rows, losses with rows that feed them, short trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import set_seed

from harness.compat import losses as library
from harness.engine.rows import view_rows
from harness.model.fast import FastSentenceTransformer
from harness.model.loading import fresh_model, load_plain
from harness.reading.materials import StsPairs, load_sts
from harness.spec import losses
from harness.spec.loss_inputs import GIST, INPUTS, Inputs, Label
from harness.spec.space import Point
from harness.spec.views import named
from harness.testbeds import embedded, fetching
from harness.testbeds.measure_kinds import Sts
from harness.training.precision import prefer_deterministic_kernels
from harness.training.train import Schedule, Training, train

MakeLoss: TypeAlias = Callable[..., nn.Module]

BATCH, RATE = 8, 1e-3
"""Batch size and learning rate of the checks' trainings: large steps, so that an effect is not lost in rounding."""


@dataclass(frozen=True)
class Feed:
    """A loss with rows that feed it."""

    loss: MakeLoss
    """Builds the loss from a model."""
    inputs: Inputs
    """What it reads from a row."""

    def rows(self, count: int) -> Dataset:
        """Return rows of the embedded testbed with as many texts as the loss reads, and labels of its kind."""
        return rows_for(self.inputs.fewest, self.inputs.label, count)


def feeds() -> dict[str, Feed]:
    """Return every loss that the harness names and the installed version has, and the one with a guide."""
    by_name = {name: Feed(getattr(losses, name), inputs) for name, inputs in INPUTS.items() if hasattr(library, name)}
    return by_name | {"SoftmaxLoss": Feed(losses.softmax, Inputs("class")), "GISTEmbedLoss": Feed(losses.gist, GIST)}


def fresh() -> FastSentenceTransformer:
    """Return the embedded testbed's base model as runs train it."""
    return fresh_model(embedded)


def plain() -> SentenceTransformer:
    """Return the same model as sentence-transformers alone has it, on the same device."""
    return load_plain(str(fetching.locate(embedded.base, is_model=True)), embedded.pooling).to(fresh().device).eval()


@cache
def _triplets() -> list[list[str]]:
    """Return the columns of all triplets: premise, a hypothesis that it entails, and one that it contradicts."""
    frame = view_rows(embedded.sealed(), named("triplet"))
    return [frame[name].tolist() for name in frame.columns]


def texts(count: int) -> list[str]:
    """Return distinct sentences of many lengths."""
    return list(dict.fromkeys(_triplets()[0]))[:count]


def sts() -> StsPairs:
    """Return the embedded testbed's test set."""
    assert isinstance(embedded.test, Sts)
    return load_sts(embedded.test)


def part(pairs: StsPairs, places: Sequence[int], gold: Sequence[float] | None = None) -> StsPairs:
    """Return some of the pairs of an STS set, with their own gold scores or others of the same order."""
    sides = ([side[place] for place in places] for side in (pairs.sentence1, pairs.sentence2))
    left, right = map(tuple, sides)
    return StsPairs(left, right, tuple((gold or pairs.gold)[place] for place in places))


def rows_for(columns: int, label: Label, count: int) -> Dataset:
    """Return training rows: columns of related texts, and labels that vary from row to row.

    Args:
        columns: number of text columns, at most 3.
        label: kind of the labels.
        count: number of rows.
    """
    width = fresh().get_embedding_dimension() or 1
    labels: Mapping[Label, Callable[[int], Any]] = {
        "class": lambda row: row % 3,
        "score": lambda row: float(row % 2),
        "scores": lambda row: [row % 5 / 4, row % 3 / 8],
        "embedding": lambda row: torch.linspace(row, row + 1, width).sin().tolist(),
    }
    by_name: dict[str, Any] = {f"text{place}": _triplets()[place][:count] for place in range(columns)}
    return Dataset.from_dict(by_name | ({} if label == "none" else {"label": list(map(labels[label], range(count)))}))


def columns_of(rows: Dataset) -> tuple[list[list[str]], list[Any] | None]:
    """Return the text columns of rows, and their labels if they have any."""
    names = [name for name in rows.column_names if name != "label"]
    return [list(rows[name]) for name in names], list(rows["label"]) if "label" in rows.column_names else None


def trained(
    loss: MakeLoss, rows: Dataset, *, seed: int = 1, model: FastSentenceTransformer | None = None, **options: Any
) -> tuple[FastSentenceTransformer, Training]:
    """Train a base model for one epoch with the trainer of all runs, by the plain forward path and in float32.

    Args:
        loss: builds the loss from a model.
        rows: training rows, with the columns in the loss's order.
        seed: seed of heads, shuffling and dropout.
        model: the model to train, instead of the base model.
        options: further options of `train`; `looks` are those of its schedule.
    """
    schedule = Schedule(epochs=1, looks=options.pop("looks", ()))
    if torch.cuda.is_available():
        prefer_deterministic_kernels()
    set_seed(seed)
    model = model or fresh()
    with TemporaryDirectory() as folder:
        cost = train(
            model,
            loss(model),
            rows,
            Point(BATCH, RATE),
            schedule,
            seed=seed,
            precision="fp32",
            folder=Path(folder),
            **options,
        )
    return model, cost


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights by name."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def changed(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that differ in any bit."""
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]


def features(model: SentenceTransformer, batch: Sequence[str]) -> dict[str, Any]:
    """Return a model's features of a batch of texts, on its device."""
    given = model.preprocess(list(batch)).items()
    return {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in given}


def embedded_by(model: SentenceTransformer, batch: Sequence[str]) -> Tensor:
    """Return the embeddings of one batch by the model's forward, as it comes, shape (texts, dimension)."""
    with torch.no_grad():
        embeddings: Tensor = model(features(model, batch))["sentence_embedding"].float().cpu()
    return embeddings
