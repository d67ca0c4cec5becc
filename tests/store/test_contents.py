"""What names stand for is part of a run's id: data, weights and precision by content, checked where a run is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commandline import harness

from harness.reading.hashes import of_frame, of_model
from harness.store.folder import VERSION

STORE = Path("runs") / "small-book"


def contents(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STORE / "contents.json").read_text(encoding="utf-8"))
    return found


def records(folder: Path) -> set[str]:
    return {path.name for path in (folder / STORE / "records").iterdir()}


def cache_of(cache: Path, folder: Path) -> dict[str, str]:
    """A copy of the hub's cache, which a test may change."""
    return {"HF_HOME": str(shutil.copytree(cache, folder / "hf", symlinks=True))}


def test_a_run_knows_all_parts_by_content_and_each_record_holds_them(finished: Path) -> None:
    found = contents(finished)
    assert len(found["parts"]) == 4  # model, rows, dev, test
    shown = json.loads(harness("show", "study.py", "--json", cwd=finished).stdout)["records"]
    for record in shown:
        assert {*record["provenance"]["contents"]} >= {"model", "rows", "dev"}
        assert set(record["provenance"]["contents"].values()) <= set(found["parts"].values())
        assert record["provenance"]["harness_git"].keys() == {"commit", "dirty"}
        assert record["provenance"]["versions"]["harness code"]


def test_plan_gives_ids_once_the_data_were_read_and_the_same_as_the_records(finished: Path, study: Path) -> None:
    before = json.loads(harness("plan", "study.py", "--json", cwd=study.parent).stdout)
    assert {run["id"] for run in before["runs"]} == {None}
    after = json.loads(harness("plan", "study.py", "--json", cwd=finished).stdout)
    assert {f"{run['id']}.json" for run in after["runs"]} == records(finished)


def test_weights_of_another_content_under_the_same_name_make_new_runs(copy: Path, cache: Path, tmp_path: Path) -> None:
    env = cache_of(cache, tmp_path)
    first = records(copy)
    again = harness("run", "study.py", "--tasks", "STS16,BIOSSES", cwd=copy, env=env)
    assert records(copy) == first, again.stderr  # the same content in another folder
    weights = next((tmp_path / "hf").glob("hub/models--*/snapshots/*/model.safetensors"))
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.unlink()
    weights.write_bytes(changed)
    told = harness("plan", "study.py", cwd=copy, env=env)
    assert told.returncode == 0  # from the store alone: its runs were made with what they were made with
    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES", "--trials", "1", "--seeds", "1", cwd=copy, env=env)
    assert "changed since the last run, so the affected runs are new" in done.stderr
    assert "google-bert/bert-base-uncased" in done.stderr
    assert len(records(copy) - first) == 1 + 2 * 2  # untrained, a trial and a final run a study: none is taken over
    assert first < records(copy)


def test_another_precision_makes_new_runs_and_its_name_goes_on_with_the_old(copy: Path) -> None:
    first, precision = records(copy), contents(copy)["precision"]
    options = ("--tasks", "STS16,BIOSSES", "--trials", "1", "--seeds", "1")
    same = harness("run", "study.py", *options, "--precision", str(precision), cwd=copy)
    assert records(copy) == first, same.stderr
    other = "fp32" if precision != "fp32" else "bf16"
    told = harness("run", "study.py", *options, "--precision", other, cwd=copy)
    assert "changed since the last run" not in told.stderr  # it was asked for
    assert contents(copy)["precision"] == precision  # and is not what "auto" comes to
    assert len(records(copy) - first) == 1 + 2 * 2


def test_a_store_of_the_older_recipe_is_refused_kept_and_still_read(copy: Path) -> None:
    identity = copy / STORE / "store.json"
    plain = json.loads(identity.read_text(encoding="utf-8"))
    identity.write_text(json.dumps({**plain, "version": VERSION - 1}), encoding="utf-8")
    before = {path: path.read_bytes() for path in (copy / STORE).rglob("*") if path.is_file()}
    for command in ("run", "check", "plan", "report"):
        done = harness(command, "study.py", cwd=copy)
        assert done.returncode == 2
        assert "older recipe" in done.stderr
        assert "--store" in done.stderr
    after = {path: path.read_bytes() for path in (copy / STORE).rglob("*") if path.is_file()}
    assert {path.name for path in before if before[path] != after[path]} <= {"last_run.json"}
    assert json.loads(harness("show", "study.py", "--json", cwd=copy).stdout)["records"]
    assert "mnr" in harness("compare", str(STORE), str(STORE), cwd=copy).stdout


def test_a_run_whose_data_are_others_than_it_was_planned_with_fails_with_the_reason(finished: Path) -> None:
    """A worker on another machine may have another cache."""
    from dataclasses import replace

    from harness.errors import RunFailed
    from harness.reading.hashes import contents_of, verify
    from harness.spec.loading import load_study_file

    bed = load_study_file(finished / "study.py").testbed
    right = replace(bed, contents=tuple(contents_of(bed).items()))
    verify(right)
    verify(right.sealed())  # a tuning run, which must not look at the test set
    for part, named in (("model", "model"), ("rows", "rows"), ("dev", "stsb-dev"), ("test", "stsb-test")):
        declared = bed.declared()[part]
        assert declared in dict(right.contents)
        wrong = tuple((name, "0" * 64 if name == declared else found) for name, found in right.contents)
        with pytest.raises(RunFailed, match=f"the {named} .* is not what the run was planned with"):
            verify(replace(right, contents=wrong))


FRAMES = {
    "a text": pd.DataFrame({"a": ["x", "z"], "b": [1, 2]}),
    "a number": pd.DataFrame({"a": ["x", "y"], "b": [1, 3]}),
    "a type": pd.DataFrame({"a": ["x", "y"], "b": ["1", "2"]}),
    "the order of rows": pd.DataFrame({"a": ["y", "x"], "b": [2, 1]}),
    "the order of columns": pd.DataFrame({"b": [1, 2], "a": ["x", "y"]}),
    "a column's name": pd.DataFrame({"a": ["x", "y"], "c": [1, 2]}),
    "where texts end": pd.DataFrame({"a": ["xy", ""], "b": [1, 2]}),
    "a row less": pd.DataFrame({"a": ["x"], "b": [1]}),
    "a null": pd.DataFrame({"a": ["x", None], "b": [1, 2]}),
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_frame_s_hash_tells(what: str) -> None:
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    assert of_frame(frame) == of_frame(frame.copy())
    assert of_frame(frame) != of_frame(FRAMES[what])


def test_a_model_s_hash_covers_its_modules_and_not_its_card_or_exports(tmp_path: Path) -> None:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return of_model(tmp_path)

    write("config.json", "{}")
    write("modules.json", json.dumps([{"path": ""}, {"path": "1_Pooling"}, {"path": "../outside"}]))
    before = write("1_Pooling/config.json", "mean")
    assert write("README.md", "a card") == before
    assert write("onnx/config.json", "{}") == before
    assert write("1_Pooling/config.json", "cls") != before
