"""Pack a batch: concatenate its sentences into one sequence, by increasing length, without padding."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Features = dict[str, Any]
Lengths = Sequence[Sequence[int] | np.ndarray]
"""For each column of a batch, its sentences' lengths in tokens."""

Value = TypeVar("Value")


class Borders:
    """Offsets of the sentences of a packed sequence, on its device only."""

    def __init__(self, offsets: Tensor, longest: int) -> None:
        """Store the offsets.

        Args:
            offsets: the start of each sentence and the end of the last, shape (sentences + 1,).
            longest: upper bound of the sentences' lengths, in tokens.
        """
        self.offsets, self.longest = offsets, longest
        self._cache: dict[Hashable, Any] = {}

    def cached(self, name: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value cached under a name, made on first use, because all layers of a model need the same."""
        if name not in self._cache:
            self._cache[name] = make()
        value: Value = self._cache[name]
        return value


class Packing(Borders):
    """Layout of a packed sequence."""

    def __init__(self, lengths: np.ndarray, device: torch.device) -> None:
        """Compute the layout from the sentences' lengths in tokens, in increasing order."""
        self.lengths = lengths  # (sentences,)
        self.starts = lengths.cumsum() - lengths  # (sentences,)
        self.sentence = np.repeat(np.arange(len(lengths)), lengths)  # (tokens,): the sentence of each token
        self.position = np.arange(lengths.sum()) - self.starts[self.sentence]  # (tokens,): within the sentence
        super().__init__(index_tensor(device, np.append(self.starts, len(self.position))), int(lengths[-1]))


def packed(
    columns: Sequence[Features], lengths: Lengths, first_position: int = 0, grid: int = 1
) -> tuple[Features, Tensor] | None:
    """Pack the sentences of columns that are padded on the right.

    One further sentence, whose embedding is not used, fills the sequence up to a multiple of `grid` tokens. All its
    tokens have the first position, because it may be longer than the model has positions.

    Args:
        columns: the features of each column.
        lengths: the sentences' lengths in tokens, by column.
        first_position: position of the first token of each sentence.
        grid: the number of tokens is filled up to a multiple of this.

    Returns:
        The features that a transformer and its pooling read, in sentence-transformers' form for flash attention
        (`cu_seq_lens_q`, `seq_idx`) and with the `packing`; and each sentence's place in the packed order, shape
        (sentences,). None if the columns have their own positions, or features that differ between columns without
        being one value per token.
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
    places = index_tensor(device, np.minimum(begins[order][packing.sentence] + packing.position, widths.sum() - 1))
    features = {
        name: torch.cat([column[name].flatten() for column in columns])[places][None]
        if isinstance(value, Tensor)
        else value
        for name, value in first.items()
        if name != "attention_mask"
    }
    features |= {
        "position_ids": index_tensor(device, position + first_position)[None],
        "cu_seq_lens_q": packing.offsets,
        "seq_idx": index_tensor(device, packing.sentence)[None],
        "packing": packing,
    }
    return features, index_tensor(device, inverse(order)[: len(widths)])


def padded_on_the_right(mask: Tensor) -> bool:
    """Return whether each sentence of an attention mask has all its tokens before the padding, without gaps."""
    return mask.shape[1] > 0 and bool(mask[:, 0].all()) and not bool((mask[:, 1:] > mask[:, :-1]).any())


def inverse(order: np.ndarray) -> np.ndarray:
    """Return the permutation that undoes another."""
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return back


def index_tensor(device: torch.device, numbers: np.ndarray) -> Tensor:
    """Copy indices to a device without waiting for it."""
    tensor = torch.from_numpy(numbers)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _alike(first: Features, other: Features) -> bool:
    """Return whether two columns have the same features, with one value per token in each tensor."""
    return first.keys() == other.keys() and all(
        value.shape == other["attention_mask"].shape if isinstance(value, Tensor) else value == first[name]
        for name, value in other.items()
    )
