"""The first screen of reports of any shape: what a reader sees in the first lines, and on a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import pytest
import synthetic

from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.report import write_report
from harness.store.records import Record


def many(number: int) -> Plan:
    names = [f"a long name of a study, variant {n}" for n in range(number)]
    return synthetic.make(synthetic.make_ablation(names, expect=[], trials=2))


def page_of(plan: Plan, folder: Path) -> str:
    return write_report(plan, folder, "harness run x.py").read_text(encoding="utf-8")


def tables(page: str) -> list[list[list[str]]]:
    found = re.findall(r"^\|.*(?:\n\|.*)*", page, re.M)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()] for table in found]


@pytest.mark.parametrize("number", [1, 2, 13, 17])
def test_the_first_lines_are_verdict_answer_and_result(number: int, tmp_path: Path) -> None:
    page = page_of(many(number), tmp_path)
    _, verdict, answer, result = page.split("\n\n")[:4]
    assert verdict == "**The study file states no expectation.**"
    leader = re.match(r"Highest mean: (a long name of a study, variant \d+) with \d\d\.\d", answer)
    assert leader is not None
    assert ("Its lead over the next" in answer) == (number > 1)
    assert len(result.splitlines()) == 2 + number + 1
    assert result.splitlines()[2].startswith(f"| **{leader.group(1)}** | 1 | ")


def test_a_half_finished_plan_has_no_answer_and_says_how_far_it_is(tmp_path: Path) -> None:
    ablation = synthetic.make_ablation(expect=[])
    plan = make_plan(ablation, [r for r in synthetic.make_records(ablation) if r.stage != "final" or r.seed < 3])
    _, verdict, answer, result = page_of(plan, tmp_path).split("\n\n")[:4]
    assert verdict == "**The study file states no expectation. 25 of 29 planned runs done.**"
    assert answer == "No study has all of its final runs yet."
    assert [line.split(" | ")[:2] for line in result.splitlines()[3:]] == [
        [f"| {name} ‡", "–"] for name in ("mnr+hard", "mnr", "cosine", "softmax")
    ]


def test_no_table_has_two_columns_of_one_title(tmp_path: Path) -> None:
    for table in tables(page_of(synthetic.make(), tmp_path)):
        assert len({*table[0]}) == len(table[0])
        assert {len(line) for line in table} == {len(table[0])}


def test_after_one_trial_nothing_is_said_of_edges(tmp_path: Path) -> None:
    one = page_of(synthetic.make(synthetic.make_ablation(["mnr"], expect=[], trials=1)), tmp_path)
    assert "at an edge" not in one
    assert "The only trial of each study is at a point fixed in advance" in one
    assert "at an edge" in page_of(synthetic.make(), tmp_path)


def test_commits_of_harness_and_study_file_are_told_apart(tmp_path: Path) -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        return replace(record, provenance={**record.provenance, "harness_git": {"commit": "f" * 40, "dirty": True}})

    page = page_of(synthetic.make(change=change), tmp_path)
    assert f"- harness at commit {'f' * 40}, with uncommitted changes (29 runs)" in page
    assert "- repository of the study file at commit 0123456789abcdef0123456789abcdef01234567 (29 runs)" in page


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [400, 800, 1200])
def test_a_study_s_name_and_score_are_seen_at_any_width(width: int, tab: Any, tmp_path: Path) -> None:
    page_of(many(2), tmp_path)
    tab.open(tmp_path / "report.html", width)
    first = "document.querySelector('table').rows[1].cells"
    score = tab.evaluate(f"{first}[2].getBoundingClientRect().right")
    assert score <= width
    assert tab.evaluate("document.querySelector('table').getBoundingClientRect().top") < 400
    tab.evaluate("document.querySelector('.scroll').scrollLeft = 10000")
    assert tab.evaluate(f"{first}[0].getBoundingClientRect().left") >= 0
