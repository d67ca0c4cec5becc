"""Files of a store are read by one module, and what is damaged is named, set aside by a driver, and costs nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from commandline import STUDY
from stateful import Stub, without_training

from harness.cli.main import main
from harness.errors import StoreError, StoreLocked
from harness.store import reading
from harness.store.folder import create, load
from harness.store.records import Record

MODULE = Path(reading.__file__)


class Opened:
    """Notes which code of the harness opens a file below a folder; an audit hook cannot be taken away again."""

    folder: Path | None = None
    by: list[tuple[str, str]] = []  # noqa: RUF012

    @classmethod
    def hook(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or cls.folder is None or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path = os.path.abspath(arguments[0])
        if not path.startswith(f"{cls.folder}{os.sep}"):
            return
        frame: Any = sys._getframe(1)
        while frame is not None and "harness" not in Path(frame.f_code.co_filename).parts[-3:]:
            frame = frame.f_back
        cls.by.append((path, "" if frame is None else frame.f_code.co_filename))


sys.addaudithook(Opened.hook)


@pytest.fixture
def watched(copy: Path) -> Iterator[Path]:
    """The store of a copy of `finished`, while it is noted who opens its files."""
    Opened.folder, Opened.by = copy / "runs" / "small-book", []
    yield Opened.folder
    Opened.folder = None


def test_one_module_opens_a_stores_files(watched: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    commands = (
        *(["check", "study.py"], ["show", "study.py"], ["plan", "study.py"], ["report", "study.py", "--report", "out"]),
        ["compare", str(watched), str(watched)],
    )
    for command in commands:
        Opened.by = []
        assert main(command) in (0, 1)
        assert {Path(by).name for _, by in Opened.by} == {MODULE.name}
        assert any("records" in path for path, _ in Opened.by)


@dataclass(frozen=True)
class Leaf:
    kind: Literal["a", "b"]
    pairs: tuple[tuple[str, float], ...] = ()
    more: float | str | None = None
    anything: Any = None


FITS: dict[str, tuple[str, Leaf]] = {
    "least": ('{"kind": "a"}', Leaf("a")),
    "a field that is not declared": ('{"kind": "a", "x": 1}', Leaf("a")),
    "all": ('{"kind": "b", "pairs": [["é", 1]], "more": "x"}', Leaf("b", (("é", 1),), "x")),
    "a number": ('{"kind": "b", "more": 0.5, "anything": {"a": [1]}}', Leaf("b", (), 0.5, {"a": [1]})),
}


@pytest.mark.parametrize("case", FITS)
def test_what_fits_its_declaration_is_made_of_json(case: str) -> None:
    source, made = FITS[case]
    assert reading.typed(reading.parsed(source), Leaf) == made


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{}", "has no kind"),
        ("[]", "is a list"),
        ('{"kind": "c"}', "its kind is 'c', none of a, b"),
        ('{"kind": ["a"]}', "its kind is a list"),
        ('{"kind": "a", "pairs": [["x"]]}', "its pairs has 1 values, not 2"),
        ('{"kind": "a", "pairs": [["x", true]]}', "its pairs is a bool"),
        ('{"kind": "a", "pairs": [["x", 1e999]]}', "not a finite number"),
        ('{"kind": "a", "more": NaN}', "NaN is no number"),
        ('{"kind": "a", "more": ' + "9" * 400 + "}", "more than 18 digits"),
        ('{"kind": "a", "more": "\\ud800"}', "no Unicode"),
        ('{"kind": "a", "more": []}', "its more is a list"),
        ('{"kind": "a", "anything": ' + "[" * 30 + "]" * 30 + "}", "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": "a"', "delimiter"),
    ],
)
def test_what_does_not_fit_is_named(source: str, words: str) -> None:
    with pytest.raises(reading.Unreadable, match=words):
        reading.typed(reading.parsed(source), Leaf)


def as_link(path: Path) -> None:
    outside = path.with_name("outside.json")
    path.rename(outside)
    path.symlink_to(outside)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_too_much(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(reading.MOST + 1)


OTHERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (as_link, "a symbolic link"),
    "a pipe": (as_pipe, "not a regular file"),
    "a folder": (as_folder, "not a regular file"),
    "too large": (as_too_much, "bytes"),
    "no Unicode": (lambda path: (path.write_bytes(b"\xff"), None)[1], "not UTF-8"),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("name", ["store.json", "last_run.json", "audit.json", "contents.json", "designs.json"])
def test_what_is_no_readable_file_is_named_with_the_reason(
    name: str, case: str, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "runs" / "small-book" / name
    spoil, words = OTHERS[case]
    spoil(path)
    monkeypatch.chdir(copy)
    assert main(["check", "study.py"]) == (2 if name == "last_run.json" else 3)
    told = capsys.readouterr().err
    assert f"runs/small-book/{name}: " in told
    assert words in told


def test_show_prints_the_rest_and_names_what_is_damaged(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = sorted((copy / "runs" / "small-book" / "records").iterdir())
    records[0].write_text("{")
    as_pipe(records[1])
    monkeypatch.chdir(copy)
    assert main(["show", "study.py", "--json"]) == 3
    told = capsys.readouterr()
    assert len(json.loads(told.out)["records"]) == len(records) - 2
    assert [path.name in told.err for path in records] == [True, True, *[False] * (len(records) - 2)]


SIZES = {"seeds": 100_000_000, "trials": 10_001, "max_seeds": 10_001, "tunings": 10_001, "tasks": "x" * 50_001}


@pytest.mark.parametrize("name", SIZES)
def test_a_last_run_of_absurd_size_is_refused_with_its_file(
    name: str, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "runs" / "small-book" / "last_run.json").write_text(json.dumps({name: SIZES[name]}))
    monkeypatch.chdir(copy)
    assert main(["plan", "study.py"]) == 2
    assert "runs/small-book/last_run.json: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("testbed", "none"), ("seeds", -1), ("tasks", "NoTask"), ("rows", 0)])
def test_an_option_of_the_last_run_that_is_none_is_refused_with_its_file(
    name: str, value: object, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "runs" / "small-book" / "last_run.json").write_text(json.dumps({name: value}))
    monkeypatch.chdir(copy)
    assert main(["check", "study.py"]) == 2
    assert "runs/small-book/last_run.json" in capsys.readouterr().err


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs STUDY on a stub instead of training; returns the exit code and what stderr was told."""
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(stub: Stub | None = None) -> tuple[int, str]:
        use(stub or Stub())
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            code = main(["run", "study.py", "--no-mteb"])
        return code, err.getvalue()

    with without_training() as use:
        assert run()[0] in (0, 1)
        yield run


@pytest.mark.parametrize("name", ["last_run.json", "audit.json", "contents.json", "optuna.db"])
@pytest.mark.parametrize("how", ["a folder", "nonsense"])
def test_a_run_sets_aside_what_it_can_make_anew(how: str, name: str, machine: Callable[[], tuple[int, str]]) -> None:
    path = Path("runs", "small-book", name)
    if how == "a folder":
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        path.write_text("nonsense")
    Path("runs", "small-book", "records").rename("kept")  # something is left to do
    code, told = machine()
    assert code in (0, 1), told
    aside = sorted(each.name.partition(".")[0] for each in Path("runs", "small-book", "damaged").glob("*"))
    assert aside == ([] if how == "nonsense" and name in ("last_run.json", "optuna.db") else [path.stem])
    assert machine()[0] == code


def test_a_log_of_designs_that_cannot_be_read_ends_a_run_before_anything_is_changed(
    machine: Callable[[], tuple[int, str]],
) -> None:
    """Without it nobody could tell what was declared before test scores were known."""
    log = Path("runs", "small-book", "designs.json")
    log.write_text("nonsense")
    next(Path("runs", "small-book", "records").iterdir()).write_text("nonsense")
    code, told = machine()
    assert code == 3
    assert "designs.json" in told
    assert "restore it" in told
    assert not Path("runs", "small-book", "damaged").exists()


@pytest.mark.parametrize("case", ["deleted", "moved", "replaced"])
def test_a_driver_notices_that_its_store_is_gone(case: str, tmp_path: Path) -> None:
    store = create(tmp_path / "store", "a", "b")
    with store.locked() as still_there:
        still_there()
        if case == "moved":
            store.folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(store.folder)
        if case == "replaced":
            with create(tmp_path / "store", "a", "b").locked(), pytest.raises(StoreError, match="deleted, moved or"):
                still_there()
        with pytest.raises(StoreError, match="the driver stopped"):
            still_there()


def test_a_driver_whose_store_was_replaced_leaves_the_other_as_it_is(machine: Callable[..., tuple[int, str]]) -> None:
    store = Path("runs", "small-book")
    (store / "records").rename("kept")
    of_the_other = store / ".staging" / "0123456789abcdef" / "model"

    def replace(record: Record) -> None:
        shutil.move(store, "away")
        shutil.copytree("away", store)
        of_the_other.mkdir(parents=True)

    code, told = machine(Stub(ended=replace))
    assert (code, "the driver stopped" in told) == (3, True)
    assert of_the_other.is_dir()
    assert list((store / "records").iterdir()) == []


def test_a_lock_that_is_a_pipe_or_a_folder_makes_nobody_wait(tmp_path: Path) -> None:
    store = create(tmp_path / "store", "a", "b")
    lock = store.folder / "lock"
    os.mkfifo(lock)
    reader = os.open(lock, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(StoreError, match="not a regular file"), load(store.folder).locked():
        pass
    os.close(reader)
    with pytest.raises(StoreError, match="not writable"), load(store.folder).locked():
        pass
    lock.unlink()
    with store.locked(), pytest.raises(StoreLocked), load(store.folder).locked():
        pass
