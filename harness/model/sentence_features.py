"""Sentence features in a fast forward pass: detect changes by a loss, and outputs that the fast path omits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.errors import TokensWanted
from harness.model.packing import Features

OUTPUTS = ("token_embeddings", "all_layer_embeddings")
"""What a transformer's forward gives beside, and the fast ways do not keep."""


class Embedded(dict[str, Any]):
    """Features with their embedding but without hidden states, which a fast path does not compute.

    Reading a transformer's outputs by any method raises TokensWanted; with a plain dictionary, `get` and `in` would
    report that there are none, and a loss would skip a part of itself.
    """

    def __getitem__(self, name: str) -> Any:
        self._has(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._has(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._has(name)
        return super().__contains__(name)

    def _has(self, name: object) -> None:
        if name in OUTPUTS and name not in self.keys():
            raise TokensWanted(f"the loss reads {name}, which a fast forward does not make")


def stamps(features: Features) -> tuple[tuple[str, int, int], ...]:
    """Tell which objects features are, and in which state: a tensor that is written to has another version."""
    return tuple(
        (name, id(value), value._version if isinstance(value, Tensor) else 0)
        for name, value in features.items()
        if name != "sentence_embedding"
    )


def with_embedding(features: Features, embedding: Tensor) -> Features:
    features["sentence_embedding"] = embedding
    return Embedded(features)
