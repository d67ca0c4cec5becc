"""Bootstrap of figures that are means over items, and of average precision, on the resamples of `bootstrap`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.bootstrap import FEWEST, RESAMPLES, checked, draws, item_draws
from harness.stats.intervals import Floats


def resampled_mean(values: ArrayLike, groups: Sequence[int] = (), resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the mean over models and items in each resample of the items.

    Args:
        values: the items' values, shape (models, items).
        groups: the number of each item's group, from 0; whole groups are drawn, because their items depend on each
            other (cluster bootstrap; Davison and Hinkley, 1997, section 3.8). Empty if every item is its own group.
        resamples: number of resamples.
        seed: seed of the resamples, which are those of `resampled_spearman`.

    Returns:
        Means, shape (resamples,).

    Raises:
        ValueError: fewer than three items or groups, or numbers that are not finite.
    """
    rows = np.atleast_2d(np.asarray(values, float))
    _, finite = checked(np.zeros(rows.shape[1]), rows)
    by_item = finite.mean(axis=0)
    number = np.arange(len(by_item)) if len(groups) == 0 else np.asarray(groups)
    sums, sizes = np.bincount(number, by_item), np.bincount(number).astype(float)
    if len(sums) < FEWEST:
        raise ValueError(f"{len(sums)} groups of items; resamples need at least {FEWEST}")
    blocks = (counts.astype(float) for counts in draws(len(sums), resamples, seed))
    return np.concatenate([sums @ counts / (sizes @ counts) for counts in blocks])


def resampled_average_precision(
    gold: ArrayLike, predictions: ArrayLike, groups: Sequence[int] = (), resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the models' mean average precision in each resample of the pairs.

    Average precision is the sum over thresholds of the precision times the recall gained there (scikit-learn's
    `average_precision_score`); equal predictions are one threshold.

    Args:
        gold: labels, 0 or 1, shape (pairs,).
        predictions: scores, shape (models, pairs).
        groups: the number of each pair's group, as in `resampled_mean`.
        resamples: number of resamples.
        seed: seed of the resamples, which are those of `resampled_spearman`.

    Returns:
        Average precisions, shape (resamples,); NaN where a resample has no pair with the label 1.

    Raises:
        ValueError: as in `resampled_spearman`.
    """
    x, ys = checked(gold, predictions)
    result = []
    for counts in (block.astype(float) for block in item_draws(len(x), groups, resamples, seed)):
        with np.errstate(invalid="ignore", divide="ignore"):
            result.append(np.mean([average_precision(x, scores, counts) for scores in ys], axis=0))
    return np.concatenate(result)


def average_precision(gold: Floats, scores: Floats, counts: Floats) -> Floats:
    """Return the average precision of one model in each resample; `counts` has shape (pairs, resamples)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last pair of each threshold
    found = np.cumsum(counts[order] * gold[order, None], axis=0)[ends]
    called = np.cumsum(counts[order], axis=0)[ends]
    gained = np.diff(found, axis=0, prepend=0.0)
    precision = found / np.maximum(called, 1.0)
    average: Floats = (precision * gained).sum(axis=0) / found[-1]
    return average
