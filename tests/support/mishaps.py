"""Losses that fail in the ways in which training fails."""

from __future__ import annotations

import math
from typing import Any

from sentence_transformers import SentenceTransformer
from torch import Tensor, nn


def mishap(happens: Any) -> Any:
    """Make a loss whose value goes through `happens` from the second batch on; the audit tries only one."""

    class Loss(nn.Module):
        def __init__(self, model: SentenceTransformer) -> None:
            super().__init__()
            self.model, self.batches = model, 0

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            left, right = (self.model(column)["sentence_embedding"] for column in features)
            value, self.batches = (left - right).square().mean(), self.batches + 1
            return value if self.batches == 1 else happens(value)  # type: ignore[no-any-return]

    return Loss


def crash(value: Tensor) -> Tensor:
    raise ZeroDivisionError("a bug in the loss")


not_a_number = mishap(lambda value: value * math.nan)
