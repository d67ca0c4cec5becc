"""Views: how NLI rows (premise, hypothesis, label) become a loss's input.

Rows are a pandas DataFrame with GLUE's columns and labels: 0 entailment, 1 neutral, 2 contradiction. The first `limit`
rows are the training budget; `triplet` and `pair-of-triplet` take their anchors from them and look for negatives in all
rows, because in the first 50,000 rows of MNLI few premises stand beside a contradiction of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def _scored(rows: DataFrame, limit: int, by_label: Mapping[int, float]) -> DataFrame:
    """Score rows by their label; labels without a score are left out."""
    first = labelled(rows, limit)
    kept = first[first["label"].isin(by_label)].reset_index(drop=True)
    scored = kept.assign(score=kept["label"].map(by_label).astype(float))
    return scored.set_axis(["sentence1", "sentence2", "label", "score"], axis=1)[["sentence1", "sentence2", "score"]]


def _pair_score(rows: DataFrame, limit: int) -> DataFrame:
    return _scored(rows, limit, {ENTAILMENT: 1, NEUTRAL: 0, CONTRADICTION: 0})


def _pair_score_half(rows: DataFrame, limit: int) -> DataFrame:
    return _scored(rows, limit, {ENTAILMENT: 1, NEUTRAL: 0.5, CONTRADICTION: 0})


def _pair_score_no_neutral(rows: DataFrame, limit: int) -> DataFrame:
    return _scored(rows, limit, {ENTAILMENT: 1, CONTRADICTION: 0})


def _pairs_labelled(rows: DataFrame, limit: int, labels: Sequence[int]) -> DataFrame:
    first = labelled(rows, limit)
    kept = first[first["label"].isin(labels)]
    return kept[["premise", "hypothesis"]].set_axis(["anchor", "positive"], axis=1).reset_index(drop=True)


def _pair(rows: DataFrame, limit: int) -> DataFrame:
    return _pairs_labelled(rows, limit, [ENTAILMENT])


def _pair_of_all(rows: DataFrame, limit: int) -> DataFrame:
    return _pairs_labelled(rows, limit, [ENTAILMENT, NEUTRAL, CONTRADICTION])


def _pair_of_contradictions(rows: DataFrame, limit: int) -> DataFrame:
    return _pairs_labelled(rows, limit, [CONTRADICTION])


def _pair_both_ways(rows: DataFrame, limit: int) -> DataFrame:
    """Give each entailment, then each of them turned round."""
    import pandas as pd  # a third of a second that study files do not need

    pairs = _pair(rows, limit)
    turned = pairs.rename(columns={"anchor": "positive", "positive": "anchor"})[["anchor", "positive"]]
    return pd.concat([pairs, turned], ignore_index=True)


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


def _random_negatives(triplets: DataFrame) -> list[str]:
    """Draw for each anchor the positive of another premise, each positive being drawn about once; the same each time.

    A shuffle is turned until no anchor meets a row of its own premise; if one premise has most rows, some still do.
    """
    import numpy as np

    random = np.random.default_rng(0)
    order = random.permutation(len(triplets))
    anchors, positives = triplets["anchor"].to_numpy(), triplets["positive"].to_numpy()
    for _ in range(100):
        own = np.flatnonzero(anchors == anchors[order])
        if not len(own):
            break
        others = random.permutation(len(order))[: len(own)]
        for mine, other in zip(own, others, strict=True):
            order[mine], order[other] = order[other], order[mine]
    return list(positives[order])


def _triplet_random(rows: DataFrame, limit: int) -> DataFrame:
    triplets = _triplet(rows, limit)
    return triplets.assign(negative=_random_negatives(triplets))


def _quadruplet(rows: DataFrame, limit: int) -> DataFrame:
    triplets = _triplet(rows, limit)
    return triplets.rename(columns={"negative": "negative1"}).assign(negative2=_random_negatives(triplets))


VIEWS = {
    view.name: view
    for view in (
        View("pair-class", ("premise", "hypothesis", "label"), "class", _pair_class),
        View("pair-score", ("sentence1", "sentence2", "score"), "score", _pair_score),
        View("pair", ("anchor", "positive"), "none", _pair),
        View("triplet", ("anchor", "positive", "negative"), "none", _triplet),
        View("pair-of-triplet", ("anchor", "positive"), "none", _pair_of_triplet),
        View("triplet-random", ("anchor", "positive", "negative"), "none", _triplet_random),
        View("quadruplet", ("anchor", "positive", "negative1", "negative2"), "none", _quadruplet),
        View("pair-score-half", ("sentence1", "sentence2", "score"), "score", _pair_score_half),
        View("pair-score-no-neutral", ("sentence1", "sentence2", "score"), "score", _pair_score_no_neutral),
        View("pair-of-all", ("anchor", "positive"), "none", _pair_of_all),
        View("pair-of-contradictions", ("anchor", "positive"), "none", _pair_of_contradictions),
        View("pair-both-ways", ("anchor", "positive"), "none", _pair_both_ways),
    )
}
