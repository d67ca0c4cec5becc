"""Views: functions from NLI rows (premise, hypothesis, label) to the input columns of a loss.

Rows are a pandas DataFrame with GLUE's columns and labels: 0 entailment, 1 neutral, 2 contradiction. The first `limit`
rows are the training budget; `triplet` and `pair-of-triplet` take their anchors from them and look for negatives in all
rows, because few premises in the first 50,000 rows of MNLI have a contradiction among these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import StudyFileError
from harness.identity import digest
from harness.spec.losses import Inputs, Label
from harness.spec.space import Point
from harness.testbeds.labels import CONTRADICTION, ENTAILMENT, NEUTRAL

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Mining:
    """How hard negatives are mined."""

    by: str
    """Whose embeddings are used: "untrained" for the base model, or a study's name for the model of its best trial."""
    negatives: int
    """Negatives per anchor."""
    margin: float
    """How much lower than the anchor's positives a negative's cosine has to be, as a share of it."""
    trial: str | None = None
    """Run id of the best trial, once it is known (set by `planner.Planner`)."""
    point: Point | None = None
    """Point of that trial."""


@dataclass(frozen=True, eq=False)
class View:
    """A named function from NLI rows to the columns of a loss.

    Two views are equal if they make the same rows: the code of `build` counts (`harness.identity`), but not its name or
    the view's name.
    """

    name: str
    """Name in study files and tables."""
    columns: tuple[str, ...]
    """Text columns, then the label column unless `label` is "none"."""
    label: Label
    """Kind of the label column."""
    build: Callable[[DataFrame, int], DataFrame]
    """Function of all rows and the number of rows to use. With `mining` it makes only anchors and positives."""
    mining: Mining | None = None
    """How the negatives, the last columns, are mined (`harness.data.mining`); None if they are not."""

    def decides(self, files: Mapping[str, str] | None = None) -> str:
        """Return a digest of what decides the rows, without the mining trial; `files` as for `identity.digest`."""
        mined = None if self.mining is None else replace(self.mining, trial=None, point=None)
        return digest([self.columns, self.label, self.build, mined], files)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and (self is other or self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, Mining | None]:
        return self.decides(), self.mining  # not remembered: what a function reads may change in a notebook

    @property
    def texts(self) -> int:
        """Number of text columns."""
        return len(self.columns) - (self.label != "none")

    @property
    def miner(self) -> str | None:
        """Whose model mines the negatives: a study's name or "untrained"; None if nothing is mined."""
        return self.mining.by if self.mining else None

    def __str__(self) -> str:
        return self.name

    def feeds(self, inputs: Inputs) -> bool:
        """Return whether a loss with these inputs can be trained on the view."""
        return self.label == inputs.label and inputs.fewest <= self.texts <= inputs.most


def labelled(rows: DataFrame, limit: int) -> DataFrame:
    """Return the first `limit` rows without those that have no label (-1)."""
    first = rows.head(limit)
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


def named(view: str | View) -> View:
    """Return the built-in view of that name, or the view itself.

    Raises:
        KeyError: there is no built-in view of that name.
    """
    return VIEWS[view] if isinstance(view, str) else view


def noisy(view: str | View, share: float) -> View:
    """Return a view of rows of which a fixed random share has one of the two wrong labels.

    Args:
        view: the view to apply to the relabelled rows.
        share: the share of rows with wrong labels, from 0 to 1.

    Raises:
        StudyFileError: `share` is out of range, or the view is unknown or has mined negatives.
    """
    plain = _plain(view, "noisy")
    if not 0 <= share <= 1:
        raise StudyFileError(f"noisy({plain.name!r}, {share!r}): the share of wrong labels lies between 0 and 1")
    build = partial(_noisy, plain.build, share)
    return View(f"{plain.name}, {100 * share:g} % wrong labels", plain.columns, plain.label, build)


def _noisy(build: Callable[[DataFrame, int], DataFrame], share: float, rows: DataFrame, limit: int) -> DataFrame:
    import numpy as np

    first = labelled(rows, limit)
    random = np.random.default_rng(0)
    wrong = random.random(len(first)) < share  # the wrong rows of a smaller share are among those of a larger one
    turn = random.integers(1, CONTRADICTION + 1, len(first))
    labels = np.where(wrong, (first["label"] + turn) % (CONTRADICTION + 1), first["label"])
    return build(first.assign(label=labels), len(first))


def mined(
    view: str | View = "pair-of-triplet", *, by: str = "untrained", negatives: int = 1, margin: float = 0.05
) -> View:
    """Return a view with mined hard negatives: for each anchor, the most similar positives of other anchors.

    They are mined by sentence-transformers' `mine_hard_negatives`. If an anchor has too few candidates below the
    margin, random negatives are added, so that the rows stay the same.

    Args:
        view: a view of anchors and positives, e.g. "pair-of-triplet", whose rows also have a contradiction.
        by: "untrained" for the base model, or a study's name for the model of its best trial.
        negatives: number of negatives per anchor.
        margin: how much lower than the lowest of the anchor's positives a negative's cosine has to be, as a share of it
            (`relative_margin`); closer texts are assumed to be false negatives.

    Raises:
        StudyFileError: an argument is out of range, or the view is unknown, already mined, or not of anchors and
            positives.
    """
    plain = _plain(view, "mined")
    where = f"mined({plain.name!r}, by={by!r}, negatives={negatives!r}, margin={margin!r})"
    if plain.columns != ("anchor", "positive"):
        raise StudyFileError(f"{where}: the view has {', '.join(plain.columns)}; use one with only anchor and positive")
    if not isinstance(negatives, int) or negatives < 1:
        raise StudyFileError(f"{where}: mine at least 1 negative an anchor")
    if not 0 <= margin < 1:
        raise StudyFileError(f"{where}: the margin is a share of the positive's cosine, from 0 to less than 1")
    columns = ("negative",) if negatives == 1 else tuple(f"negative{n}" for n in range(1, negatives + 1))
    name = f"{plain.name}, {negatives} mined by {by}, margin {margin:g}"
    return View(name, (*plain.columns, *columns), "none", plain.build, Mining(by, negatives, margin))


def _plain(view: str | View, what: str) -> View:
    if isinstance(view, str) and view not in VIEWS:
        raise StudyFileError(f"{what}({view!r}): unknown view; choose from {', '.join(VIEWS)}")
    if named(view).mining is not None:
        raise StudyFileError(f"{what}({named(view).name!r}): its negatives are mined; give a view without mining")
    return named(view)
