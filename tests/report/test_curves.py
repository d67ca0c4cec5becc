"""Tuning curves in the report: what is said of budgets, of studies that change places and of points without scores."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic

from harness.planning.plan import START_UP, PlannedRun
from harness.planning.planner import make_plan
from harness.report import curves
from harness.report.curves import best_so_far
from harness.report.facts import gather
from harness.report.figures import canvas
from harness.scores import OBJECTIVE
from harness.store.records import Record


def scored(scores: dict[str, list[float | None]]) -> list[str]:
    """Return the section's parts for studies whose trials have these dev scores, None for one that diverged."""
    ablation = synthetic.make_ablation(list(scores), trials=len(next(iter(scores.values()))), expect=[])

    def change(run: PlannedRun, record: Record) -> Record:
        if run.stage != "tune":
            return record
        score = scores[run.study][run.trial or 0]
        if score is None:
            return replace(record, outcome="diverged", scores={}, train_seconds=60.0, eval_seconds=0.0)
        return replace(record, scores={OBJECTIVE: score}, train_seconds=60.0, eval_seconds=60.0)

    return list(curves.section(gather(synthetic.make(ablation, change=change)), "FIGURE"))


def test_studies_that_change_places_with_the_budget_are_named() -> None:
    parts = scored({"steady": [0.5, 0.60, 0.61, 0.62], "lucky": [0.7, 0.10, 0.20, 0.90]})
    assert parts[:2] == ["## Tuning curves", "FIGURE"]
    assert parts[3] == (
        "**Best on dev with an equal number of points: steady at 1 point, lucky at 2 to 3 points. "
        "The ranking depends on the budget, from 1 to 3: lucky overtakes steady.**"
    )
    assert "| steady | 50.00 | 61.00 | 61.67 | 62.00 |" in parts[4]
    assert "| lucky | 70.00 | 40.00 | 66.67 | 90.00 |" in parts[4]


def test_a_point_without_a_score_leaves_small_budgets_open() -> None:
    parts = scored({"mnr": [0.5, None, 0.2, 0.4], "softmax": [None, 0.3, 0.3, 0.3]})
    assert "mnr at 2 to 3 points" in parts[3]
    assert "| mnr | 50.00 | – | 33.33 | 40.00 |" in parts[4]
    assert "| softmax | – | 30.00 | 30.00 | 30.00 |" in parts[4]
    assert "contain no scored point" in parts[5]


@pytest.mark.parametrize("trials", [1, 2])
def test_one_point_beside_the_default_is_no_curve(trials: int) -> None:
    assert "no expected best score" in scored({"mnr": [0.5] * trials})[-1]


def test_points_that_have_not_ended_are_waited_for() -> None:
    ablation = synthetic.make_ablation(["mnr"], trials=START_UP, expect=[])
    records = [record for record in synthetic.make_records(ablation) if record.trial != 3]
    row = gather(make_plan(ablation, records)).studies[0]
    assert curves.expected(row) == ()


def test_minutes_add_up_and_trials_without_a_score_cost_theirs() -> None:
    ablation = synthetic.make_ablation(["mnr"], trials=4, expect=[])

    def change(run: PlannedRun, record: Record) -> Record:
        timed = replace(record, train_seconds=30.0, eval_seconds=30.0)
        return replace(timed, outcome="diverged", scores={}) if run.trial == 1 else timed

    row = gather(synthetic.make(ablation, change=change)).studies[0]
    found = curves.best_against_minutes(row)
    assert [minutes for minutes, _ in found] == [1, 2, 3, 4]
    assert [score for _, score in found] == [score for _, score in best_so_far(row)]


@pytest.mark.parametrize(
    ("count", "letters", "columns"),
    [(1, 5, 1), (5, 9, 5), (6, 9, 6), (8, 9, 4), (15, 9, 5), (15, 18, 4), (8, 24, 3), (3, 400, 1)],
)
def test_legends_fill_their_lines_evenly(count: int, letters: int, columns: int) -> None:
    assert canvas.legend_columns(["x" * letters] * count) == columns
