"""Items that change in the same direction decide a claim only if there are enough of them for a sign test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from scipy.stats import binomtest

from harness.planning.plan import PlannedRun
from harness.spec.expectations import AtLeast, Beats, at_least, beats
from harness.spec.study import UNTRAINED
from harness.stats.rare import Rare
from harness.stats.resampled import resampled_mean
from harness.store.items import Values
from harness.testbeds import measures, sources
from harness.verdicts import words
from harness.verdicts.evidence import Evidence
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict

FIGURE = "own/accuracy"


def verdict(
    items: int,
    changed: int,
    *,
    groups: tuple[int, ...] = (),
    claims: int = 1,
    expect: Beats | AtLeast | None = None,
    right: bool = True,
) -> Verdict:
    """Return the verdict on a study that has `changed` more triplets right than the untrained model.

    Args:
        items: number of triplets.
        changed: how many the untrained model has wrong and the trained one right; both have the others right.
        groups: the group of each triplet.
        claims: number of further claims of the family, less one.
        expect: the claim, instead of "mnr0 beats untrained".
        right: whether the other triplets are right.
    """
    names = [f"mnr{number}" for number in range(claims)]
    made = synthetic.make_ablation(names, seeds=3, trials=1, expect=[], tasks=())
    test = measures.triplets(sources.file("triplets.csv"), "own", columns=("a", "p", "n"))
    ablation = replace(
        made,
        testbed=replace(made.testbed, test=test, also=()),
        expect=[expect] if expect else [beats(name, UNTRAINED) for name in names],
    )

    def scored(run: PlannedRun) -> PlannedRun:
        if run.record is None or run.stage == "tune":
            return run
        values = np.full(items, float(right))
        values[:changed] = run.study == "mnr0"
        found = {"own": Values(tuple(f"t{n}" for n in range(items)), {"accuracy": tuple(values)}, groups)}
        record = replace(run.record, headline=FIGURE, scores={FIGURE: float(values.mean())}, items=found)
        return replace(run, record=record)

    plan = synthetic.make(made)
    return judge(replace(plan, ablation=ablation, runs=tuple(map(scored, plan.runs))))[0]


@pytest.mark.parametrize("items", [0, 100])
@pytest.mark.parametrize(
    ("changed", "expected"), [(3, "inconclusive"), (5, "inconclusive"), (6, "holds"), (9, "holds")]
)
def test_six_items_that_agree_decide_and_five_do_not(items: int, changed: int, expected: str) -> None:
    found = verdict(changed + items, changed)
    assert found.verdict == expected
    assert found.interval is not None
    assert (found.interval.low > 0) == (expected == "holds")
    few = f"All but {changed} of {changed + items} triplets" if items else f"All {changed} triplets"
    assert (f"{few} have the same difference" in found.reason) == (changed < 6 or items == 0)


def test_a_family_of_claims_needs_more_items_that_agree() -> None:
    """The first of twenty claims is judged at 0.05 / 20, which a sign test reaches with ten items."""
    nine, ten = verdict(40, 9, claims=20), verdict(40, 10, claims=20)
    assert (nine.verdict, ten.verdict) == ("inconclusive", "holds")
    assert "All but 9 of 40 triplets have the same difference" in nine.reason
    assert words.detail(nine) == "too few test items differ"
    assert (nine.needs, nine.detectable) == (None, None), "further seeds would not help"
    assert ten.detectable is not None


def test_groups_count_and_not_their_items() -> None:
    of_four = tuple(number // 10 for number in range(40))
    four = verdict(40, 40, groups=of_four)
    assert four.verdict == "inconclusive"
    assert "All 4 groups of triplets have the same difference" in four.reason
    assert verdict(80, 80, groups=tuple(number // 10 for number in range(80))).verdict == "holds"


@pytest.mark.parametrize(
    ("items", "wrong", "target", "expected"),
    [
        (10, 0, 0.95, "inconclusive"),  # a model with 95 percent right gives ten of ten in 60 of 100 sets
        (10, 0, 0.69, "holds"),  # Clopper and Pearson: 69.2 to 100 percent
        (10, 0, 0.70, "inconclusive"),
        (200, 3, 0.956, "holds"),  # 95.7 to 99.7 percent
        (200, 3, 0.958, "inconclusive"),
        (200, 30, 0.95, "violated"),  # so many that resamples show what others would be like
    ],
)
def test_a_score_of_nearly_all_items_right_reaches_what_their_number_shows(
    items: int, wrong: int, target: float, expected: str
) -> None:
    # the untrained model has them wrong, and so a study that is no better
    found = verdict(items, wrong, expect=at_least(UNTRAINED, target, figure=FIGURE))
    assert found.verdict == expected
    if expected == "inconclusive":
        assert words.detail(found) == "too few test items differ"
    none = verdict(items, 0, expect=at_least(UNTRAINED, 0.31, figure=FIGURE), right=False)
    assert none.verdict == "violated"
    if items == 10:
        assert verdict(items, 0, expect=at_least(UNTRAINED, 0.30, figure=FIGURE), right=False).verdict == "inconclusive"


def test_equal_scores_of_few_items_do_not_show_that_a_study_is_hardly_worse() -> None:
    margin = beats("mnr0", UNTRAINED, by=-0.01)
    ten, many = verdict(10, 0, expect=margin), verdict(400, 0, expect=margin)
    assert (ten.verdict, many.verdict) == ("inconclusive", "holds")
    assert ten.interval is not None
    assert ten.interval.low == pytest.approx(-0.3085, abs=1e-4)
    assert (words.outcome(ten), words.outcome(many)) == ("UNDECIDED", "WIN")
    assert words.detail(ten) == "the scores are identical, but on too few test items to exclude 0.5 points"
    assert words.outcome(verdict(400, 0)) == "UNDECIDED"
    assert words.outcome(verdict(800, 0)) == "NO DIFFERENCE"


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1])
def test_exact_bounds_cover_the_true_mean(share: float) -> None:
    """Items of which few differ: at least 95 of 100 intervals contain the mean, whatever the number of items."""
    rng, missed, sets = np.random.default_rng(1), 0, 2000
    for _ in range(sets):
        values = rng.choice([-1.0, 0.0, 1.0], size=60, p=[share / 3, 1 - share, 2 * share / 3])
        found = Rare.of(values, 60, -1, 1).interval(0.05, "test triplets")
        missed += not found.low <= share / 3 <= found.high
    assert binomtest(missed, sets, 0.05, alternative="greater").pvalue > 0.001


def test_exact_p_values_agree_with_the_bounds_and_with_the_other_side() -> None:
    rare = Rare.of(np.array([0.0] * 50 + [0.3, 1.0, -1.0]), 53, -1, 1)
    assert (rare.below, rare.above, rare.value) == (1, 2, 0.0)
    found = rare.interval(0.05, "test triplets")
    assert rare.p_below(found.low - 1e-6) < 0.025 < rare.p_below(found.low + 1e-6)
    assert rare.negative().p_below(-found.high - 1e-6) < 0.025 < rare.negative().p_below(-found.high + 1e-6)
    assert Rare.of(np.zeros(5), 5, 0, 1).p_below(0.0) == 0.0, "no item can have less"
    assert Rare.of(np.zeros(5), 5, 0, 1).p_below(0.1) == 1.0


def test_equal_models_with_few_changes_are_seldom_told_apart() -> None:
    """Of 100 items four change, each for the better or the worse by the toss of a coin; 600 pairs of equal models."""
    rng, decided = np.random.default_rng(0), 0
    for _ in range(600):
        values = np.zeros(100)
        values[:4] = rng.choice([-1, 1], 4)
        seeds = tuple(values.mean() + rng.normal(0, 1e-4, 5))
        rare = Rare.of(values, 100, -1, 1)
        found = Evidence(seeds, None, resampled_mean(values, (), resamples=999), items=100, effective=100.0, rare=rare)
        decided += found.p_value(0.0) <= 0.05
    assert binomtest(decided, 600, 0.05, alternative="greater").pvalue > 0.001
