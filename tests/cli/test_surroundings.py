"""What surrounds a command: files beside the study file, the current folder, odd names, locales, output that goes away."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pytest
from commandline import GUARD, STUDY, command, harness

from harness.api import load
from harness.cli import exits, show
from harness.cli.main import main
from harness.executors.processes import in_fresh_process
from harness.spec.loading import load_study_file

SHORT = ("--no-mteb", "--trials", "1", "--seeds", "1", "--rows", "60", "--workers", "1", "--store", "store")

PACKAGE = {
    "mylosses/__init__.py": "from .core import loss\n",
    "mylosses/core.py": (
        "from harness import losses\nfrom .deep.scales import scale\n\n\n"
        "@losses.reads('none')\ndef loss(model):\n"
        "    from helper import make\n    from mylosses.late import same\n\n    return same(make(model, scale()))\n"
    ),
    "mylosses/deep/scales.py": "def scale():\n    return 20.0\n",  # no __init__.py: a namespace package
    "mylosses/late.py": "def same(what):\n    return what\n",
    "helper.py": (
        "from harness import losses\n\n\n"
        "def make(model, scale):\n    return losses.MultipleNegativesRankingLoss(model, scale=scale)\n"
    ),
    "study.py": STUDY.replace("from harness import *", "from harness import *\nfrom mylosses import loss").replace(
        "losses.MultipleNegativesRankingLoss", "loss"
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def outcomes(store: Path) -> list[tuple[str, str, str]]:
    return sorted((record.study, record.stage, record.outcome) for record in load(store).records())


ONE_STUDY = [("mnr", "final", "ok"), ("mnr", "tune", "ok"), ("untrained", "untrained", "ok")]


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_package_beside_the_study_file_and_a_helper_that_a_loss_imports_run_in_workers(
    executor: str, cache: Path, tmp_path: Path
) -> None:
    """And files of the current folder that are called like modules of Python's are nobody's to import."""
    if executor == "ray":
        pytest.importorskip("ray")
    write(tmp_path / "study", PACKAGE)
    trap = f"open({str(tmp_path / 'imported')!r}, 'a').write(__name__)\n"
    here = write(tmp_path / "here", {f"{name}.py": trap for name in ("socket", "multiprocessing", "selectors")})
    done = harness(
        "run",
        tmp_path / "study" / "study.py",
        *SHORT,
        "--only",
        "mnr",
        "--executor",
        executor,
        cwd=here,
    )

    assert outcomes(here / "store") == ONE_STUDY, done.stderr
    assert not (tmp_path / "imported").exists() or executor == "ray"  # Ray's own processes are Ray's


def test_a_loss_travels_with_its_package_as_it_was_loaded(tmp_path: Path) -> None:
    write(
        tmp_path / "study",
        {**PACKAGE, "mylosses/core.py": "from .deep.scales import scale\n\n\ndef loss(model):\n    return scale()\n"},
    )
    sent = cloudpickle.dumps(load_study_file(tmp_path / "study" / "study.py").study("mnr").loss)
    shutil.rmtree(tmp_path / "study")

    assert in_fresh_process(called, sent) == 20.0


def called(sent: bytes) -> object:
    return pickle.loads(sent)(None)


def test_what_is_installed_below_the_study_files_folder_travels_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / ".venv" / "lib" / "site-packages"
    write(site, {"installed_below.py": "def loss(model):\n    return 'of the installed package'\n"})
    monkeypatch.syspath_prepend(str(site))
    study = STUDY.replace("from harness import *", "from harness import *\nfrom installed_below import loss")
    write(tmp_path, {"study.py": study.replace("losses.CosineSimilarityLoss", "loss")})

    sent = cloudpickle.dumps(load_study_file(tmp_path / "study.py").study("cosine").loss)
    assert b"of the installed package" not in sent
    assert b"installed_below" in sent


def test_what_a_loss_imports_when_called_is_of_the_study_file_loaded_last(tmp_path: Path) -> None:
    before, found = list(sys.path), []
    for number in ("1", "2"):
        write(
            tmp_path / number,
            {
                "package_of_two/late.py": f"NUMBER = {number}\n",
                "study.py": STUDY.replace(
                    "ablation =",
                    "def loss(model):\n    from package_of_two.late import NUMBER\n    return NUMBER\n\nablation =",
                ).replace("losses.CosineSimilarityLoss", "loss"),
            },
        )
        loss = load_study_file(tmp_path / number / "study.py").study("cosine").loss
        assert loss is not None
        found.append(loss(None))
        assert sys.path[-1] == str(tmp_path / number)
    assert found == [1, 2]
    assert str(tmp_path / "1") not in sys.path
    assert [folder for folder in before if folder in sys.path][: len(before) - 1] == before[: len(before) - 1]


SCRIPT = """
from dataclasses import replace
from harness import *
from harness.api import run

def mine(model):
    return losses.MultipleNegativesRankingLoss(model)

ablation = Ablation(
    name="script",
    testbed=replace(testbeds.book, also=(), max_rows=60),
    studies=[Study("mine", loss=mine, view="pair")],
    space=Space(batch_size=choice(8), lr=log_uniform(1e-4, 1e-2)),
    budget=Budget(trials=1, epochs=0.5, seeds=1),
)
print("done", run(ablation, "store", workers=1).unfinished())
"""


@pytest.mark.parametrize("how", ["file", "command"])
def test_a_script_that_calls_run_needs_no_main_guard(how: str, cache: Path, tmp_path: Path) -> None:
    write(tmp_path, {"script.py": SCRIPT})
    given = ["script.py"] if how == "file" else ["-c", SCRIPT]
    done = subprocess.run(
        [sys.executable, *given], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "done 0\n"  # once: no process ran the script again
    assert "Traceback" not in done.stderr
    assert {outcome for *_, outcome in outcomes(tmp_path / "store")} == {"ok"}


def test_workers_look_for_modules_in_the_current_folder_last(tmp_path: Path) -> None:
    """And what they start, in none of its own accord."""
    program = (
        "from harness.executors.processes import in_fresh_process as fresh\n"
        'print(fresh(eval, \'(__import__("sys").path, __import__("sys").flags.safe_path)\'))'
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=True
    )
    path, safe = ast.literal_eval(done.stdout)
    assert path.count(str(tmp_path)) == 1
    assert path[-1] == str(tmp_path)
    assert safe


ODD = "t?q #%41&é\"'{x} [*]"
NAMES = STUDY.replace('"small"', '"größer"').replace('"mnr"', '"学习 ≥ é"')
LOCALES = {
    "C": {"LC_ALL": "C"},
    "C, not as UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII output": {"PYTHONIOENCODING": "ascii"},
    "Latin-1 output": {"PYTHONIOENCODING": "latin-1"},
}


@pytest.fixture(scope="module")
def odd(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of names beyond ASCII in a store of an odd name, where nothing but ASCII can be printed."""
    folder = write(tmp_path_factory.mktemp("odd"), {"größe.py": NAMES})
    done = harness(
        *("run", "größe.py", *SHORT[:-1], ODD, "--only", "学习 ≥ é", "--keep-models", "all", "--report", "r é"),
        cwd=folder,
        env={**LOCALES["C, not as UTF-8"], "PYTHONIOENCODING": "ascii"},
        timeout=GUARD,
    )
    assert done.returncode == 3, done.stderr  # the other study was left out
    assert "Traceback" not in done.stderr
    assert r"\u5b66\u4e60" in done.stdout
    return folder


def test_all_of_a_store_with_an_odd_name_lies_in_it(odd: Path) -> None:
    assert {path.name for path in odd.iterdir()} - {"__pycache__"} == {"größe.py", ODD, "r é"}
    assert outcomes(odd / ODD) == sorted((study.replace("mnr", "学习 ≥ é"), *rest) for study, *rest in ONE_STUDY)
    with sqlite3.connect(odd / ODD / "optuna.db") as mirror:
        assert mirror.execute("SELECT count(*) FROM trials").fetchall() == [(1,)]
        assert mirror.execute("SELECT study_name FROM studies").fetchall() == [("größer/cosine",), ("größer/学习 ≥ é",)]
    assert [path.name for path in (odd / ODD / "models").iterdir()] == ["学习 ≥ é"]


def test_the_reports_command_can_be_given_to_a_shell(odd: Path) -> None:
    page = (odd / "r é" / "README.md").read_text(encoding="utf-8")
    assert "学习 ≥ é" in page
    assert "harness run 'größe.py' --rows 60" in page or "harness run größe.py --rows 60" in page


@pytest.mark.parametrize("locale", LOCALES)
def test_names_beyond_ascii_are_told_in_every_locale(locale: str, odd: Path, tmp_path: Path) -> None:
    for arguments, code in (
        (["plan", "größe.py", "--store", ODD], 0),
        (["plan", "größe.py", "--store", ODD, "--json"], 0),
        (["check", "größe.py", "--store", ODD], 3),
        (["check", "größe.py", "--store", ODD, "--json", "--junit", str(tmp_path / "junit.xml")], 3),
        (["show", "größe.py", "--store", ODD, "--json"], 0),
        (["show", "größe.py", "--store", ODD], 0),
        (["report", "größe.py", "--store", ODD, "--report", str(tmp_path / "ü")], 0),
        (["compare", ODD, ODD], 0),
        (["run", "größe.py", "--store", ODD, "--dry-run"], 0),
        (["plan", "größe.py", "--testbed", "bök"], 2),
    ):
        done = harness(*arguments, cwd=odd, env=LOCALES[locale])
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        if "--json" in arguments:
            assert "学习 ≥ é" in json.dumps(json.loads(done.stdout), ensure_ascii=False)
    assert "学习 ≥ é" in (tmp_path / "ü" / "README.md").read_text(encoding="utf-8")
    assert "学习 ≥ é" in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_python_runs_the_package_as_the_command(tmp_path: Path) -> None:
    for arguments in (["--version"], ["--help"], ["plan", "--help"]):
        by_module, by_script = (
            subprocess.run(start, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=True)
            for start in ([sys.executable, "-m", "harness", *arguments], command(*arguments))
        )
        assert by_module.stdout == by_script.stdout
        assert by_module.stdout.startswith(("harness 0", "usage: harness "))


def test_every_help_ends_with_the_exit_codes_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*exits.COMMANDS, None):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"] if name else ["--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.rstrip().endswith(exits.epilog(name))


GONE = {
    "closed": ">&-",
    "all closed": ">&- 2>&- <&-",
    "full": "> /dev/full",
    "errors to a full disk": "2> /dev/full",
    "a pipe that nobody reads": "| true",
    "a pipe of both that nobody reads": "2>&1 | true",
    "a pipe that is read in part": "| head -1",
}


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; its exit code is that of the first program of its pipe."""
    return subprocess.run(
        ["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


@pytest.mark.parametrize("case", GONE)
def test_the_exit_code_is_the_results_whatever_becomes_of_the_output(case: str, finished: Path) -> None:
    incomplete = shlex.join(
        [*command("check", "study.py", "--seeds", "9", "--store", finished / "runs" / "small-book")]
    )
    for start, code in ((incomplete, 3), (shlex.join(command("plan", "no-such-file.py")), 2)):
        done = shell(f"{start} {GONE[case]}", finished)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
    told = "stdout cannot be written (No space left on device)" in shell(f"{incomplete} {GONE[case]}", finished).stderr
    assert told == (case == "full")


def test_what_was_lost_on_a_full_disk_is_not_all_well(finished: Path) -> None:
    done = shell(f"{shlex.join(command('plan', 'study.py', '--json'))} > /dev/full", finished)
    assert done.returncode == exits.UNEXPECTED
    assert "stdout cannot be written (No space left on device)" in done.stderr


def test_output_to_a_full_pipe_that_does_not_block_waits_for_its_reader(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    full = 0
    with suppress(BlockingIOError):
        while True:
            full += os.write(writing, b" " * 4096)
    with subprocess.Popen(
        command("--version"), cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True
    ) as running:
        os.close(writing)
        with suppress(subprocess.TimeoutExpired):  # what cannot wait ends by then; too short, this shows nothing
            running.wait(timeout=5)
        with open(reading, "rb") as pipe:
            said = pipe.read(full)
            said += pipe.read()
        assert running.wait(timeout=GUARD) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""
    assert said.strip().startswith(b"harness 0")


@pytest.mark.parametrize("case", ["all closed", "a pipe of both that nobody reads", "a pipe that is read in part"])
def test_a_run_ends_whatever_becomes_of_its_output(case: str, cache: Path, tmp_path: Path) -> None:
    write(tmp_path, {"study.py": STUDY})
    done = shell(f"{shlex.join(command('run', 'study.py', *SHORT, '--only', 'mnr'))} {GONE[case]}", tmp_path)

    assert done.returncode == 3  # one study of two
    assert outcomes(tmp_path / "store") == ONE_STUDY
    assert list((tmp_path / "reports").rglob("README.md"))


def test_an_unexpected_error_has_a_code_and_a_line_of_its_own(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(options: object) -> int:
        raise ZeroDivisionError("nobody foresaw\nthis of hf_thisIsNobodysToken")

    monkeypatch.setattr(show, "command", breaks)
    monkeypatch.setenv("HF_TOKEN", "hf_thisIsNobodysToken")
    monkeypatch.setattr("tempfile.tempdir", str(study.parent))

    assert main(["show", str(study)]) == exits.UNEXPECTED == 70
    told = capsys.readouterr().err
    assert told.startswith("error: unexpected ZeroDivisionError: nobody foresaw; ")
    assert told.count("\n") == 1
    (kept,) = study.parent.glob("harness-error-*.txt")
    assert str(kept) in told
    assert "in breaks" in kept.read_text(encoding="utf-8")
    assert "hf_thisIsNobodysToken" not in kept.read_text(encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(study.parent / "gone"))
    assert main(["show", str(study)]) == exits.UNEXPECTED
    assert "in breaks" in capsys.readouterr().err


def test_a_locale_of_another_encoding_is_left_for_utf8(tmp_path: Path) -> None:
    """Else names beyond it could name no folder: the command starts again in Python's UTF-8 mode."""
    program = "import sys; from harness.cli import main as cli; cli._code = lambda given: print(sys.getfilesystemencoding(), given) or 0; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", "é"],
        cwd=tmp_path,
        env={**os.environ, **LOCALES["C, not as UTF-8"]},
        capture_output=True,
        encoding="utf-8",
        timeout=GUARD,
        check=True,
    )
    assert done.stdout == "utf-8 ['plan', 'é']\n"


def test_what_a_run_leaves_in_a_helper_module_is_nothing_to_the_next(cache: Path, tmp_path: Path) -> None:
    """A counter in a module that a loss imports when it is called: each run begins with its own."""
    (tmp_path / "counting.py").write_text("calls = []\n", encoding="utf-8")
    (tmp_path / "study.py").write_text(
        """
from harness import *

def loss(model):
    import counting
    counting.calls.append(1)
    return losses.MultipleNegativesRankingLoss(model, scale=20 if len(counting.calls) < 3 else 1)

ablation = Ablation(
    name="counting", testbed=testbeds.book, studies=[Study("mine", loss=loss, view="pair")],
    space=Space(batch_size=choice(16), lr=log_uniform(1e-4, 1e-2)), budget=Budget(trials=1, epochs=0.5, seeds=3),
)
""",
        encoding="utf-8",
    )
    scores = {}
    for executor in ("inline", "local"):
        store = tmp_path / executor
        arguments = ("--no-mteb", "--executor", executor, "--workers", "1", "--store", store, "--precision", "fp32")
        done = harness("run", "study.py", *arguments, cwd=tmp_path, env={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        records = json.loads(harness("show", "study.py", "--store", store, "--json", cwd=tmp_path).stdout)["records"]
        scores[executor] = {record["id"]: round(record["scores"]["stsb-dev/spearman_cosine"], 3) for record in records}
    assert scores["inline"] == scores["local"]
