"""The fast exact forward: the same embeddings from a batch with most of its padding left out.

Sentences of a batch differ in length, and a batch is padded to its longest: of NLI's padded tokens only four in ten
are real. Sorting the sentences by length and running them in a few chunks, each padded only to its own longest,
computes the same function of the same parameters, because attention masks padding out and each sentence is embedded by
itself. The embeddings are put back in the batch's order, so the loss, its in-batch negatives and all gradients are
those of the plain forward (dropout draws other masks, as it would with another seed). It works at the model's
`forward`, so it serves every loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

CHUNK_COST = 80
"""What starting one more chunk costs, in tokens: the work that two cores' fixed costs a chunk would pay for."""


class ChunkedSentenceTransformer(SentenceTransformer):
    """A SentenceTransformer whose forward on the CPU leaves padding out while it trains; all else is inherited."""

    def forward(self, input: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Return the features with "sentence_embedding", shape (batch, dimension), added.

        Features without a two-dimensional attention mask, and anything outside training, take the inherited forward.
        """
        mask = input.get("attention_mask")
        if not self.training or mask is None or mask.ndim != 2 or mask.device.type != "cpu" or _left_padded(mask):
            return super().forward(input, **kwargs)
        lengths, order = mask.sum(dim=1).sort(stable=True)
        borders = cheapest_chunks(lengths.tolist(), CHUNK_COST)
        if len(borders) == 2:
            return super().forward(input, **kwargs)
        embeddings = []
        for begin, end in pairwise(borders):
            rows, width = order[begin:end], int(lengths[end - 1])
            chunk = {name: _part(value, mask, rows, width) for name, value in input.items()}
            embeddings.append(super().forward(chunk, **kwargs)["sentence_embedding"])
        together = torch.cat(embeddings)
        input["sentence_embedding"] = together[torch.argsort(order)]
        return input


def _left_padded(mask: Tensor) -> bool:
    return bool((mask[:, 0] == 0).any())


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
