"""Batches for comparing a fast path with the plain one: unusual shapes, made from a run's own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from harness.model.fast import FastSentenceTransformer
from harness.model.packing import Features

SAMPLE, ROWS, CUT = 64, 3, 64
"""Rows that are sampled, rows of a batch (2 * ROWS - 1 in that of the loss), and the usual truncation in tokens."""

LABELS = ("label", "labels", "score", "scores")
"""Names of columns that sentence-transformers takes for labels."""


@dataclass(frozen=True)
class Batch:
    """Columns of sentences, and how they are embedded."""

    name: str
    """Description of the batch for messages."""
    columns: Sequence[Sequence[str]]
    """The sentences of each column."""
    longest: int | None = CUT
    """Number of tokens at which sentences are truncated; None for the model's own maximum."""
    piece: bool = False
    """Whether only the last two rows are embedded, padded as the whole batch is."""
    announced: bool = False
    """Whether the batch is announced to the model, as in training, so that all columns share one pass."""
    by_loss: bool = False
    """Whether the loss embeds the batch."""
    labels: Tensor | None = None
    """Labels of the rows, shape (rows,)."""


def lengths_of(columns: Sequence[Features]) -> list[np.ndarray] | None:
    """Return the sentences' lengths in tokens, by column, as the trainer's collator does; None if it gives none."""
    masks = [column["attention_mask"] for column in columns if "attention_mask" in column]
    right_padded = len(masks) == len(columns) and all(mask.ndim == 2 and bool(mask[:, 0].all()) for mask in masks)
    return [mask.sum(dim=1).cpu().numpy() for mask in masks] if right_padded else None


def batches_of(model: FastSentenceTransformer, rows: Dataset) -> list[Batch]:
    """Return the batches on which forward paths are compared, made from a sample of a run's rows."""
    names = [name for name in rows.column_names if name not in LABELS]
    label = next((name for name in LABELS if name in rows.column_names), None)
    sample = rows.select(spread(len(rows), SAMPLE))
    # if two texts of a row are equal, |u - v| has no derivative
    distinct = [index for index, row in enumerate(sample) if len({str(row[name]) for name in names}) == len(names)]
    sample = sample.select(distinct) if distinct else sample
    columns = [list(sample[name]) for name in names]
    some = spread(len(sample), 2 * ROWS - 1)
    chosen = [[column[place] for place in some] for column in columns]
    labels = None if label is None else torch.tensor([sample[label][place] for place in some], device=model.device)
    texts = sorted(dict.fromkeys(text for column in columns for text in column), key=lambda text: (len(text), text))
    mixed = [texts[-1], texts[0], texts[len(texts) // 2]]
    equal, shorter = _of_one_length(model, texts)
    few = [column[:ROWS] for column in chosen]
    return [
        Batch("rows as they come", few, announced=True),
        Batch("one row", [column[:1] for column in few], announced=True),
        Batch("sentences of one length", [equal]),
        Batch("sentences cut at the maximum", [texts[-2:]], shorter),
        Batch("a cached loss's last piece", [mixed], piece=True),
        Batch("long beside short", [mixed], None),
        Batch("by the loss", chosen, announced=True, by_loss=True, labels=labels),
    ]


def spread(rows: int, most: int) -> list[int]:
    """Return the indices of at most `most` rows, spread evenly."""
    return sorted({round(place) for place in np.linspace(0, rows - 1, min(most, rows)).tolist()})


def _of_one_length(model: FastSentenceTransformer, texts: Sequence[str]) -> tuple[list[str], int | None]:
    """Return two sentences with equal numbers of tokens, or one twice, and a length that truncates the longest two.

    The length is None for models whose features do not show the number of tokens.
    """
    mask = model.features(list(texts)).get("attention_mask")
    if mask is None or mask.ndim != 2:
        return [texts[0]] * 2, None
    lengths = mask.sum(dim=1).tolist()
    usual = max(set(lengths), key=lambda length: (lengths.count(length), length))
    equal = [text for text, length in zip(texts, lengths, strict=True) if length == usual]
    return [equal[0], equal[-1]], max(3, min(*lengths[-2:], CUT) - 1)
