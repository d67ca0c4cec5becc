"""Checks of the trainer: seeds, dropout, rows and labels as they reach the loss, and nothing else that takes part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from harness.doctor import material
from harness.doctor.outcome import Outcome, passed, require
from harness.errors import Diverged, HarnessError
from harness.evaluation.encoder import Encoder
from harness.evaluation.scoring import score_sts

SEEDED = ("MultipleNegativesRankingLoss", "SoftmaxLoss")
"""A loss without parameters, and one whose parameters are initialised at random."""

ROWS = 61
"""Rows of a training: no multiple of the batch size, so that the last batch is smaller."""

PAIRS = 200
"""Pairs that are scored in the midst of a training."""


class Observed(nn.Module):
    """A loss that lets a function see each batch and returns the value of another loss."""

    def __init__(self, model: SentenceTransformer, inner: nn.Module, see: See) -> None:
        """Store the model, its loss, and the function, which may return a value to replace that of the loss."""
        super().__init__()
        self.model, self.inner, self.see = model, inner, see

    def forward(self, sentence_features: list[dict[str, Any]], labels: Tensor) -> Tensor:
        instead = self.see(self, sentence_features, labels)
        value: Tensor = self.inner(sentence_features, labels) if instead is None else instead
        return value


See: TypeAlias = Callable[[Observed, list[dict[str, Any]], Tensor], Tensor | None]


def _observed(see: See, name: str = "MultipleNegativesRankingLoss") -> material.MakeLoss:
    """Return a loss of sentence-transformers that shows `see` itself and each batch."""
    loss = material.feeds()[name].loss
    return lambda model: Observed(model, loss(model), see)


def seeds() -> Outcome:
    """The same seed gives the same weights bit for bit, and another seed gives other weights."""
    for name in SEEDED:
        feed = material.feeds()[name]
        once, again, other = (
            material.weights(material.trained(feed.loss, feed.rows(ROWS), seed=seed)[0]) for seed in (1, 1, 2)
        )
        apart = material.changed(once, again)
        require(not apart, f"the same weights of {name} from the same seed", f"{len(apart)} tensors differ")
        same = len(once) - len(material.changed(once, other))
        require(same < len(once) / 2, f"other weights of {name} from another seed", f"{same} equal tensors")
    return passed(f"{len(SEEDED)} losses repeat their weights with the same seed, and only then")


def fresh_gradients() -> Outcome:
    """Each step begins without gradients of earlier steps, also those of a loss's own parameters."""
    left: dict[str, int] = {}

    def see(loss: Observed, features: list[dict[str, Any]], labels: Tensor) -> None:
        for name, parameter in loss.named_parameters():
            if parameter.grad is not None and bool(parameter.grad.any()):
                left[name] = left.get(name, 0) + 1

    data = material.feeds()["SoftmaxLoss"].rows(ROWS)
    _, cost = material.trained(_observed(see, "SoftmaxLoss"), data)
    found = f"gradients left of earlier ones for {', '.join(left)} in {max(left.values(), default=0)} steps"
    require(not left, f"{cost.steps} steps of SoftmaxLoss that begin without gradients", found)
    return passed(f"{cost.steps} steps of SoftmaxLoss begin without gradients")


def dropout() -> Outcome:
    """Dropout is on while a model trains: the same batch has other embeddings each time; it is off in evaluation."""
    drawn: list[bool] = []

    def see(loss: Observed, features: list[dict[str, Any]], labels: Tensor) -> None:
        with torch.no_grad():
            one, other = (loss.model(dict(features[0]))["sentence_embedding"] for _ in range(2))
        drawn.append(not torch.equal(one, other))

    model, cost = material.trained(_observed(see), material.rows_for(2, "class", 2 * material.BATCH))
    on = sum(drawn)
    require(on == cost.steps, f"dropout in all {cost.steps} steps of a training", f"dropout in {on} steps")
    model.eval()
    one, other = (material.embedded_by(model, material.texts(8)) for _ in range(2))
    require(torch.equal(one, other), "the same embeddings twice in evaluation", "other embeddings the second time")
    return passed(f"on in all {cost.steps} steps of a training, off in evaluation")


def rows() -> Outcome:
    """Each row reaches the loss once an epoch, with its own texts and label, in an order that the seed shuffles."""
    given = material.rows_for(2, "none", ROWS).add_column("label", list(range(ROWS)))
    tokens: dict[int, list[list[int]]] = {}
    order: list[int] = []

    def see(loss: Observed, features: list[dict[str, Any]], labels: Tensor) -> None:
        for place, label in enumerate(labels.tolist()):
            order.append(int(label))
            tokens[int(label)] = [_tokens(column, place) for column in features]

    model, _ = material.trained(_observed(see), given)
    require(sorted(order) == list(range(ROWS)), f"each of {ROWS} rows once an epoch", _repeated(order))
    require(order != sorted(order), "shuffled rows", "the rows in their own order")
    for label, row in enumerate(given):
        wanted = [_tokens(model.preprocess([row[name]]), 0) for name in ("text0", "text1")]
        require(tokens[label] == wanted, f"the texts of row {label} beside its label", "texts of another row")
    return passed(f"each of {ROWS} rows once an epoch, with its own texts and label, shuffled")


def _tokens(features: dict[str, Any], place: int) -> list[int]:
    kept: list[int] = features["input_ids"][place][features["attention_mask"][place].bool()].tolist()
    return kept


def _repeated(order: list[int]) -> str:
    return f"{len(order)} rows, of which {len(set(order))} are distinct"


def no_duplicates() -> Outcome:
    """With sampler="no_duplicates" no batch has a text twice, and no row comes twice in an epoch."""
    pairs = material.rows_for(2, "none", 32)
    texts = {name: [text for text in pairs[name] for _ in range(2)] for name in pairs.column_names}
    given = Dataset.from_dict({**texts, "label": list(range(64))})
    order: list[int] = []
    batches: list[list[int]] = []

    def see(loss: Observed, features: list[dict[str, Any]], labels: Tensor) -> None:
        batches.append([int(label) // 2 for label in labels.tolist()])
        order.extend(map(int, labels.tolist()))

    material.trained(_observed(see), given, sampler="no_duplicates")
    double = sum(len(set(batch)) < len(batch) for batch in batches)
    require(not double, "no batch with a text twice", f"{double} of {len(batches)} batches with one")
    require(len(set(order)) == len(order), "no row twice in an epoch", _repeated(order))
    return passed(f"{len(batches)} batches without a repeated text, {len(order)} of 64 rows, none twice")


def scoring_in_between() -> Outcome:
    """Scoring an STS set in the midst of a training does not change what the training gives."""
    model, seen = material.fresh(), []
    pairs = material.part(material.sts(), range(PAIRS))

    def look(share: float) -> bool:
        model.eval()
        seen.append(score_sts(Encoder(model), pairs)[1]["spearman_cosine"])
        model.train()
        return False

    feed = material.feeds()["MultipleNegativesRankingLoss"]
    scored, _ = material.trained(feed.loss, feed.rows(ROWS), model=model, looks=(0.25, 0.5, 0.75), on_look=look)
    left_alone, _ = material.trained(feed.loss, feed.rows(ROWS))
    require(len(set(seen)) == 3, "three different scores during a training", f"{seen}")
    apart = material.changed(material.weights(scored), material.weights(left_alone))
    require(not apart, "the same weights with and without scoring in between", f"{len(apart)} tensors differ")
    return passed(f"{len(seen)} looks at an STS set change no weight")


def not_a_number() -> Outcome:
    """A loss that becomes NaN ends the training with an error instead of a score."""
    steps: list[int] = []

    def see(loss: Observed, features: list[dict[str, Any]], labels: Tensor) -> Tensor | None:
        steps.append(len(steps))
        return None if len(steps) < 3 else loss.model(dict(features[0]))["sentence_embedding"].sum() * float("nan")

    try:
        material.trained(_observed(see), material.rows_for(2, "class", ROWS))
    except Diverged:
        return passed(f"the training ended by step {len(steps)}")
    except HarnessError as problem:
        require(False, "the training to end as diverged", f"{type(problem).__name__}: {problem}")
    require(False, "a training that ends at a NaN loss", f"one that went on for {len(steps)} steps")
    raise AssertionError


CHECKS = (seeds, fresh_gradients, dropout, rows, no_duplicates, scoring_in_between, not_a_number)
