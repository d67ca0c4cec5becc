"""Several tunings of each study: what is planned, what claims are about, and that one tuning does not pass for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import synthetic
from commandline import harness

from harness.errors import StudyFileError
from harness.planning.plan import Plan, PlannedRun, start_up_points
from harness.planning.planner import make_plan
from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import Expectation, beats
from harness.stats.selection import luck_of_choice
from harness.store.records import Record
from harness.verdicts import tuning_luck, words
from harness.verdicts.judge import judge
from harness.verdicts.results import answer, results

WIDE = {"softmax": 0.55, "mnr": 0.80}


def tuned(tunings: int, *expect: Expectation, seeds: int = 2, trials: int = 3) -> Ablation:
    made = synthetic.make_ablation(("softmax", "mnr"), seeds=seeds, trials=trials, tasks=(), expect=expect)
    return replace(made, budget=replace(made.budget, tunings=tunings))


def means_by_tuning(plan: Plan, study: str) -> list[float]:
    by_tuning: dict[int, list[float]] = {}
    for run in plan.of(study, "final", "best"):
        assert run.record is not None
        by_tuning.setdefault(run.tuning, []).append(run.record.scores[HEADLINE])
    return [float(np.mean(scores)) for scores in by_tuning.values()]


def test_each_tuning_has_its_own_points_seeds_and_final_runs() -> None:
    made = tuned(3)
    plan = synthetic.make(made)
    study = made.study("mnr")
    seeds = {tuning: {run.seed for run in plan.trials("mnr", tuning)} for tuning in range(3)}
    assert seeds == {0: {0}, 1: {1000}, 2: {2000}}
    assert [run.seed for run in plan.of("mnr", "final", "best")] == [1, 2, 1001, 1002, 2001, 2002]
    assert [run.seed for run in plan.of("mnr", "final", "default")] == [1, 2]
    points: list[Sequence[object]] = [start_up_points(made, study, tuning) for tuning in range(3)]
    assert points[0][0] == points[1][0] == points[2][0] == made.default_point(study)
    assert len({point for each in points for point in each}) == 1 + 3 * (len(points[0]) - 1)
    assert points[1] == start_up_points(made, made.study("softmax"), 1), "all studies try the same points"
    assert plan.unfinished() == 0


def test_more_tunings_repeat_no_run_of_the_first() -> None:
    one, three = tuned(1), tuned(3)
    first = {record.id for record in synthetic.make_records(one)}
    plan = make_plan(three, synthetic.make_records(one))
    assert {run.id for run in plan.runs if run.state == "done"} == first
    assert plan.count("to do") > 0


def test_a_claim_on_tuning_rests_on_one_mean_per_tuning() -> None:
    plan = synthetic.make(tuned(3, beats("mnr", "softmax", at="tuned")), quality=WIDE)
    (verdict,) = judge(plan)
    assert (verdict.about, verdict.seeds, verdict.verdict) == ("procedures", 3, "holds")
    new, old = means_by_tuning(plan, "mnr"), means_by_tuning(plan, "softmax")
    expected = scipy.stats.ttest_ind(new, old, equal_var=False).confidence_interval(verdict.level)
    assert verdict.over_seeds is not None
    assert (verdict.over_seeds.low, verdict.over_seeds.high) == pytest.approx((expected.low, expected.high))
    assert verdict.over_seeds.over == "tunings"
    assert "tunings" in verdict.reason
    assert str(verdict).startswith("holds: mnr beats softmax after tuning")
    assert "3 tunings with 2 final seeds each" in " ".join(answer(plan, results(plan)))


def test_one_tuning_does_not_pass_for_several() -> None:
    claim = beats("mnr", "softmax", at="tuned")
    (verdict,) = judge(synthetic.make(tuned(1, claim), quality=WIDE))
    assert verdict.verdict == "incomplete"
    assert "one tuning shows no spread of tunings" in verdict.reason
    (at_best,) = judge(synthetic.make(tuned(1, beats("mnr", "softmax")), quality=WIDE))
    assert (at_best.about, at_best.verdict) == ("points", "holds")


def test_the_runs_of_one_tuning_under_anothers_seeds_are_not_taken() -> None:
    """A mutant: the first tuning's records under the second one's seeds have ids that the plan does not know."""
    made = tuned(2, beats("mnr", "softmax", at="tuned"))
    records = [record for record in synthetic.make_records(made) if record.tuning == 0]
    copied = [replace(r, seed=r.seed + 1000) for r in records if r.stage != "untrained"]
    plan = make_plan(made, [*records, *copied])
    assert judge(plan)[0].verdict == "incomplete"


def test_a_tuning_whose_trials_all_failed_is_not_passed_over() -> None:
    """The mean over two tunings that worked would be one of a better procedure than the one that was declared."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study == "mnr" and run.stage == "tune" and record.tuning == 1:
            return replace(record, outcome="diverged", scores={}, items={}, error="Diverged: the loss is NaN at step 3")
        return record

    plan = synthetic.make(tuned(3, beats("mnr", "softmax", at="tuned")), quality=WIDE, change=change)
    (verdict,) = judge(plan)
    assert verdict.verdict == "incomplete"
    assert "mnr has no final runs after tuning 2" in verdict.reason
    (line,) = [each for each in results(plan) if each.study == "mnr"]
    assert (line.rank, line.seeds, line.planned) == (None, 4, 6)


def test_budgets_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(StudyFileError, match=r"tunings=0"):
        Budget(tunings=0)
    with pytest.raises(StudyFileError, match="cannot decide a claim about tuning"):
        Budget(tunings=2, seeds=3, max_seeds=5)
    with pytest.raises(StudyFileError, match="at most 999"):
        Budget(seeds=1000)


def test_the_luck_of_one_tuning_is_estimated_and_said() -> None:
    plan = synthetic.make(tuned(1, beats("mnr", "softmax"), seeds=4, trials=6))
    note = tuning_luck.note(plan)
    assert note is not None
    assert note.startswith("Each study was tuned once, so claims at best points are about the points")
    assert tuning_luck.note(synthetic.make(tuned(2, beats("mnr", "softmax")))) is None
    assert tuning_luck.note(synthetic.make(tuned(1, beats("mnr", "softmax", at="default")))) is None


def test_luck_grows_with_noise_and_is_none_where_one_point_is_far_ahead() -> None:
    equal, ahead = [0.70, 0.701, 0.699, 0.702], [0.60, 0.61, 0.70, 0.62]
    quiet, loud = luck_of_choice(ahead, 0.002), luck_of_choice(equal, 0.002)
    assert quiet is not None
    assert loud is not None
    assert quiet.another == 0.0
    assert quiet.spread == pytest.approx(0.0, abs=1e-9)
    assert loud.another > 0.5
    assert loud.spread < 0.002, "points that noise explains are not told apart"
    assert luck_of_choice([0.7], 0.01) is None


def test_luck_is_of_the_true_size_on_average() -> None:
    """Points' true scores are known: how much the chosen one's varies over repeated tunings is what is estimated."""
    random = np.random.default_rng(0)
    true, noise = random.normal(0.7, 0.01, 8), 0.006
    tunings = true + random.normal(0, noise, (2000, 8))
    known = float(true[tunings.argmax(axis=1)].std())
    found = [luck_of_choice(tuning, noise, 400) for tuning in tunings[:200]]
    assert 0.5 * known < np.mean([each.spread for each in found if each is not None]) < 2 * known


def test_tunings_on_the_command_line(study: Path, cache: Path) -> None:
    options = ("--no-mteb", "--rows", "60", "--trials", "2", "--seeds", "1", "--tunings", "2", "--workers", "1")
    priced = harness("plan", "study.py", *options[1:-2], "--json", cwd=study.parent)
    assert len(json.loads(priced.stdout)["runs"]) == 1 + 2 * (2 * 2 + 2 * 1 + 1)
    done = harness("run", "study.py", *options, cwd=study.parent)
    assert done.returncode in (0, 1), done.stderr
    assert "of tuning 2" in done.stderr
    judged = json.loads(harness("check", "study.py", "--json", cwd=study.parent).stdout)
    assert {verdict["about"] for verdict in judged["verdicts"] if verdict["at"] != "default"} == {"procedures"}
    assert judged["unfinished"] == []


def test_words_say_each_outcome_once() -> None:
    plan = synthetic.make(tuned(1, beats("mnr", "softmax")), quality=WIDE)
    (won,) = judge(plan)
    (lost,) = judge(synthetic.make(tuned(1, beats("softmax", "mnr")), quality=WIDE))
    assert words.line(won).startswith(f"VERDICT mnr beats softmax: WIN {100 * (won.difference or 0):+.1f} [")
    assert words.outcome(lost) == "REGRESSION"
    assert won.interval is not None
    same = replace(won, verdict="inconclusive", interval=replace(won.interval, low=-0.004, high=0.004))
    assert "NO DIFFERENCE" in words.line(same)
    assert "(within 0.5 points)" in words.line(same)
    wide = replace(same, interval=replace(won.interval, low=-0.006, high=0.004), needs=9)
    assert "UNDECIDED" in words.line(wide)
    assert "(needs 9 final seeds to see 0.5 points)" in words.line(wide)
    assert words.outcome(replace(won, verdict="incomplete")) == "INCOMPLETE"
