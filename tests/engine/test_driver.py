"""The driver's options: retrying, failing fast, pruning, and the order of the runs; all in this process."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from driven import MNR, driven, make_ablation
from mishaps import crash, mishap, not_a_number
from rich.console import Console

from harness import Ablation, Budget, Space, choice, log_uniform, provenance
from harness.api import load, plan, run
from harness.engine import search
from harness.engine.options import Options
from harness.executors.start import ENVIRONMENT
from harness.planning.mixing import condition_notes
from harness.planning.plan import TUNE_SEED
from harness.scores import OBJECTIVE
from harness.store.folder import Store
from harness.store.records import Record


def written(store: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (store / "records").iterdir()}


@pytest.mark.usefixtures("cache")
def test_only_what_failed_is_retried_and_only_if_asked(tmp_path: Path) -> None:
    broken = make_ablation({"works": MNR, "nan": not_a_number, "crash": mishap(crash)})
    driven(broken, tmp_path)
    first = written(tmp_path)
    failed = {r.id for r in load(tmp_path).records() if r.outcome == "failed"}
    assert len(failed) == 3  # two trials, and the default point's final run
    assert {run.state for run in plan(broken, tmp_path).of("crash")} == {"failed"}

    driven(broken, tmp_path)
    assert written(tmp_path) == first
    asked = plan(broken, tmp_path, Options(retry_failed=True))  # the plan of a run is what that run would do
    assert {run.record.id for run in asked.runs if run.state != "done" and run.record} == failed
    assert {run.state for run in asked.of("crash", "tune")} == {"to do"}

    driven(broken, tmp_path, retry_failed=True)
    again = written(tmp_path)
    assert {key for key in again if again[key] != first[key]} == failed


@pytest.mark.usefixtures("cache")
def test_fail_fast_starts_no_more_runs_once_one_failed(tmp_path: Path) -> None:
    told = driven(make_ablation({"crash": mishap(crash), "works": MNR}), tmp_path, fail_fast=True)
    outcomes = [(r.study, r.outcome) for r in load(tmp_path).records()]

    assert sorted(outcomes) == [("crash", "failed"), ("untrained", "ok")]
    assert "crash: tune trial 0 (batch 32, lr 5e-05): failed: ZeroDivisionError: a bug in the loss" in told


@pytest.mark.usefixtures("cache")
def test_studies_take_turns_and_the_untrained_model_is_first(tmp_path: Path) -> None:
    told = driven(make_ablation({"a": MNR, "b": MNR}), tmp_path).splitlines()
    begins = [
        line.split(" (")[0].split(": stsb")[0] for line in told if ": " in line and not line.startswith("warning")
    ]

    assert begins[:5] == [
        "untrained: untrained",
        "a: tune trial 0",
        "b: tune trial 0",
        "a: tune trial 1",
        "b: tune trial 1",
    ]
    assert all("final" in line for line in begins[5:])
    a, b = ([r.scores for r in load(tmp_path).records() if r.study == name and r.stage == "tune"] for name in "ab")
    assert sorted(a, key=str) == sorted(b, key=str)  # the same loss under two names trains the same


def test_a_curve_below_the_median_is_pruned_once_four_have_finished() -> None:
    finished = [[(0.25, level), (0.5, level + 0.1), (1.0, level + 0.2)] for level in (0.3, 0.4, 0.5, 0.6)]

    assert search.should_prune(finished, [(0.25, 0.4)])
    assert not search.should_prune(finished, [(0.25, 0.5)])
    assert search.should_prune(finished, [(0.25, 0.4), (0.5, 0.5)])
    assert not search.should_prune(finished[:3], [(0.25, 0.0)])
    assert not search.should_prune([], [(0.25, 0.0)])


@pytest.mark.usefixtures("cache")
def test_pruned_trials_are_recorded_kept_out_of_the_choice_and_done_in_full_without_pruning(
    tmp_path: Path,
) -> None:
    wide = Space(batch_size=choice(8, 16), lr=log_uniform(1e-5, 0.3))
    ablation = make_ablation({"a": MNR}, trials=8, space=wide)
    told = driven(ablation, tmp_path, prune=True)
    tuned = sorted((r for r in load(tmp_path).records() if r.stage == "tune"), key=lambda r: r.trial or 0)

    assert len(tuned) == 8
    assert {r.outcome for r in tuned[:4]} == {"ok"}
    for record in tuned:
        shares = [share for share, _ in record.curve]
        assert shares == sorted(set(shares))
        assert (shares[-1] == 1) == (record.outcome == "ok")
        assert len(shares) <= 4
    pruned = [r for r in tuned if r.outcome == "pruned"]
    assert pruned, "no trial was stopped: choose a space where some are bad"
    for record in pruned:
        full = -(-record.rows // record.point.batch_size) if record.point else 0
        assert 0 < record.steps < full
        assert record.curve[-1][0] < 1
        share, score = record.curve[-1]
        assert f"trial {record.trial} ({record.point}): pruned after {100 * share:.0f} % of its training, at " in told
        assert f"at a dev score of {score:.4f}\n" in told
    best = plan(ablation, tmp_path).of("a", "final", "best")[0].point
    assert best not in {r.point for r in pruned}

    assert plan(ablation, tmp_path).unfinished() == 0
    again = plan(ablation, tmp_path, Options())  # a run without --prune trains the stopped trials to their end
    assert {run.trial for run in again.of("a", "tune") if run.state == "to do"} == {r.trial for r in pruned}
    driven(ablation, tmp_path)
    assert {r.outcome for r in load(tmp_path).records()} == {"ok"}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("after", [False, True])
def test_an_end_at_the_last_record_leaves_one_model(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation = make_ablation({"a": MNR}, trials=1, budget=Budget(trials=1, epochs=1, seeds=3))
    write, written_so_far = Store.write, []

    def ends(store: Store, record: Record) -> Record:
        written_so_far.append(record)
        last = len(written_so_far) == 5  # untrained, one trial, three final runs
        stored = write(store, record) if after or not last else record
        if last:
            raise KeyboardInterrupt
        return stored

    monkeypatch.setattr(Store, "write", ends)
    with pytest.raises(KeyboardInterrupt):
        driven(ablation, tmp_path, keep_models="best")
    monkeypatch.setattr(Store, "write", write)
    driven(ablation, tmp_path, keep_models="best")

    finals = [record for record in load(tmp_path).records() if record.stage == "final"]
    assert len(finals) == 3
    best = max(finals, key=lambda record: (record.scores[OBJECTIVE], -record.seed))  # of equals the earliest
    assert [path.parent.name for path in (tmp_path / "models").rglob("modules.json")] == [best.id]


def last_but_one(model: Any) -> Any:
    """Let a trial, whose seed is 0, end only when the final run, with seed 1, has its record."""
    records = Path(os.environ["RECORDS"])
    while torch.initial_seed() == TUNE_SEED and not any(
        '"stage": "final"' in p.read_text() for p in records.glob("[!.]*.json")
    ):
        time.sleep(0.05)
    return MNR(model)


@pytest.mark.usefixtures("cache")
def test_a_default_point_that_turns_out_best_has_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its final runs may end before the last trial does, when nobody knows yet that they are the best point's."""
    monkeypatch.setenv("RECORDS", str(tmp_path / "records"))
    ablation = make_ablation({"a": last_but_one}, trials=1, budget=Budget(trials=1, epochs=1, seeds=1))
    run(ablation, tmp_path, workers=2, console=Console(file=io.StringIO()))

    (final,) = (record for record in load(tmp_path).records() if record.stage == "final")
    assert [path.parent.name for path in (tmp_path / "models").rglob("modules.json")] == [final.id]


@pytest.mark.usefixtures("cache")
def test_a_retried_trial_that_makes_the_default_point_best_finds_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its final runs are done while another point is best for want of that trial, and are not done again."""
    ablation = make_ablation({"a": MNR}, budget=Budget(trials=2, epochs=1, seeds=2))
    write = Store.write

    def fails(store: Store, record: Record) -> Record:
        fails_now = record.stage == "tune" and record.trial == 0
        return write(store, replace(record, outcome="infeasible", scores={}) if fails_now else record)

    monkeypatch.setattr(Store, "write", fails)
    driven(ablation, tmp_path, keep_models="best")
    other = best_final(ablation, tmp_path)
    monkeypatch.setattr(Store, "write", write)
    driven(ablation, tmp_path, keep_models="best", retry_failed=True)

    best = best_final(ablation, tmp_path)
    assert best != other  # else the retried trial changed nothing
    kept = {path.parent.name for path in (tmp_path / "models").rglob("modules.json")}
    assert best in kept


def best_final(ablation: Ablation, store: Path) -> str:
    """Return the id of the final run at the best point that has the highest dev score."""
    records = [final.record for final in plan(ablation, store).of("a", "final", "best") if final.record]
    return max(records, key=lambda record: record.scores[OBJECTIVE]).id


@pytest.mark.usefixtures("cache")
def test_a_study_file_that_is_edited_while_it_runs_is_told(tmp_path: Path) -> None:
    file = tmp_path / "study.py"
    file.write_text("# as it was read\n", encoding="utf-8")
    read = provenance.file_hash(file)

    def edits(model: Any) -> Any:
        file.write_text("# edited\n", encoding="utf-8")
        return MNR(model)

    ablation, told = make_ablation({"mnr": edits}, trials=1), io.StringIO()
    console = Console(file=told, width=300)
    options = Options(keep_models="none")
    made = run(ablation, tmp_path / "store", options, executor="inline", study_file=file, console=console)
    assert "study.py was edited while it ran" in told.getvalue()
    assert {run.record.provenance["study_file"] for run in made.runs if run.record} == {read}
    assert condition_notes(made) == []
    assert "was edited after" in " ".join(condition_notes(plan(ablation, tmp_path / "store", study_file=file)))


@pytest.mark.usefixtures("cache")
def test_a_run_in_this_process_leaves_its_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the next ablation of a notebook would be offline, without a word."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    driven(make_ablation({"mnr": MNR}, trials=1), tmp_path)
    assert {name: os.environ.get(name) for name in ENVIRONMENT} == before
