"""The fast exact forward: the same embeddings from a batch with most of its padding left out, in few passes.

Sentences of a batch differ in length, and a batch is padded to its longest: of NLI's padded tokens only four in ten
are real. Sorting the sentences by length and running them in a few chunks, each padded only to its own longest,
computes the same function of the same parameters, because attention masks padding out and each sentence is embedded by
itself. The embeddings are put back in the batch's order, so the loss, its in-batch negatives and all gradients are
those of the plain forward (dropout draws other masks, as it would with another seed). For the same reason all columns
of a batch may share their chunks. It works at the model's `forward`, so it serves every loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from harness.training.tokens import TokenMemory

CHUNK_WORK = 3_000_000
"""What starting one more chunk costs, in tokens times the square of the model's width: work that would take as long.

Measured on two cores at widths 96 and 192. The fixed cost of a pass is the same at every width, a token's is not.
"""

Features = dict[str, Any]


class FastSentenceTransformer(SentenceTransformer):
    """A SentenceTransformer that tokenises a sentence once and, training on a CPU, leaves padding out."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._columns: Sequence[Features] = ()
        self._merged: Features | None = None
        self._embedded: dict[int, Tensor] = {}
        self._memory, self._longest = TokenMemory(), self.max_seq_length
        self.keeps_padding = False
        """Set for losses that read more of the forward than its embeddings, such as every layer's output."""

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the inherited features; those of plain sentences come from memory."""
        inherited = super().preprocess
        plain = not prompt and all(value is None for value in kwargs.values())
        if not plain or not inputs or not all(isinstance(text, str) for text in inputs):
            return inherited(inputs, prompt=prompt, **kwargs)
        if self._longest != self.max_seq_length:
            self._memory, self._longest = TokenMemory(), self.max_seq_length
        return self._memory.features(inputs, inherited)

    def expect(self, columns: Sequence[Features]) -> None:
        """Announce a batch: the first of its columns that is embedded takes the others along."""
        exact = len(columns) > 1 and all(self._leaves_padding_out(column) for column in columns)
        self._merged = _merge(columns) if exact else None
        self._columns, self._embedded = columns, {}

    def forward(self, input: Features, **kwargs: Any) -> Features:
        """Return the features with "sentence_embedding", shape (batch, dimension), added.

        Outside training, on a GPU, and for features without a two-dimensional mask this is the inherited forward.
        """
        if not self._leaves_padding_out(input):
            return super().forward(input, **kwargs)
        column = next((i for i, announced in enumerate(self._columns) if announced is input), None)
        if column is None or not torch.is_grad_enabled() or kwargs:
            return self._in_chunks(input, **kwargs)
        if self._merged is not None:
            together, self._merged = self._in_chunks(self._merged)["sentence_embedding"], None
            self._embedded = dict(enumerate(together.chunk(len(self._columns))))
        known = self._embedded.pop(column, None)
        if known is None:  # asked for again: a second pass draws dropout anew, as the inherited one would
            return self._in_chunks(input)
        input["sentence_embedding"] = known
        return input

    def _leaves_padding_out(self, features: Features) -> bool:
        """Tell whether these features may be cut: in training, on the CPU, and padded on the right if at all."""
        mask = features.get("attention_mask")
        if self.keeps_padding or not self.training or mask is None or mask.ndim != 2 or mask.device.type != "cpu":
            return False
        return not bool((mask[:, 0] == 0).any())

    def _in_chunks(self, features: Features, **kwargs: Any) -> Features:
        mask = features["attention_mask"]
        lengths, order = mask.sum(dim=1).sort(stable=True)
        borders = cheapest_chunks(lengths.tolist(), self._chunk_cost())
        embeddings = []
        for begin, end in pairwise(borders):
            rows, width = order[begin:end], int(lengths[end - 1])
            chunk = {name: _part(value, mask, rows, width) for name, value in features.items()}
            embeddings.append(super().forward(chunk, **kwargs)["sentence_embedding"])
        features["sentence_embedding"] = torch.cat(embeddings)[torch.argsort(order)]
        return features

    def _chunk_cost(self) -> int:
        return CHUNK_WORK // (self.get_embedding_dimension() or 1) ** 2


def _merge(columns: Sequence[Features]) -> Features | None:
    """Put columns of equal make under one another, all as wide as the widest; None if they are not of equal make."""
    first = columns[0]
    rows, widest = len(first["attention_mask"]), max(column["attention_mask"].shape[1] for column in columns)
    merged: Features = {}
    for name, value in first.items():
        values = [column.get(name) for column in columns]
        if not isinstance(value, Tensor):
            if any(other != value for other in values):
                return None
            merged[name] = value
        elif any(
            not isinstance(v, Tensor) or v.shape != c["attention_mask"].shape
            for v, c in zip(values, columns, strict=True)
        ):
            return None
        else:
            merged[name] = torch.cat([nn.functional.pad(v, (0, widest - v.shape[1])) for v in values if v is not None])
    same = all(column.keys() == first.keys() and len(column["attention_mask"]) == rows for column in columns)
    return merged if same else None


def _part(value: Any, mask: Tensor, rows: Tensor, width: int) -> Any:
    """Cut a feature to some rows and the first tokens; what is not one value a token or a row stays whole."""
    if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != mask.shape[0]:
        return value
    return value[rows, :width] if value.shape[:2] == mask.shape else value[rows]


def cheapest_chunks(lengths: Sequence[int], chunk_cost: int) -> list[int]:
    """Split sentences, sorted by rising length, into the chunks that cost least.

    A chunk costs its rows times its longest sentence, in tokens, plus `chunk_cost`. Returns the borders, from 0 to
    len(lengths); found exactly by dynamic programming over the places where the length rises.
    """
    ends = [i + 1 for i, length in enumerate(lengths) if i + 1 == len(lengths) or lengths[i + 1] > length]
    cost: dict[int, tuple[float, int]] = {0: (0.0, 0)}
    for end in ends:
        width = lengths[end - 1]
        cost[end] = min((cost[begin][0] + (end - begin) * width + chunk_cost, begin) for begin in cost)
    borders = [len(lengths)]
    while borders[-1]:
        borders.append(cost[borders[-1]][1])
    return borders[::-1]
