"""The levels of claims in a report: those of repeated looks and of withdrawn claims agree, and no other level passes."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic

from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.planning.planner import Planner
from harness.report import write_report
from harness.report.verification.verify import verify
from harness.spec.expectations import beats
from harness.store.records import Record
from harness.verdicts.judge import judge
from harness.verdicts.until_decided import grown

QUALITY = {"softmax": 0.7, "cosine": 0.705, "mnr": 0.71}


def until_decided(most: int) -> Plan:
    """Return a plan whose seeds were added until its claims were decided, two of them against the untrained model."""
    claims = [beats("mnr", "softmax"), beats("mnr", "untrained"), beats("cosine", "untrained", by=0.2)]
    made = synthetic.make_ablation(tuple(QUALITY), trials=2, seeds=2, tasks=(), expect=claims)
    ablation = replace(made, budget=replace(made.budget, max_seeds=most))
    records: dict[str, Record] = {}
    while True:
        plan = grown(Planner(ablation, records.values()))
        ready = [run for run in plan.runs if run.state == "to do"]
        if not ready:
            return plan
        for run in ready:
            record = synthetic.make_record(run, ablation, QUALITY.get(run.study, 0.5))
            records[record.id] = record


def withdrawn() -> Plan:
    """Return a plan of which three claims were withdrawn after scores were known, which Holm's correction counts."""
    kept = [beats("mnr", "softmax"), beats("cosine", "softmax")]
    others = [beats("softmax", "untrained"), beats("mnr", "untrained"), beats("cosine", "untrained")]
    made = synthetic.make_ablation(tuple(QUALITY), trials=2, seeds=3, tasks=(), expect=kept)
    plan = synthetic.make(made, quality=QUALITY)
    records = [run.record for run in plan.runs if run.record is not None]
    log = unlocking.design(replace(made, expect=[*kept, *others])), unlocking.design(made, records)
    return replace(plan, designs=log)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plan with repeated looks."""
    return written(until_decided(5), tmp_path_factory.mktemp("looked"))


def written(plan: Plan, folder: Path) -> Path:
    write_report(plan, folder, "harness run x.py")
    (folder / "report.html").unlink()
    return folder


@pytest.mark.parametrize("most", [3, 4, 5])
def test_a_report_of_repeated_looks_agrees_with_its_records(most: int, tmp_path: Path) -> None:
    plan = until_decided(most)
    rounded = [float(f"{verdict.level:.6f}") != verdict.level for verdict in judge(plan) if verdict.level]
    assert any(rounded)  # the page has fewer digits of the level than its intervals need
    assert verify(written(plan, tmp_path)).problem is None


def test_a_report_with_withdrawn_claims_agrees_with_its_records(tmp_path: Path) -> None:
    folder = written(withdrawn(), tmp_path)
    assert "| 99 % |" in (folder / "README.md").read_text(encoding="utf-8")  # 1 - 0.05 / 5
    assert verify(folder).problem is None


def rows_of_checks(page: str) -> list[str]:
    return re.findall(r"^\| .* \| \*\*(?:holds|violated|inconclusive)\*\* \|.*$", page, re.M)


def test_each_digit_of_the_intervals_over_seeds_and_of_levels_is_checked(looked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(looked, tmp_path / "report")
    readme = folder / "README.md"
    page = readme.read_text(encoding="utf-8")
    rows = rows_of_checks(page)
    assert len(rows) == 3
    for row in rows:
        cells = row.split(" | ")
        for column in (5, 6):
            for number in re.finditer(r"\d\.\d\d", cells[column]):
                last = number.end() - 1
                digit = "1" if cells[column][last] != "1" else "3"
                changed = [*cells]
                changed[column] = cells[column][:last] + digit + cells[column][last + 1 :]
                readme.write_text(page.replace(row, " | ".join(changed)), encoding="utf-8")
                assert verify(folder).problem is not None, (cells[column], changed[column])


def test_intervals_of_another_level_do_not_pass_for_those_of_repeated_looks(looked: Path, tmp_path: Path) -> None:
    """A level of 95 percent is one that Holm's correction may give, but not where verdicts are reached repeatedly."""
    folder = shutil.copytree(looked, tmp_path / "report")
    readme = folder / "README.md"
    page = readme.read_text(encoding="utf-8")
    for level in ("95 %", "98.33 %", "99.99999 %"):
        changed = re.sub(r"\| 9\d\.\d+ % \|", f"| {level} |", page)
        assert changed != page
        readme.write_text(changed, encoding="utf-8")
        assert "level" in str(verify(folder).problem)


def test_some_claim_has_the_level_of_the_strongest_of_all(tmp_path: Path) -> None:
    folder = written(withdrawn(), tmp_path)
    readme = folder / "README.md"
    page = readme.read_text(encoding="utf-8")
    readme.write_text(page.replace("| 99 % |", "| 95 % |"), encoding="utf-8")
    assert "have no level of 97.5 % or more" in str(verify(folder).problem)
