"""Remove rows that no loss can train on from the rows of a view; training and audit both use this.

Exact duplicates stay: no loss fails on them, published results on the same set include them, and views that share their
anchors (`pair-of-triplet`, `triplet`) would no longer have the same rows. The audit counts them and their effect on
in-batch negatives (`harness.data.checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spec.views import View
from harness.texts.normal import normalise

if TYPE_CHECKING:
    from pandas import DataFrame

EXAMPLES = 5
"""Maximum number of rows whose indices are listed."""


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out for one reason, by their index among all rows of the view, from 0."""

    kind: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        return f"{len(self.rows):,} {self.kind} ({numbered(self.rows)})"


def numbered(rows: Sequence[int]) -> str:
    """List the first few row indices: "rows 3, 8, ... counted from 0"."""
    more = ", ..." if len(rows) > EXAMPLES else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:EXAMPLES]))}{more} counted from 0"


def clean(view: View, rows: DataFrame) -> tuple[DataFrame, list[Dropped]]:
    """Remove rows that cannot be trained on; each counts under its first reason.

    These are rows with a text that is null, not a string or only spaces; rows without a label; and rows whose negative
    equals the positive except for case and punctuation. A mined view's rows have only anchors and positives here: its
    negatives are made from the remaining rows.

    Returns:
        The remaining rows, and the removed ones by reason.
    """
    import numpy as np  # imported here, because it takes a tenth of a second that study files do not need

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
        indices = np.flatnonzero(bad & left)
        if len(indices):
            dropped.append(Dropped(kind, tuple(indices.tolist())))
        left &= ~bad
    return (rows[left].reset_index(drop=True) if dropped else rows), dropped


def _says_something(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
