"""Verdicts from made-up records: each changes when, and only when, what it rests on changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import synthetic
from synthetic import TEST

from harness.planning import unlocking
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.spec.expectations import Expectation, beats, in_order
from harness.stats import estimates, intervals
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.evidence import Evidence
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.order import orders
from harness.verdicts.power import detections
from harness.verdicts.rules import Verdict

WIDE = {"softmax": 0.50, "cosine": 0.65, "mnr": 0.78, "mnr+hard": 0.88}
"""Qualities so far apart that 400 pairs and 3 seeds tell them apart."""


def ablation(*expect: Expectation, seeds: int = 3) -> Ablation:
    return synthetic.make_ablation(seeds=seeds, trials=2, expect=expect)


def verdicts(plan: Plan) -> list[str]:
    return [verdict.verdict for verdict in judge(plan)]


def final_of(study: str, seed: int | None = None) -> Callable[[PlannedRun], bool]:
    return lambda run: run.study == study and run.stage == "final" and seed in (None, run.seed)


def test_an_order_is_judged_by_its_neighbours_and_each_claim_names_them() -> None:
    found = judge(
        synthetic.make(ablation(in_order("softmax", "cosine", "mnr"), beats("mnr+hard", "mnr")), quality=WIDE)
    )
    assert [v.expectation for v in found] == ["softmax < cosine", "cosine < mnr", "mnr+hard beats mnr"]
    assert [v.verdict for v in found] == ["holds"] * 3
    assert (found[0].worse, found[0].better, found[0].seeds) == ("softmax", "cosine", 3)


def test_a_claim_at_the_default_point_is_about_the_untuned_runs_alone() -> None:
    """Tuned, mnr beats cosine; at the default point the scores are planted the other way round."""

    def planted(run: PlannedRun, record: Record) -> Record:
        if run.point != claim.default or run.study == "softmax":
            return record
        quality = {"cosine": 0.85, "mnr": 0.55}.get(run.study, 0.7) if run.stage == "final" else 0.1
        return synthetic.make_record(run, claim, quality)

    expect = (beats("mnr", "cosine"), beats("cosine", "mnr", at="default"), in_order("mnr", "cosine", at="default"))
    claim = ablation(*expect)
    plan = synthetic.make(claim, quality=WIDE, change=planted)
    assert all(len(run.roles) == 1 for run in plan.runs if run.stage == "final" and run.study in ("cosine", "mnr"))
    found = judge(plan)
    assert [v.expectation for v in found] == [
        "mnr beats cosine",
        "cosine beats mnr at the default point",
        "mnr < cosine at the default point",
    ]
    assert [v.verdict for v in found] == ["holds"] * 3
    assert not any(v.late for v in found)
    assert len(unlocking.claims(claim)) == 2  # an order's step and the same claim by itself are one
    assert [(o.expectation, o.over_items) for o in orders(plan)] == [("mnr < cosine at the default point", 1.0)]
    assert [d.claim for d in detections(plan, 0.01)] == [v.expectation for v in found]
    untuned = replace(plan, runs=tuple(run for run in plan.runs if "default" not in run.roles))
    assert [v.verdict for v in judge(untuned)] == ["holds", "incomplete", "incomplete"]


def test_swapping_two_studies_scores_flips_the_verdict() -> None:
    claim = ablation(beats("mnr", "softmax"))
    assert verdicts(synthetic.make(claim, quality=WIDE)) == ["holds"]
    swapped = WIDE | {"mnr": WIDE["softmax"], "softmax": WIDE["mnr"]}
    assert verdicts(synthetic.make(claim, quality=swapped)) == ["violated"]


def test_the_difference_is_better_minus_worse_of_the_stored_scores() -> None:
    plan = synthetic.make(ablation(beats("mnr", "softmax")), quality=WIDE)
    verdict = judge(plan)[0]
    means = {}
    for name in ("mnr", "softmax"):
        runs = [run.record for run in plan.of(name, "final", "best")]
        means[name] = sum(record.scores[HEADLINE] for record in runs if record) / 3
    assert verdict.difference == pytest.approx(means["mnr"] - means["softmax"])
    assert verdict.over_items is not None
    assert verdict.over_seeds is not None
    assert (verdict.over_items.over, verdict.over_seeds.over) == ("test pairs", "seeds")
    assert verdict.difference is not None
    assert verdict.over_items.low < verdict.difference < verdict.over_items.high
    assert verdict.over_seeds.high - verdict.over_seeds.low < verdict.over_items.high - verdict.over_items.low


def test_moving_the_margin_past_the_lower_end_ends_holding() -> None:
    first = judge(synthetic.make(ablation(beats("mnr", "softmax")), quality=WIDE))[0]
    assert first.over_items is not None
    assert first.over_seeds is not None
    end = min(first.over_items.low, first.over_seeds.low)
    assert first.difference is not None
    short = end - 0.2 * (first.difference - end)  # room for both uncertainties at once
    assert verdicts(synthetic.make(ablation(beats("mnr", "softmax", by=short)), quality=WIDE)) == ["holds"]
    assert verdicts(synthetic.make(ablation(beats("mnr", "softmax", by=end + 1e-9)), quality=WIDE)) == ["inconclusive"]


def test_missing_a_margin_is_not_violating_it() -> None:
    assert verdicts(synthetic.make(ablation(beats("mnr", "softmax", by=0.6)), quality=WIDE)) == ["inconclusive"]


def test_a_negative_margin_allows_for_a_small_loss() -> None:
    claim, worse = beats("softmax", "mnr", by=-0.9), beats("softmax", "mnr", by=-0.01)
    assert verdicts(synthetic.make(ablation(claim), quality=WIDE)) == ["holds"]
    assert verdicts(synthetic.make(ablation(worse), quality=WIDE)) == ["violated"]
    lost = judge(synthetic.make(ablation(worse), quality=WIDE))[0].difference
    assert lost is not None
    within = beats("softmax", "mnr", by=lost)  # surely a loss, but whether it is larger than allowed is open
    assert verdicts(synthetic.make(ablation(within), quality=WIDE)) == ["inconclusive"]


def noisy(spread: float) -> synthetic.Change:
    """Let the seeds of every final run of mnr differ much more than its pairs can explain."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study != "mnr" or run.stage != "final":
            return record
        quality = 0.7 + spread * (run.seed - 2)
        pairs = synthetic.predictions(quality, f"mnr{run.seed}")
        scores = {**record.scores, HEADLINE: intervals.spearman(pairs.gold, pairs.cosine)}
        return replace(record, items={TEST: pairs}, scores=scores)

    return change


def test_both_uncertainties_are_needed() -> None:
    claim = ablation(beats("mnr", "softmax"))
    spread_over_seeds = judge(synthetic.make(claim, quality=WIDE, change=noisy(0.2)))[0]
    assert spread_over_seeds.verdict == "inconclusive"
    assert spread_over_seeds.over_items is not None
    assert spread_over_seeds.over_items.low > 0
    assert "over seeds" in spread_over_seeds.reason
    close = judge(synthetic.make(claim, quality={"mnr": 0.68, "softmax": 0.60}))[0]
    assert close.verdict == "inconclusive"
    assert close.over_seeds is not None
    assert close.over_seeds.low > 0
    assert "over seeds and test pairs" in close.reason


def test_one_seed_decides_nothing() -> None:
    verdict = judge(synthetic.make(ablation(beats("mnr", "softmax"), seeds=1), quality=WIDE))[0]
    assert (verdict.verdict, verdict.over_seeds, verdict.detectable) == ("inconclusive", None, None)
    assert verdict.over_items is not None
    assert verdict.over_items.low > 0


def test_a_study_does_not_beat_its_twin() -> None:
    def twin(run: PlannedRun, record: Record) -> Record:
        pairs = synthetic.predictions(0.7, "twin")
        same = {HEADLINE: intervals.spearman(pairs.gold, pairs.cosine)}
        return record if run.stage == "tune" else replace(record, items={TEST: pairs}, scores={**record.scores, **same})

    assert verdicts(synthetic.make(ablation(beats("mnr", "softmax")), change=twin)) == ["inconclusive"]


def test_the_untrained_model_stands_in_claims_as_a_constant() -> None:
    claim = ablation(in_order("untrained", "softmax"), beats("untrained", "mnr"))
    plan = synthetic.make(claim, quality={"untrained": 0.3, "softmax": 0.6, "mnr": 0.8})
    better, worse = judge(plan)
    assert (better.verdict, better.seeds, worse.verdict) == ("holds", 3, "violated")
    base = plan.of("untrained")[0].record
    scores = [run.record.scores[HEADLINE] for run in plan.of("softmax", "final", "best") if run.record]
    assert base is not None
    assert better.over_seeds == estimates.interval(
        [score - base.scores[HEADLINE] for score in scores], alpha=1 - (better.level or 0)
    )


def lose(run: PlannedRun, record: Record) -> Record | None:
    return None


def fail(run: PlannedRun, record: Record) -> Record | None:
    return replace(record, outcome="failed", scores={}, items={}, error="ValueError: no")


def forget_predictions(run: PlannedRun, record: Record) -> Record | None:
    return replace(record, items={})


def collapse(run: PlannedRun, record: Record) -> Record | None:
    gold = synthetic.pairs_of(record).gold
    return replace(record, items={TEST: Pairs(gold, (0.5,) * len(gold))})


def swap_score(run: PlannedRun, record: Record) -> Record | None:
    return replace(record, scores={**record.scores, HEADLINE: record.scores[HEADLINE] + 1e-6})


def other_pairs(run: PlannedRun, record: Record) -> Record | None:
    gold = tuple(reversed(synthetic.pairs_of(record).gold))
    cosine = tuple(reversed(synthetic.pairs_of(record).cosine))
    return replace(record, items={TEST: Pairs(gold, cosine)})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose, "seed 2 is not done"),
        (fail, "seed 2 is failed"),
        (forget_predictions, "seed 2 lacks its predictions of stsb-test"),
        (collapse, "same cosine"),
        (swap_score, "does not match its stored predictions"),
        (other_pairs, "scored on the same test items"),
    ],
)
def test_a_damaged_final_run_makes_the_claim_incomplete(
    damage: Callable[[PlannedRun, Record], Record | None], words: str
) -> None:
    hit = final_of("mnr", seed=2)
    claim = ablation(beats("mnr", "softmax"), beats("mnr+hard", "cosine"))
    plan = synthetic.make(claim, quality=WIDE, change=lambda run, r: damage(run, r) if hit(run) else r)
    touched, other = judge(plan)
    assert touched.verdict == "incomplete"
    assert words in touched.reason
    assert other.verdict == "holds"
    assert exit_code([touched, other], plan) == 3


def test_a_study_whose_trials_all_failed_has_no_verdict() -> None:
    claim = ablation(beats("mnr", "softmax"))
    plan = synthetic.make(claim, change=lambda run, r: fail(run, r) if run.study == "mnr" else r)
    assert "none of its trials succeeded" in judge(plan)[0].reason
    assert exit_code(judge(plan), plan) == 3


def test_a_study_left_out_is_incomplete_not_a_crash() -> None:
    claim = ablation(beats("mnr", "softmax"))
    plan = make_plan(claim, synthetic.make_records(claim), only=["mnr"])
    verdict = judge(plan)[0]
    assert verdict.verdict == "incomplete"
    assert "softmax has no final runs (it was left out of this plan)" in verdict.reason


def test_p_value_is_two_sided_and_the_larger_of_both_uncertainties() -> None:
    by_seed = (0.011, 0.024, 0.018, 0.009)
    certain, uncertain = np.full(999, 0.02), np.concatenate([np.full(99, -0.01), np.full(900, 0.02)])
    expected = scipy.stats.ttest_1samp(by_seed, 0.0).pvalue
    for sign in (1, -1):
        seeds = tuple(sign * value for value in by_seed)
        assert Evidence(seeds, None, sign * certain).p_value(0.0) == pytest.approx(expected)
        assert Evidence(seeds, None, sign * uncertain).p_value(0.0) == pytest.approx(2 * 100 / 1000)


def test_two_intervals_that_each_decide_may_leave_doubt_together() -> None:
    """Equal uncertainties: each interval's end is just above 0, and what new seeds on new pairs would give is not."""
    random = np.random.default_rng(3)
    resampled = random.normal(size=3999)
    resampled = 0.01 + 0.0049 * (resampled - resampled.mean()) / resampled.std(ddof=1)
    by_seed = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, -1.0, -0.5, 0.0, 0.5, 1.0])
    by_seed = 0.01 + by_seed / by_seed.std(ddof=1) * 0.0042 * np.sqrt(10)
    both = Evidence(tuple(by_seed), None, resampled, items=10**9)
    over_seeds = both.over_seeds()
    assert over_seeds is not None
    over_items = both.over_items()
    assert over_items is not None
    assert min(over_items.low, over_seeds.low) > 0
    error = np.hypot(0.0049, 0.0042)
    freedom = 9 * error**4 / 0.0042**4
    assert both.p_value(0.0) == pytest.approx(2 * scipy.stats.t.sf(0.01 / error, freedom), rel=1e-3)
    assert both.p_value(0.0) > 0.05
    surer = Evidence(tuple(by_seed + 0.004), None, resampled + 0.004)
    assert surer.p_value(0.0) < 0.05


def test_a_difference_that_both_kinds_of_luck_may_explain_is_inconclusive_and_says_so() -> None:
    def shaken(run: PlannedRun, record: Record) -> Record:
        """Give the better study seeds that differ as much as the pairs leave open."""
        if run.stage == "tune" or run.study != "mnr":
            return record
        pairs = synthetic.predictions(0.76 + 0.028 * (run.seed % 4 - 1.5), "mnr")
        return replace(
            record,
            items={TEST: pairs},
            scores={**record.scores, HEADLINE: intervals.spearman(pairs.gold, pairs.cosine)},
        )

    found = {}
    for margin in np.linspace(0.0, 0.2, 41):
        claim = ablation(beats("mnr", "softmax", by=float(margin)), seeds=8)
        found[float(margin)] = judge(synthetic.make(claim, quality=WIDE | {"softmax": 0.6}, change=shaken))[0]
    judged = [v.verdict for v in found.values()]
    assert judged == sorted(judged)  # it holds up to some margin, and is inconclusive from there on
    between = [
        v
        for v in found.values()
        if v.verdict == "inconclusive" and min(v.over_items.low, v.over_seeds.low) >= v.margin  # type: ignore[union-attr]
    ]
    assert between
    for v in between:
        assert v.over_items is not None
        assert v.over_seeds is not None
        assert (v.verdict, min(v.over_items.low, v.over_seeds.low) >= v.margin) == ("inconclusive", True)


def test_holm_widens_the_intervals_with_the_number_of_claims() -> None:
    undecided = [beats("mnr+hard", "softmax", by=0.1)] * 4
    quality = {**WIDE, "mnr+hard": WIDE["softmax"]}
    alone = judge(synthetic.make(ablation(beats("mnr", "cosine")), quality=quality))[0]
    among, *others = judge(synthetic.make(ablation(beats("mnr", "cosine"), *undecided), quality=quality))
    assert (alone.verdict, among.verdict) == ("holds", "holds")
    assert alone.level == pytest.approx(0.95)
    assert among.level == pytest.approx(1 - 0.05 / 5)
    assert [other.level for other in others] == pytest.approx([1 - 0.05 / 4] * 4)
    for narrow, wide in ((alone.over_items, among.over_items), (alone.over_seeds, among.over_seeds)):
        assert narrow is not None
        assert wide is not None
        assert wide.low < narrow.low < narrow.high < wide.high


def test_verdicts_do_not_depend_on_the_order_of_records() -> None:
    claim = ablation(in_order("softmax", "cosine", "mnr"))
    records = synthetic.make_records(claim, quality=WIDE)
    assert judge(make_plan(claim, records)) == judge(make_plan(claim, reversed(records)))


def verdict(judgement: str) -> Verdict:
    return Verdict("a < b", "b", "a", 0.0, judgement, "")  # type: ignore[arg-type]  # parametrised by text


@pytest.mark.parametrize(
    ("judgements", "strict", "code"),
    [
        (["holds"], False, 0),
        ([], True, 0),
        (["holds", "inconclusive"], False, 0),
        (["holds", "inconclusive"], True, 3),
        (["incomplete", "holds"], False, 3),
        (["incomplete", "violated", "inconclusive"], True, 1),
    ],
)
def test_exit_code_of_a_finished_plan(judgements: list[str], strict: bool, code: int) -> None:
    plan = synthetic.make(ablation())
    assert exit_code([verdict(judgement) for judgement in judgements], plan, strict) == code


def without_task(run: PlannedRun, record: Record) -> Record:
    scores = {name: score for name, score in record.scores.items() if name != "mteb/STS12"}
    return record if run.stage == "tune" else replace(record, scores=scores, missing={"STS12": "not on the hub"})


def test_exit_code_of_a_missing_task_is_3_even_where_its_data_are_not_available() -> None:
    claim = ablation()
    records = synthetic.make_records(claim, change=without_task)
    plan = make_plan(claim, records, unavailable=["STS12"])
    assert all(run.state == "done" for run in plan.runs)
    assert exit_code([], plan) == 3


def test_exit_code_of_a_failed_trial_is_3() -> None:
    plan = synthetic.make(
        ablation(), change=lambda run, r: fail(run, r) if run.study == "mnr" and run.trial == 1 else r
    )
    assert exit_code([], plan) == 3


def test_exit_code_of_a_study_with_no_feasible_point_is_3() -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        hit = run.study == "mnr" and run.stage == "tune"
        return replace(record, outcome="infeasible", scores={}) if hit else record

    plan = synthetic.make(ablation(), change=change)
    assert all(run.state == "done" for run in plan.runs)
    assert exit_code([], plan) == 3


def test_exit_code_of_an_infeasible_trial_is_0() -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        hit = run.study == "mnr" and run.trial == 1
        return replace(record, outcome="infeasible", scores={}) if hit else record

    plan = synthetic.make(ablation(), change=change)
    assert exit_code([], plan) == 0
