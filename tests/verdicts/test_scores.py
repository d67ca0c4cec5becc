"""`within` and `at_least`: a study's own score against a published number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import synthetic
from synthetic import TEST

from harness.errors import StudyFileError
from harness.planning.plan import Plan, PlannedRun
from harness.report import write_report
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.spec.expectations import AtLeast, Expectation, Within, at_least, beats, within
from harness.stats import intervals
from harness.stats.bootstrap import resampled_pearson
from harness.store.items import Pairs
from harness.store.records import Record
from harness.verdicts.claims import Claim
from harness.verdicts.evidence import Evidence, distance
from harness.verdicts.finals import finals
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.rules import Verdict, verdict_on

PEARSON = "stsb-test/pearson_cosine"
SPREAD = {1: -0.002, 2: 0.0, 3: 0.002}


def ablation(*expect: Expectation, seeds: int = 3, names: tuple[str, ...] = ("softmax", "mnr")) -> Ablation:
    return synthetic.make_ablation(names, seeds=seeds, trials=1, expect=expect)


def scored(quality: float = 0.75, spread: float = 1.0, pairs: int = 6_000) -> Callable[[PlannedRun, Record], Record]:
    """Give mnr's final runs predictions of many pairs, with seeds that differ a little, and both scores they give."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study != "mnr" or run.stage != "final":
            return record
        found = _predictions(quality + spread * SPREAD[run.seed], pairs)
        scores = {
            HEADLINE: intervals.spearman(found.gold, found.cosine),
            PEARSON: intervals.pearson(found.gold, found.cosine),
        }
        task = {"mteb/STS12": 0.6 + SPREAD[run.seed]}
        return replace(record, items={TEST: found}, scores={**record.scores, **scores, **task})

    return change


_CACHE: dict[tuple[float, int], Pairs] = {}


def _predictions(quality: float, pairs: int) -> Pairs:
    """As synthetic.predictions, but the same noise whatever the seed, so that seeds differ as `quality` says."""
    key = (quality, pairs)
    if key not in _CACHE:
        _CACHE[key] = synthetic.predictions(quality, "mnr", pairs)
    return _CACHE[key]


def judged(*expect: Expectation, change: synthetic.Change | None = None, seeds: int = 3) -> list[Verdict]:
    return judge(synthetic.make(ablation(*expect, seeds=seeds), change=change or scored()))


def mean_of(plan: Plan, figure: str = HEADLINE) -> float:
    return float(np.mean([r.record.scores[figure] for r in plan.of("mnr", "final", "best") if r.record]))


MEAN = mean_of(synthetic.make(ablation(), change=scored()))


@pytest.mark.parametrize(
    ("expectation", "judgement"),
    [
        (within("mnr", MEAN, 0.03), "holds"),
        (within("mnr", MEAN - 0.015, 0.03), "holds"),
        (within("mnr", MEAN + 0.015, 0.03), "holds"),
        (within("mnr", MEAN + 0.06, 0.03), "violated"),
        (within("mnr", MEAN - 0.06, 0.03), "violated"),
        (within("mnr", MEAN + 0.03, 0.03), "inconclusive"),
        (within("mnr", MEAN, 0.001), "inconclusive"),
        (at_least("mnr", MEAN - 0.03), "holds"),
        (at_least("mnr", MEAN + 0.03), "violated"),
        (at_least("mnr", MEAN + 0.001), "inconclusive"),
        (at_least("mnr", MEAN - 0.001), "inconclusive"),
    ],
    ids=str,
)
def test_a_score_is_judged_by_where_it_lies(expectation: Expectation, judgement: str) -> None:
    assert [v.verdict for v in judged(expectation)] == [judgement]


def test_the_verdict_says_how_far_the_score_lies_from_the_published_one() -> None:
    (found,) = judged(within("mnr", 0.7, 0.01, source="a paper, table 2"))
    reaches, _ = judged(at_least("mnr", 0.7), within("mnr", 0.7, 0.01))
    assert found.difference == pytest.approx(MEAN - 0.7)
    assert (found.kind, found.better, found.worse, found.margin) == ("within", "mnr", None, 0.01)
    assert (found.figure, found.target, found.source, found.seeds) == (HEADLINE, 0.7, "a paper, table 2", 3)
    assert reaches.over_items is not None
    assert reaches.over_seeds is not None
    assert reaches.over_items.low < MEAN - 0.7 < reaches.over_items.high
    assert found.over_items is None, "the published score is of the same test pairs"
    assert found.expectation == "mnr within 0.01 of 0.7 (a paper, table 2)"
    assert f"{100 * MEAN:.2f}, {100 * (MEAN - 0.7):+.2f} points from 70.00; 95 % over seeds" in str(found)
    assert f"{100 * MEAN:.2f}, {100 * (MEAN - 0.7):+.2f} points from 70.00; 97.5 % over test pairs" in str(reaches)


def test_the_interval_over_seeds_is_students_and_that_over_pairs_a_bootstraps() -> None:
    plan = synthetic.make(ablation(at_least("mnr", 0.7)), change=scored())
    (found,) = judge(plan)
    values = [r.record.scores[HEADLINE] - 0.7 for r in plan.of("mnr", "final", "best") if r.record]
    known = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    assert found.over_seeds is not None
    assert (found.over_seeds.low, found.over_seeds.high) == pytest.approx(known)
    assert found.over_items is not None
    fisher = 1.96 * (1 - MEAN**2) / np.sqrt(6_000)  # about right for Spearman, too
    assert found.over_items.high - found.over_items.low == pytest.approx(2 * fisher, rel=0.2)


def test_agreement_is_judged_by_seeds_as_the_published_score_is_of_the_same_pairs() -> None:
    few_pairs, wild_seeds = scored(pairs=200), scored(spread=20)
    mean = mean_of(synthetic.make(ablation(), change=few_pairs))
    near, far = (
        judged(within("mnr", mean, 0.02), change=few_pairs),
        judged(within("mnr", mean + 0.05, 0.02), change=few_pairs),
    )
    assert near[0].verdict == "holds"  # though other pairs might give two points more or less
    assert far[0].verdict == "violated"
    assert "over seeds is entirely outside" in far[0].reason
    next_ = judged(within("mnr", mean + 0.05, 0.02), at_least("mnr", mean + 0.001), change=few_pairs)[1]
    assert next_.level == pytest.approx(0.95)  # so the first was decided where Holm's correction looks, too
    wild = judged(within("mnr", mean_of(synthetic.make(ablation(), change=wild_seeds)), 0.03), change=wild_seeds)
    assert wild[0].verdict == "inconclusive"
    assert "over seeds is partly inside" in wild[0].reason


def test_reaching_takes_both_intervals_and_so_does_missing() -> None:
    few_pairs = scored(pairs=200)
    mean = mean_of(synthetic.make(ablation(), change=few_pairs))
    for score, end in ((mean - 0.03, "low"), (mean + 0.03, "high")):
        (found,) = judged(at_least("mnr", score), change=few_pairs)
        assert found.verdict == "inconclusive"
        assert "over seeds and test pairs contains the score" in found.reason
        assert found.over_seeds is not None
        assert (found.over_seeds.low > 0) == (end == "low")


def test_one_seed_decides_nothing() -> None:
    for expectation in (
        within("mnr", MEAN, 0.1),
        within("mnr", 0.1, 0.01),
        at_least("mnr", 0.1),
        at_least("mnr", 0.99),
    ):
        (found,) = judged(expectation, seeds=1)
        assert (found.verdict, found.over_seeds) == ("inconclusive", None)


def test_pearson_has_both_intervals_and_a_task_only_that_over_seeds() -> None:
    pearson, task = judged(at_least("mnr", 0.5, figure=PEARSON), within("mnr", 0.6, 0.02, figure="mteb/STS12"))
    assert (pearson.verdict, task.verdict) == ("holds", "holds")
    assert pearson.over_items is not None
    assert pearson.over_seeds is not None
    assert task.over_items is None
    assert task.over_seeds is not None
    assert task.difference == pytest.approx(0.0)
    assert task.reason == "The interval over seeds is within the tolerance of 2 points."
    assert judged(within("mnr", 0.65, 0.02, figure="mteb/STS12"))[0].verdict == "violated"


def test_resampled_pearson_is_scipys_on_the_same_draws() -> None:
    random = np.random.default_rng(1)
    gold = random.random(50)
    predictions = gold + random.normal(size=(2, 50))
    found = resampled_pearson(gold, predictions, resamples=200, seed=3)
    drawn = np.random.default_rng(3).integers(0, 50, (128, 50))
    for row in (0, 60, 127):
        again = [scipy.stats.pearsonr(gold[drawn[row]], p[drawn[row]]).statistic for p in predictions]
        assert found[row] == pytest.approx(np.mean(again))
    assert intervals.pearson(gold, predictions[0]) == pytest.approx(
        scipy.stats.pearsonr(gold, predictions[0]).statistic
    )


def test_the_untrained_model_has_only_the_interval_over_pairs() -> None:
    own, low = judged(within("untrained", 0.5, 0.2), at_least("untrained", 0.95))
    assert (own.verdict, low.verdict, own.seeds) == ("holds", "violated", 1)
    assert (own.over_seeds, own.over_items, low.over_seeds) == (None, None, None)
    assert low.over_items is not None
    plan = synthetic.make(ablation())
    task = plan.of("untrained")[0].record
    assert task is not None
    score = task.scores["mteb/STS12"]
    for number, judgement in ((score + 0.0009, "holds"), (score + 0.0011, "violated"), (score - 0.0011, "violated")):
        (found,) = judge(synthetic.make(ablation(within("untrained", number, 0.001, figure="mteb/STS12"))))
        assert (found.verdict, found.over_items, found.over_seeds) == (judgement, None, None)
        assert "the score itself is compared" in found.reason


def without(figure: str) -> Callable[[PlannedRun, Record], Record]:
    def change(run: PlannedRun, record: Record) -> Record:
        hit = run.study == "mnr" and run.stage == "final" and run.seed == 2
        kept = {name: score for name, score in record.scores.items() if not (hit and name == figure)}
        return replace(scored()(run, record), scores=kept) if hit else scored()(run, record)

    return change


def test_a_run_without_the_figure_makes_the_claim_incomplete() -> None:
    (found,) = judged(at_least("mnr", 0.5, figure="mteb/STS16"), change=without("mteb/STS16"))
    assert found.verdict == "incomplete"
    assert "mnr seed 2 has no score mteb/STS16" in found.reason
    (typo,) = judged(at_least("mnr", 0.5, figure="stsb-test/spearman"))
    assert "has no score stsb-test/spearman (it has mteb/" in typo.reason


def test_a_score_that_its_predictions_do_not_give_makes_the_claim_incomplete() -> None:
    def swap(run: PlannedRun, record: Record) -> Record:
        record = scored()(run, record)
        hit = run.study == "mnr" and run.stage == "final" and run.seed == 2
        return replace(record, scores={**record.scores, PEARSON: record.scores[PEARSON] + 0.01}) if hit else record

    found, other = judged(at_least("mnr", 0.5, figure=PEARSON), at_least("mnr", 0.5), change=swap)
    assert (found.verdict, other.verdict) == ("incomplete", "holds")
    assert "does not match its stored predictions" in found.reason


def test_scores_and_differences_share_one_correction() -> None:
    alone = judged(within("mnr", MEAN, 0.03))[0]
    among = judged(within("mnr", MEAN, 0.03), *[beats("softmax", "mnr", by=0.9)] * 4)[0]
    assert (alone.level, among.level) == pytest.approx((0.95, 0.99))


@pytest.mark.parametrize("number", [MEAN, MEAN - 0.06, MEAN + 0.06])
def test_a_claim_that_is_decided_leaves_its_level_to_the_next(number: float) -> None:
    decided, undecided = judged(within("mnr", number, 0.03), at_least("mnr", MEAN + 0.001))
    assert (decided.verdict != "inconclusive", undecided.verdict) == (True, "inconclusive")
    assert (decided.level, undecided.level) == pytest.approx((0.975, 0.95))


@pytest.mark.parametrize(("kind", "pairs"), [("within", False), ("at least", False), ("at least", True)])
def test_the_p_value_is_the_level_at_which_the_intervals_decide(kind: Any, pairs: bool) -> None:
    random = np.random.default_rng(3)
    claim, decided = Claim("", "a", None, 0.02 if kind == "within" else 0.0, "mteb/STS12", kind, 0.6), 0
    for _ in range(60):
        centre = random.uniform(-0.04, 0.04)
        resampled = centre + random.normal(0, 0.004, 999) if pairs else None
        known = Evidence(tuple(centre + random.normal(0, 0.006, 4)), None, resampled)
        p = known.p_within(0.02) if kind == "within" else known.p_value(0.0)
        assert verdict_on(claim, known, min(p + 0.004, 0.999)).verdict != "inconclusive" or p > 0.99
        assert verdict_on(claim, known, p - 0.004).verdict == "inconclusive" or p < 0.005
        decided += p < 0.05
    assert 10 < decided < 60


@pytest.mark.parametrize("truth", [0.02, 0.0])
def test_wrong_verdicts_are_rare_and_right_ones_common(truth: float) -> None:
    """Simulated figures without pairs, 5 seeds of standard deviation .005, published score .6, tolerance .02."""
    random = np.random.default_rng(7)
    claim = Claim("", "a", None, 0.02, "mteb/STS12", "within", 0.6)
    verdicts = [
        verdict_on(claim, Evidence(tuple(truth + random.normal(0, 0.005, 5)), None, None), 0.05).verdict
        for _ in range(2000)
    ]
    share = {name: verdicts.count(name) / len(verdicts) for name in ("holds", "violated")}
    if truth:  # exactly at the edge: either decision is a coin that must seldom fall
        assert share["holds"] == pytest.approx(0.025, abs=0.012)
        assert share["violated"] == pytest.approx(0.025, abs=0.012)
    else:
        assert share["holds"] > 0.95
        assert share["violated"] == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: within("mnr", 77.03, 0.01), "77.03 of a table is written 0.7703"),
        (lambda: within("mnr", 0.77, 0.0), "more than 0"),
        (lambda: within("mnr", 0.77, -0.1), "more than 0"),
        (lambda: within("mnr", 0.77, 1.0), "less than 1"),
        (lambda: within("mnr", 0.77, float("nan")), "more than 0"),
        (lambda: within("mnr", float("nan"), 0.1), "between -1 and 1"),
        (lambda: at_least("mnr", 80.0), "80 of a table is written 0.8"),
        (lambda: at_least("mnr", 0.8, figure="spearman"), "is not a score of a record"),
        (lambda: ablation(at_least("nobody", 0.8)), "no study 'nobody'"),
        (lambda: ablation(within("nobody", 0.8, 0.1)), "no study 'nobody'"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(StudyFileError, match=words):
        make()


def test_the_study_file_names_them_and_they_read_well() -> None:
    import harness

    assert str(harness.within("mnr", 0.77, 0.01, figure="mteb/STS12")) == "mnr within 0.01 of 0.77 (mteb/STS12)"
    assert str(harness.at_least("mnr", 0.7)) == "mnr at least 0.7"
    assert isinstance(harness.within("mnr", 0.77, 0.01), Within)
    assert isinstance(harness.at_least("mnr", 0.7), AtLeast)


def test_the_report_shows_them(tmp_path: Path) -> None:
    expect = (within("mnr", 0.2, 0.01, source="a paper"), at_least("mnr", 0.5), beats("mnr", "softmax"))
    plan = synthetic.make(ablation(*expect), change=scored())
    page = write_report(plan, tmp_path, "harness run x.py").read_text(encoding="utf-8")
    assert page.split("\n")[2].startswith("**Not as expected: of 3 claims 1 violated")
    first, checked = [line for line in page.split("\n") if line.startswith("| mnr within")]
    assert "**DISAGREES**" in first
    assert "±1.00" in checked
    assert "*Within* holds if the interval over seeds" in page
    assert exit_code(judge(plan), plan) == 1


def test_distance_of_nothing_is_none() -> None:
    plan = synthetic.make(ablation(), change=scored())
    assert distance(finals(plan, "nobody"), 0.5) is None
