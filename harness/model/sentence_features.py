"""Sentence features in a fast forward pass: detect changes by a loss, and outputs that the fast path omits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.errors import TokensWanted
from harness.model.packing import Features

OUTPUTS = ("token_embeddings", "all_layer_embeddings")
"""Further outputs of a transformer's forward, which the fast paths do not keep."""


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
            raise TokensWanted(f"the loss reads {name}, which a fast forward does not compute")


def object_versions(features: Features) -> tuple[tuple[str, int, int], ...]:
    """Return the identity of each feature, and the version of each tensor, which changes when it is written to."""
    return tuple(
        (name, id(value), value._version if isinstance(value, Tensor) else 0)
        for name, value in features.items()
        if name != "sentence_embedding"
    )


def with_embedding(features: Features, embedding: Tensor) -> Features:
    """Add embeddings, shape (sentences, dimension), to features, and guard against reading omitted outputs."""
    features["sentence_embedding"] = embedding
    return Embedded(features)
