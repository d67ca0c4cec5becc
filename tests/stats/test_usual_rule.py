"""The usual rule beside the harness's: counts of benchmarks/usual_rule.py on made-up scores whose answer is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import usual_rule
from power_tables import Cell

HEADER = "study,stage,seed,outcome,roles,stsb-test/spearman_cosine\n"


def written(path: Path, by_tuning: list[list[float]]) -> Path:
    lines = [
        f"mnr,final,{1000 * tuning + seed},ok,best,{score}\n"
        for tuning, scores in enumerate(by_tuning)
        for seed, score in enumerate(scores, 1)
    ]
    others = ["mnr,tune,0,ok,,0.9\n", "mnr,final,1,ok,default,0.1\n", "mnr,final,2003,diverged,best,\n"]
    path.write_text(HEADER + "".join(lines + others), encoding="utf-8")
    return path


def test_scores_are_grouped_by_tuning_and_wins_and_intervals_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.csv", [[0.70, 0.71], [0.70, 0.71], [0.80, 0.81]])
    assert usual_rule.tunings(path) == {
        number: pytest.approx(scores) for number, scores in enumerate([[70, 71], [70, 71], [80, 81]])
    }
    text = usual_rule.retuned(path, splits=10)
    # of 6 ordered pairs x 4 choices of seeds: 70 to 71 twice in each direction of the equal two, all 8 up to the third
    assert "a win is called | 10 of 24 (41.7 %" in text
    assert "the mean of all final seeds: a win is called | 2 of 6 (33.3 %" in text
    assert "covers 0 | 1 of 3 (33.3 %" in text


def test_one_run_never_decides_and_a_rise_is_called_between_equal_studies() -> None:
    usual, ours = usual_rule.called(Cell(1, over_items=usual_rule.OVER_ITEMS), samples=4000)
    assert usual > 0.3
    assert ours == 0
    usual, ours = usual_rule.called(Cell(5, over_items=usual_rule.OVER_ITEMS), samples=4000)
    assert usual > 0.2
    assert 0.01 < ours < 0.04
    better = usual_rule.called(Cell(5, over_items=usual_rule.OVER_ITEMS, difference=3), samples=4000)
    worse = usual_rule.called(Cell(5, over_items=usual_rule.OVER_ITEMS, difference=-3), samples=4000)
    assert better[1] > 0.9
    assert worse[1] == 0
