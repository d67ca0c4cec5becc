"""The expected best of k points: against all subsets, one by one, and against numbers done by hand."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import pytest
import synthetic

from harness.planning.plan import START_UP
from harness.report import curves
from harness.report.facts import gather
from harness.stats.expected_best import expected_best


def over_subsets(scores: list[float | None], k: int) -> float | None:
    best = [[s for s in subset if s is not None] for subset in itertools.combinations(scores, k)]
    if not all(best):
        return None
    return float(sum(Fraction(max(known)) for known in best) / len(best))


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("without", [0, 1, 2, 8])
def test_it_is_the_mean_over_all_subsets(n: int, without: int) -> None:
    chance = random.Random(f"{n}/{without}")
    scores = [None if i < without else round(chance.uniform(-0.2, 0.9), 1 + i % 3) for i in range(n)]
    chance.shuffle(scores)
    found = expected_best(scores)
    assert len(found) == n
    for k, mean in enumerate(found, start=1):
        expected = over_subsets(scores, k)
        assert (mean is None) == (expected is None)
        assert mean is None or mean == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    # of the pairs of 1, 2, 4 the best are 2, 4, 4
    assert expected_best([4.0, 1.0, 2.0]) == pytest.approx((7 / 3, 10 / 3, 4))
    assert expected_best([0.5]) == (0.5,)
    assert expected_best([]) == ()
    assert expected_best([None, 3.0]) == (None, 3.0)


def test_it_never_falls_and_ends_at_the_best() -> None:
    chance = random.Random(3)
    scores = [chance.gauss(0, 1) for _ in range(40)]
    found = [mean for mean in expected_best(scores) if mean is not None]
    assert found == sorted(found)
    assert found[0] == pytest.approx(sum(scores) / 40)
    assert found[-1] == pytest.approx(max(scores))


def test_independent_draws_give_it_without_bias() -> None:
    chance = random.Random(5)
    found = [expected_best([chance.random() for _ in range(6)])[2] or 0 for _ in range(20_000)]
    assert sum(found) / len(found) == pytest.approx(3 / 4, abs=0.003)  # the best of three uniform numbers


def test_the_report_takes_the_points_fixed_in_advance_without_the_default() -> None:
    ablation = synthetic.make_ablation(trials=START_UP + 4)
    row = gather(synthetic.make(ablation)).studies[0]
    scores = [run.record.scores["stsb-dev/spearman_cosine"] for run in row.trials if run.record]
    assert len(scores) == START_UP + 4
    assert curves.expected(row) == expected_best(scores[1:START_UP])
