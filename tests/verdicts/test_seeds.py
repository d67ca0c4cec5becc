"""Which seeds are compared with which, and what a seed counts whose training diverged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.stats
import synthetic

from harness.planning.pairing import share_seeds
from harness.planning.plan import PlannedRun
from harness.planning.planner import make_plan
from harness.scores import HEADLINE
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.expectations import beats
from harness.spec.study import Study
from harness.stats import intervals
from harness.store.records import Record
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.remaining import remaining

MNR = losses.MultipleNegativesRankingLoss
WIDE = {"softmax": 0.55, "mnr": 0.80}


def of(*studies: Study) -> Ablation:
    made = synthetic.make_ablation(seeds=4, trials=1, tasks=(), expect=())
    return replace(made, studies=studies, expect=[beats("b", "a")])


def my_loss(model: object, scale: float = 1.0) -> object:
    return model


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (Study("a", MNR, "pair"), Study("b", MNR.given(scale=5.0), "pair"), True),
        (Study("a", partial(my_loss, scale=2.0), "pair"), Study("b", my_loss, "pair"), True),
        (Study("a", MNR, "pair", pooling="cls"), Study("b", MNR, "pair"), True),
        (Study("a", MNR, "pair"), Study("b", MNR, "triplet"), False),
        (Study("a", MNR, "pair", rows=500), Study("b", MNR, "pair"), False),
        (Study("a", MNR, "pair"), Study("b", losses.MultipleNegativesSymmetricRankingLoss, "pair"), False),
        (Study("a", losses.CoSENTLoss, "pair-score"), Study("b", losses.AnglELoss, "pair-score"), False),
    ],
)
def test_seeds_are_shared_by_one_loss_on_the_same_rows(one: Study, other: Study, shared: bool) -> None:
    made = of(one, other)
    assert share_seeds(made, "a", "b") == share_seeds(made, "b", "a") == shared
    assert not share_seeds(made, "a", "untrained")


def moved(shifts: dict[str, list[float]]) -> Callable[[PlannedRun, Record], Record]:
    """Return a change that sets the score of each final seed; its predictions give nearly that score."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.stage != "final" or run.study not in shifts:
            return record
        target = shifts[run.study][run.seed - 1]
        gold = synthetic.pairs_of(record).gold
        qualities = np.linspace(target - 0.1, target + 0.1, 201)
        near = min(
            (synthetic.predictions(float(q), "one") for q in qualities),
            key=lambda pairs: abs(intervals.spearman(gold, pairs.cosine) - target),
        )
        score = intervals.spearman(near.gold, near.cosine)
        return replace(record, items={synthetic.TEST: near}, scores={**record.scores, HEADLINE: score})

    return change


LOW, HIGH = [0.700, 0.712, 0.694, 0.706], [0.705, 0.717, 0.699, 0.711]
"""The second study is .005 better at every seed, and less than the spread over seeds."""


def scores_of(plan: object, study: str) -> list[float]:
    runs = plan.of(study, "final", "best")  # type: ignore[attr-defined]
    return [run.record.scores[HEADLINE] for run in runs]


def test_shared_seeds_are_compared_one_by_one_and_others_are_not() -> None:
    shared = synthetic.make(
        of(Study("a", MNR, "pair"), Study("b", MNR.given(scale=5.0), "pair")), change=moved({"a": LOW, "b": HIGH})
    )
    apart = synthetic.make(of(Study("a", MNR, "pair"), Study("b", MNR, "triplet")), change=moved({"a": LOW, "b": HIGH}))
    (one,), (two,) = judge(shared), judge(apart)
    assert (one.paired, two.paired) == (True, False)
    low, high = scores_of(shared, "a"), scores_of(shared, "b")
    paired = scipy.stats.ttest_rel(high, low).confidence_interval(one.level)
    welch = scipy.stats.ttest_ind(high, low, equal_var=False).confidence_interval(two.level)
    assert one.over_seeds is not None
    assert two.over_seeds is not None
    assert (one.over_seeds.low, one.over_seeds.high) == pytest.approx((paired.low, paired.high))
    assert (two.over_seeds.low, two.over_seeds.high) == pytest.approx((welch.low, welch.high))


def test_the_order_of_independent_seeds_does_not_matter_and_that_of_shared_ones_does() -> None:
    def width(second: Study, scores: list[float]) -> float:
        made = of(Study("a", MNR, "pair"), second)
        (verdict,) = judge(synthetic.make(made, change=moved({"a": LOW, "b": scores})))
        assert verdict.over_seeds is not None
        return verdict.over_seeds.high - verdict.over_seeds.low

    shared, apart = Study("b", MNR.given(scale=5.0), "pair"), Study("b", MNR, "triplet")
    turned = [*HIGH[1:], HIGH[0]]
    assert width(apart, HIGH) == pytest.approx(width(apart, turned))
    assert width(shared, turned) > 1.5 * width(shared, HIGH)


def diverged(*hit: tuple[str, int]) -> Callable[[PlannedRun, Record], Record]:
    def change(run: PlannedRun, record: Record) -> Record:
        if run.stage == "final" and (run.study, run.seed) in hit:
            return replace(record, outcome="diverged", scores={}, items={}, error="Diverged: the loss is NaN at step 3")
        return record

    return change


def test_a_seed_that_diverged_counts_as_0_and_is_said_in_the_verdict() -> None:
    made = synthetic.make_ablation(("softmax", "mnr"), seeds=4, trials=1, tasks=(), expect=[beats("mnr", "softmax")])
    whole = synthetic.make(made, quality=WIDE)
    lost = synthetic.make(made, quality=WIDE, change=diverged(("mnr", 2)))
    (before,), (after,) = judge(whole), judge(lost)
    assert (before.verdict, after.verdict) == ("holds", "inconclusive")
    mean = (sum(scores_of(whole, "mnr")) - scores_of(whole, "mnr")[1]) / 4
    assert after.difference == pytest.approx(mean - np.mean(scores_of(whole, "softmax")))
    assert "mnr diverged in 1 of 4 final runs (seed 2): each counts as a score of 0." in after.full_reason
    assert exit_code([after], lost) == 0, "nothing is left to run"
    assert any("mnr final run seed 2" in line and "score of 0" in line for line in remaining(lost))


def test_a_base_model_that_diverges_is_not_told_to_learn_more_slowly() -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        lost = run.stage == "untrained" or (run.study, run.seed) == ("mnr", 2)
        return replace(record, outcome="diverged", scores={}, items={}, error="it collapsed") if lost else record

    made = synthetic.make_ablation(("mnr",), seeds=4, trials=1, tasks=(), expect=[beats("mnr", "untrained")])
    lines = remaining(synthetic.make(made, quality=WIDE, change=change))
    (untrained,) = [line for line in lines if line.startswith("diverged: untrained: it collapsed; ")]
    (trained,) = [line for line in lines if line.startswith("diverged: mnr")]
    assert "use a base model that knows the words" in untrained
    assert "learning rate" not in untrained
    assert "give the study lower learning rates" in trained


def test_a_study_that_always_diverges_loses_and_two_such_studies_are_equal() -> None:
    made = synthetic.make_ablation(("softmax", "mnr"), seeds=3, trials=1, tasks=(), expect=[beats("mnr", "softmax")])
    every = [("mnr", seed) for seed in (1, 2, 3)]
    both = [*every, *(("softmax", seed) for seed in (1, 2, 3))]
    (one,), (two,) = (judge(synthetic.make(made, quality=WIDE, change=diverged(*hit))) for hit in (every, both))
    assert one.verdict in ("violated", "incomplete")
    assert two.verdict in ("inconclusive", "incomplete")


def test_a_seed_counted_twice_changes_the_interval() -> None:
    """A mutant: the record of seed 1 under seed 2's name makes seeds that are said to be identical."""
    made = of(Study("a", MNR, "pair"), Study("b", MNR, "triplet"))
    records = synthetic.make_records(made, change=moved({"a": LOW, "b": HIGH}))
    first = next(r for r in records if r.study == "b" and r.stage == "final" and r.seed == 1)
    doubled = [
        replace(r, scores=first.scores, items=first.items) if (r.study, r.stage, r.seed) == ("b", "final", 2) else r
        for r in records
    ]
    (before,), (after,) = judge(make_plan(made, records)), judge(make_plan(made, doubled))
    assert before.over_seeds != after.over_seeds
    assert "Seeds 1 and 2 of b gave bit-identical predictions" in after.full_reason
