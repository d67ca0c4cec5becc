"""Known answers, and simulations of the promises: intervals that cover what they claim to cover."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from harness.stats import estimates, intervals
from harness.stats.bootstrap import resampled_spearman

Floats = NDArray[np.float64]


def sts(pairs: int, models: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Return gold scores with many ties, as STSB has, and scores of models; the first model's have ties too."""
    random = np.random.default_rng(seed)
    gold = np.round(random.uniform(0, 5, pairs), 1) / 5
    predictions = gold + random.normal(0, 0.3, (models, pairs))
    predictions[0] = np.round(predictions[0], 1)
    return gold, predictions


def test_resampled_spearman_equals_scipy_on_each_resample_with_ties() -> None:
    gold, predictions = sts(97, 3)
    random = np.random.default_rng(5)
    drawn = np.concatenate([random.integers(0, 97, (512, 97)), random.integers(0, 97, (88, 97))])
    expected = np.array([[scipy.stats.spearmanr(gold[d], p[d]).statistic for p in predictions] for d in drawn])
    for models in ([0], [1], [0, 1], [1, 2], [0, 1, 2]):  # with ties, without, and in one call
        found = resampled_spearman(gold, predictions[models], resamples=600, seed=5)
        np.testing.assert_allclose(found, expected[:, models].mean(axis=1), atol=1e-12)


def test_large_test_sets_are_ranked_whole() -> None:
    gold, predictions = sts(4100, 2)
    (drawn,) = np.random.default_rng(0).integers(0, 4100, (1, 4100))
    expected = [scipy.stats.spearmanr(gold[drawn], p[drawn]).statistic for p in predictions]
    np.testing.assert_allclose(resampled_spearman(gold, predictions, resamples=1), [np.mean(expected)], atol=1e-12)


@pytest.mark.parametrize("pairs", [3, 64, 65, 1400])
def test_a_few_ties_and_nothing_but_ties_are_ranked_as_scipy_ranks_them(pairs: int) -> None:
    gold, predictions = sts(pairs, 4)
    for model, ties in zip(predictions, ([], [0, 2], [0, 1, 2], range(pairs)), strict=True):
        model[list(ties)] = 0.5
    drawn = np.random.default_rng(0).integers(0, pairs, (20, pairs))
    for model in predictions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.stats.ConstantInputWarning)
            expected = [scipy.stats.spearmanr(gold[d], model[d]).statistic for d in drawn]
        np.testing.assert_allclose(resampled_spearman(gold, model, resamples=20), expected, atol=1e-12)


def test_spearman_equals_scipy() -> None:
    gold, predictions = sts(200, 2)
    for prediction in (*predictions, -predictions[1]):
        assert intervals.spearman(gold, prediction) == pytest.approx(scipy.stats.spearmanr(gold, prediction).statistic)
    assert math.isnan(intervals.spearman(gold, np.ones(200)))


def test_calls_with_one_seed_share_their_resamples() -> None:
    gold, predictions = sts(80, 2)
    together = resampled_spearman(gold, predictions, resamples=300)
    apart = [resampled_spearman(gold, p, resamples=300) for p in predictions]
    np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-12)
    assert not np.array_equal(together, resampled_spearman(gold, predictions, resamples=300, seed=1))


@pytest.mark.parametrize(
    ("gold", "predictions"),
    [([0.1, 0.2], [[0.1, 0.2]]), ([0.1, 0.2, 0.3], [[0.1, 0.2]]), ([0.1, 0.2, math.nan], [[0.1, 0.2, 0.3]])],
    ids=["two pairs", "other lengths", "not finite"],
)
def test_resampling_refuses_what_has_no_correlation(gold: list[float], predictions: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="gold"):
        resampled_spearman(gold, predictions)


def test_t_interval_equals_scipy() -> None:
    sample = [0.731, 0.744, 0.728, 0.751, 0.739]
    for alpha in (0.05, 0.0125):
        expected = scipy.stats.ttest_1samp(sample, 0).confidence_interval(1 - alpha)
        found = estimates.interval(sample, alpha=alpha)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        assert (found.level, found.over) == (1 - alpha, "seeds")


def test_t_p_equals_scipy_and_needs_two_seeds() -> None:
    sample = [0.01, 0.03, 0.02]
    expected = scipy.stats.ttest_1samp(sample, 0.005, alternative="greater").pvalue
    assert estimates.p_below(0.005, sample) == pytest.approx(expected)
    assert estimates.p_below(0.0, [0.5]) == 1.0
    assert estimates.interval([0.5]) is None
    assert (estimates.p_below(0.0, [0.1, 0.1]), estimates.p_below(0.2, [0.1, 0.1])) == (0.0, 1.0)


def test_percentile_interval_excludes_what_its_p_value_rejects() -> None:
    random = np.random.default_rng(0)
    for shift in np.linspace(1.5, 2.5, 21):
        resampled = random.normal(shift, 1, 399)
        for alpha in (0.05, 0.01):
            excluded = intervals.percentile_interval(resampled, alpha).low >= 0
            assert excluded == (intervals.bootstrap_p(resampled, 0) <= alpha / 2)


def test_percentile_interval_agrees_with_scipys_bootstrap() -> None:
    gold, (a, b) = sts(250, 2)
    resampled = resampled_spearman(gold, a) - resampled_spearman(gold, b)
    found = intervals.percentile_interval(resampled)

    def difference(g: Floats, x: Floats, y: Floats) -> float:
        return intervals.spearman(g, x) - intervals.spearman(g, y)

    expected = scipy.stats.bootstrap(
        (gold, a, b), difference, paired=True, vectorized=False, n_resamples=3999, method="percentile", rng=1
    ).confidence_interval
    spread = resampled.std()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * spread)


def test_detectable_difference_is_shown_with_the_power_it_promises() -> None:
    for n, alpha, power in ((3, 0.05, 0.8), (5, 0.05, 0.8), (10, 0.01, 0.9)):
        found = estimates.Estimate(0.0, 0.004 / math.sqrt(n), n - 1).detectable(alpha, power)
        critical = scipy.stats.t.ppf(1 - alpha / 2, n - 1)
        assert scipy.stats.nct.sf(critical, n - 1, found / 0.004 * math.sqrt(n)) == pytest.approx(power, abs=1e-6)
    assert intervals.detectable_over_items(1.0) == pytest.approx(1.959964 + 0.841621, abs=1e-5)


def test_holm_judges_the_smallest_first_and_stops_at_the_first_that_fails() -> None:
    # Holm, 1979: .005 <= .05/4, .01 <= .05/3, then .03 > .05/2, and .04 falls with it although .04 <= .05.
    assert intervals.holm_levels([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.05 / 3, 0.025, 0.025, 0.0125])
    assert intervals.holm_levels([0.02]) == [0.05]
    assert intervals.holm_levels([]) == []


@pytest.mark.parametrize("seeds", [3, 5])
def test_t_interval_covers_95_percent(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    drawn = [estimates.interval(random.normal(0.01, 0.004, seeds)) for _ in range(4000)]
    coverage = np.mean([found is not None and found.low <= 0.01 <= found.high for found in drawn])
    assert 0.93 <= coverage <= 0.97


def test_paired_bootstrap_covers_95_percent_over_pairs() -> None:
    """Models with normal scores: their true Spearman is 6 / pi * arcsin(r / 2) (Pearson, 1907)."""
    random = np.random.default_rng(7)
    mixing = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.7, 0.5, math.sqrt(1 - 0.7**2 - 0.5**2)]])
    truth = 6 / math.pi * (math.asin(0.8 / 2) - math.asin(0.7 / 2))
    covered = []
    for seed in range(400):
        gold, a, b = mixing @ random.normal(size=(3, 200))
        resampled = [resampled_spearman(gold, scores, resamples=399, seed=seed) for scores in (a, b)]
        found = intervals.percentile_interval(resampled[0] - resampled[1])
        covered.append(found.low <= truth <= found.high)
    assert 0.925 <= np.mean(covered) <= 0.975


def test_importing_the_statistics_does_not_import_scipy() -> None:
    code = "import sys, harness.verdicts.judge; sys.exit('scipy' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
