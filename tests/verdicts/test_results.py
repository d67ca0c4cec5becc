"""The result table and the answer in sentences: what leads, how sure that is, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from harness.planning.plan import PlannedRun
from harness.scores import HEADLINE
from harness.spec.expectations import beats
from harness.stats import intervals
from harness.store.records import Record
from harness.verdicts.judge import judge
from harness.verdicts.results import answer, results


def test_studies_are_listed_best_first_with_their_distance_to_the_best() -> None:
    plan = synthetic.make()
    lines = results(plan)
    assert [line.study for line in lines] == ["mnr+hard", "mnr", "cosine", "softmax", "untrained"]
    assert [line.rank for line in lines] == [1, 2, 3, 4, None]
    assert lines[0].to_best is None
    assert lines[1].to_best == pytest.approx((lines[1].mean or 0) - (lines[0].mean or 0))
    swapped = results(synthetic.make(quality={"mnr": 0.80, "mnr+hard": 0.74}))
    assert [line.study for line in swapped][:2] == ["mnr", "mnr+hard"]


def test_the_answer_names_the_lead_and_over_whom_it_is_not_shown() -> None:
    plan = synthetic.make()
    first, second = answer(plan, results(plan))
    assert first.startswith("Highest mean: mnr+hard with 8")
    assert "Its lead over the next, mnr, is 7.3 points, 95 % [" in second
    assert "each other study is shown to be lower" in second
    close = synthetic.make(quality={"mnr": 0.795, "mnr+hard": 0.80})
    assert "it is not shown that mnr+hard is better than mnr." in " ".join(answer(close, results(close)))


def test_a_lead_that_a_verdict_does_not_show_is_not_left_as_shown() -> None:
    """The table's 95 percent interval excludes 0, and that of the verdict, one of twelve claims, does not."""
    studies = ("cosine", "mnr")
    claims = [beats("mnr", "cosine"), *(beats("mnr", "cosine", by=0.5 + 0.01 * n) for n in range(11))]
    plan = synthetic.make(synthetic.make_ablation(studies, expect=claims), quality={"cosine": 0.80, "mnr": 0.857})
    verdicts = judge(plan)
    assert verdicts[0].verdict == "inconclusive"
    told = answer(plan, results(plan), verdicts)
    assert "each other study is shown to be lower" in told[1]
    assert "by them it is undecided whether mnr is better than cosine." in told[2]
    assert len(answer(plan, results(plan), [replace(verdicts[0], verdict="holds")])) == 2


def test_a_measure_that_prefers_another_study_speaks_against_the_leader() -> None:
    def worse_on_tasks(run: PlannedRun, record: Record) -> Record:
        if run.study != "mnr+hard" or run.stage == "tune":
            return record
        return replace(record, scores={n: s - 0.3 * n.startswith("mteb/") for n, s in record.scores.items()})

    plan = synthetic.make(change=worse_on_tasks)
    assert "By the mean of 4 tasks mnr is highest" in " ".join(answer(plan, results(plan)))
    agreed = synthetic.make()
    assert "tasks" not in " ".join(answer(agreed, results(agreed)))


def test_a_study_that_lost_a_seed_is_not_ranked_and_not_the_best() -> None:
    def loses(run: PlannedRun, record: Record) -> Record:
        if (run.study, run.stage, run.seed) == ("mnr+hard", "final", 2):
            return replace(record, outcome="diverged", scores={}, items={})
        return record

    plan = synthetic.make(change=loses)
    lines = results(plan)
    lost = lines[-1]
    assert (lost.study, lost.rank, lost.diverged, lost.seeds, lost.planned) == ("mnr+hard", None, 1, 2, 3)
    assert lines[0].study == "mnr"
    assert "mnr+hard has no rank: 1 of its 3 final runs diverged" in " ".join(answer(plan, lines))


def test_equal_studies_share_the_first_rank_and_both_are_named() -> None:
    def twin(run: PlannedRun, record: Record) -> Record:
        if run.study not in ("mnr", "mnr+hard") or run.stage == "tune":
            return record
        pairs = synthetic.predictions(0.8 + 0.002 * run.seed, "twin")
        other = synthetic.make_record(run, synthetic.make_ablation(), 0.8)
        score = intervals.spearman(pairs.gold, pairs.cosine)
        return replace(record, items={**other.items, synthetic.TEST: pairs}, scores={**record.scores, HEADLINE: score})

    plan = synthetic.make(synthetic.make_ablation(expect=[beats("mnr", "cosine")]), change=twin)
    lines = results(plan)
    assert [(line.study, line.rank) for line in lines[:3]] == [("mnr", 1), ("mnr+hard", 1), ("cosine", 3)]
    assert answer(plan, lines)[0].startswith("Highest mean: mnr and mnr+hard with ")


def test_nothing_finished_is_no_answer() -> None:
    plan = synthetic.make()
    none = replace(plan, runs=tuple(replace(run, record=None, state="to do") for run in plan.runs))
    assert answer(none, results(none)) == ["No study has all of its final runs yet."]
