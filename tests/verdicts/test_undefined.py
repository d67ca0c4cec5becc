"""Numbers that are not: a score, cosine or resample that is undefined makes its run unfit, and no verdict rests on it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from sklearn.metrics import average_precision_score
from synthetic import TEST

from harness.errors import Diverged, StudyFileError
from harness.evaluation import scoring
from harness.files import finite
from harness.planning.plan import Plan, PlannedRun
from harness.reading.materials import StsPairs
from harness.report import write_report
from harness.scores import HEADLINE, UNFIT
from harness.spec.expectations import Expectation, at_least, beats, in_order, within
from harness.stats import estimates, intervals
from harness.stats.bootstrap import resampled_spearman
from harness.stats.defined import have_a_positive, have_two_values
from harness.stats.resampled import resampled_average_precision
from harness.store.items import Pairs
from harness.store.records import Record
from harness.testbeds import measures, sources
from harness.verdicts.evidence import Evidence
from harness.verdicts.finals import finals
from harness.verdicts.judge import exit_code, judge, unfinished
from harness.verdicts.order import orders
from harness.verdicts.rules import Verdict
from harness.verdicts.transfer import rho_over_seeds
from harness.verdicts.until_decided import is_open

CLAIMS = (beats("mnr", "softmax"), beats("softmax", "mnr"), within("mnr", 0.7, 0.2), at_least("mnr", 0.5))


def plan_of(change: synthetic.Change, *expect: Expectation) -> Plan:
    ablation = synthetic.make_ablation(("softmax", "mnr"), trials=1, expect=expect or CLAIMS)
    return synthetic.make(ablation, change=change)


def of_mnr(damage: Callable[[PlannedRun, Record], Record], seeds: tuple[int, ...] = (1, 2, 3)) -> synthetic.Change:
    def change(run: PlannedRun, record: Record) -> Record:
        hit = run.study == "mnr" and run.stage == "final" and run.seed in seeds
        return damage(run, record) if hit else record

    return change


def predicting(record: Record, cosine: tuple[float, ...], gold: tuple[float, ...] | None = None) -> Record:
    gold = gold or synthetic.pairs_of(record).gold
    score = intervals.spearman(gold, cosine)
    return replace(record, items={**record.items, TEST: Pairs(gold, cosine)}, scores={**record.scores, HEADLINE: score})


def three_differ(run: PlannedRun, record: Record) -> Record:
    """Cosines of which three differ from all others, at the highest gold scores: Spearman is fine, resamples are not."""
    best = np.argsort(synthetic.pairs_of(record).gold)[-3:]
    return predicting(record, tuple(0.9 if row in best else 0.5 for row in range(len(synthetic.pairs_of(record).gold))))


def not_a_number(run: PlannedRun, record: Record) -> Record:
    cosine = (math.nan, *synthetic.pairs_of(record).cosine[1:])
    return replace(record, items={**record.items, TEST: Pairs(synthetic.pairs_of(record).gold, cosine)})


def without_score(run: PlannedRun, record: Record) -> Record:
    return replace(record, scores={**record.scores, HEADLINE: math.nan})


def one_gold_score_differs(run: PlannedRun, record: Record) -> Record:
    gold = (1.0, *(0.5,) * (len(synthetic.pairs_of(record).gold) - 1))
    return predicting(record, synthetic.pairs_of(record).cosine, gold)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (three_differ, "the same cosine, so its correlation is undefined in some resamples"),
        (
            one_gold_score_differs,
            "cannot be judged by stsb-test: nearly all pairs have the same gold score, so its correlation is undefined",
        ),
        (not_a_number, "has predictions of stsb-test that are not numbers"),
        (without_score, "has a score stsb-test/spearman_cosine that is not a number"),
    ],
)
def test_what_is_not_a_number_makes_its_run_unfit_with_the_reason(
    damage: Callable[[PlannedRun, Record], Record], words: str
) -> None:
    plan = plan_of(of_mnr(damage))

    found = judge(plan)
    assert [v.verdict for v in found] == ["incomplete"] * 4
    assert all(words in v.reason for v in found)
    assert all(v.reason.startswith("No run is missing, but some cannot be compared: mnr seed 1 ") for v in found)
    assert all(words in text for text in finals(plan, "mnr").unfit)
    assert not any("nan" in str(v).replace("nannan", "") for v in found)
    assert [o.over_items for o in orders(plan_of(of_mnr(damage), in_order("softmax", "mnr")))] == [None]


def test_runs_are_said_to_be_missing_if_one_is_although_others_are_unfit() -> None:
    def change(run: PlannedRun, record: Record) -> Record | None:
        if (run.study, run.stage) != ("mnr", "final"):
            return record
        return None if run.seed == 2 else not_a_number(run, record)

    assert all(v.reason.startswith("Runs are missing: ") for v in judge(plan_of(change)))


def test_a_report_of_such_runs_is_strict_json_and_prints_no_nan(tmp_path: Path) -> None:
    page = write_report(plan_of(of_mnr(without_score)), tmp_path, "harness run study.py")
    text = page.read_text(encoding="utf-8")
    assert "that is not a number" in text
    assert "nan" not in text.replace("domi" + "nan", "").lower().split()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    plain = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"), parse_constant=refuse)
    finals_ = [r for r in plain["records"] if r["study"] == "mnr" and r["stage"] == "final"]
    assert finals_
    assert all(r["scores"][HEADLINE] is None for r in finals_)
    assert "nan" not in (tmp_path / "scores.csv").read_text(encoding="utf-8")


def test_json_has_null_where_a_number_is_none() -> None:
    document = {"a": math.nan, "b": [math.inf, 1.5, (2, None)], "c": {"d": -math.inf, "e": "nan"}}
    assert finite(document) == {"a": None, "b": [None, 1.5, [2, None]], "c": {"d": None, "e": "nan"}}


def test_whether_resamples_are_defined_is_what_the_resamples_say() -> None:
    for items, differing in [(400, 1), (400, 2), (400, 3), (400, 8), (400, 20), (400, 39), (400, 41), (12, 6), (7, 3)]:
        gold = tuple(i / items for i in range(items))
        marked = np.arange(items) * differing % items < differing
        with np.errstate(invalid="ignore"):
            correlation = resampled_spearman(gold, [np.where(marked, 0.9, 0.5)])
            precision = resampled_average_precision(marked.astype(float), [gold])
        assert have_two_values(np.where(marked, 0.9, 0.5)) == bool(np.isfinite(correlation).all()), (items, differing)
        assert have_a_positive(marked.astype(float)) == bool(np.isfinite(precision).all()), (items, differing)


def test_groups_are_drawn_together_where_resamples_are_examined() -> None:
    """Fifty pairs with the label 1 are in every resample, unless they are copies of two."""
    labels = np.repeat([1.0, 0.0], [50, 350])
    assert have_a_positive(labels)
    assert have_two_values(labels)
    copies = (*(number // 25 for number in range(50)), *range(2, 352))
    assert not have_a_positive(labels, copies)
    assert not have_two_values(labels, copies)
    mixed = tuple(number % 50 for number in range(400))
    assert have_two_values(labels, mixed), "each group has both labels"


def of_pairs(alike: int, *, cosines: int = 120) -> Verdict:
    """Return the verdict that a model reaches 0.01, in average precision over 120 pairs.

    Args:
        alike: how many of the pairs are alike.
        cosines: number of different cosines.
    """
    made = synthetic.make_ablation(("mnr",), seeds=3, trials=1, expect=[], tasks=())
    test = measures.pairs(sources.file("pairs.csv"), "own", columns=("a", "b", "label"))
    ablation = replace(made, testbed=replace(made.testbed, test=test, also=()), expect=[at_least("mnr", 0.01)])

    def scored(run: PlannedRun) -> PlannedRun:
        if run.record is None or run.stage == "tune":
            return run
        gold = tuple(float(pair < alike) for pair in range(120))
        cosine = tuple(pair * 7 % 120 % cosines / 120 + 0.001 * run.seed for pair in range(120))
        figure, score = "own/average_precision", float(average_precision_score(gold, cosine))
        return replace(
            run, record=replace(run.record, headline=figure, scores={figure: score}, items={"own": Pairs(gold, cosine)})
        )

    plan = synthetic.make(made)
    return judge(replace(plan, ablation=ablation, runs=tuple(map(scored, plan.runs))))[0]


def test_average_precision_needs_pairs_that_are_alike_and_nothing_else() -> None:
    rare = of_pairs(3)
    assert rare.verdict == "incomplete"
    assert "mnr seed 1 cannot be judged by own: only 3 of 120 pairs have the label 1" in rare.reason
    assert "cosine" not in rare.reason
    assert of_pairs(117).verdict == "holds", "precision is 1 in a resample without the label 0"
    assert of_pairs(60, cosines=2).verdict == "holds"


def test_no_statistic_takes_what_is_not_a_number_for_evidence() -> None:
    odd = np.array([0.5, math.nan, 0.5, 0.5])
    assert intervals.bootstrap_p(odd, 0.0) == intervals.bootstrap_p(-odd, 0.0) - 3 / 5 == 2 / 5
    with pytest.raises(ValueError, match="not numbers"):
        intervals.percentile_interval(odd)
    assert estimates.interval(odd) is None
    assert estimates.interval(odd, [0.1, 0.2]) is None
    assert estimates.p_below(0.0, odd) == estimates.p_below(0.0, odd, [0.1, 0.2]) == 1.0
    assert Evidence((0.5, 0.6), None, odd).p_value(0.0) == Evidence((0.5, 0.6), (0.1, 0.2), odd).p_value(0.0) == 1.0
    assert math.isnan(intervals.pearson([0.1, 0.2, 0.3], [0.1] * 3))
    assert math.isnan(intervals.pearson([float(i) for i in range(60)], [0.1] * 60)), "their mean is not 0.1"


def test_holm_does_not_depend_on_where_an_undefined_claim_stands() -> None:
    known = {0.01: 0.05 / 3, 0.02: 0.025, math.nan: 0.05}
    for order in itertools.permutations([0.01, 0.02, math.nan]):
        assert intervals.holm_levels(order) == pytest.approx([known[p] for p in order])


@pytest.mark.parametrize("by", [math.nan, math.inf, -math.inf, 1, 5, -1.5])
def test_a_margin_that_cannot_be_meant_is_refused(by: float) -> None:
    with pytest.raises(StudyFileError, match=r"by=.* must be between -1 and 1"):
        beats("mnr", "softmax", by)
    assert beats("mnr", "softmax", 0.05).by == 0.05
    assert beats("mnr", "softmax", -0.05).by == -0.05


def the_same(*seeds: int) -> Callable[[PlannedRun, Record], Record]:
    return lambda run, record: predicting(record, synthetic.predictions(0.8, "one").cosine)


def test_seeds_without_effect_are_said_in_every_verdict_that_rests_on_them(tmp_path: Path) -> None:
    all_three, two = plan_of(of_mnr(the_same())), plan_of(of_mnr(the_same(), (1, 3)))
    for found in judge(all_three):
        assert "Seeds 1, 2 and 3 of mnr gave bit-identical predictions" in found.full_reason
    for found in judge(two):
        assert "Seeds 1 and 3 of mnr gave bit-identical predictions" in found.full_reason
    assert not any("bit-identical" in v.full_reason for v in judge(plan_of(lambda run, record: record)))
    page = write_report(two, tmp_path, "harness run study.py").read_text(encoding="utf-8")
    assert "Seeds 1 and 3 of mnr gave bit-identical predictions" in page


def test_a_figure_that_is_the_same_at_every_seed_is_said_to_be() -> None:
    def same_task(run: PlannedRun, record: Record) -> Record:
        return replace(record, scores={**record.scores, "mteb/STS12": 0.7})

    (found,) = judge(plan_of(of_mnr(same_task), at_least("mnr", 0.6, figure="mteb/STS12")))
    assert found.verdict == "holds"
    assert "All seeds of a study give the same value" in found.full_reason


def test_twins_are_said_to_be_equal_and_nothing_is_promised_of_differences_of_0() -> None:
    def twin(run: PlannedRun, record: Record) -> Record:
        if run.stage == "tune":
            return record
        return predicting(record, synthetic.predictions(0.7 + 0.001 * run.seed, "twin").cosine)

    (found,) = judge(plan_of(twin, beats("mnr", "softmax")))
    assert (found.verdict, found.difference) == ("inconclusive", 0.0)
    assert found.reason == "Both studies have identical scores."
    assert not is_open(found), "no further seed would"
    other: Verdict = replace(found, identical=False)
    assert is_open(other)


def test_a_collapsed_model_diverged_and_its_record_could_be_computed_again() -> None:
    """Cosines within 4e-8 of one another were scored, and then one distinct cosine was stored."""
    rng = np.random.default_rng(0)
    gold = tuple(rng.random(300))
    texts = [f"text {n}" for n in range(600)]
    directions = np.concatenate([np.full((600, 1), 1.0), rng.normal(0, 1e-4, (600, 3))], axis=1)

    def near(scale: float) -> Callable[[object], np.ndarray]:
        places = dict(zip(texts, directions * np.array([1, scale, scale, scale]), strict=True))
        return lambda sentences: np.stack([places[text] for text in sentences])  # type: ignore[attr-defined]

    pairs = StsPairs(tuple(texts[:300]), tuple(texts[300:]), gold)
    with pytest.raises(Diverged, match="same cosine"):
        scoring.score_sts(near(0.1), pairs)
    for scale in (1.0, 3.0, 1000.0):
        kept, scores = scoring.score_sts(near(scale), pairs)
        assert scores["spearman_cosine"] == pytest.approx(intervals.spearman(kept.gold, kept.cosine), abs=1e-12), scale


def test_a_model_that_is_unfit_for_a_task_is_not_run_again_for_it_and_is_not_done_either() -> None:
    def unfit(run: PlannedRun, record: Record) -> Record:
        scores = {name: value for name, value in record.scores.items() if name != "mteb/SICK-R"}
        return replace(record, scores=scores, missing={"SICK-R": f"{UNFIT}it collapsed"})

    def absent(run: PlannedRun, record: Record) -> Record:
        return replace(unfit(run, record), missing={"SICK-R": "OSError: no such file"})

    plan = plan_of(of_mnr(unfit), beats("mnr", "softmax"))
    assert {run.state for run in plan.of("mnr", "final")} == {"done"}
    assert any("lacks scores" in line for line in unfinished(plan))
    assert exit_code(judge(plan), plan) == 3
    assert {run.state for run in plan_of(of_mnr(absent)).of("mnr", "final")} == {"to do"}


def test_an_order_of_equal_studies_has_no_coefficient() -> None:
    flat = [[0.5, 0.5]] * 6
    assert rho_over_seeds(flat, [[0.1 * i, 0.1 * i] for i in range(6)]) is None
