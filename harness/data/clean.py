"""Rows that no loss can train on: left out of what a view builds, and counted; training and audit use this alike.

Exact duplicates stay: no loss fails on them, they weigh double as in every published result on the same set, and views
that share their anchors (`pair-of-triplet`, `triplet`) would no longer hold the same rows. The audit counts them, and
what they do to in-batch negatives (`harness.data.checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.data.overlap import normalise
from harness.spec.views import View

if TYPE_CHECKING:
    from pandas import DataFrame

EXAMPLES = 5
"""Rows of a kind that are named by their number."""


@dataclass(frozen=True)
class Dropped:
    """Rows of one kind that were left out, by their number among all that the view built, counted from 0."""

    kind: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        return f"{len(self.rows):,} {self.kind} ({numbered(self.rows)})"


def numbered(rows: Sequence[int]) -> str:
    """Name the first few rows of many: "rows 3, 8, ... counted from 0"."""
    more = ", ..." if len(rows) > EXAMPLES else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:EXAMPLES]))}{more} counted from 0"


def clean(view: View, rows: DataFrame) -> tuple[DataFrame, list[Dropped]]:
    """Return a view's rows without those that cannot train, and which these were; each counts under its first reason.

    A text that is null, no string or only spaces has an embedding that says nothing; without a label there is nothing
    to learn; and where a negative is its own positive, but for case and punctuation, the loss is told to part what it
    is told to join. A mined view's rows are anchors and positives yet: its negatives are made from what is left.
    """
    import numpy as np  # a tenth of a second that study files do not need

    columns = [name for name in rows.columns if name in view.columns]
    texts = [name for name in columns if name in view.columns[: view.texts]]
    reasons = {"with an empty or null text": ~rows[texts].map(_says_something).all(axis=1).to_numpy(bool)}
    if view.label != "none":
        reasons["with a null label"] = rows[view.columns[-1]].isna().to_numpy(bool)
    elif len(texts) > 2:
        positives = rows[texts[1]].map(normalise)
        same = [(rows[negative].map(normalise) == positives).to_numpy(bool) for negative in texts[2:]]
        reasons["with a negative equal to the positive"] = np.logical_or.reduce(same)
    left, dropped = np.ones(len(rows), bool), []
    for kind, bad in reasons.items():
        found = np.flatnonzero(bad & left)
        if len(found):
            dropped.append(Dropped(kind, tuple(found.tolist())))
        left &= ~bad
    return (rows[left].reset_index(drop=True) if dropped else rows), dropped


def _says_something(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
