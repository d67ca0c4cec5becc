"""Test whether a loss reads its labels, by evaluating it with changed labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn


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
        features = [_to(model.preprocess(list(column)), model.device) for column in texts]
        with torch.no_grad():
            values.append(_total(loss(features, torch.tensor(order, device=model.device))))
    return values[0] != values[1]


def _to(features: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def _total(value: Any) -> float:
    """Return the value of a loss as a number; losses of several parts return a dictionary of them."""
    return float(sum(value.values()) if isinstance(value, Mapping) else value)
