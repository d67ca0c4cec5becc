"""Ranks: a study that lost a seed has none, equal scores share one, and every output says so."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import synthetic

from harness.planning.plan import Plan, PlannedRun, trained
from harness.report import tables, write_report
from harness.report.facts import gather
from harness.report.ranking import in_words, places
from harness.store.folder import Store, create
from harness.store.records import Record
from harness.verdicts.baseline import against, read_baseline
from harness.verdicts.compare import as_text

NAMES = ["mnr", "diverges once", "cosine"]


def lucky(seed: int | None = 2) -> Plan:
    """Return a plan with two studies of equal scores, one of which lost its worst seed; None loses none."""

    def change(run: PlannedRun, record: Record) -> Record:
        if run.study != "diverges once":
            return record
        if run.stage == "final" and run.seed == seed:
            return replace(record, outcome="diverged", scores={}, items={}, error="the loss became nan at step 4")
        return replace(
            synthetic.make_record(replace(run, study="mnr"), ablation, 0.74),
            study=run.study,
            id=record.id,
        )

    ablation = synthetic.make_ablation(NAMES, expect=[], seeds=3, trials=2)
    return synthetic.make(ablation, change=change)


def test_a_study_that_lost_a_seed_is_ranked_nowhere(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        plan = lucky(seed)
        page = write_report(plan, tmp_path, "harness run x.py").read_text(encoding="utf-8")
        answer, result = page.split("\n\n")[2:4]
        assert answer.startswith("Highest mean: mnr with 75.6, ")
        assert "diverges once has no rank: 1 of its 3 final runs diverged." in answer
        assert "its distance to the best counts what diverged as 0" in answer
        row = next(line for line in result.splitlines() if "diverges once" in line)
        assert row.startswith("| diverges once ‡ | – | ")
        assert "| 2 of 3, 1 diverged |" in row
        ranking = tables.ranking(gather(plan))
        assert list(ranking.tuned) == ["mnr", "cosine"]
        cells = next(cells for cells in ranking.table.rows if cells[0].startswith("diverges once"))
        assert cells[:2] == ("diverges once ‡", "–")
        scores = next(cells for cells in tables.headline(gather(plan)).rows if cells[0].startswith("diverges once"))
        others = " and ".join(str(each) for each in (1, 2, 3) if each != seed)
        assert f"<br>diverges once: seeds {others}; {seed} diverged, counted as 0<br>" in scores[6]
        threats = page.split("## Threats to validity")[1]
        assert f"diverges once has scores of 2 of 3 seeds only (diverges once seed {seed} diverged)" in threats


def test_a_study_that_lost_a_seed_by_a_failure_is_named_in_the_answer(tmp_path: Path) -> None:
    def change(run: PlannedRun, record: Record) -> Record | None:
        failed = run.study == "mnr+hard" and run.seed == 1 and run.stage == "final"
        return replace(record, outcome="failed", scores={}, items={}, error="ValueError: x") if failed else record

    page = write_report(synthetic.make(change=change), tmp_path, "harness run x.py").read_text(encoding="utf-8")
    answer, result = page.split("\n\n")[2:4]
    assert answer.startswith("Highest mean: mnr with 75.6, ")
    assert "Not ranked, because final runs have no score that can be compared: mnr+hard (2 of 3)." in answer
    assert "\n| mnr+hard ‡ | – | " in result


def test_equal_scores_share_a_rank_and_all_leaders_are_named(tmp_path: Path) -> None:
    plan = lucky(None)
    page = write_report(plan, tmp_path, "harness run x.py").read_text(encoding="utf-8")
    answer, result = page.split("\n\n")[2:4]
    assert answer.startswith("Highest mean: mnr and diverges once with 75.6, ")
    assert "Their lead over the next, cosine, is 3.1 points" in answer
    assert [line.split(" | ")[1] for line in result.splitlines()[2:]] == ["1", "1", "3", "–"]
    ranking = tables.ranking(gather(plan))
    assert ranking.tuned == {"mnr": 1, "diverges once": 1, "cosine": 3}
    assert "Tuning does not change the ranking." in page


def test_ranks_follow_the_printed_numbers() -> None:
    ranks = places({"a": 0.67612, "b": 0.67608, "c": 0.7, "d": 0.5})
    assert ranks == {"c": 1, "a": 2, "b": 2, "d": 4}
    assert in_words(ranks) == "d < b = a < c"


def test_the_lost_seed_is_in_scores_csv_and_the_baseline_knows_of_it(tmp_path: Path) -> None:
    write_report(lucky(), tmp_path, "harness run x.py")
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["outcome"] != "ok"]
    assert {(line["study"], line["seed"], line["outcome"]) for line in lines} == {("diverges once", "2", "diverged")}
    assert all(not value for line in lines for name, value in line.items() if "/" in name)
    verdicts = {v.better: v for v in against(lucky(None), read_baseline(tmp_path / "scores.csv"))}
    assert verdicts["mnr"].verdict == "holds"
    assert verdicts["diverges once"].verdict == "incomplete"
    assert "the baseline lacks seeds of it (seed 2 diverged" in verdicts["diverges once"].reason


def stored(folder: Path, plan: Plan) -> Store:
    store = create(folder, plan.ablation.name, plan.ablation.testbed.name)
    for run in plan.runs:
        assert run.record is not None
        provenance = {**run.record.provenance, **trained(plan.ablation, run.study)}
        store.write(replace(run.record, provenance=provenance))
    return store


def test_compare_names_lost_seeds(tmp_path: Path) -> None:
    left, right = stored(tmp_path / "a", lucky()), stored(tmp_path / "b", lucky(None))
    text = as_text(left, right)
    assert "final runs of left without scores, so that its means are over the other seeds: " in text
    assert "diverges once seed 2 diverged" in text
    assert "final runs of right" not in text
