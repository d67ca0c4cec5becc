"""Bootstrap of means and of average precision: equal to scikit-learn and to resampling item by item."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from harness.stats.bootstrap import RESAMPLES, resampled_pearson, resampled_spearman
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


@given(SEEDS, st.integers(3, 8), st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_groups_are_drawn_as_wholes(seed: int, groups: int, more: int) -> None:
    random = np.random.default_rng(seed)
    number = random.permutation(np.concatenate([np.arange(groups), random.integers(0, groups, more)]))
    models = random.random((2, len(number)))
    expected = []
    for chosen in draw(7, groups, 50):
        items = np.concatenate([np.flatnonzero(number == group) for group in chosen])
        expected.append(models[:, items].mean())
    assert resampled_mean(models, number.tolist(), resamples=50, seed=7) == pytest.approx(expected, abs=1e-12)
    alone = resampled_mean(models, list(range(len(number))), resamples=50, seed=7)
    assert (alone == resampled_mean(models, resamples=50, seed=7)).all()


def test_items_that_depend_on_each_other_are_no_further_evidence() -> None:
    """Each item ten times over: as groups the interval stays, as items of their own it would shrink by a third."""
    items = np.random.default_rng(0).random(40)
    repeated, groups = np.repeat(items, 10), np.repeat(np.arange(40), 10)
    once = resampled_mean(items).std()
    assert resampled_mean(repeated, groups.tolist()).std() == pytest.approx(once)
    assert resampled_mean(repeated).std() < 0.4 * once


def test_two_groups_are_too_few() -> None:
    with pytest.raises(ValueError, match="2 groups of items"):
        resampled_mean(np.arange(6.0), [0, 0, 0, 1, 1, 1])


Bootstrap = Callable[..., np.ndarray]

OF_PAIRS: dict[str, tuple[Bootstrap, Callable[[np.ndarray, np.ndarray], float]]] = {
    "spearman": (resampled_spearman, lambda gold, scores: scipy.stats.spearmanr(gold, scores).statistic),
    "pearson": (resampled_pearson, lambda gold, scores: scipy.stats.pearsonr(gold, scores).statistic),
    "average precision": (resampled_average_precision, average_precision_score),
}


@pytest.mark.parametrize(("resampled", "score"), OF_PAIRS.values(), ids=OF_PAIRS)
def test_groups_of_pairs_are_drawn_as_wholes(
    resampled: Bootstrap, score: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    """Groups of one to many pairs, so that resamples differ in size, with ties in both columns."""
    random = np.random.default_rng(3)
    number = random.permutation(np.concatenate([np.arange(30), random.integers(0, 30, 75)]))
    gold, models = random.integers(0, 2, len(number)).astype(float), random.integers(0, 40, (2, len(number))) / 40
    expected = []
    for chosen in draw(7, 30, 50):
        items = np.concatenate([np.flatnonzero(number == group) for group in chosen])
        expected.append(np.mean([score(gold[items], scores[items]) for scores in models]))
    assert resampled(gold, models, number.tolist(), resamples=50, seed=7) == pytest.approx(expected, abs=1e-9)
    alone = resampled(gold, models, list(range(len(number))), resamples=50, seed=7)
    assert alone == pytest.approx(resampled(gold, models, resamples=50, seed=7), abs=1e-12)


@pytest.mark.parametrize("resampled", [each for each, _ in OF_PAIRS.values()], ids=OF_PAIRS)
def test_copies_of_pairs_are_no_further_evidence(resampled: Bootstrap) -> None:
    random = np.random.default_rng(0)
    gold, scores = np.array([0.0, 1.0] * 20), random.random(40)
    once = resampled(gold, scores)
    copies = np.tile(gold, 5), np.tile(scores, 5)
    assert resampled(*copies, list(range(40)) * 5) == pytest.approx(once, abs=1e-9)
    assert resampled(*copies).std() < 0.6 * once.std()


@pytest.mark.parametrize("resampled", [each for each, _ in OF_PAIRS.values()], ids=OF_PAIRS)
def test_two_groups_of_pairs_are_too_few(resampled: Bootstrap) -> None:
    with pytest.raises(ValueError, match="2 groups of items"):
        resampled([0.0, 1.0, 0.0, 1.0], [0.1, 0.2, 0.1, 0.2], [0, 1, 0, 1])


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, np.nan, 0.3]])
def test_too_few_and_odd_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 3|finite"):
        resampled_mean(values)
