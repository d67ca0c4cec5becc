"""What fine-tuning may forget: `keeps` is judged over seeds only, and `beats` needs values of a figure's items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import synthetic

import harness
from harness import beats, in_order, keeps, measures
from harness.errors import StudyFileError
from harness.planning.plan import Plan, PlannedRun
from harness.spec.ablation import Ablation
from harness.spec.expectations import Expectation
from harness.stats import estimates
from harness.store.items import Values
from harness.store.records import Record
from harness.verdicts.finals import finals
from harness.verdicts.judge import judge
from harness.verdicts.order import orders
from harness.verdicts.rules import Verdict

OLD, PLAIN = "old/value", "mteb/STS12"
QUERIES = tuple(f"q{number}" for number in range(40))


def scored(model: object) -> list[float]:
    return [0.0]


def ablation(*expect: Expectation) -> Ablation:
    """An ablation with a further measure "old" of the study file's own."""
    made = synthetic.make_ablation(("softmax", "mnr"), trials=1, seeds=4, tasks=("STS12",), expect=expect)
    return replace(made, testbed=replace(made.testbed, also=(measures.of(scored, "old"), "STS12")))


def values(mean: float, seed: int) -> tuple[float, ...]:
    """Values of queries with a mean, whose noise all models share but for a little of each mean and seed."""
    shared = np.random.default_rng(0).normal(size=40)
    own = np.random.default_rng([seed, round(1000 * mean)]).normal(size=40)
    noise = 0.1 * shared + 0.01 * own
    return tuple((mean + noise - noise.mean()).tolist())


def of_old(means: Mapping[str, float], spread: float = 0.001, itemised: bool = True) -> synthetic.Change:
    """Give final runs a score of the further measure and of STS12; seeds differ by `spread`."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.stage == "tune":
            return record
        mean = means[run.study] + spread * (0, 1, -1, 2, -2)[run.seed % 5]
        own = Values(QUERIES, {"value": values(mean, run.seed)})
        items = {**record.items, "old": own} if itemised else record.items
        return replace(record, scores={**record.scores, OLD: mean, PLAIN: mean}, items=items)

    return change


def judged(change: synthetic.Change, *expect: Expectation) -> list[Verdict]:
    return judge(plan_of(change, *expect))


def plan_of(change: synthetic.Change, *expect: Expectation) -> Plan:
    return synthetic.make(ablation(*expect), change=change)


KEPT = {
    "a little lower": (0.495, 0.001, "holds"),
    "higher": (0.6, 0.001, "holds"),
    "far below": (0.4, 0.001, "violated"),
    "at the limit": (0.48, 0.001, "inconclusive"),
    "unsteady": (0.495, 0.05, "inconclusive"),
}


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("itemised", [True, False], ids=["values per item", "one number"])
@pytest.mark.parametrize("figure", [OLD, PLAIN])
def test_what_is_kept_is_judged_by_the_interval_over_seeds(case: str, itemised: bool, figure: str) -> None:
    mean, spread, expected = KEPT[case]
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": mean}, spread, itemised)
    (verdict,) = judged(change, keeps("mnr", "untrained", within=0.02, figure=figure))

    assert (verdict.verdict, verdict.kind, verdict.margin) == (expected, "keeps", -0.02)
    assert verdict.over_items is None
    assert verdict.over_seeds is not None
    scores = [mean + spread * shift - 0.5 for shift in (1, -1, 2, -2)]
    assert verdict.over_seeds == estimates.interval(scores, alpha=0.05)
    if expected == "holds":
        assert verdict.reason == "The interval over seeds reaches the margin of -2."
    elif expected == "violated":
        assert verdict.reason == "The interval over seeds is below -2."


def test_who_keeps_up_with_whom_is_not_the_same_turned_round() -> None:
    change = of_old({"untrained": 0.5, "softmax": 0.6, "mnr": 0.5})
    one, other = judged(
        change, keeps("softmax", "mnr", within=0.02, figure=OLD), keeps("mnr", "softmax", within=0.02, figure=OLD)
    )
    assert (one.verdict, other.verdict) == ("holds", "violated")
    assert one.difference == pytest.approx(0.1)
    assert other.difference == pytest.approx(-0.1)
    swapped = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6})
    assert judged(swapped, keeps("softmax", "mnr", within=0.02, figure=OLD))[0].verdict == "violated"


def test_the_spread_over_items_does_not_count_for_what_is_kept_and_does_for_what_beats() -> None:
    """Of forty queries with a spread of a tenth, differences of a point are chance for other queries, not for these."""
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.51}, 0.0005)

    def scattered(run: PlannedRun, record: Record) -> Record:
        record = change(run, record) or record
        if run.study != "mnr" or run.stage == "tune":
            return record
        noise = np.random.default_rng(9).normal(size=40) * 0.2
        own = Values(QUERIES, {"value": tuple((record.scores[OLD] + noise - noise.mean()).tolist())})
        return replace(record, items={**record.items, "old": own})

    kept, beaten = judged(
        scattered, keeps("softmax", "mnr", within=0.02, figure=OLD), beats("mnr", "softmax", figure=OLD)
    )
    assert (kept.verdict, beaten.verdict) == ("holds", "inconclusive")
    assert beaten.over_items is not None
    assert beaten.over_items.over == "test items"
    assert "over seeds and test items" in beaten.reason


def test_one_seed_does_not_tell_whether_a_trained_study_keeps_up() -> None:
    made = ablation(keeps("mnr", "untrained", within=0.02, figure=OLD))
    made = replace(made, budget=replace(made.budget, seeds=1))
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.5})
    (verdict,) = judge(synthetic.make(made, change=change))
    assert (verdict.verdict, verdict.over_seeds) == ("inconclusive", None)


def test_without_a_figure_the_headline_is_what_is_kept() -> None:
    better, worse = judged(
        of_old(dict.fromkeys(("untrained", "softmax", "mnr"), 0.5)),
        keeps("mnr", "untrained", within=0.02),
        keeps("untrained", "mnr", within=0.02),
    )
    assert (better.figure, better.verdict, worse.verdict) == ("stsb-test/spearman_cosine", "holds", "violated")


def test_a_study_beats_another_on_a_figure_with_values_of_its_items() -> None:
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6})
    forward, back = judged(change, beats("mnr", "softmax", figure=OLD), beats("softmax", "mnr", figure=OLD))

    assert (forward.verdict, back.verdict) == ("holds", "violated")
    assert forward.figure == OLD
    assert forward.over_items is not None
    assert forward.over_items.low == pytest.approx(0.1, abs=0.01)
    (headline,) = judged(change, beats("softmax", "mnr"))
    assert headline.verdict == "violated", "the headline has other scores"


def test_a_difference_on_a_figure_without_values_of_its_items_is_not_judged() -> None:
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6}, itemised=False)
    (verdict,) = judged(change, beats("mnr", "softmax", figure=OLD))

    assert verdict.verdict == "incomplete"
    assert f"Records keep no values per item of {OLD}" in verdict.reason
    assert "keeps(...)" in verdict.reason


@pytest.mark.parametrize("claim", [beats("mnr", "softmax", figure=PLAIN), in_order("softmax", "mnr", figure=PLAIN)])
def test_a_difference_on_a_figure_that_never_has_values_of_its_items_is_refused_at_once(claim: Expectation) -> None:
    with pytest.raises(StudyFileError, match=r"no values per item are kept of mteb/STS12.*Claim keeps\(...\)"):
        ablation(claim)


@pytest.mark.parametrize("itemised", [True, False])
def test_an_order_by_a_further_figure_is_judged_step_by_step_and_has_a_probability_with_values(itemised: bool) -> None:
    change = of_old({"untrained": 0.4, "softmax": 0.5, "mnr": 0.6}, itemised=itemised)
    plan = plan_of(change, in_order("untrained", "softmax", "mnr", figure=OLD))

    assert {verdict.verdict for verdict in judge(plan)} == {"holds" if itemised else "incomplete"}
    (whole,) = orders(plan)
    assert (whole.over_items is not None) == itemised


def test_runs_of_other_queries_are_not_compared() -> None:
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6})

    def renamed(run: PlannedRun, record: Record) -> Record:
        record = change(run, record) or record
        own = record.items.get("old")
        if run.study != "mnr" or not isinstance(own, Values):
            return record
        ids = tuple(f"other {name}" for name in own.ids)
        return replace(record, items={**record.items, "old": replace(own, ids=ids)})

    (verdict,) = judged(renamed, beats("mnr", "softmax", figure=OLD))
    assert verdict.verdict == "incomplete"
    assert "scored on the same test items" in verdict.reason


def test_values_whose_mean_is_not_the_score_are_not_compared() -> None:
    change = of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6})

    def raised(run: PlannedRun, record: Record) -> Record:
        record = change(run, record) or record
        better = run.study == "softmax" and run.stage == "final"
        return replace(record, scores={**record.scores, OLD: 0.9}) if better else record

    verdict, kept = judged(
        raised, beats("softmax", "mnr", figure=OLD), keeps("softmax", "untrained", within=0.02, figure=OLD)
    )
    assert (verdict.verdict, kept.verdict) == ("incomplete", "incomplete")
    assert "does not match its stored predictions" in verdict.reason


def test_the_values_of_a_figure_are_those_of_the_record() -> None:
    plan = plan_of(of_old({"untrained": 0.5, "softmax": 0.5, "mnr": 0.6}))
    found = finals(plan, "mnr", figure=OLD)
    assert {found.predictions[seed].items for seed in found.scores} == {QUERIES}
    assert found.unit == "test items"
    for seed, predicted in found.predictions.items():
        assert predicted.score == pytest.approx(found.scores[seed])


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 1.0, float("nan")])
def test_a_tolerance_that_cannot_be_meant_is_refused(tolerance: float) -> None:
    with pytest.raises(StudyFileError, match="more than 0 and less than 1"):
        keeps("mnr", "untrained", within=tolerance)


def test_claims_that_cannot_be_meant_are_refused_and_the_others_read_well() -> None:
    with pytest.raises(StudyFileError, match="name two studies"):
        keeps("mnr", "mnr", within=0.1)
    for make in (lambda: keeps("a", "b", within=0.1, figure="old"), lambda: beats("a", "b", figure="old/")):
        with pytest.raises(StudyFileError, match="is not a score of a record"):
            make()
    with pytest.raises(StudyFileError, match="no study 'nobody'"):
        ablation(keeps("nobody", "untrained", within=0.1))
    with pytest.raises(StudyFileError, match="choose from best, default"):
        keeps("a", "b", within=0.1, at="first")  # type: ignore[arg-type]
    said = str(harness.keeps("mnr", "untrained", within=0.02, figure=OLD, at="default"))
    assert said == "mnr keeps untrained within 0.02 at the default point (old/value)"
    assert str(beats("mnr", "softmax", by=0.01, figure=OLD)) == "mnr beats softmax by 0.01 (old/value)"
