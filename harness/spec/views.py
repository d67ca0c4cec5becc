"""Views: how NLI rows (premise, hypothesis, label) become a loss's input.

Rows are a pandas DataFrame with GLUE's columns and labels: 0 entailment, 1 neutral, 2 contradiction. The first `limit`
rows are the training budget; `triplet` and `pair-of-triplet` take their anchors from them and look for negatives in all
rows, because in the first 50,000 rows of MNLI few premises stand beside a contradiction of their own.
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
    """How negatives are mined: by whose embeddings, how many an anchor, and how much less similar than its positives.

    `by` is "untrained", the base model, or a study's name: the model of its best trial. `trial` and `point` are that
    trial's run and point once they are known (`planner.Planner` puts them in).
    """

    by: str
    negatives: int
    margin: float
    trial: str | None = None
    point: Point | None = None


@dataclass(frozen=True, eq=False)
class View:
    """A named way to build a loss's columns: texts first, then the label column where `label` is not "none".

    Two views are equal if they make the same rows: what `build` computes counts (`harness.identity`), not what it or
    the view is called. Where `mining` is given, `build` makes anchors and positives alone, and the negatives, the last
    columns, are mined (`harness.data.mining`).
    """

    name: str
    columns: tuple[str, ...]
    label: Label
    build: Callable[[DataFrame, int], DataFrame]
    mining: Mining | None = None

    def decides(self, files: Mapping[str, str] | None = None) -> str:
        """Return a digest of what decides the rows, `files` as for `identity.digest`; mining by a trial is its id's."""
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
        return len(self.columns) - (self.label != "none")

    @property
    def miner(self) -> str | None:
        """Whose model mines the negatives: a study's name or "untrained"; None where nothing is mined."""
        return self.mining.by if self.mining else None

    def __str__(self) -> str:
        return self.name

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


def _random_negatives(pairs: DataFrame) -> list[str]:
    """Draw for each anchor the positive of another premise, each positive being drawn about once; the same each time.

    A shuffle is turned until no anchor meets a row of its own premise; if one premise has most rows, some still do.
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
    """Return the view of that name; a view is itself. Raises KeyError for a name that is none."""
    return VIEWS[view] if isinstance(view, str) else view


def noisy(view: str | View, share: float) -> View:
    """Return a view of rows of which a share, drawn once and for all, has one of the two wrong labels instead.

    Args:
        view: what is then made of the rows; a mined view is refused, as are shares outside 0 to 1.
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
    """Return a view's anchors and positives with negatives that a model finds most like each anchor.

    They are drawn from the positives of other anchors, as random negatives are, by sentence-transformers'
    `mine_hard_negatives`. A row whose anchor has too few under the margin gets random ones, so that rows stay equal.

    Args:
        view: of anchors and positives, e.g. "pair-of-triplet", the rows that have a contradiction, too.
        by: "untrained" for the base model, or a study's name: the model that won its tuning.
        negatives: how many an anchor.
        margin: how much lower than the lowest of the anchor's positives a negative's cosine has to be, as a share of it
            (`relative_margin`): what lies nearer is taken for a false negative.

    Raises StudyFileError for what cannot be meant.
    """
    plain = _plain(view, "mined")
    where = f"mined({plain.name!r}, by={by!r}, negatives={negatives!r}, margin={margin!r})"
    if plain.columns != ("anchor", "positive"):
        raise StudyFileError(f"{where}: the view has {', '.join(plain.columns)}; use one of anchor and positive alone")
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
        raise StudyFileError(f"{what}({named(view).name!r}): its negatives are mined; give a view of the rows alone")
    return named(view)
