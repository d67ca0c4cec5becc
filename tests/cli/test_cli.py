"""The command line: quick, light where it can be, its documents as documented."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import CLOSED, GUARD, command, harness

from harness.api import load
from harness.cli.main import main
from harness.text import escape

STORE = Path("runs", "small-book")


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from harness.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(m for m in sys.modules if '.' not in m and m not in sys.stdlib_module_names), file=sys.stderr)"
    )
    started = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=True
    )

    for name in ("plan", "run", "report", "check", "show", "compare", "fetch", "exit codes", "130  interrupted"):
        assert name in done.stdout
    assert set(ast.literal_eval(done.stderr)) - set(started.stdout.split()) == {"harness"}  # nothing but Python's own


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["check", "report", "show"])
def test_the_help_of_commands_that_train_nothing_speaks_of_stored_runs(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(name, capsys)
    assert "use the runs on this testbed" in text
    assert "use the runs with --rows N" in text
    assert "run on this testbed" not in text
    assert "train on" not in text


def test_the_help_of_run_explains_values_and_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = help_of("run", capsys)
    for part in (
        "mteb tasks to evaluate instead of the testbed's, e.g. STS12,SICK-R",
        "tensorboard, wandb or mlflow",
        "at each study's best point, all, or none (default best)",
        "fp32: no mixed precision",
        "cores divided by --threads, at most 8",
        "with --max-seeds N: add final seeds",
        "with --until-decided: maximum number of final seeds",
        "N final seeds of each study",
        "compared with one thread",
        "as `harness plan` does",
    ):
        assert part in text, part


READING = {
    "plan": ["plan", "study.py"],
    "plan --json": ["plan", "study.py", "--json"],
    "check": ["check", "study.py"],
    "report": ["report", "study.py"],
    "show": ["show", "study.py"],
    "run --dry-run": ["run", "study.py", "--dry-run"],
    "compare": ["compare", str(STORE), str(STORE)],
}


@pytest.mark.parametrize("name", READING)
def test_reading_commands_import_no_torch(name: str, copy: Path) -> None:
    program = (
        "import sys; from harness.cli.main import main; main(sys.argv[1:])\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'mteb', 'datasets', 'optuna')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *READING[name]], cwd=copy, capture_output=True, text=True, timeout=GUARD
    )

    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert done.stdout.strip()


def test_show_json_is_one_document_of_all_records(finished: Path) -> None:
    done = harness("show", "study.py", "--json", cwd=finished)
    records = json.loads(done.stdout)["records"]
    kept = {record.id: record for record in load(finished / STORE).records()}

    assert done.returncode == 0
    assert {record["id"] for record in records} == set(kept)
    for record in records:
        assert {
            "study",
            "stage",
            "seed",
            "point",
            "outcome",
            "scores",
            "train_seconds",
            "examples_seen",
            "steps",
        } <= set(record)
        assert record["scores"] == kept[record["id"]].scores
        assert {"stsb-dev/pearson_cosine", "stsb-dev/spearman_cosine"} <= set(record["scores"])
        if record["stage"] == "untrained":
            assert record["point"] is None
        else:
            assert {"batch_size", "lr"} <= set(record["point"])
        if record["stage"] == "final":
            assert {"stsb-test/spearman_cosine", "mteb/STS16", "mteb/BIOSSES"} <= set(record["scores"])


def test_plan_tells_every_run_and_its_state(copy: Path) -> None:
    document = json.loads(harness("plan", "study.py", "--json", "--trials", "3", cwd=copy).stdout)
    states = [(run["study"], run["stage"], run["state"]) for run in document["runs"]]

    assert document["tasks"] == ["STS16", "BIOSSES"]  # as the store's last run had it
    assert ("untrained", "untrained", "done") in states
    for study in ("cosine", "mnr"):
        assert [state for s, stage, state in states if (s, stage) == (study, "tune")] == ["done", "done", "to do"]
        assert (study, "final", "waiting") in states  # the best point is not known before the third trial
    assert document["seconds_left"] > 0
    text = harness("plan", "study.py", cwd=copy).stdout
    assert f"{len(load(copy / STORE).records())} done" in text


def test_a_dry_run_shows_what_the_run_would_do_and_does_nothing(copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    done = harness("run", "study.py", "--dry-run", "--seeds", "4", "--tasks", "", cwd=copy)

    assert done.returncode == 0
    assert "2 done, 2 to do" in done.stdout
    assert sorted(path for path in copy.rglob("*") if "__pycache__" not in path.parts) == [
        path for path in before if "__pycache__" not in path.parts
    ]
    # Not what the last run was given (two tasks), but what this one is: the file's twelve
    assert "to do" in harness("run", "study.py", "--dry-run", cwd=copy).stdout


def test_a_plan_of_one_study_has_its_runs_and_the_untrained_model_s(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    assert main(["plan", "study.py", "--only", "mnr", "--seeds", "4", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert main(["plan", "study.py", "--seeds", "4", "--json"]) == 0
    assert runs == [run for run in json.loads(capsys.readouterr().out)["runs"] if run["study"] in ("untrained", "mnr")]
    assert main(["plan", "study.py", "--only", "mnr", "--seeds", "4"]) == 0
    shown = capsys.readouterr().out
    assert "2 to do" in shown
    assert "cosine" not in shown
    assert main(["run", "study.py", "--only", "mnr", "--seeds", "4", "--tasks", "STS16,BIOSSES", "--dry-run"]) == 0
    assert capsys.readouterr().out == shown


def test_plan_and_run_leave_out_mteb_by_one_option(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    assert main(["plan", "study.py", "--no-mteb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == []
    shown = []
    for arguments in (["plan", "study.py"], ["run", "study.py", "--dry-run"]):
        assert main([*arguments, "--no-mteb"]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_check_and_report_give_what_the_run_gave(copy: Path) -> None:
    said = (copy / "stdout.txt").read_text()
    code = int((copy / "code.txt").read_text())
    report = copy / "reports" / "small-book"
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    checked = harness("check", "study.py", cwd=copy)
    document = json.loads(harness("check", "study.py", "--json", cwd=copy).stdout)

    assert checked.returncode == code
    assert checked.stdout in said
    assert [v["expectation"] for v in document["verdicts"]] == ["mnr beats cosine"]
    assert document["verdicts"][0]["verdict"] in {0: ("holds", "inconclusive"), 1: ("violated",)}[code]
    assert {"README.md", "scores.csv", "records.json"} <= {path.name for path in before}
    for path in before:
        path.unlink()
    assert harness("report", "study.py", cwd=copy).returncode == 0
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


def test_the_best_models_are_kept_and_load(finished: Path) -> None:
    from sentence_transformers import SentenceTransformer

    records = load(finished / STORE).records()
    for study in ("cosine", "mnr"):
        kept = list((finished / STORE / "models" / study).iterdir())
        assert len(kept) == 1
        record = next(r for r in records if r.id == kept[0].name)
        rivals = [r for r in records if (r.study, r.stage, r.point) == (study, "final", record.point)]
        name = "stsb-dev/spearman_cosine"  # which two seeds may share
        assert record.scores[name] == max(rival.scores[name] for rival in rivals)
        model = SentenceTransformer(str(kept[0]), device="cpu")
        left, right = model.encode(["the old man holds the apple .", "the old man holds the boat ."])
        assert left.shape == (32,)
        assert (left != right).any()
        card = (kept[0] / "README.md").read_text(encoding="utf-8")
        for name, value in record.scores.items():
            assert f"| {escape(name)} | {value:.4f} |" in card
        assert "model-index" in card


WATCH = """
import os, sys

def watch(event, arguments):
    if event == "socket.connect" and "OUTSIDE" in os.environ:
        with open(os.environ["OUTSIDE"], "a") as file:
            print(arguments[1], file=file)

sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def narrowed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study alone, without tasks, all models kept, tensorboard told; every connection of every process is noted."""
    from commandline import STUDY

    folder = tmp_path_factory.mktemp("narrowed")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    environment = {
        "HF_ENDPOINT": CLOSED,
        "PYTHONPATH": os.pathsep.join([str(folder / "watch"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OUTSIDE": str(folder / "connections.txt"),
    }
    done = harness(
        *(
            "run",
            "study.py",
            "--only",
            "mnr",
            "--no-mteb",
            "--trials",
            "1",
            "--workers",
            "1",
            "--rows",
            "90",
            "--store",
            "s",
        ),
        *("--keep-models", "all", "--report-to", "tensorboard", "--report", "r", "--precision", "fp32"),
        cwd=folder,
        env=environment,
    )
    (folder / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    (folder / "code.txt").write_text(str(done.returncode), encoding="utf-8")
    return folder


def test_only_runs_the_named_study(narrowed: Path) -> None:
    records = load(narrowed / "s").records()

    assert sorted((r.study, r.stage, r.seed) for r in records) == [
        ("mnr", "final", 1),
        ("mnr", "final", 2),
        ("mnr", "tune", 0),
        ("untrained", "untrained", 0),
    ]
    assert all(r.outcome == "ok" for r in records)
    assert all(r.rows < 45 and r.provenance["precision"] == "fp32" for r in records)
    assert not any(name.startswith("mteb/") for r in records for name in r.scores)
    assert (narrowed / "code.txt").read_text() == "3"  # the other study was left out, so the ablation is incomplete
    assert (narrowed / "r" / "README.md").is_file()


def test_all_models_are_kept_if_asked(narrowed: Path) -> None:
    finals = {r.id for r in load(narrowed / "s").records() if r.stage == "final"}

    assert {path.name for path in (narrowed / "s" / "models" / "mnr").iterdir()} == finals


def test_tensorboard_gets_event_files(narrowed: Path) -> None:
    trained = [r for r in load(narrowed / "s").records() if r.stage != "untrained"]
    for record in trained:
        events = list((narrowed / "s" / "logs" / "mnr" / f"{record.stage}-{record.id}").rglob("events.out.tfevents.*"))
        assert len(events) == 1
        assert events[0].stat().st_size > 100


def test_offline_nothing_is_asked_of_any_network(narrowed: Path) -> None:
    connections = narrowed / "connections.txt"
    lines = connections.read_text().splitlines() if connections.exists() else []
    # urllib3 asks once, on import, whether the machine has IPv6 by binding; unix sockets are this machine's own
    outside = [line for line in lines if line.startswith("(") and not line.startswith(("('127.0.0.1'", "('::1'"))]

    assert outside == []


def test_the_watch_on_connections_works(narrowed: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted.txt"
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('203.0.113.1', 9))",
        ],
        env={**os.environ, "PYTHONPATH": str(narrowed / "watch"), "OUTSIDE": str(noted)},
        timeout=GUARD,
        check=False,
    )
    assert noted.read_text().startswith("('203.0.113.1'")


def test_version_and_plain_output(finished: Path) -> None:
    assert harness("--version", cwd=finished).stdout.startswith("harness ")
    said = (finished / "stderr.txt").read_text()
    assert "\x1b[" not in said  # no bars, no colours where there is no terminal
    assert "mnr: final seed 1" in said
    assert "report: " in (finished / "stdout.txt").read_text()
    piped = subprocess.run(
        f"{' '.join(command('show', 'study.py', '--json'))} | head -1",
        shell=True,
        cwd=finished,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    assert piped.stdout == "{\n"
    assert "Traceback" not in piped.stderr


def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.cli.run.find_spec", lambda name: None)

    assert main(["run", str(tmp_path / "study.py"), "--report-to", "mlflow"]) == 2
    assert "pip install mlflow" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
