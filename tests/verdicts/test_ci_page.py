"""docs/ci.md: its tables have every field and every outcome, and its example runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.verdicts import words
from harness.verdicts.results import Result
from harness.verdicts.rules import Verdict

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")

LOSS = """
from harness.compat import losses


class MyLoss(losses.MultipleNegativesRankingLoss):
    def __init__(self, model):
        super().__init__(model, scale={scale})
"""


def table_after(words_before: str) -> list[str]:
    part = PAGE.split(words_before)[1].split("\n\n")[1]
    return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)


def test_the_tables_have_every_field_of_the_document() -> None:
    assert table_after("Each of `results`:") == [field.name for field in fields(Result)]
    assert table_after("Each of `verdicts`:") == [*(field.name for field in fields(Verdict)), "outcome"]


def test_the_outcomes_are_those_of_the_code() -> None:
    rows = PAGE.split("## Outcomes")[1].split("## JSON")[0]
    documented = re.findall(r"`([A-Z ]+)`", "\n".join(line for line in rows.splitlines() if line.startswith("| `")))
    told = re.findall(r"^\| ([A-Z ,]+) \|", words.__doc__ or "", re.MULTILINE)
    assert documented == ", ".join(told).split(", ")


def test_the_study_file_of_the_page_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"^```python\n# duel\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "duel.py").write_text(source, encoding="utf-8")
    for name, scale in (("ours", 20), ("theirs", 5)):
        (tmp_path / f"{name}.py").write_text(LOSS.format(scale=scale), encoding="utf-8")
    assert main(["plan", "duel.py", "--tasks", ""]) == 0
    assert "branch" in capsys.readouterr().out
