"""Runs that were not made alike are not compared without a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import harness
from synthetic import PROVENANCE, make_ablation, make_records

from harness.planning.mixing import condition_notes
from harness.planning.plan import Plan, PlannedRun, trained
from harness.planning.planner import make_plan
from harness.report.data import scores_csv
from harness.report.facts import gather
from harness.store.records import Record
from harness.verdicts.baseline import against, read_baseline
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.order import orders


def plan_of(change: Callable[[PlannedRun, Record], Record | None]) -> Plan:
    ablation = make_ablation(trials=2, seeds=3)
    return make_plan(ablation, make_records(ablation, change=change), pruning=True)


def made_by(which: Callable[[PlannedRun], bool], **changes: Any) -> Callable[[PlannedRun, Record], Record]:
    def change(run: PlannedRun, record: Record) -> Record:
        versions: Mapping[str, str] = {**PROVENANCE["versions"], **changes.get("versions", {})}
        made = {**PROVENANCE, **changes, "versions": versions}
        return replace(record, provenance=made) if which(run) else record

    return change


OTHER = {"versions": {"sentence-transformers": "6.1.0"}}

MIXED: dict[str, tuple[Callable[[PlannedRun], bool], dict[str, Any]]] = {
    "all of a study's runs": (lambda run: run.study == "cosine", OTHER),
    "one final seed": (lambda run: run.study == "cosine" and run.stage == "final" and run.seed == 2, OTHER),
    "tuning alone": (lambda run: run.study == "cosine" and run.stage == "tune", OTHER),
    "the untrained model has no say": (lambda run: run.study == "untrained", OTHER),
    "precision": (lambda run: run.study == "cosine" and run.seed == 2, {"precision": "bf16"}),
    "the sampler's library": (
        lambda run: run.study == "cosine" and run.stage == "tune" and run.trial == 1,
        {"versions": {"optuna": "4.9.0"}},
    ),
    "the harness's own code": (lambda run: run.study == "cosine", {"versions": {"harness code": "abc"}}),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_claim_on_runs_of_two_makings_gets_no_verdict_unless_that_is_asked_for(case: str) -> None:
    which, changes = MIXED[case]
    plan = plan_of(made_by(which, **changes))
    verdicts = {v.expectation: v for v in judge(plan)}
    about_cosine = [verdicts["softmax < cosine"], verdicts["cosine < mnr"]]
    touched = case != "the untrained model has no say"
    for verdict in about_cosine:
        assert (verdict.verdict == "incomplete") == touched
    assert verdicts["mnr+hard beats mnr"].verdict != "incomplete"  # no run of its studies is of another making
    if touched:
        assert exit_code(list(verdicts.values()), plan) == 3
        said = about_cosine[0].reason
        assert "cosine" in said
        assert "--allow-mixed" in said
        assert "Runs are missing" not in said
        if "versions" in changes and "sentence-transformers" in changes["versions"]:
            assert "sentence-transformers 6.1.0 (cosine), 6.2.0" in said
    allowed = judge(replace(plan, allow_mixed=True))
    assert [v.verdict for v in allowed] == [v.verdict for v in judge(plan_of(lambda run, record: record))]
    assert condition_notes(plan)  # of a run that no claim is about, too


def test_orders_and_baselines_do_not_mix_either(tmp_path: Path) -> None:
    plan = plan_of(made_by(lambda run: run.study == "cosine" and run.seed == 2, **OTHER))
    assert orders(plan)[0].over_items is None
    assert orders(replace(plan, allow_mixed=True))[0].over_items is not None
    (tmp_path / "scores.csv").write_text(scores_csv(gather(plan_of(lambda run, record: record))), encoding="utf-8")
    baseline = read_baseline(tmp_path / "scores.csv")
    judged = {verdict.better: verdict for verdict in against(plan, baseline)}
    assert judged["cosine"].verdict == "incomplete"
    assert "under different conditions" in judged["cosine"].reason
    assert judged["mnr"].verdict == "holds"


def test_a_baseline_of_another_loss_or_other_rows_is_named(tmp_path: Path) -> None:
    def told(rows: int) -> set[str]:
        plain = make_ablation(trials=2, seeds=3)
        then = replace(plain, testbed=replace(plain.testbed, max_rows=rows))

        def change(run: PlannedRun, record: Record) -> Record:
            return replace(record, provenance={**record.provenance, **trained(then, run.study)})

        csv = scores_csv(gather(make_plan(then, make_records(then, change=change), pruning=True)))
        (tmp_path / "scores.csv").write_text(csv, encoding="utf-8")
        verdicts = against(plan_of(lambda run, record: record), read_baseline(tmp_path / "scores.csv"))
        return {v.better for v in verdicts if "trained on other rows" in v.full_reason}

    assert told(1200) == set()
    assert told(300) == {"softmax", "cosine", "mnr", "mnr+hard"}


def test_the_sampler_s_version_is_nothing_to_final_runs() -> None:
    plan = plan_of(made_by(lambda run: run.stage == "final", versions={"optuna": "4.9.0"}))
    assert condition_notes(plan) == []


def test_builds_of_one_version_are_one_version() -> None:
    plan = plan_of(made_by(lambda run: run.study == "cosine", versions={"torch": "2.13.0+cu130"}))
    assert condition_notes(plan) == []
    assert {v.verdict for v in judge(plan)} != {"incomplete"}


def test_check_report_and_plan_tell_and_allow_mixed_judges(copy: Path) -> None:
    store = copy / "runs" / "small-book"
    edited = 0
    for path in (store / "records").glob("*.json"):
        record = Record.from_json(path.read_text(encoding="utf-8"), str(path))
        if record.study == "mnr":
            versions = {**record.provenance["versions"], "sentence-transformers": "4.0.0"}
            other = replace(record, provenance={**record.provenance, "versions": versions})
            path.write_text(other.to_json(), encoding="utf-8")
            edited += 1
    assert edited
    refused = harness("check", "study.py", cwd=copy)
    assert refused.returncode == 3
    assert "VERDICT mnr beats cosine: INCOMPLETE" in refused.stdout
    assert "Its runs were made under different conditions: sentence-transformers 4.0.0 (mnr)" in refused.stdout
    assert harness("check", "study.py", "--allow-mixed", cwd=copy).returncode in (0, 1)
    assert "under different conditions" in harness("plan", "study.py", cwd=copy).stdout
    as_json = json.loads(harness("check", "study.py", "--json", cwd=copy).stdout)
    assert as_json["verdicts"][0]["verdict"] == "incomplete"
    told = harness("compare", str(store), str(store), cwd=copy).stdout
    assert "the runs of left were made under different conditions" in told


def test_a_study_file_that_changed_is_told(copy: Path) -> None:
    assert "was edited after" not in harness("check", "study.py", cwd=copy).stdout
    path = copy / "study.py"
    path.write_text(path.read_text(encoding="utf-8") + "# one more line\n", encoding="utf-8")
    told = harness("check", "study.py", cwd=copy).stdout
    assert "note: the study file was edited after" in told
