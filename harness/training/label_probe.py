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
    """Return whether a loss's value changes when the labels of its rows do; without dropout.

    Args:
        texts: a few rows' text columns, each as long as `labels`.
        labels: their labels; at least two of them must differ. They are given as they are, and turned by one row.

    Whatever the loss raises passes through.
    """
    model.eval(), loss.eval()
    loss.to(model.device)
    values = []
    for turned in (list(labels), [*labels[1:], labels[0]]):
        features = [_to(model.preprocess(list(column)), model.device) for column in texts]
        with torch.no_grad():
            values.append(_total(loss(features, torch.tensor(turned, device=model.device))))
    return values[0] != values[1]


def _to(features: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def _total(value: Any) -> float:
    """Return a loss's value; losses of several parts give a dictionary of them."""
    return float(sum(value.values()) if isinstance(value, Mapping) else value)
