"""Pack a batch: concatenate its sentences into one sequence, by increasing length, without padding."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Features = dict[str, Any]
Lengths = Sequence[Sequence[int] | np.ndarray]
"""Of each column of a batch: its sentences' lengths in tokens."""

Made = TypeVar("Made")


class Borders:
    """Offsets of the sentences of a packed sequence, which are only on its device."""

    def __init__(self, offsets: Tensor, longest: int) -> None:
        """Take the sentences' beginnings with the last one's end, shape (sentences + 1,); none is over `longest`."""
        self.offsets, self.longest = offsets, longest
        self._kept: dict[Hashable, Any] = {}

    def kept(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """Return what was made for this batch under a name: the layers of a model ask for the same."""
        if name not in self._kept:
            self._kept[name] = make()
        made: Made = self._kept[name]
        return made


class Packing(Borders):
    """Where sentences lie in a packed sequence."""

    def __init__(self, lengths: np.ndarray, device: torch.device) -> None:
        """Take the sentences' lengths in tokens, rising."""
        self.lengths = lengths
        self.starts = lengths.cumsum() - lengths
        self.sentence = np.repeat(np.arange(len(lengths)), lengths)
        self.position = np.arange(lengths.sum()) - self.starts[self.sentence]
        super().__init__(on(device, np.append(self.starts, len(self.position))), int(lengths[-1]))


def packed(
    columns: Sequence[Features], lengths: Lengths, first_position: int = 0, grid: int = 1
) -> tuple[Features, Tensor] | None:
    """Pack the sentences of columns that are padded on the right, numbering each one's tokens from `first_position`.

    One sentence more, which goes nowhere, fills the sequence up to a multiple of `grid` tokens. All its tokens have the
    first position: it may be longer than the model has positions.

    Returns the features that a transformer and its pooling read, in sentence-transformers' form for flash attention
    (`cu_seq_lens_q`, `seq_idx`) with the `packing` besides, and where each sentence of the columns went, shape
    (sentences,); None if the columns have features that are neither alike nor one value a token, or positions
    of their own.
    """
    first = columns[0]
    if "position_ids" in first or any(not _alike(first, column) for column in columns):
        return None
    device = first["attention_mask"].device
    widths = np.concatenate([np.full(len(c["attention_mask"]), c["attention_mask"].shape[1]) for c in columns])
    flat = np.concatenate([np.asarray(part) for part in lengths])
    begins = widths.cumsum() - widths
    if filling := -int(flat.sum()) % grid:
        flat, begins = np.append(flat, filling), np.append(begins, 0)
    order = flat.argsort(kind="stable")
    packing = Packing(flat[order], device)
    position = packing.position
    if filling:
        position = np.where(order[packing.sentence] == len(widths), 0, position)
    places = on(device, np.minimum(begins[order][packing.sentence] + packing.position, widths.sum() - 1))
    features = {
        name: torch.cat([column[name].flatten() for column in columns])[places][None]
        if isinstance(value, Tensor)
        else value
        for name, value in first.items()
        if name != "attention_mask"
    }
    features |= {
        "position_ids": on(device, position + first_position)[None],
        "cu_seq_lens_q": packing.offsets,
        "seq_idx": on(device, packing.sentence)[None],
        "packing": packing,
    }
    return features, on(device, inverse(order)[: len(widths)])


def padded_on_the_right(mask: Tensor) -> bool:
    """Return whether each sentence of an attention mask has all its tokens before the padding, without gaps."""
    return mask.shape[1] > 0 and bool(mask[:, 0].all()) and not bool((mask[:, 1:] > mask[:, :-1]).any())


def inverse(order: np.ndarray) -> np.ndarray:
    """Return the permutation that undoes another."""
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return back


def on(device: torch.device, numbers: np.ndarray) -> Tensor:
    """Bring indices to a device, without waiting for it."""
    tensor = torch.from_numpy(numbers)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _alike(first: Features, other: Features) -> bool:
    """Return whether two columns have the same features, with one value per token in each tensor."""
    return first.keys() == other.keys() and all(
        value.shape == other["attention_mask"].shape if isinstance(value, Tensor) else value == first[name]
        for name, value in other.items()
    )
