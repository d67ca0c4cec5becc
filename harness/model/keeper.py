"""Keep the weights of the best model of a training."""

from __future__ import annotations

import math

from sentence_transformers import SentenceTransformer
from torch import Tensor


class Keeper:
    """A copy of the weights with the highest score so far; the earliest of equal ones."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Remember the model; nothing is copied before the first offer."""
        self._model = model
        self._score = -math.inf
        self._weights: dict[str, Tensor] | None = None

    def offer(self, score: float) -> None:
        """Copy the model's present weights if its score exceeds all earlier ones."""
        if score > self._score:
            self._score = score
            self._weights = {name: value.detach().clone() for name, value in self._model.state_dict().items()}

    def restore(self) -> None:
        """Give the model the best weights."""
        if self._weights is not None:
            self._model.load_state_dict(self._weights)
