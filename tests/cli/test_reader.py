"""What the command line tells its reader: what is unfinished and why, narrow tables, a command that reproduces."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import STUDY, harness

from harness.cli import exits, output
from harness.cli.main import main
from harness.store.folder import load
from harness.store.records import Record

STORE = Path("runs/small-book")
TASKS = ["--tasks", "STS16,BIOSSES"]

CUDA = """Traceback (most recent call last):
  File "train.py", line 3, in step
    loss.backward()
RuntimeError: CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call.
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions. (at study.py:9)"""


def spoil(store: Path, **changes: object) -> Record:
    """Let one final run of mnr end without scores; return its record."""
    opened = load(store)
    record = next(r for r in opened.records() if (r.study, r.stage, r.seed) == ("mnr", "final", 2))
    spoilt = replace(record, scores={}, items={}, **changes)  # type: ignore[arg-type]
    opened.write(spoilt)
    return spoilt


def test_what_has_no_scores_and_why_is_said_whatever_the_exit_code(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    record = spoil(STORE, outcome="diverged", error="the loss became nan at step 4")
    line = f"diverged: mnr final run seed 2 ({record.id}): the loss became nan at step 4; the same run would diverge"
    for command in (["check"], ["run", *TASKS], ["run", "--retry-failed", *TASKS]):
        assert main([command[0], "study.py", *command[1:]]) in (0, 1)  # it counts as a score of 0
        assert line in capsys.readouterr().out
    spoil(STORE, outcome="failed", error="ValueError: x")
    line = f"failed: mnr final run seed 2 ({record.id}): ValueError: x; `harness run FILE --retry-failed` repeats it."
    for command in (["check"], ["run", *TASKS]):
        assert main([command[0], "study.py", *command[1:]]) == 3
        assert line in capsys.readouterr().out
    assert main(["check", "study.py", "--junit", "checks.xml"]) == 3
    assert "failed: mnr final run seed 2" in (copy / "checks.xml").read_text(encoding="utf-8")


def test_a_failure_is_told_by_type_and_first_line(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    spoil(STORE, outcome="failed", error=CUDA)
    why = "RuntimeError: CUDA error: device-side assert triggered (at study.py:9)"
    assert main(["check", "study.py"]) == 3
    printed = capsys.readouterr().out
    assert f"{why}; `harness run FILE --retry-failed` repeats it." in printed
    assert main(["show", "study.py"]) == 0
    assert why in capsys.readouterr().out
    assert main(["report", "study.py", "--report", "page"]) == 0
    assert "RuntimeError: CUDA error: device-side assert triggered" in Path("page/README.md").read_text("utf-8")


@pytest.fixture(params=[60, 80, 200])
def width(request: pytest.FixtureRequest, copy: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The characters of a line of stdout, beside a finished store."""
    characters: int = request.param
    monkeypatch.chdir(copy)
    monkeypatch.setattr(output, "width", lambda: characters)
    return characters


def test_show_keeps_scores_and_outcomes_at_any_width(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    records = load(STORE).records()
    for options in ([], ["--wide"]):
        assert main(["show", "study.py", *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        for record in records:
            for score in (record.dev_score, record.test_score):
                assert score is None or any(f"{100 * score:.2f}" in line for line in lines)
            if options or width > 120:
                assert any(record.id in line for line in lines)
        assert options or max(map(len, lines)) <= width


def test_the_result_table_keeps_its_numbers_at_any_width(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "study.py", "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)["results"]
    spoil(STORE, outcome="diverged", error="the loss became nan at step 4")
    main(["check", "study.py"])
    lines = capsys.readouterr().out.partition("\nHighest mean: ")[0].splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    for line in found:
        if line["study"] != "mnr":
            assert any(f"{100 * line['mean']:.1f}" in shown for shown in lines)


def test_options_taken_over_from_the_last_run_are_said(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    for command in ("plan", "check", "show", "report"):
        main([command, "study.py"])
        assert capsys.readouterr().err == "options of the store's last run: --tasks STS16,BIOSSES\n"
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "by default those of the store's last `harness run`" in " ".join(capsys.readouterr().out.split())


def ids(store: Path) -> set[str]:
    return {record.id for record in load(store).records()}


def test_the_report_s_command_pasted_into_a_shell_elsewhere_reproduces_the_ids(cache: Path, tmp_path: Path) -> None:
    name = "a `touch pwned` $(touch pwned) 'q' \"r\".py"
    one = STUDY.replace('        Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-score"),\n', "")
    one = one.replace('    expect=[beats("mnr", "cosine")],\n', "").replace(
        "trials=2, epochs=0.5, seeds=2", "trials=1, epochs=0.5, seeds=1"
    )
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "studies").mkdir(parents=True)
        (folder / "studies" / name).write_text(one, encoding="utf-8")
    file = str(here / "studies" / name)
    done = harness("run", file, "--rows", "60", "--tasks", "", "--report", "page", cwd=here)
    assert done.returncode == 0, done.stderr
    page = (here / "page" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^(`{3,})sh\n(.*?)^\1$", page.split("## How to reproduce this")[1], re.M | re.S)
    assert block is not None
    environment = {key: value for key, value in os.environ.items() if key.startswith(("HF_", "MTEB_", "MPL", "PYTHON"))}
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    pasted = subprocess.run(
        ["bash", "--norc"],
        input=block.group(2),
        cwd=there,
        env={**environment, "PATH": programs, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert pasted.returncode == 0, pasted.stderr
    assert ids(there / STORE) == ids(here / STORE)
    assert not list(tmp_path.rglob("pwned"))
    assert str(tmp_path) not in page


ROWS = "question,answer\n" + "".join(f"what is {n} ?,it is {n} .\n" for n in range(40))
HELD = 'at_least("untrained", -1.0)'
VIOLATED = 'at_least("untrained", 0.999)'


def claiming(folder: Path, before: str, claim: str) -> None:
    study = folder / "study.py"
    study.write_text(study.read_text(encoding="utf-8").replace(before, claim), encoding="utf-8")


def damage(folder: Path) -> None:
    path = next((folder / STORE / "records").rglob("*.json*"))
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")


def test_the_table_in_the_readme_is_the_one_in_code() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"\n{exits.as_markdown()}\n" in readme


@pytest.mark.parametrize("command", ["plan", "report", "check", "show", "run"])
def test_each_code_of_the_commands_on_a_store_is_reached(
    command: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    claiming(copy, 'beats("mnr", "cosine")', HELD)
    options = TASKS if command == "run" else []
    reached = {main([command, "study.py", *options]), main([command, "no-such-file.py"])}
    if command in ("check", "run"):
        claiming(copy, HELD, VIOLATED)
        reached.add(main([command, "study.py", *options]))
    if command == "run":  # it sets a damaged record aside and repeats its run
        (copy / "file").write_text("", encoding="utf-8")
        reached.add(main(["run", "study.py", *options, "--report", "file/page"]))
    else:
        damage(copy)
        reached.add(main([command, "study.py"]))
    assert reached == {*exits.codes(command)} - {70, 130}


@pytest.mark.parametrize("command", exits.COMMANDS)
def test_interruptions_and_bugs_have_their_codes_in_each_command(
    command: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    module = __import__(f"harness.cli.{command}", fromlist=[command])
    arguments = {
        "new": [str(study.parent / "x.py"), "--source", "rows.csv"],
        "calibrate": [],
        "doctor": [],
        "compare": ["a", "b"],
        "transfer": ["study.py", "a", "b"],
        "bisect": ["study.py", "--package", "a", "--good", "1", "--bad", "2"],
    }.get(command, ["study.py"])
    for problem, code in ((KeyboardInterrupt(), 130), (RuntimeError("a bug"), 70)):

        def breaks(options: object, problem: BaseException = problem) -> int:
            raise problem

        monkeypatch.setattr(module, "command", breaks)
        assert main([command, *arguments]) == code
        assert code in exits.codes(command)


def test_each_code_of_new_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    made = [main(["new", file, "--source", "rows.csv"]) for file in ("a.py", "a.py", "rows.csv/a.py")]
    assert made == [0, 2, 3]
    assert {*made, 70, 130} == {*exits.codes("new")}


def test_each_code_of_compare_is_reached(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    shutil.copytree(STORE, "other")
    reached = [main(["compare", str(STORE), "other"]), main(["compare", "no-such-store", "other"])]
    damage(copy)
    assert [*reached, main(["compare", str(STORE), "other"])] == [0, 2, 3]
    assert {0, 2, 3, 70, 130} == {*exits.codes("compare")}


def test_each_code_of_fetch_is_reached(cache: Path, study: Path) -> None:
    done = [
        harness("fetch", "study.py", "--tasks", "STS16", cwd=study.parent),
        harness("fetch", "no-such-file.py", cwd=study.parent),
        harness("fetch", "study.py", cwd=study.parent, env={"HF_HOME": str(study.parent / "empty")}),
    ]
    assert [each.returncode for each in done] == [0, 2, 3], [each.stderr for each in done]
    assert {0, 2, 3, 70, 130} == {*exits.codes("fetch")}


def test_json_is_whole_whatever_it_holds(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    error = "ValueError: \x1b[2J\u202e\x9b\n[bold]x[/]"
    record = spoil(STORE, outcome="failed", error=error)
    assert main(["show", "study.py", "--json"]) == 0
    out = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in out)
    assert next(r for r in json.loads(out)["records"] if r["id"] == record.id)["error"] == error
