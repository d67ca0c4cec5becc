"""Bootstrap of means and of average precision: equal to scikit-learn and to resampling item by item."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from harness.stats.bootstrap import RESAMPLES, resampled_pearson
from harness.stats.resampled import average_precision, resampled_average_precision, resampled_mean

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, items: int, resamples: int) -> np.ndarray:
    """Return the items of each resample as the bootstrap draws them."""
    return np.random.default_rng(seed).integers(0, items, (resamples, items))


@given(SEEDS, st.integers(3, 40), st.booleans())
@settings(max_examples=30, deadline=None)
def test_average_precision_is_that_of_scikit_learn_also_with_ties(seed: int, items: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    gold = np.append([0, 1], random.integers(0, 2, items - 2))
    scores = random.integers(0, 4, items).astype(float) if ties else random.random(items)
    ours = average_precision(gold.astype(float), scores, np.ones((items, 1)))[0]
    assert ours == pytest.approx(average_precision_score(gold, scores), abs=1e-12)


@given(SEEDS, st.integers(6, 30))
@settings(max_examples=15, deadline=None)
def test_each_resample_is_scored_as_if_its_items_were_the_set(seed: int, items: int) -> None:
    random = np.random.default_rng(seed)
    gold = np.array([0, 1] * items)[:items]
    models = random.integers(0, 5, (2, items)).astype(float)
    drawn = draw(7, items, 50)
    expected = [
        np.mean([average_precision_score(gold[chosen], scores[chosen]) for scores in models])
        for chosen in drawn
        if gold[chosen].any()
    ]
    ours = resampled_average_precision(gold, models, resamples=50, seed=7)
    assert ours[[bool(gold[chosen].any()) for chosen in drawn]] == pytest.approx(expected, abs=1e-12)
    means = resampled_mean(models, resamples=50, seed=7)
    assert means == pytest.approx([models[:, chosen].mean() for chosen in drawn], abs=1e-12)


def test_means_are_resampled_on_the_same_items_as_correlations() -> None:
    """A measure's figures are compared within one resample: if the first item is drawn often, all of them see it."""
    items = np.arange(12.0)
    spread = resampled_mean(items)
    assert spread.shape == (RESAMPLES,)
    correlated = resampled_pearson(items, items + np.random.default_rng(0).normal(0, 0.1, 12))
    assert np.isfinite(correlated).all()
    assert spread.mean() == pytest.approx(5.5, abs=0.1)


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, np.nan, 0.3]])
def test_too_few_and_odd_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 3|finite"):
        resampled_mean(values)
