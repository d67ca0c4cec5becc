"""The probability of an order as a whole: known answers, and what a swap of two studies does to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import synthetic

from harness.planning.planner import make_plan
from harness.spec.expectations import in_order
from harness.verdicts.order import all_positive, orders, posterior_in_order, probability

WIDE = {"untrained": 0.40, "softmax": 0.50, "cosine": 0.65, "mnr": 0.78}


def test_one_step_against_a_constant_is_students_t() -> None:
    sample = [0.512, 0.496, 0.509, 0.503]
    expected = scipy.stats.t.cdf((np.mean(sample) - 0.5) / (np.std(sample, ddof=1) / 2), 3)
    assert posterior_in_order([[0.5], sample], [True, False]) == pytest.approx(expected, abs=0.005)
    assert posterior_in_order([sample, [0.5]], [False, True]) == pytest.approx(1 - expected, abs=0.005)


def test_one_step_between_two_studies_is_behrens_and_fishers_integral() -> None:
    low, high = [0.50, 0.52, 0.51], [0.515, 0.53, 0.522, 0.519]
    means = [np.mean(low), np.mean(high)]
    errors = [np.std(low, ddof=1) / 3**0.5, np.std(high, ddof=1) / 2]
    grid = np.linspace(0.3, 0.7, 40_001)
    above = scipy.stats.t.sf((grid - means[1]) / errors[1], 3)
    expected = np.trapezoid(scipy.stats.t.pdf((grid - means[0]) / errors[0], 2) / errors[0] * above, grid)
    assert posterior_in_order([low, high], [False, False]) == pytest.approx(expected, abs=0.005)


def test_neighbouring_steps_share_a_study_so_their_probabilities_do_not_multiply() -> None:
    steady = [0.5 + value for value in (-0.001, 0.0, 0.001, 0.0, 0.0)]
    noisy = [0.501 + value for value in (0.01, -0.012, 0.008, -0.006, 0.001)]
    above = [0.502 + value for value in (-0.001, 0.0, 0.001, 0.0, 0.0)]
    apart = [posterior_in_order(pair, [False] * 2) for pair in ([steady, noisy], [noisy, above])]
    together = posterior_in_order([steady, noisy, above], [False] * 3)
    assert together is not None
    assert together < np.prod(np.array(apart, float)) - 0.05


def test_one_seed_knows_nothing() -> None:
    assert posterior_in_order([[0.01], [0.02, 0.03]], [False, False]) is None


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
