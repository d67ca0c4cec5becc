"""A report that checks itself: all committed reports agree with their records, and no changed number passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from test_ranks import lucky, stored

from harness.cli.main import main
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.report import write_report
from harness.report.verify import differs_from_store, verify
from harness.spec.expectations import beats, in_order
from harness.store.records import Record

REPORTS = [path.parent for path in sorted((Path(__file__).parents[2] / "reports").glob("*/scores.csv"))]


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_every_committed_report_agrees_with_its_records(folder: Path) -> None:
    found = verify(folder)
    assert found.problem is None
    assert found.checked > 150


def written(plan: Plan, folder: Path) -> Path:
    write_report(plan, folder, "harness run x.py")
    return folder


def half_done() -> Plan:
    ablation = synthetic.make_ablation(expect=[])
    return make_plan(ablation, [r for r in synthetic.make_records(ablation) if r.stage != "final" or r.seed < 3])


def failing() -> Plan:
    """Return a plan with trials and final runs of every outcome."""
    outcomes = {1: "diverged", 2: "infeasible", 3: "failed"}

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study == "mnr" and run.trial in outcomes:
            return replace(record, outcome=outcomes[run.trial], scores={}, error="ValueError: x")  # type: ignore[arg-type]
        if run.study == "cosine" and run.stage == "final" and run.seed == 1:
            return replace(record, outcome="failed", scores={}, items={}, error="ValueError: x")
        return record

    return synthetic.make(change=change)


def seventeen() -> Plan:
    return synthetic.make(synthetic.make_ablation([f"study {n}, <b> _{n}_ `" for n in range(17)], expect=[], trials=2))


PLANS: dict[str, Callable[[], Plan]] = {
    "complete": lambda: synthetic.make(
        synthetic.make_ablation(expect=[in_order("softmax", "cosine", "mnr"), beats("mnr+hard", "mnr", at="default")])
    ),
    "a lost seed": lucky,
    "ties": lambda: lucky(None),
    "half done": half_done,
    "failures of every kind": failing,
    "one study": lambda: synthetic.make(synthetic.make_ablation(["mnr"], expect=[], seeds=1, trials=1)),
    "seventeen studies": seventeen,
    "nothing done": lambda: make_plan(synthetic.make_ablation(), []),
}


@pytest.mark.parametrize("case", PLANS)
def test_reports_of_any_shape_agree_with_their_records(case: str, tmp_path: Path) -> None:
    found = verify(written(PLANS[case](), tmp_path))
    assert found.problem is None
    assert (found.checked > 0) == (case != "nothing done")


def mutated(folder: Path, pattern: str, instead: str) -> str | None:
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8")
    changed = re.sub(pattern, instead, text, count=1, flags=re.M)
    assert changed != text
    page.write_text(changed, encoding="utf-8")
    try:
        return verify(folder).problem
    finally:
        page.write_text(text, encoding="utf-8")


def test_a_lost_seed_s_mark_cannot_be_dropped_and_ranks_cannot_be_swapped(tmp_path: Path) -> None:
    folder = written(lucky(), tmp_path)
    for pattern, instead in (
        (r"^(\| diverges once) ‡", r"\1"),
        (r"(\| diverges once .*)<br>2 of 3 seeds", r"\1"),
        (r"^(\| diverges once ‡ \| )– ", r"\g<1>1 "),
        (r" Not ranked, because [^*]*", ""),
        (r"Highest mean: mnr,", "Highest mean: diverges once,"),
        (r"^(\| mnr \| )1( \| 1 .*\n\| cosine \| )2", r"\g<1>2\g<2>1"),
        (r"<br>over seeds 1 and 3", ""),
        (r"<br>over seeds 1 and 3", "<br>over seeds 1 and 2"),
    ):
        assert mutated(folder, pattern, instead) is not None, pattern


def test_no_changed_number_of_a_recomputed_table_passes(tmp_path: Path) -> None:
    """Each table's number is changed in its last digit, one after the other, in the columns that records give."""
    folder = written(PLANS["complete"](), tmp_path)
    text = (folder / "README.md").read_text(encoding="utf-8")
    needs_more = ("Audit", "Which ", "Designs")
    passed: list[str] = []
    tried = 0
    for section in text.split("\n## ")[1:]:
        if section.startswith(needs_more):
            continue
        start = text.index(section)
        for found in re.finditer(r"^\| (?!---).*$", section, re.M):
            for number in re.finditer(r"\d\.\d\d(?!\d)", found.group()):
                place = start + found.start() + number.end() - 1
                digit = "1" if text[place] != "1" else "2"
                (folder / "README.md").write_text(text[:place] + digit + text[place + 1 :], encoding="utf-8")
                tried += 1
                if verify(folder).problem is None:
                    passed.append(f"{section.splitlines()[0]}: {found.group()[:60]} at {number.group()}")
    (folder / "README.md").write_text(text, encoding="utf-8")
    assert tried > 150
    unexplained = [
        each for each in passed if not each.startswith(("Result", "Checks", "Why they differ", "What changed"))
    ]
    assert unexplained == []
    assert len(passed) < tried / 3  # over items, detectable, separation, growth: these need predictions or are ratios


def test_a_store_whose_records_are_others_is_noticed(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", lucky())
    folder = written(lucky(), tmp_path / "report")
    assert differs_from_store(folder, store.records()) is None
    csv = folder / "scores.csv"
    csv.write_text(csv.read_text(encoding="utf-8").replace(",diverged,", ",failed,"), encoding="utf-8")
    assert "is failed, in the store diverged" in (differs_from_store(folder, store.records()) or "")
    assert "has no run" in (differs_from_store(folder, []) or "")


def test_each_code_of_verify_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = written(lucky(), tmp_path / "report")
    assert main(["verify", "report"]) == 0
    assert capsys.readouterr().out.startswith("agrees: report: ")
    assert main(["verify", "no-such-report"]) == 2
    store = stored(tmp_path / "store", lucky())
    assert main(["verify", "report", "--store", "store"]) == 0
    record = next((store.folder / "records").rglob("*.json*"))
    record.write_text("{", encoding="utf-8")
    assert main(["verify", "report", "--store", "store"]) == 3
    page = folder / "README.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Highest mean: mnr,", "Highest mean: cosine,"), "utf-8")
    capsys.readouterr()
    assert main(["verify", "report"]) == 1
    assert capsys.readouterr().out.startswith("disagrees: report: first screen: highest mean")
