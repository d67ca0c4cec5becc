"""Split a padded batch into chunks padded to their own longest sentence, for models that cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.model.packing import Features

CHUNK_WORK = 3_000_000
"""What starting one more chunk costs, in tokens times the square of the model's width: work that would take as long.

Measured on two cores at widths 96 and 192. The fixed cost of a pass is the same at every width, a token's is not.
"""


def merged(columns: Sequence[Features]) -> Features | None:
    """Put columns of equal make under one another, all as wide as the widest; None if they are not of equal make."""
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
