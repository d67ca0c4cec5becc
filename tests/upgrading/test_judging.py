"""Verdicts of a comparison: what is called moved, the same, undecided or incomplete, and how often wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.spec.space import Point
from harness.store.records import Record
from harness.upgrading.judging import Change, Pair, changes, pairs

POINT = Point(32, 1e-4)


def record(study: str = "mnr", seed: int = 1, score: float = 0.7, **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "id": f"{seed:016x}",
        "study": study,
        "stage": "final",
        "seed": seed,
        "point": POINT,
        "trial": None,
        "outcome": "ok",
        "headline": "test/spearman",
        "scores": {"test/spearman": score, "test/pearson": score / 2},
    }
    return Record(**usual | fields)


def judged(differences: Sequence[float], **options: float) -> Change:
    """The change of one study with these differences over seeds, on a 0 to 1 scale."""
    of_study = [Pair(seed, 0.5, 0.5 + each, False) for seed, each in enumerate(differences)]
    (change,) = changes({"mnr": of_study}, **options)
    return change


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([-0.008, -0.009, -0.007], "MOVED"),
        ([0.008, 0.009, 0.007], "MOVED"),
        ([-0.008, 0.009, 0.001], "UNDECIDED"),
        ([0.0001, -0.0001, 0.0002], "SAME"),
        ([0.0005, 0.0005001, 0.0004999], "SAME"),  # beside 0 beyond doubt, but within the margin
        ([0.0009, 0.0008, 0.00109], "UNDECIDED"),  # beside 0, with a mean within the margin and an end beyond it
        ([0.002, 0.002, 0.002], "UNDECIDED"),  # of few queries, or beyond chance: the spread is not known
        ([0.0, 0.0, 0.0], "SAME"),
        ([0.004], "UNDECIDED"),
    ],
)
def test_a_verdict_follows_from_one_interval(differences: list[float], verdict: str) -> None:
    assert judged(differences).verdict == verdict


def test_the_margin_is_the_users() -> None:
    assert judged([0.008, 0.009, 0.007], within=0.02).verdict == "SAME"
    assert judged([0.0001, -0.0001, 0.0002], within=0.0).verdict == "UNDECIDED"


def test_the_difference_is_new_minus_old_with_an_interval_around_it() -> None:
    change = judged([0.01, 0.02, 0.03])
    assert change.difference == pytest.approx(0.02)
    assert change.interval is not None
    half = 4.302652729911275 * 0.01 / 3**0.5  # Student's t for 2 degrees of freedom
    assert (change.interval.low, change.interval.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert (change.seeds, change.old) == (3, 0.5)
    assert change.new == pytest.approx(0.52)


def test_runs_are_compared_with_their_twins_and_identical_scores_are_the_same() -> None:
    old = [record(seed=1, score=0.7), record(seed=2, score=0.6), record("cosine", 1, 0.5)]
    new = [record(seed=2, score=0.6), record(seed=1, score=0.7), record("cosine", 1, 0.5)]
    together = pairs(old, new)
    assert [(pair.seed, pair.old, pair.new, pair.identical) for pair in together["mnr"]] == [
        (1, 0.7, 0.7, True),
        (2, 0.6, 0.6, True),
    ]
    assert {change.study: change.verdict for change in changes(together)} == {"mnr": "SAME", "cosine": "SAME"}
    assert all(change.identical for change in changes(together))


def test_one_other_figure_is_enough_not_to_be_identical() -> None:
    other = record(scores={"test/spearman": 0.7, "test/pearson": 0.36})
    assert not pairs([record()], [other])["mnr"][0].identical
    assert pairs([record()], [other], "test/pearson")["mnr"][0].new == 0.36


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (record(outcome="failed", scores={}, error="ValueError: no such pooling"), "ValueError: no such pooling"),
        (record(point=Point(32, 2e-4)), "lr 0.0002"),
        (record(seed=2), "it was not run"),
        (record(scores={"test/pearson": 0.3}), "has no"),
    ],
)
def test_a_run_without_its_twin_makes_the_study_incomplete_and_says_why(new: Record, told: str) -> None:
    (change,) = changes(pairs([record()], [new]))
    assert change.verdict == "INCOMPLETE"
    assert told in change.reason


def test_a_planned_run_that_neither_side_has_makes_the_study_incomplete() -> None:
    planned = [("mnr", 1), ("mnr", 2), ("cosine", 1)]
    found = {change.study: change for change in changes(pairs([record()], [record()], planned=planned))}
    assert {study: change.verdict for study, change in found.items()} == {"mnr": "INCOMPLETE", "cosine": "INCOMPLETE"}
    assert not any(change.identical for change in (*found.values(), *changes({"mnr": []})))
    assert changes({"mnr": []})[0].verdict == "INCOMPLETE"


def test_a_run_that_diverges_on_one_side_counts_as_0() -> None:
    old = [record(seed=seed, score=0.7 + seed / 1000) for seed in (1, 2, 3)]
    new = [record(seed=seed, outcome="diverged", scores={}) for seed in (1, 2, 3)]
    (change,) = changes(pairs(old, new))
    assert (change.verdict, change.new) == ("MOVED", 0.0)


def test_the_untrained_model_has_no_seeds_and_is_judged_by_its_difference() -> None:
    untrained = record("untrained", 0, 0.6, stage="untrained", point=None)
    for score, verdict in ((0.6, "SAME"), (0.6009, "SAME"), (0.6011, "MOVED"), (0.598, "MOVED")):
        other = replace(untrained, scores={"test/spearman": score, "test/pearson": 0.3})
        (change,) = changes(pairs([untrained], [other]))
        assert change.verdict == verdict


def test_if_nothing_changed_any_study_moves_in_at_most_5_percent_of_comparisons() -> None:
    """With rounding that a training has blown up to .3 points, beyond the margin, and with several studies at once."""
    random = np.random.default_rng(0)
    comparisons, wrong = 3000, 0
    for drawn in random.normal(scale=0.003, size=(comparisons, 3, 4)):
        of_studies = {
            f"study {number}": [Pair(seed, 0.5, 0.5 + each, False) for seed, each in enumerate(differences)]
            for number, differences in enumerate(drawn)
        }
        wrong += any(change.verdict == "MOVED" for change in changes(of_studies))
    assert 0.03 < wrong / comparisons < 0.05 + 3 * (0.05 * 0.95 / comparisons) ** 0.5


@pytest.mark.parametrize(("seeds", "share"), [(2, 0.5), (3, 0.5), (3, 0.8), (5, 0.8)])
def test_a_set_of_few_queries_moves_by_chance_no_more_often(seeds: int, share: float) -> None:
    """Each training flips one of fifty queries, in either direction, with some probability."""
    rng = np.random.default_rng(0)
    flips = rng.choice([-0.02, 0.0, 0.02], (2000, seeds), p=[share / 2, 1 - share, share / 2])
    moved = [judged(each.tolist()).verdict == "MOVED" for each in flips]
    assert np.mean(moved) < 0.06


def test_a_run_that_diverges_on_both_sides_is_no_evidence() -> None:
    lost = record(outcome="diverged", scores={}, error="Diverged: NaN")
    (change,) = changes(pairs([lost], [lost]))
    assert (change.verdict, change.reason) == ("INCOMPLETE", "seed 1 diverged on both sides")


def test_a_level_is_spent_by_two_sided_p_values() -> None:
    """A difference at p = .04 of two studies is not shown, and so does not give the other study the whole level."""
    step = 0.003 * 3**0.5 / 4.85  # Student's t of 4.85 with 2 degrees of freedom has p = .04 on both sides
    open_ = [Pair(seed, 0.5, 0.503 + each, False) for seed, each in enumerate((-step, 0.0, step))]
    noise = [Pair(seed, 0.5, 0.5 + each, False) for seed, each in enumerate((-0.003, 0.004, 0.002))]
    both = changes({"a": open_, "b": noise})
    assert [change.verdict for change in both] == ["UNDECIDED", "UNDECIDED"]
    assert [change.interval.level for change in both if change.interval] == pytest.approx([0.975, 0.975])


def test_identical_studies_do_not_make_it_easier_for_another_to_move() -> None:
    """Holm's levels would be those of fewer studies if a difference of 0 counted as shown."""
    same = [Pair(seed, 0.5, 0.5, True) for seed in range(3)]
    moved = [Pair(seed, 0.5, 0.5 + each, False) for seed, each in enumerate((0.008, 0.009, 0.007))]
    change = changes({"a": same, "b": same, "c": moved})[2]
    assert change.interval is not None
    assert change.interval.level == pytest.approx(1 - 0.05 / 3)
