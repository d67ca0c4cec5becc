"""Items that change in the same direction decide a claim only if there are enough of them for a sign test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from scipy.stats import binomtest

from harness.planning.plan import PlannedRun
from harness.spec.expectations import beats
from harness.spec.study import UNTRAINED
from harness.stats.resampled import resampled_mean
from harness.store.items import Values
from harness.testbeds import measures, sources
from harness.verdicts.evidence import Evidence
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict

FIGURE = "own/accuracy"


def verdict(items: int, changed: int, *, groups: tuple[int, ...] = (), claims: int = 1) -> Verdict:
    """Return the verdict on a study that has `changed` more triplets right than the untrained model.

    Args:
        items: number of triplets.
        changed: how many the untrained model has wrong and the trained one right; both have the others right.
        groups: the group of each triplet.
        claims: number of further claims of the family, less one.
    """
    names = [f"mnr{number}" for number in range(claims)]
    made = synthetic.make_ablation(names, seeds=3, trials=1, expect=[], tasks=())
    test = measures.triplets(sources.file("triplets.csv"), "own", columns=("a", "p", "n"))
    ablation = replace(
        made, testbed=replace(made.testbed, test=test, also=()), expect=[beats(name, UNTRAINED) for name in names]
    )

    def scored(run: PlannedRun) -> PlannedRun:
        if run.record is None or run.stage == "tune":
            return run
        values = np.ones(items)
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
    assert ("decide nothing, even if all agree" in found.reason) == (changed < 6)
    assert ("All triplets changed by the same number" in found.caveat) == (items == 0)


def test_a_family_of_claims_needs_more_items_that_agree() -> None:
    """The first of twenty claims is judged at 0.05 / 20, which a sign test reaches with ten items."""
    nine, ten = verdict(40, 9, claims=20), verdict(40, 10, claims=20)
    assert (nine.verdict, ten.verdict) == ("inconclusive", "holds")
    assert "Fewer than 10 that differ decide nothing" in nine.reason
    assert (nine.needs, nine.detectable) == (None, None), "further seeds would not help"
    assert ten.detectable is not None


def test_groups_count_and_not_their_items() -> None:
    of_four = tuple(number // 10 for number in range(40))
    four = verdict(40, 40, groups=of_four)
    assert four.verdict == "inconclusive"
    assert "Fewer than 6 groups of triplets that differ" in four.reason
    assert verdict(80, 80, groups=tuple(number // 10 for number in range(80))).verdict == "holds"


def test_equal_models_with_few_changes_are_seldom_told_apart() -> None:
    """Of 100 items four change, each for the better or the worse by the toss of a coin; 600 pairs of equal models."""
    rng, decided = np.random.default_rng(0), 0
    for _ in range(600):
        values = np.zeros(100)
        values[:4] = rng.choice([-1, 1], 4)
        seeds = tuple(values.mean() + rng.normal(0, 1e-4, 5))
        found = Evidence(seeds, None, resampled_mean(values, (), resamples=999), items=100, effective=100.0, units=4)
        decided += found.p_value(0.0) <= 0.05
    assert binomtest(decided, 600, 0.05, alternative="greater").pvalue > 0.001
