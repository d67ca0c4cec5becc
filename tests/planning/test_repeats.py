"""Further seeds of the best trials: what is planned, that they decide, and that they read dev scores only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from driven import MNR, driven, make_ablation
from stores import Store, budget, declared
from synthetic import DEV

from harness.api import load
from harness.errors import StudyFileError
from harness.planning import unlocking
from harness.planning.choice import best
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.scores import OBJECTIVE
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.space import Point, Space, choice, log_uniform
from harness.stats.selection import luck_of_choice
from harness.store.records import Outcome, Record
from harness.verdicts import hindsight
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.remaining import remaining


def repeated(trials: int = 5, repeats: int | None = 2, **changes: int) -> Ablation:
    made = synthetic.make_ablation(["mnr"], trials=trials, seeds=2, tasks=(), expect=[])
    return budget(made, repeats=repeats, **changes)


def scored(record: Record, dev: float) -> Record:
    return replace(record, scores={**record.scores, f"{DEV}/spearman_cosine": dev})


def with_dev(ablation: Ablation, trials: Mapping[int, float], again: Mapping[int, float] | None = None) -> Plan:
    """Return the plan with these dev scores of the trials, and of every repeat of a trial's point."""
    points: dict[Point | None, int] = {}

    def change(run: PlannedRun, record: Record) -> Record:
        if run.stage == "tune" and run.trial is not None:
            points[run.point] = run.trial
            return scored(record, trials[run.trial])
        return scored(record, (again or trials)[points[run.point]]) if run.stage == "repeat" else record

    return synthetic.make(ablation, change=change)


def chosen(plan: Plan) -> int:
    """Return the number of the trial whose point the final runs train."""
    (point,) = {run.point for run in plan.of("mnr", "final", "best")}
    return next(run.trial for run in plan.trials("mnr") if run.point == point and run.trial is not None)


SCORES = {0: 0.70, 1: 0.73, 2: 0.72, 3: 0.69, 4: 0.74}


def test_budgets_with_many_trials_repeat_the_best_ones() -> None:
    assert [Budget(trials=n).further_seeds for n in (1, 11, 12, 16)] == [0, 0, 2, 2]
    assert [Budget(trials=16, repeats=n).further_seeds for n in (0, 1, 5)] == [0, 1, 5]
    assert Budget(trials=2, repeats=3).further_seeds == 3


@pytest.mark.parametrize(("repeats", "seeds", "says"), [(-1, 5, "0 for none"), (2, 998, "at most 999 seeds")])
def test_impossible_numbers_are_refused(repeats: int, seeds: int, says: str) -> None:
    with pytest.raises(StudyFileError, match=says):
        Budget(repeats=repeats, seeds=seeds)


def test_the_three_best_trials_are_repeated_once_all_have_ended() -> None:
    ablation = repeated()
    before = make_plan(ablation, [])
    assert [run.state for run in before.of("mnr", "repeat")] == ["waiting"] * 6, "a plan is priced before it starts"
    plan = with_dev(ablation, SCORES)
    point_of = {run.trial: run.point for run in plan.trials("mnr")}
    expected = {(point_of[trial], seed) for trial in (4, 1, 2) for seed in (999, 998)}
    assert {(run.point, run.seed) for run in plan.of("mnr", "repeat")} == expected
    assert plan.unfinished() == 0
    assert len({run.id for run in plan.runs}) == len(plan.runs)
    trials = [run.record for run in plan.runs if run.record is not None and run.stage in ("untrained", "tune")]
    left = make_plan(ablation, trials[:-1])
    assert {run.state for run in left.of("mnr", "repeat")} == {"waiting"}
    ready = make_plan(ablation, trials)
    assert {run.state for run in ready.of("mnr", "repeat")} == {"to do"}
    assert {run.state for run in ready.of("mnr", "final", "best")} == {"waiting"}, "the repeats decide the point"


def test_a_lucky_trial_is_not_chosen() -> None:
    assert chosen(with_dev(repeated(repeats=0), SCORES)) == 4
    assert chosen(with_dev(repeated(), SCORES)) == 4
    sobered = {4: 0.70, 1: 0.72, 2: 0.73}
    assert chosen(with_dev(repeated(), SCORES, sobered)) == 2
    swapped = {4: 0.70, 1: 0.73, 2: 0.72}
    assert chosen(with_dev(repeated(), SCORES, swapped)) == 1, "two scores swapped give the other point"
    assert chosen(with_dev(repeated(), SCORES, {4: 0.0, 1: 0.0, 2: 0.0})) == 4, (
        "a trial that was not repeated lost before"
    )


@pytest.mark.parametrize("outcome", ["diverged", "infeasible"])
def test_a_point_that_fails_with_another_seed_is_not_chosen(outcome: Outcome) -> None:
    def failing(point: Point | None) -> Plan:
        """Return the plan where the repeats at a point, or all of them, fail."""

        def change(run: PlannedRun, record: Record) -> Record:
            fails = run.stage == "repeat" and point in (run.point, None)
            return replace(record, outcome=outcome, scores={}, items={}, error="a reason") if fails else record

        return synthetic.make(repeated(), change=change)

    winner = next(run.point for run in synthetic.make(repeated()).of("mnr", "final", "best"))
    assert {run.point for run in failing(winner).of("mnr", "final", "best")}.isdisjoint({winner})
    without = synthetic.make(repeated(repeats=0))
    assert chosen(failing(None)) == chosen(without), "if all fail, the trials decide"
    assert failing(None).unfinished() == 0


def test_a_crashed_repeat_leaves_the_ablation_incomplete_and_is_named() -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        crashed = run.stage == "repeat" and run.seed == 999
        return replace(record, outcome="failed", scores={}, items={}, error="OSError: disk full") if crashed else record

    plan = synthetic.make(repeated(), change=change)
    assert exit_code(judge(plan), plan) == 3
    (line,) = remaining(plan)
    assert line.startswith("failed: mnr repeat seed 999")
    assert "--retry-failed" in line


def test_each_tuning_repeats_its_own_best_trials() -> None:
    plan = synthetic.make(repeated(trials=4, repeats=1, tunings=2))
    for tuning, seed in ((0, 999), (1, 1999)):
        again = [run for run in plan.tuned("mnr", tuning) if run.stage == "repeat"]
        assert {run.seed for run in again} == {seed}
        assert {run.point for run in again} <= {run.point for run in plan.trials("mnr", tuning)}
        assert len(again) == 3
    assert plan.unfinished() == 0


def test_a_search_of_one_point_repeats_nothing_and_one_of_two_repeats_both() -> None:
    plain = repeated(trials=4)
    for sizes, expected in (((32,), 0), ((16, 32), 4)):
        space = Space(batch_size=choice(*sizes), lr=log_uniform(1e-6, 2e-4))
        small = replace(plain, studies=[replace(plain.studies[0], fixed={"lr": 5e-5})], space=space)
        assert len(synthetic.make(small).of("mnr", "repeat")) == expected


def test_more_trials_keep_the_repeats_of_points_that_stay_among_the_best() -> None:
    few, many = repeated(trials=5), repeated(trials=6)
    records = [run.record for run in with_dev(few, SCORES).runs if run.record is not None]
    again = with_dev(many, {**SCORES, 5: 0.60})
    plan = make_plan(many, [*records, *(r.record for r in again.trials("mnr") if r.record is not None)])
    assert {run.state for run in plan.of("mnr", "repeat")} == {"done"}


def test_a_repeat_that_brings_test_scores_is_refused() -> None:
    plan = synthetic.make(repeated())
    record = next(run.record for run in plan.of("mnr", "repeat") if run.record is not None)
    assert unlocking.dev_only(record, DEV) == record
    broken = unlocking.dev_only(replace(record, scores={**record.scores, "stsb-test/spearman_cosine": 0.7}), DEV)
    assert broken.outcome == "failed"
    assert not broken.scores


def test_repeats_that_are_added_after_test_scores_were_known_are_said() -> None:
    store = Store()
    store.run(declared())
    assert not hindsight.notes(store.plan(declared()))
    later = store.run(budget(declared(), repeats=2))
    expected = "further seeds of its best trials were changed from 0 to 2 after its test scores were known"
    assert any(expected in note for note in hindsight.notes(later))


def test_repeats_narrow_the_luck_as_much_as_is_estimated() -> None:
    """The estimate is compared with tunings that are really repeated, whose true scores are known."""
    random = np.random.default_rng(0)
    true, noise = random.normal(0.7, 0.01, 8), 0.006
    first = true + random.normal(0, noise, (2000, 8))
    best_three = np.argsort(-first, axis=1)[:, :3]
    again = true[best_three] + random.normal(0, noise / 2**0.5, best_three.shape)
    means = (np.take_along_axis(first, best_three, 1) + 2 * again) / 3
    known = float(true[best_three[np.arange(2000), means.argmax(axis=1)]].std())
    once, repeated = (
        [luck_of_choice(tuning, noise, 400, repeats=number, rivals=3) for tuning in first[:200]] for number in (0, 2)
    )
    spreads = [np.mean([luck.spread for luck in each if luck is not None]) for each in (once, repeated)]
    assert known < float(true[first.argmax(axis=1)].std())
    assert spreads[1] < spreads[0]
    assert 0.5 * known < spreads[1] < 2 * known


@pytest.mark.usefixtures("cache")
def test_a_driver_trains_repeats_on_the_dev_set_alone_and_resumes(tmp_path: Path) -> None:
    ablation = budget(make_ablation({"mnr": MNR}), repeats=1)
    told = driven(ablation, tmp_path / "whole")
    assert "mnr: repeat seed 999 (batch" in told
    records = {r.id: r for r in load(tmp_path / "whole").records()}
    again = [r for r in records.values() if r.stage == "repeat"]
    assert len(again) == 2
    assert all({name.partition("/")[0] for name in r.scores} == {DEV} and not r.items for r in again)
    trials = [r for r in records.values() if r.stage == "tune"]
    assert {r.scores[OBJECTIVE] for r in again}.isdisjoint(r.scores[OBJECTIVE] for r in trials), "another seed"
    winner = best(trials, again)
    assert winner is not None
    finals = {r.point for r in records.values() if r.stage == "final"}
    assert winner.point in finals

    driven(replace(ablation, budget=replace(ablation.budget, repeats=0)), tmp_path / "parts")
    driven(ablation, tmp_path / "parts")
    resumed = {r.id: r.scores for r in load(tmp_path / "parts").records()}
    assert {key: record.scores for key, record in records.items()}.items() <= resumed.items()
