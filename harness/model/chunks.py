"""Split a padded batch into chunks padded to their own longest sentence, for models that cannot be packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.model.packing import Features

CHUNK_WORK = 3_000_000
"""Fixed cost of a chunk, expressed as the work (tokens times the square of the model's width) that takes equally long.

Measured on two cores at widths 96 and 192. The fixed cost of a pass does not depend on the width; that of a token does.
"""


CHARACTERS_A_TOKEN = 4
"""Estimated characters of a token, for grouping sentences before they are tokenised."""


def by_length(sentences: Sequence[str], longest: int, limit: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Group sentences of similar length into batches of about `limit` tokens, which are estimated from the characters.

    Args:
        sentences: the sentences.
        longest: number of tokens at which the model truncates a sentence.
        limit: number of tokens of a batch.

    Returns:
        The sentences' indices by increasing length, shape (sentences,), and the same indices split into batches.
    """
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    order = lengths.argsort(kind="stable")
    tokens = np.minimum(lengths[order] // CHARACTERS_A_TOKEN + 2, longest)
    batch = tokens.cumsum() // limit  # (sentences,): the number of each sentence's batch
    return order, np.split(order, np.flatnonzero(np.diff(batch)) + 1)


def embedded(features: Features, forward: Callable[[Features], Features], dimension: int) -> Tensor:
    """Embed a padded batch chunk by chunk.

    Args:
        features: the batch.
        forward: the model's forward pass.
        dimension: width of the model.

    Returns:
        Embeddings in the batch's order, shape (sentences, dimension).
    """
    mask = features["attention_mask"]  # (sentences, tokens)
    lengths, order = mask.sum(dim=1).sort(stable=True)
    embeddings = []
    for begin, end in pairwise(cheapest_chunks(lengths.tolist(), CHUNK_WORK // dimension**2)):
        rows, width = order[begin:end], int(lengths[end - 1])
        chunk = {name: part(value, mask, rows, width) for name, value in features.items()}
        embeddings.append(forward(chunk)["sentence_embedding"])
    return torch.cat(embeddings)[torch.argsort(order)]


def merged(columns: Sequence[Features]) -> Features | None:
    """Concatenate columns along the rows, padded to the widest; None if their features or numbers of rows differ."""
    first = columns[0]
    rows, widest = len(first["attention_mask"]), max(column["attention_mask"].shape[1] for column in columns)
    together: Features = {}
    for name, value in first.items():
        values = [column.get(name) for column in columns]
        if not isinstance(value, Tensor):
            if any(other != value for other in values):
                return None
            together[name] = value
        elif any(
            not isinstance(v, Tensor) or v.shape != c["attention_mask"].shape
            for v, c in zip(values, columns, strict=True)
        ):
            return None
        else:
            together[name] = torch.cat(
                [nn.functional.pad(v, (0, widest - v.shape[1])) for v in values if v is not None]
            )
    same = all(column.keys() == first.keys() and len(column["attention_mask"]) == rows for column in columns)
    return together if same else None


def part(value: Any, mask: Tensor, rows: Tensor, width: int) -> Any:
    """Cut a feature to some rows and the first tokens.

    Args:
        value: the feature.
        mask: the attention mask of the whole batch, shape (sentences, tokens).
        rows: indices of the rows.
        width: number of tokens.

    Returns:
        The part; the whole feature if it has neither one value per token nor one per row.
    """
    if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != mask.shape[0]:
        return value
    return value[rows, :width] if value.shape[:2] == mask.shape else value[rows]


def cheapest_chunks(lengths: Sequence[int], chunk_cost: int) -> list[int]:
    """Split sentences into the chunks that cost least, exactly, by dynamic programming over the distinct lengths.

    A chunk costs its number of sentences times the length of its longest sentence, in tokens, plus `chunk_cost`.

    Args:
        lengths: the sentences' lengths in tokens, in increasing order.
        chunk_cost: fixed cost of a chunk, in tokens.

    Returns:
        The borders of the chunks, from 0 to len(lengths).
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
