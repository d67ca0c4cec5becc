"""Whatever is wrong, one paragraph says what, where and how to fix it; the exit code is right and nothing is lost.

Study files have their own tests; here are options, stores, disks and hubs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import CLOSED, GUARD, STUDY, command, harness
from hub import Fault, Hub

from harness.cli.main import main
from harness.store.folder import create
from harness.store.records import Record

STORE = Path("runs", "small-book")


def assert_told(error: str, words: list[str]) -> None:
    assert "Traceback" not in error
    assert error.startswith(("error: ", "usage: ")) or "\nerror: " in error, error
    for word in words:
        assert word in error, error


OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "no such file": (["plan", "nothing.py"], ["nothing.py: no such file", "studies/all_losses.py"]),
    "a folder for a file": (["plan", "."], ["no such file"]),
    "no file at all": (["plan"], ["required: FILE"]),
    "unknown command": (["tune", "study.py"], ["invalid choice: 'tune'", "'run'"]),
    "unknown option": (["run", "study.py", "--epoch-count", "1"], ["--epoch-count"]),
    "zero trials": (["run", "study.py", "--trials", "0"], ["--trials 0: ", "trials=0", "at least 1"]),
    "trials that are no number": (["run", "study.py", "--trials", "many"], ["--trials", "'many'"]),
    "zero seeds": (["run", "study.py", "--seeds", "0"], ["--seeds 0: ", "seeds=0", "at least 1"]),
    "zero rows": (["run", "study.py", "--rows", "0"], ["--rows 0", "at least 1"]),
    "rows below zero": (["plan", "study.py", "--rows", "-5"], ["--rows -5", "at least 1"]),
    "epochs below zero": (["run", "study.py", "--epochs", "-1"], ["epochs=-1", "more than 0"]),
    "epochs that are no number": (["run", "study.py", "--epochs", "nan"], ["epochs=nan", "more than 0"]),
    "endless epochs": (["run", "study.py", "--epochs", "inf"], ["epochs=inf"]),
    "zero workers": (["run", "study.py", "--workers", "0"], ["--workers 0", "at least 1"]),
    "only a study that is none": (["run", "study.py", "--only", "mrn"], ["--only mrn", "cosine, mnr"]),
    "the plan of a study that is none": (["plan", "study.py", "--only", "mrn"], ["--only mrn", "cosine, mnr"]),
    "what part of a claim's runs can detect": (
        ["plan", "study.py", "--only", "mnr", "--detect", ".01"],
        ["--detect", "leave out --only"],
    ),
    "fewer seeds at most than at first": (
        ["run", "study.py", "--seeds", "5", "--until-decided", "--max-seeds", "3"],
        ["--max-seeds 3: ", "max_seeds=3", "at least the 5 seeds"],
    ),
    "unknown testbed": (["run", "study.py", "--testbed", "bok"], ["unknown testbed 'bok'", "book"]),
    "unknown precision": (["run", "study.py", "--precision", "fp8"], ["fp8", "fp32"]),
    "unknown executor": (["run", "study.py", "--executor", "cloud"], ["cloud", "local"]),
    "checked before it was run": (["check", "study.py"], ["no store here", "harness run", "--store"]),
    "reported before it was run": (["report", "study.py"], ["no store here", "harness run"]),
    "shown before it was run": (["show", "study.py"], ["no store here", "harness run"]),
    "compared with nothing": (["compare", "a", "b"], ["a: no store here"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(study.parent)
    arguments, words = OPTIONS[case]
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse's own way
        code = int(str(ended.code))

    assert code == 2
    printed = capsys.readouterr()
    assert_told(printed.err, words)
    assert printed.out == ""
    assert {path.name for path in study.parent.iterdir()} - {"__pycache__"} == {"study.py"}


def expecting(study: Path, figure: str, testbed: str = "testbeds.book") -> None:
    text = study.read_text(encoding="utf-8").replace("testbeds.book", testbed)
    text = text.replace('beats("mnr", "cosine")', f'at_least("mnr", 0.1, figure="{figure}")')
    study.write_text("from dataclasses import replace\n" + text, encoding="utf-8")


FIGURES: dict[str, tuple[str, list[str], list[str]]] = {
    "no tasks": ("mteb/STS12", ["--tasks", ""], ["'mteb/STS12'", "'STS12' is not evaluated here", "--tasks"]),
    "other tasks": ("mteb/STS13", ["--tasks", "STS12"], ["'mteb/STS13'", "'STS13' is not evaluated here"]),
    "a task of another testbed": ("mteb/EmbeddedSTS", [], ["'EmbeddedSTS' is not evaluated here"]),
    "a misspelt task": ("mteb/STS1", [], ["did you mean mteb/STS1"]),
    "a figure like no other": (
        "xx/yy",
        ["--tasks", ""],
        ["; choose from ", "stsb-dev/spearman_cosine", "stsb-test/spearman_cosine"],
    ),
}


@pytest.mark.parametrize("case", FIGURES)
def test_a_figure_that_no_run_will_have(
    case: str, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study.parent)
    figure, options, words = FIGURES[case]
    expecting(study, figure)

    assert main(["plan", "study.py", *options]) == 2

    printed = capsys.readouterr().err
    assert_told(printed, ["error: study.py:13: expectation 'mnr at least 0.1", "no run will have the score", *words])
    assert ("did you mean" in printed) == (case == "a misspelt task")


def test_no_mteb_leaves_no_task_to_a_claim(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study.parent)
    expecting(study, "mteb/STS12")

    assert main(["run", "study.py", "--no-mteb", "--dry-run"]) == 2
    assert "'STS12' is not evaluated here" in capsys.readouterr().err
    assert main(["run", "study.py", "--tasks", "STS12", "--dry-run"]) == 0


def test_a_figure_that_the_store_has_can_be_judged_without_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "study.py"
    study.write_text(STUDY, encoding="utf-8")
    expecting(study, "mteb/STS12")
    store = create(tmp_path / "store", "small", "book")
    options = ["check", "study.py", "--store", "store", "--tasks", ""]
    assert main(options) == 2
    store.write(Record("0" * 16, "untrained", "untrained", 0, None, None, "ok", scores={"mteb/STS12": 0.5}))

    assert main(options) == 3  # incomplete: this record is of no planned run
    assert "no run will have" in capsys.readouterr().err


def test_the_options_of_the_last_run_decide_which_figures_there_are(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The study file alone would name a task that its testbed has not."""
    monkeypatch.chdir(study.parent)
    expecting(study, "mteb/STS12", "replace(testbeds.book, also=())")
    create(study.parent / STORE, "small", "book")
    (study.parent / STORE / "last_run.json").write_text(json.dumps({"tasks": "STS12"}), encoding="utf-8")

    assert main(["plan", "study.py"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "words"), [("STS99", ["no task 'STS99'", "https://mteb"]), ("STS17:xx", ["no subset 'xx'", "en-en"])]
)
def test_a_task_of_a_study_file_that_mteb_lacks(
    task: str, words: list[str], study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study.parent)
    text = study.read_text(encoding="utf-8")
    bed = f"replace(testbeds.book, also=('STS12', '{task}'))"
    study.write_text("from dataclasses import replace\n" + text.replace("testbeds.book", bed), encoding="utf-8")

    assert main(["plan", "study.py"]) == 2
    assert_told(capsys.readouterr().err, [f"error: study.py:6: testbed 'book': task '{task}'", *words])
    assert main(["plan", "study.py", "--tasks", "STS12"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tasks", "STS12,Nonsense"], ["--tasks", "no task 'Nonsense'", "https://mteb"]),
        (["--tasks", "", "--storage", "nonsense"], ["nonsense", "--storage"]),
    ],
)
def test_options_that_only_a_library_can_judge(options: list[str], words: list[str], study: Path, cache: Path) -> None:
    done = harness("run", "study.py", *options, cwd=study.parent)

    assert done.returncode == 2
    assert_told(done.stderr, words)


def identity(store: Path, **changes: object) -> None:
    path = store / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_by_file(store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("a file")


STORES: dict[str, tuple[Callable[[Path], object], int, list[str]]] = {
    "newer version": (lambda s: identity(s, version=99), 2, ["small-book", "newer harness", "99", "upgrade"]),
    "version that is none": (lambda s: identity(s, version="one"), 3, ["store.json", "cannot be read"]),
    "other ablation": (lambda s: identity(s, ablation="other"), 2, ["'other'", "'small'", "choose another --store"]),
    "other testbed": (lambda s: identity(s, testbed="nli"), 2, ["'nli'", "'book'", "choose another --store"]),
    "identity cut short": (
        lambda s: (s / "store.json").write_text('{"version": 1'),
        3,
        ["store.json", "cannot be read", "restore"],
    ),
    "identity of another kind": (lambda s: (s / "store.json").write_text("[]"), 3, ["store.json", "cannot be read"]),
    "identity lacks a field": (
        lambda s: (s / "store.json").write_text('{"version": 1}'),
        3,
        ["store.json", "ablation"],
    ),
    "a file for a store": (replace_by_file, 3, ["small-book", "cannot", "--store"]),
}


@pytest.mark.parametrize("case", STORES)
@pytest.mark.parametrize("name", ["run", "check"])
def test_stores(case: str, name: str, copy: Path) -> None:
    break_it, code, words = STORES[case]
    break_it(copy / STORE)
    before = {path: path.read_bytes() for path in (copy / "runs").rglob("*") if path.is_file()}
    done = harness(name, "study.py", "--tasks", "STS16,BIOSSES", cwd=copy)

    if name == "check" and case.startswith("other "):
        words = words[:2]
    assert done.returncode == code, done.stderr
    assert_told(done.stderr, words)
    assert {path: path.read_bytes() for path in (copy / "runs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "content", ['{"rows": ', "[1, 2]", '"x"', '{"rows": "many"}', '{"seeds": true}', "[" * 99999, "\udcff"]
)
def test_a_broken_memory_of_the_last_run(content: str, copy: Path) -> None:
    (copy / STORE / "last_run.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    done = harness("check", "study.py", cwd=copy)

    assert done.returncode == 2
    assert_told(done.stderr, ["last_run.json", "delete it"])
    assert harness("check", "study.py", "--store", copy / STORE, cwd=copy).returncode == 2


def test_a_report_that_cannot_be_written(copy: Path) -> None:
    (copy / "file").write_text("in the way")
    for name in ("report", "run"):
        done = harness(name, "study.py", "--tasks", "STS16,BIOSSES", "--report", "file", cwd=copy)
        assert done.returncode == 3
        assert_told(done.stderr, ["file", "cannot be written"])


def in_namespace(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script where it may mount file systems that nobody else sees."""
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-ec", script], cwd=cwd, capture_output=True, text=True, timeout=GUARD, check=False
    )


@pytest.fixture
def mounts(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or in_namespace("mount -t tmpfs none /mnt", tmp_path).returncode:
        pytest.skip("this system lets an ordinary process mount nothing, and a full or read-only disk takes a mount")


RUN = f"{' '.join(command('run', 'study.py'))} --tasks STS16,BIOSSES --executor inline"


@pytest.mark.usefixtures("mounts")
def test_a_full_disk(copy: Path) -> None:
    store = copy / STORE
    for victim in sorted((store / "records").iterdir())[:3]:
        victim.rename(copy / victim.name)
    before = {path.name: path.read_bytes() for path in (store / "records").iterdir()}
    done = in_namespace(
        f"cp -a {store} saved; size=$(du -sk saved | cut -f1); mount -t tmpfs -o size=$((size + 64))k none {store}; "
        f"cp -a saved/. {store}; dd if=/dev/zero of={store}/ballast bs=1k 2>/dev/null || true; "
        f"set +e; {RUN}; code=$?; rm {store}/ballast; cp -a {store} after; exit $code",
        copy,
    )

    assert done.returncode == 3, done.stderr
    assert_told(done.stderr, ["cannot be written (No space left on device)", "free space"])
    left = {path.name: path.read_bytes() for path in (copy / "after" / "records").iterdir()}
    assert {name: left.get(name) for name in before} == before
    assert set(left) == set(before)


@pytest.mark.usefixtures("mounts")
def test_a_read_only_store(copy: Path) -> None:
    done = in_namespace(
        f"mount --bind {STORE} {STORE}; mount -o remount,ro,bind {STORE}; set +e; "
        f"{' '.join(command('check', 'study.py'))} > checked.txt; echo $? > code; {RUN}",
        copy,
    )

    assert (copy / "code").read_text() == (copy / "code.txt").read_text() + "\n"  # reading needs no writing
    assert done.returncode == 3, done.stderr
    assert_told(done.stderr, ["small-book", "Read-only file system", "--store"])


HUBS: dict[str, tuple[str, Fault, list[str]]] = {
    "no base model": (
        "google-bert/bert-base-uncased",
        "404",
        ["base model", "google-bert/bert-base-uncased", "no such repository"],
    ),
    "an error for the rows": ("nyu-mll/glue", "500", ["training rows", "nyu-mll/glue mnli/train", "500"]),
    "half of the test set": (
        "sentence-transformers/stsb",
        "half",
        ["test set", "sentence-transformers/stsb", "the download stopped"],
    ),
}


@pytest.mark.parametrize("case", HUBS)
def test_a_hub_that_fails_for_one_part(case: str, hub: Hub, study: Path) -> None:
    repo, fault, words = HUBS[case]
    hub.faults[repo] = fault
    home = study.parent / "home"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    done = harness("run", "study.py", "--no-mteb", cwd=study.parent, env=environment)

    assert done.returncode == 3
    assert_told(done.stderr, [*words, "testbed 'book'", "`harness fetch FILE`", "--testbed embedded"])
    hub.faults.clear()
    again = harness("fetch", "study.py", "--tasks", "", cwd=study.parent, env=environment)  # goes on where it stopped
    assert again.returncode == 0, again.stderr


def test_a_task_that_the_hub_lacks_is_named_and_the_rest_fetched(hub: Hub, study: Path) -> None:
    hub.faults["mteb/biosses-sts"] = "404"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(study.parent / "home"), "HF_HUB_OFFLINE": "0"}
    done = harness("fetch", "study.py", "--tasks", "BIOSSES,STS16", cwd=study.parent, env=environment)

    assert done.returncode == 3
    assert "missing: task BIOSSES: mteb/biosses-sts" in done.stderr
    assert "Traceback" not in done.stderr
    assert any("/datasets/mteb/sts16-sts/resolve/" in line for line in hub.requests)


@pytest.mark.parametrize("kind", ["nothing listens", "offline", "hangs"])
def test_no_hub_and_no_cache_fails_with_both_ways_out(kind: str, hub: Hub, study: Path) -> None:
    """Also while a hub that hangs goes on hanging."""
    if kind == "hangs":
        hub.faults[""] = "hang"
    environment = {
        "HF_ENDPOINT": hub.url if kind == "hangs" else CLOSED,
        "HF_HOME": str(study.parent / "home"),
        "HF_HUB_OFFLINE": "1" if kind == "offline" else "0",
    }
    done = harness("run", "study.py", cwd=study.parent, env=environment)

    assert done.returncode == 3
    assert_told(
        done.stderr,
        [
            "testbed 'book': cannot get the base model, google-bert/bert-base-uncased",
            "not in the cache",
            "`harness fetch FILE`",
            "--testbed embedded",
        ],
    )


def test_a_cache_that_lost_a_file_is_noticed(hub: Hub, study: Path) -> None:
    home = study.parent / "home"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    assert harness("fetch", "study.py", "--tasks", "", cwd=study.parent, env=environment).returncode == 0
    next(home.rglob("mnli/train-*")).unlink()
    offline = harness("run", "study.py", "--no-mteb", cwd=study.parent, env={**environment, "HF_HUB_OFFLINE": "1"})

    assert offline.returncode == 3
    assert_told(offline.stderr, ["training rows", "nyu-mll/glue", "harness fetch"])


def test_the_study_file_used_here_is_good(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent)
    assert study.read_text() == STUDY
    assert main(["plan", "study.py"]) == 0
