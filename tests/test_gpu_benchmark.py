"""benchmarks/gpu.py where nobody looks on: a stage that fails or hangs ends alone, and what was found is kept."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).parents[1] / "benchmarks" / "gpu.py"

STANDS_IN = """#!/bin/bash
if [ "$1" = -c ]; then exit 0; fi  # making the embedded testbed
name=$3 out=$7
touch "$out/ready"
read -r told
row() { echo "{\\"stage\\": \\"$name\\", \\"what\\": \\"$1\\", \\"text\\": \\"$1\\", \\"held\\": $2}" >>"$out/rows"; }
case $name in
  a) row ceilings true ;;
  b) row certificate HELD ;;
  c) row begun true; sleep 600 ;;
  d) echo "RuntimeError: no kernel image"; exit 3 ;;
  h) grep -q ceilings <<<"$told" && row estimated true ;;
  *) row "$name" true ;;
esac
"""
"""A Python that is none: it does what a stage's process does, in no time; the third hangs, the fourth fails."""


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    def run(held: bool, *stages: str) -> tuple[int, list[dict[str, Any]]]:
        stand_in = tmp_path / "python"
        stand_in.write_text(STANDS_IN.replace("HELD", str(held).lower()), encoding="utf-8")
        stand_in.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stand_in))
        arguments = ["--device", "cpu", "--minutes", "0.01", "--out", str(tmp_path / "out"), "--only", *stages]
        monkeypatch.setattr(sys, "argv", [str(COMMAND), *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(COMMAND), run_name="__main__")
        return int(ended.value.code or 0), json.loads((tmp_path / "out" / "results.json").read_text())

    return run


def test_a_stage_that_fails_or_hangs_ends_alone(
    measure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = measure(True, "a", "b", "tests", "c", "d", "h")
    table = capsys.readouterr().out.splitlines()

    ended = {row["stage"]: row["ended"] for row in rows if row["what"] == "seconds"}
    assert list(ended) == ["a", "b", "tests", "c", "d", "h"]
    assert {name for name, how in ended.items() if how} == {"c", "d"}
    assert {"begun", "estimated"} <= {row["what"] for row in rows}, "what was told before is kept, and told to the last"
    assert any("no kernel image" in line for line in table)
    assert "no kernel image" in (tmp_path / "out" / "log.txt").read_text()
    assert code == 0, "every certificate held"


@pytest.mark.parametrize(("held", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_every_certificate_held(measure: Any, held: bool, code: int) -> None:
    assert measure(held, "a", "b")[0] == code


def test_the_table_has_at_most_forty_lines() -> None:
    stages = runpy.run_path(str(COMMAND), run_name="gpu")["STAGES"]

    assert sum(lines for _, _, lines in stages.values()) <= 40
