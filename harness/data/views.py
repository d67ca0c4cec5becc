"""Views: how NLI rows (premise, hypothesis, label) become a loss's input.

Rows are a pandas DataFrame with GLUE's columns and labels: 0 entailment, 1 neutral, 2 contradiction. The first `limit`
rows are the training budget; `triplet` and `pair-of-triplet` take their anchors from them and look for negatives in all
rows, because in the first 50,000 rows of MNLI few premises stand beside a contradiction of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.losses import Inputs, Label

if TYPE_CHECKING:
    from pandas import DataFrame

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2


@dataclass(frozen=True)
class View:
    """A named way to build a loss's columns: texts first, then the label column where `label` is not "none"."""

    name: str
    columns: tuple[str, ...]
    label: Label
    build: Callable[[DataFrame, int], DataFrame]

    @property
    def texts(self) -> int:
        return len(self.columns) - (self.label != "none")

    def feeds(self, inputs: Inputs) -> bool:
        return self.label == inputs.label and inputs.fewest <= self.texts <= inputs.most


def labelled(rows: DataFrame, limit: int) -> DataFrame:
    """Keep the first `limit` rows as they are, less those that annotators left without a label (-1)."""
    first = rows.head(limit)
    return first[first["label"].between(ENTAILMENT, CONTRADICTION)].reset_index(drop=True)


def _pair_class(rows: DataFrame, limit: int) -> DataFrame:
    return labelled(rows, limit)[["premise", "hypothesis", "label"]]


def _pair_score(rows: DataFrame, limit: int) -> DataFrame:
    first = labelled(rows, limit)
    scored = first.assign(score=(first["label"] == ENTAILMENT).astype(float))
    return scored.set_axis(["sentence1", "sentence2", "label", "score"], axis=1)[["sentence1", "sentence2", "score"]]


def _pair(rows: DataFrame, limit: int) -> DataFrame:
    first = labelled(rows, limit)
    entailed = first[first["label"] == ENTAILMENT]
    return entailed[["premise", "hypothesis"]].set_axis(["anchor", "positive"], axis=1).reset_index(drop=True)


def _triplet(rows: DataFrame, limit: int) -> DataFrame:
    """Give each entailment a contradiction of its own premise; a premise's n-th entailment takes its n-th, in turn."""
    pairs = _pair(rows, limit)
    contradictions = rows.loc[rows["label"] == CONTRADICTION, ["premise", "hypothesis"]]
    by_premise = contradictions.groupby("premise", sort=False)["hypothesis"].agg(list)
    pairs = pairs[pairs["anchor"].isin(by_premise.index)]
    turn = pairs.groupby("anchor", sort=False).cumcount()
    negatives = [
        by_premise[anchor][n % len(by_premise[anchor])] for anchor, n in zip(pairs["anchor"], turn, strict=True)
    ]
    return pairs.assign(negative=negatives).reset_index(drop=True)


def _pair_of_triplet(rows: DataFrame, limit: int) -> DataFrame:
    return _triplet(rows, limit)[["anchor", "positive"]]


VIEWS = {
    view.name: view
    for view in (
        View("pair-class", ("premise", "hypothesis", "label"), "class", _pair_class),
        View("pair-score", ("sentence1", "sentence2", "score"), "score", _pair_score),
        View("pair", ("anchor", "positive"), "none", _pair),
        View("triplet", ("anchor", "positive", "negative"), "none", _triplet),
        View("pair-of-triplet", ("anchor", "positive"), "none", _pair_of_triplet),
    )
}
