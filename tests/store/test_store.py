"""The store and resuming: what is done is never done again, what is damaged is never lost, one driver writes at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commandline import STUDY, harness

from harness.api import load
from harness.errors import DamagedRecord, StoreError, UsageError
from harness.files import write_atomically
from harness.spec.space import Point
from harness.store.folder import create, read_record
from harness.store.records import Record

STORE = Path("runs", "small-book")


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The records' files: when each was written, and what it holds."""
    return {path.stem: (path.stat().st_mtime_ns, path.read_bytes()) for path in (folder / STORE / "records").iterdir()}


def scores(folder: Path) -> dict[str, dict[str, float]]:
    return {record.id: dict(record.scores) for record in load(folder / STORE).records()}


def test_a_finished_store_is_complete(finished: Path) -> None:
    records = load(finished / STORE).records()
    stages = [(r.study, r.stage) for r in records]

    assert all(r.outcome == "ok" for r in records)
    assert stages.count(("untrained", "untrained")) == 1
    for study in ("cosine", "mnr"):
        assert stages.count((study, "tune")) == 2
        assert stages.count((study, "final")) in (2, 4)  # two seeds, at one or two points
    assert {r.seed for r in records if r.stage == "tune"} == {0}
    assert {r.seed for r in records if r.stage == "final"} == {1, 2}
    assert not (finished / STORE / ".staging").exists()
    assert {path.name for path in (finished / STORE).iterdir()} == {
        "store.json",
        "audit.json",
        "contents.json",
        "designs.json",
        "last_run.json",
        "lock",
        "records",
        "models",
        "mteb",
        "optuna.db",
    }


def test_tuning_never_sees_the_test_sets(finished: Path) -> None:
    for record in load(finished / STORE).records():
        sets = {name.split("/")[0] for name in record.scores}
        assert sets == ({"stsb-dev"} if record.stage == "tune" else {"stsb-dev", "stsb-test", "mteb"})
        assert set(record.items) == (set() if record.stage == "tune" else {"stsb-dev", "stsb-test"})


def test_records_say_where_they_come_from(finished: Path) -> None:
    for record in load(finished / STORE).records():
        found = record.provenance
        assert {"git", "study_file", "versions", "hardware", "revisions", "rows_asked", "precision", "threads"} <= set(
            found
        )
        assert {"torch", "sentence-transformers", "mteb", "python"} <= set(found["versions"])
        assert record.peak_memory_mb > 100
        if record.stage != "untrained":
            assert record.train_seconds > 0
            assert (record.rows, record.steps, record.examples_seen) > (0, 0, 0)


def test_given_again_it_does_nothing(copy: Path) -> None:
    before = files(copy)
    again = harness("run", "study.py", "--tasks", "STS16,BIOSSES", cwd=copy)

    assert again.returncode == int((copy / "code.txt").read_text())
    assert again.stdout == (copy / "stdout.txt").read_text()
    assert files(copy) == before


def test_an_amended_ablation_runs_only_what_is_new(copy: Path) -> None:
    before = files(copy)
    hard = 'Study("mnr+hard", loss=losses.MultipleNegativesRankingLoss, view="triplet"),\n    ],'
    (copy / "study.py").write_text(STUDY.replace("],", hard, 1), encoding="utf-8")

    done = harness("run", "study.py", "--no-mteb", "--trials", "3", "--seeds", "3", "--executor", "inline", cwd=copy)

    assert done.returncode in (0, 1), done.stderr
    after = files(copy)
    assert {key: after[key] for key in before} == before
    new = [record for record in load(copy / STORE).records() if record.id not in before]
    tuned = [(r.study, r.trial) for r in new if r.stage == "tune"]
    assert sorted(tuned) == [("cosine", 2), ("mnr", 2), ("mnr+hard", 0), ("mnr+hard", 1), ("mnr+hard", 2)]
    assert [r for r in new if r.stage == "untrained"] == []

    # A further task is asked of those final runs alone that lack it
    lacking = {r.id for r in load(copy / STORE).records() if r.stage != "tune" and "mteb/STS16" not in r.scores}
    assert 0 < len(lacking) < len(after)
    before, old_scores = after, scores(copy)
    done = harness(
        "run", "study.py", "--tasks", "STS16", "--trials", "3", "--seeds", "3", "--executor", "inline", cwd=copy
    )
    after = files(copy)
    assert done.returncode in (0, 1), done.stderr
    assert {key for key in after if after[key] != before.get(key)} == lacking
    for key, found in scores(copy).items():
        assert {name: found[name] for name in old_scores[key]} == old_scores[key]
        assert set(found) - set(old_scores[key]) == ({"mteb/STS16"} if key in lacking else set())


DAMAGE: list[Callable[[bytes], bytes]] = [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(b'"seed": ', b'"seed": 1', 1),
    lambda text: b"not JSON at all",
    lambda text: b"",
    lambda text: bytes([text[0] ^ 0x80]) + text[1:],
]


def test_damaged_records_are_named_set_aside_and_done_again(copy: Path) -> None:
    before, old_scores = files(copy), scores(copy)
    victims = sorted(before)[: len(DAMAGE)]
    records = copy / STORE / "records"
    for damage, victim in zip(DAMAGE, victims, strict=True):
        (records / f"{victim}.json").write_bytes(damage(before[victim][1]))
    other = sorted(before)[-1]
    shutil.copy(records / f"{other}.json", records / "0123456789abcdef.json")  # another run's record under a new name
    damaged = files(copy)

    for name in ("show", "check", "report", "plan"):
        told = harness(name, "study.py", cwd=copy)
        assert told.returncode == 3, name
        assert "damaged record" in told.stderr
        assert "harness run" in told.stderr
        assert any(f"{victim}.json" in told.stderr for victim in (*victims, "0123456789abcdef"))
        assert "Traceback" not in told.stderr
    assert files(copy) == damaged
    good, bad = load(copy / STORE).readable()
    assert (len(good), len(bad)) == (len(before) - len(DAMAGE), len(DAMAGE) + 1)

    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES", "--workers", "2", cwd=copy)

    assert done.returncode in (0, 1), done.stderr
    assert done.stderr.count("damaged record set aside") == len(DAMAGE) + 1
    assert scores(copy) == old_scores
    untouched = before.keys() - set(victims)
    assert {key: files(copy)[key] for key in untouched} == {key: before[key] for key in untouched}
    aside = {path.name.partition(".")[0]: path.read_bytes() for path in (copy / STORE / "damaged").iterdir()}
    assert aside == {key: damaged[key][1] for key in (*victims, "0123456789abcdef")}


def test_a_run_that_trains_nothing_leaves_the_options_of_the_last_one(copy: Path, tmp_path: Path) -> None:
    options = copy / "runs" / "small-book" / "last_run.json"
    before = options.read_text(encoding="utf-8")
    refused = harness("run", "study.py", "--trials", "9", cwd=copy, env={"HF_HOME": str(tmp_path / "empty")})
    assert (refused.returncode, "cannot get the base model" in refused.stderr) == (3, True)
    assert options.read_text(encoding="utf-8") == before


def test_a_second_driver_is_refused_and_changes_nothing(copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / STORE).rglob("*.json")}
    with load(copy / STORE).locked():
        refused = harness("run", "study.py", "--trials", "9", cwd=copy)

    assert refused.returncode == 2
    assert "another driver is writing to this store" in refused.stderr
    assert "--store" in refused.stderr
    assert {path: path.read_bytes() for path in (copy / STORE).rglob("*.json")} == before
    with load(copy / STORE).locked():
        pass  # the lock is free again after its holder let go


def test_reading_needs_no_lock(copy: Path) -> None:
    with load(copy / STORE).locked():
        assert harness("show", "study.py", cwd=copy).returncode == 0
        assert harness("check", "study.py", cwd=copy).returncode == int((copy / "code.txt").read_text())


def some_record(**changes: object) -> Record:
    fields = {
        "id": "ab" * 8,
        "study": "s",
        "stage": "tune",
        "seed": 0,
        "point": Point(8, 1e-4, (("scale", 2.5),)),
        "trial": 0,
        "outcome": "ok",
        "scores": {"stsb-dev/spearman_cosine": 0.1},
        "curve": ((0.5, 0.1), (1.0, 0.2)),
    }
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = create(tmp_path / "s", "a", "b")
    record = some_record(error='ein Fehler: größer\n  als\t"gedacht"')
    store.write(record)

    assert store.records() == [record]
    assert read_record(tmp_path / "s" / "records" / f"{record.id}.json") == record


def test_a_message_that_is_no_unicode_does_not_end_a_driver(tmp_path: Path) -> None:
    store = create(tmp_path / "s", "a", "b")
    store.write(some_record(outcome="failed", scores={}, error="no such file: \udcff"))
    assert store.records()[0].error == "no such file: ?"


def test_a_record_that_is_no_number_is_never_written(tmp_path: Path) -> None:
    store = create(tmp_path / "s", "a", "b")
    with pytest.raises(ValueError, match="JSON"):
        store.write(some_record(scores={"x": float("nan")}))
    assert list((tmp_path / "s" / "records").iterdir()) == []


def test_every_single_bit_matters(tmp_path: Path) -> None:
    store = create(tmp_path / "s", "a", "b")
    store.write(some_record())
    path = next((tmp_path / "s" / "records").iterdir())
    whole = path.read_bytes()
    for position in range(len(whole) - 1):  # the last is the newline
        for bit in (0, 3):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :])
            with suppress(DamagedRecord):  # 1e-05 may be written in more ways than one
                assert read_record(path) == some_record(), position


def test_writing_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"f\.json: cannot be written \(No space left on device\); free space"):
        write_atomically(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("ablation", ["other", "a"])
def test_a_store_of_something_else_is_refused(ablation: str, tmp_path: Path) -> None:
    create(tmp_path, "a", "book")
    with pytest.raises(UsageError, match=r"this store holds ablation 'a' on testbed 'book'.*another --store"):
        create(tmp_path, ablation, "book" if ablation == "other" else "nli")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    create(tmp_path, "a", "book")
    identity = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps({**identity, "version": 99}))
    uses: tuple[Callable[[], Any], ...] = (lambda: load(tmp_path), lambda: create(tmp_path, "a", "book"))
    for use in uses:
        with pytest.raises(UsageError, match=r"newer harness.*99.*upgrade"):
            use()


def test_what_a_killed_write_left_is_cleared_by_the_next_driver(tmp_path: Path) -> None:
    store = create(tmp_path / "store", "one", "book")
    leftover = store.folder / "records" / ".0123456789abcdef.json.deadbeef"
    leftover.write_text('{"record": {"id": "0123', encoding="utf-8")

    assert store.records() == []
    assert store.set_damaged_aside() == ([], [])
    assert not leftover.exists()
