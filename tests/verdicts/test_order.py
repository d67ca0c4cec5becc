"""The probability of an order as a whole: known answers, and what a swap of two studies does to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import synthetic

from harness.planning.planner import make_plan
from harness.spec.expectations import in_order
from harness.stats import intervals
from harness.verdicts.order import all_positive, orders, posterior_all_positive, probability

WIDE = {"untrained": 0.40, "softmax": 0.50, "cosine": 0.65, "mnr": 0.78}


def test_one_step_over_seeds_is_students_t() -> None:
    sample = [0.012, -0.004, 0.009, 0.003]
    expected = scipy.stats.t.cdf(np.mean(sample) / (np.std(sample, ddof=1) / 2), 3)
    assert posterior_all_positive([sample]) == pytest.approx(expected, abs=0.005)
    assert posterior_all_positive([sample]) == pytest.approx(1 - intervals.t_p(sample, 0.0), abs=0.005)


@pytest.mark.parametrize("n", [3, 6, 12])
def test_two_steps_over_seeds_are_scipys_multivariate_t(n: int) -> None:
    random = np.random.default_rng(n)
    scores = random.normal([[0.70], [0.704], [0.707]], 0.005, (3, n))
    steps = np.diff(scores, axis=0)
    below_zero = scipy.stats.multivariate_t(-steps.mean(axis=1), np.cov(steps) / n, df=n - 1, allow_singular=True)
    assert posterior_all_positive(steps) == pytest.approx(below_zero.cdf([0.0, 0.0]), abs=0.005)


def test_neighbouring_steps_share_a_study_so_their_probabilities_do_not_multiply() -> None:
    middle = np.array([0.01, -0.012, 0.008, -0.006, 0.001])  # one noisy study between two steady ones
    steps = np.stack([0.001 + middle, 0.001 - middle])
    apart = [posterior_all_positive([step]) for step in steps]
    together = posterior_all_positive(steps)
    assert together is not None
    assert together < np.prod(np.array(apart, float)) - 0.05


def test_one_seed_knows_nothing_and_more_steps_than_seeds_are_allowed() -> None:
    assert posterior_all_positive([[0.01]]) is None
    found = posterior_all_positive([[0.01, 0.02], [0.02, 0.01], [0.03, 0.01]])
    assert found is not None
    assert 0.5 < found < 1


def test_over_pairs_is_the_share_of_resamples_in_which_all_steps_are_positive() -> None:
    assert all_positive([[1, -1, 1, 1], [1, 1, -1, 1]]) == 0.5
    assert all_positive([[1, 0.0]]) == 0.5


def test_an_order_in_the_plan_and_its_reverse() -> None:
    ablation = synthetic.make_ablation(trials=2, expect=[in_order("softmax", "cosine", "mnr")])
    records = synthetic.make_records(ablation, quality=WIDE)
    found = orders(make_plan(ablation, records))[0]
    assert found.expectation == "softmax < cosine < mnr"
    assert found.seeds == 3
    assert (found.over_items or 0) > 0.95
    assert (found.over_seeds or 0) > 0.95
    swapped = orders(synthetic.make(ablation, quality=WIDE | {"softmax": WIDE["mnr"], "mnr": WIDE["softmax"]}))[0]
    assert swapped.over_items == pytest.approx(0, abs=0.05)
    assert swapped.over_seeds == pytest.approx(0, abs=0.05)


def test_the_two_figures_rest_on_different_things() -> None:
    """Made-up seeds of a study share their predictions: they agree about an order of which pairs leave much open."""
    ablation = synthetic.make_ablation(trials=1, expect=[in_order("softmax", "cosine", "mnr")])
    found = orders(synthetic.make(ablation, quality={"softmax": 0.70, "cosine": 0.72, "mnr": 0.74}))[0]
    assert found.over_items is not None
    assert found.over_seeds is not None
    assert found.over_seeds < 0.15 < found.over_items < 0.5


def test_the_untrained_model_may_begin_an_order() -> None:
    ablation = synthetic.make_ablation(trials=1, expect=[in_order("untrained", "softmax", "mnr")])
    found = orders(synthetic.make(ablation, quality=WIDE))[0]
    assert (found.seeds, (found.over_items or 0) > 0.9) == (3, True)


def test_an_order_that_lacks_a_run_has_no_probability() -> None:
    ablation = synthetic.make_ablation(trials=1, expect=[in_order("softmax", "cosine"), in_order("cosine", "mnr")])
    plan = synthetic.make(
        ablation, change=lambda run, record: None if (run.study, run.stage) == ("softmax", "final") else record
    )
    first, second = orders(plan)
    assert (first.over_items, first.over_seeds) == (None, None)
    assert "runs are missing" in str(first)
    assert second.over_items is not None


def test_probabilities_are_never_printed_as_certain() -> None:
    assert [probability(p) for p in (0.0, 0.004, 0.5, 0.974, 0.9999, 1.0)] == [
        "<0.01",
        "<0.01",
        "0.50",
        "0.97",
        ">0.99",
        ">0.99",
    ]
