"""A figure of one run with its items' predictions: whether it can be compared, and its values in resamples of items."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.stats import bootstrap, defined, intervals, resampled
from harness.stats.bootstrap import FEWEST
from harness.store.items import Pairs
from harness.store.records import Record

_EXACT = 1e-9
"""Tolerance between a record's score and that of its predictions.

Scores are computed from the predictions as they are stored, after these were rounded, and JSON keeps every digit of
both. So only the order in which floats are added can differ, which changes less than the twelfth digit.
"""


def _average_precision(gold: intervals.Floats, predictions: intervals.Floats) -> float:
    once = np.ones((len(gold), 1))
    return float(resampled.average_precision(np.asarray(gold), np.asarray(predictions), once)[0])


_OF_PAIRS: Mapping[str, tuple[Callable[..., float], Callable[..., intervals.Floats]]] = {
    "spearman_cosine": (intervals.spearman, bootstrap.resampled_spearman),
    "pearson_cosine": (intervals.pearson, bootstrap.resampled_pearson),
    "average_precision": (_average_precision, resampled.resampled_average_precision),
}
"""By figure that is no mean: how it is computed from gold scores and predictions, and the same in resamples."""


def _best_accuracy(gold: Sequence[float], cosine: Sequence[float]) -> float:
    found, called = _at_thresholds(gold, cosine)
    negatives = len(gold) - sum(gold)
    return float(np.max(found + negatives - (called - found)) / len(gold))


def _best_f1(gold: Sequence[float], cosine: Sequence[float]) -> float:
    found, called = _at_thresholds(gold, cosine)
    return float(np.max(2 * found / (called + sum(gold))))


def _at_thresholds(gold: Sequence[float], cosine: Sequence[float]) -> tuple[intervals.Floats, intervals.Floats]:
    """Return how many pairs labelled 1, and how many at all, lie above each threshold; the first is above all pairs."""
    levels, place = np.unique(-np.asarray(cosine), return_inverse=True)
    found, called = (np.bincount(place, weights, len(levels)) for weights in (np.asarray(gold), np.ones(len(gold))))
    return np.cumsum([0.0, *found]), np.cumsum([0.0, *called])


_AT_BEST_THRESHOLD: Mapping[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "accuracy": _best_accuracy,
    "f1": _best_f1,
}
"""Figures of labelled pairs that have no interval over items, but that the stored cosines determine."""


@dataclass(frozen=True)
class Predictions:
    """What a run predicted for the items of one figure."""

    figure: str
    """Name of the figure without its measure."""
    items: tuple[str, ...] | tuple[float, ...]
    """What tells whether two runs were scored on the same items: their names, or the pairs' gold scores."""
    values: tuple[float, ...]
    """The value of each item, whose mean is the figure; or the cosine of each pair."""
    groups: tuple[int, ...] = ()
    """The number of each item's group, if some items depend on each other; empty otherwise."""

    @property
    def independent(self) -> int:
        """Number of items that are independent of each other: of groups, if there are any."""
        return len(set(self.groups)) or len(self.values)

    @property
    def drawn(self) -> tuple[int, ...]:
        """The groups that resamples draw: none if there are too few, so that each item is drawn for itself."""
        return self.groups if self.independent >= FEWEST else ()

    @property
    def effective(self) -> float:
        """Number of groups of equal size that would say as much about the mean."""
        return bootstrap.effective_number(self.drawn) if self.drawn else float(len(self.values))

    @property
    def score(self) -> float:
        """The figure, computed from the predictions; NaN if it is undefined."""
        if self.figure in _OF_PAIRS:
            return _OF_PAIRS[self.figure][0](self.items, self.values)
        return float(np.mean(self.values))


def predictions_of(record: Record, figure: str) -> Predictions | None:
    """Return the predictions behind a figure, None if none are stored or it cannot be computed from them."""
    measure, _, name = figure.partition("/")
    items = record.items.get(measure)
    if items is None:
        return None
    if isinstance(items, Pairs):
        return Predictions(name, items.gold, items.cosine, items.groups) if name in _OF_PAIRS else None
    values = items.by_figure.get(name)
    return None if values is None else Predictions(name, items.ids, values, items.groups)


def contradicted(record: Record, figure: str) -> float | None:
    """Return what a record's own items give for a figure if its score is another; None if they agree or do not tell."""
    measure, _, name = figure.partition("/")
    items, predictions = record.items.get(measure), predictions_of(record, figure)
    if predictions is not None:
        again = predictions.score
    elif isinstance(items, Pairs) and name in _AT_BEST_THRESHOLD:
        again = _AT_BEST_THRESHOLD[name](items.gold, items.cosine)
    else:
        return None
    return None if abs(again - record.scores[figure]) <= _EXACT else again


def flaw(predictions: Predictions, stored: float, measure: str) -> str | None:
    """Describe why predictions cannot be compared, None if they can.

    Args:
        predictions: the predictions.
        stored: the record's score.
        measure: name of the measure, for the text.
    """
    n = len(predictions.values)
    if len(predictions.items) != n or n < 1:
        return f"has damaged predictions of {measure}"
    of_pairs = predictions.figure in _OF_PAIRS
    needed = intervals.FEWEST_DECIDING if of_pairs else FEWEST
    different = predictions.independent if of_pairs else n  # equal pairs are grouped
    if different < needed:
        items = f"{different} {'different ' * (different < n)}items"
        return f"has predictions for {items} of {measure}, and an interval over items needs at least {needed}"
    if not np.isfinite(predictions.values).all():
        return f"has predictions of {measure} that are not numbers"
    if of_pairs and (fault := _fault_of_gold(predictions)):
        return f"cannot be judged by {measure}: {fault}"
    again = predictions.score
    if math.isnan(again):
        return f"gives every pair of {measure} the same cosine"
    if abs(again - stored) > _EXACT:
        return f"has a score ({stored:.6g}) that does not match its stored predictions ({again:.6g})"
    if of_pairs and predictions.figure != "average_precision" and not _differ(predictions.values, predictions.drawn):
        return (
            f"gives nearly every pair of {measure} the same cosine, so its correlation is undefined in some resamples"
        )
    return None


def _fault_of_gold(predictions: Predictions) -> str | None:
    """Describe why the gold scores or labels, and not the model, leave a figure undefined in some resamples."""
    gold = tuple(map(float, predictions.items))
    if predictions.figure == "average_precision":
        if _have_a_positive(gold, predictions.drawn):
            return None
        what = f"only {sum(gold):,.0f} of {len(gold):,} pairs have the label 1, so its average precision"
    else:
        if _differ(gold, predictions.drawn):
            return None
        what = f"{'nearly ' * (len(set(gold)) > 1)}all pairs have the same gold score, so its correlation"
    return f"{what} is undefined in some resamples"


@lru_cache(maxsize=1024)
def _differ(values: tuple[float, ...], groups: tuple[int, ...]) -> bool:
    return defined.have_two_values(values, groups)


@lru_cache(maxsize=64)  # all runs of a figure have the same labels
def _have_a_positive(labels: tuple[float, ...], groups: tuple[int, ...]) -> bool:
    return defined.have_a_positive(labels, groups)


def mean_resampled(predictions: Sequence[Predictions]) -> intervals.Floats | None:
    """Return the mean of several runs' figure in each resample of their items; None if their items differ."""
    if len({(each.items, each.groups) for each in predictions}) > 1:
        return None
    first = predictions[0]
    return _mean_resampled(first.figure, first.items, first.drawn, tuple(each.values for each in predictions))


@lru_cache(maxsize=64)  # a study is in several claims, and in the report's tables
def _mean_resampled(
    figure: str,
    items: tuple[str, ...] | tuple[float, ...],
    groups: tuple[int, ...],
    values: tuple[tuple[float, ...], ...],
) -> intervals.Floats:
    correlation = _OF_PAIRS.get(figure)
    mean = resampled.resampled_mean(values, groups) if correlation is None else correlation[1](items, values, groups)
    mean.flags.writeable = False
    return mean
