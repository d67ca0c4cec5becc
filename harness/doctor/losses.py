"""Checks of losses: what they read, that they do not depend on the order of rows, and that they train a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import set_seed

from harness.doctor import material
from harness.doctor.outcome import ROUNDING, Outcome, passed, require, require_equal_numbers
from harness.errors import CheckFailed
from harness.spec import losses
from harness.training.loss_trial import reads_labels

ORDER = 0, 3, 1, 6, 7, 2, 5, 4
"""Another order of the rows of a batch."""

CACHED: dict[str, material.MakeLoss] = {
    "MultipleNegativesRankingLoss": losses.CachedMultipleNegativesRankingLoss,
    "MultipleNegativesSymmetricRankingLoss": losses.CachedMultipleNegativesSymmetricRankingLoss,
    "GISTEmbedLoss": losses.cached_gist,
}
"""The losses with a cache that compute the same as one without."""

PIECES = 3, 1
"""Rows of a cached loss's pieces: the last one of a batch is smaller, and each is a single row."""

SMALLEST = 1e-3
"""Smallest scale of a loss and of its gradients, which may be differences of larger numbers."""

SLACK = 10 * ROUNDING
"""Bound for losses and gradients, in which the rounding of embeddings adds up, as a share of the largest number."""


def row_order() -> Outcome:
    """Rows in another order have the same embeddings, and the same loss with the same gradient of every parameter."""
    model, gaps = material.fresh().eval(), []
    texts = material.texts(len(ORDER))
    embeddings = material.embedded_by(model, texts)
    bound = ROUNDING * float(embeddings.abs().max())
    moved = material.embedded_by(model, [texts[place] for place in ORDER])
    require_equal_numbers("embeddings of a batch in another order", moved, embeddings[list(ORDER)], bound)
    for name, feed in material.feeds().items():
        texts_of, labels = material.columns_of(feed.rows(len(ORDER)))
        columns = [[column[place] for place in ORDER] for column in texts_of]
        with _named(name):
            ordered = _outcome(model, feed, texts_of, labels)
            permuted = _outcome(model, feed, columns, None if labels is None else [labels[place] for place in ORDER])
        gaps.append(_gap(f"of {name} with rows in another order", permuted, ordered))
    return passed(
        f"{len(material.feeds())} losses, values and gradients differ by at most {max(gaps):.1%} of the bound"
    )


def cached_losses() -> Outcome:
    """A loss with a cache has the value and the gradient of every parameter of the loss without it."""
    model, gaps = material.fresh(), []
    for name, cached in CACHED.items():
        feed = material.feeds()[name]
        texts, _ = material.columns_of(feed.rows(len(ORDER)))
        whole = _outcome(model, feed, texts, None)
        for piece in PIECES:
            in_pieces = material.Feed(partial(cached, mini_batch_size=piece), feed.inputs)
            gaps.append(_gap(f"of {name} in pieces of {piece}", _outcome(model, in_pieces, texts, None), whole))
    return passed(f"{len(CACHED)} losses, values and gradients differ by at most {max(gaps):.1%} of the bound")


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Name the loss that raises an error: a version may have one that cannot be used."""
    try:
        yield
    except Exception as problem:
        message = f"expected {name} to take rows as the table of losses says; found {type(problem).__name__}: {problem}"
        raise CheckFailed(message) from problem


def _gap(what: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the largest difference of two outcomes of a loss as a share of its bound."""
    shares = []
    for part, value in expected.items():
        bound = SLACK * max(float(value.abs().max()), SMALLEST)
        shares.append(require_equal_numbers(f"{part} {what}", found[part], value, bound) / bound)
    return max(shares)


def _outcome(
    model: SentenceTransformer, feed: material.Feed, texts: list[list[str]], labels: list[Any] | None
) -> dict[str, Tensor]:
    """Return the value of a loss without dropout, and the gradients of the model's parameters as one vector."""
    set_seed(0)
    loss = feed.loss(model).to(model.device)
    model.eval(), loss.eval()
    model.zero_grad(set_to_none=True)
    value = loss([material.features(model, column) for column in texts], _tensor(labels, model.device))
    value.backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return {"the value": value.detach().cpu(), "the gradients": torch.cat(gradients).cpu()}


def _tensor(labels: list[Any] | None, device: torch.device) -> Tensor | None:
    return None if labels is None else torch.tensor(labels, device=device)


def labels() -> Outcome:
    """Every loss that is given labels reads them: its value changes when they change."""
    labelled = {name: feed for name, feed in material.feeds().items() if feed.inputs.label != "none"}
    for name, feed in labelled.items():
        set_seed(0)
        model = material.fresh()
        texts, given = material.columns_of(feed.rows(len(ORDER)))
        with _named(name):
            read = reads_labels(model, feed.loss(model), texts, given or [])
        require(read, f"another value of {name} with other labels", "the same value")
    return passed(f"{len(labelled)} losses read their labels")


def every_loss_trains() -> Outcome:
    """Every loss moves all weight matrices of the base model that one loss moves, and every parameter of its own."""
    untrained, feeds = material.weights(material.fresh()), material.feeds()
    moved = {}
    for name, feed in feeds.items():
        with _named(name):
            moved[name] = _moved(feed, untrained)
    reached = {weight for names in moved.values() for weight in names if weight.endswith("weight")}
    for name, names in moved.items():
        still = sorted(reached - names)
        require(not still, f"{name} to move {len(reached)} weight matrices", f"{len(still)} unmoved, e.g. {still[:1]}")
    return passed(f"{len(feeds)} losses move all {len(reached)} weight matrices and their own parameters")


def _moved(feed: material.Feed, untrained: dict[str, Tensor]) -> set[str]:
    """Return the tensors of the base model that a few steps change; `train` raises FrozenLoss for those of the loss."""
    model, _ = material.trained(feed.loss, feed.rows(3 * material.BATCH))
    return set(material.changed(untrained, material.weights(model)))


CHECKS = (row_order, cached_losses, labels, every_loss_trains)
