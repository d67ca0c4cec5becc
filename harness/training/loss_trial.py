"""Try a loss on a few rows: whether it gives a model a gradient, and whether it reads its labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn


@dataclass(frozen=True)
class Fault:
    """Why a loss cannot train a model, although it raises nothing."""

    kind: Literal["no module", "no number", "not finite", "no gradient"]
    """The requirement that the loss does not meet."""
    value: str
    """What the loss is, or what it returned."""


def fault_of(
    model: SentenceTransformer, loss: Any, texts: Sequence[Sequence[str]], labels: Sequence[Any] | None
) -> Fault | None:
    """Return why a loss cannot train its model, by one batch forward and backward; None if it can.

    The loss is called as the trainer calls it, with dropout. A gradient that is zero is no fault: a loss with a margin
    is satisfied by some batches. Exceptions of the loss pass through.

    Args:
        model: the model of the loss; it is set to training mode and receives gradients.
        loss: what the study's loss returned for this model.
        texts: text columns of a few rows.
        labels: labels of the rows: a number each, or several; None if the view has none.
    """
    if not isinstance(loss, nn.Module):
        return Fault("no module", _kind(loss))
    model.train(), loss.train()
    loss.to(model.device)
    model.zero_grad(set_to_none=True)
    value = loss(_features(model, texts), None if labels is None else torch.tensor(labels, device=model.device))
    if isinstance(value, dict) and value and all(isinstance(part, Tensor) for part in value.values()):
        value = torch.stack(list(value.values())).sum()  # as the trainer adds the parts
    if not isinstance(value, Tensor) or value.numel() != 1:
        return Fault("no number", _kind(value))
    if not math.isfinite(value.item()):
        return Fault("not finite", f"{value.item()}")
    if value.requires_grad:
        value.backward()  # type: ignore[no-untyped-call]
    has_gradient = any(parameter.grad is not None for parameter in model.parameters())
    return None if has_gradient else Fault("no gradient", f"{value.item():.4g}")


def reads_labels(
    model: SentenceTransformer, loss: nn.Module, texts: Sequence[Sequence[str]], labels: Sequence[float]
) -> bool:
    """Return whether the value of a loss changes when its labels change.

    The loss is evaluated without dropout, with the labels as they are and shifted by one row. Exceptions of the loss
    pass through.

    Args:
        model: the model of the loss; it is set to eval mode.
        loss: the loss; it is set to eval mode.
        texts: text columns of a few rows, each as long as `labels`.
        labels: labels of the rows, at least two of which differ.
    """
    model.eval(), loss.eval()
    loss.to(model.device)
    values = []
    for order in (list(labels), [*labels[1:], labels[0]]):
        with torch.no_grad():
            values.append(_total(loss(_features(model, texts), torch.tensor(order, device=model.device))))
    return values[0] != values[1]


def _features(model: SentenceTransformer, texts: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    return [_to(model.preprocess(list(column)), model.device) for column in texts]


def _to(features: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def _total(value: Any) -> float:
    """Return the value of a loss as a number; losses of several parts return a dictionary of them."""
    return float(sum(value.values()) if isinstance(value, Mapping) else value)


def _kind(value: Any) -> str:
    """Describe a value by its type; a tensor also by its shape, a dictionary by the types of its values."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, dict):
        return f"a dictionary of {', '.join(sorted({type(part).__name__ for part in value.values()})) or 'nothing'}"
    return f"an object of type {type(value).__name__}"
