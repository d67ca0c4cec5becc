"""Views of NLI rows, which have the columns premise, hypothesis and label: 0 entailment, 1 neutral, 2 contradiction.

The first `limit` rows are the training budget; `triplet` and `pair-of-triplet` take their anchors from them and look
for negatives in all rows, because few premises in the first 50,000 rows of MNLI have a contradiction among these rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import AuditFailed
from harness.reading.labels import CONTRADICTION, ENTAILMENT, NEUTRAL
from harness.spec.view import View, require

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("premise", "hypothesis", "label")
"""The columns of NLI rows."""


def labelled(rows: DataFrame, limit: int) -> DataFrame:
    """Return the first `limit` rows without those that have no label (-1).

    Raises:
        AuditFailed: the rows are not NLI rows.
    """
    require(rows, COLUMNS, "of NLI rows", ' For other rows, use view=columns("anchor", "positive") or the like.')
    first = rows.head(limit)
    if any(isinstance(label, str) for label in first["label"]):
        raise AuditFailed(
            "a view of NLI rows: the column 'label' holds texts; read them by source=sources.nli(...), which turns "
            "entailment, neutral and contradiction into 0, 1 and 2"
        )
    return first[first["label"].between(ENTAILMENT, CONTRADICTION)].reset_index(drop=True)


def _pair_class(rows: DataFrame, limit: int) -> DataFrame:
    return labelled(rows, limit)[["premise", "hypothesis", "label"]]


def _scored(rows: DataFrame, limit: int, by_label: Mapping[int, float]) -> DataFrame:
    """Map labels to scores; rows whose label has no score are left out."""
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
    """Return all entailment pairs, then the same pairs in reverse order."""
    import pandas as pd  # a third of a second that study files do not need

    pairs = _pair(rows, limit)
    turned = pairs.rename(columns={"anchor": "positive", "positive": "anchor"})[["anchor", "positive"]]
    return pd.concat([pairs, turned], ignore_index=True)


def _triplet(rows: DataFrame, limit: int) -> DataFrame:
    """Add to each entailment pair a contradiction of its premise; several entailments use them in turn."""
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


def _random_negatives(pairs: DataFrame) -> list[str]:
    """Draw for each anchor the positive of another premise, each positive about once; the result is deterministic.

    Rows are shuffled, then swapped until no anchor has a row of its own premise; if one premise has most of the rows,
    some anchors still do.
    """
    import numpy as np

    random = np.random.default_rng(0)
    order = random.permutation(len(pairs))
    anchors, positives = pairs["anchor"].to_numpy(), pairs["positive"].to_numpy()
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


def _pair_random(rows: DataFrame, limit: int) -> DataFrame:
    pairs = _pair(rows, limit)
    return pairs.assign(negative=_random_negatives(pairs))


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
        View("pair-random", ("anchor", "positive", "negative"), "none", _pair_random),
        View("quadruplet", ("anchor", "positive", "negative1", "negative2"), "none", _quadruplet),
        View("pair-score-half", ("sentence1", "sentence2", "score"), "score", _pair_score_half),
        View("pair-score-no-neutral", ("sentence1", "sentence2", "score"), "score", _pair_score_no_neutral),
        View("pair-of-all", ("anchor", "positive"), "none", _pair_of_all),
        View("pair-of-contradictions", ("anchor", "positive"), "none", _pair_of_contradictions),
        View("pair-both-ways", ("anchor", "positive"), "none", _pair_both_ways),
    )
}
