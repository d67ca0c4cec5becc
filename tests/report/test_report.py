"""The report: its page against a golden file, the same bytes from other processes, and nothing done told honestly.

After a change that is meant: `HARNESS_GOLDEN=write pytest tests/report/test_report.py`, then read the difference.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import synthetic

from harness import testbeds
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import make_plan
from harness.report import curves, figures, tables, write_report
from harness.report.edges import edge_of
from harness.report.facts import gather, without_paths
from harness.report.figures.sweeps import sweeps as draw_sweeps
from harness.report.threats import threats
from harness.scores import HEADLINE
from harness.spec.expectations import beats
from harness.spec.space import choice, log_uniform
from harness.stats import estimates
from harness.store.records import Record

TESTS = Path(__file__).parent
COMMAND = "harness run studies/synthetic.py --rows 1200"
FIGURES = {drawing.name for drawing in figures.ALL} - {"forgetting", "sweeps"}


def page_of(plan: Plan, folder: Path) -> str:
    return write_report(plan, folder, COMMAND).read_text(encoding="utf-8")


def troubled() -> Plan:
    """Return a plan with a study failed, runs pruned, infeasible, diverged and not done, and a task missing."""

    def change(run: PlannedRun, record: Record) -> Record | None:
        if run.study == "cosine":
            error = "Traceback (most recent call last):\n  File x\nValueError: /home/someone/rows.csv holds *no* | rows"
            return replace(record, outcome="failed", scores={}, items={}, error=error)
        if run.study == "mnr" and run.trial == 3:
            return replace(record, outcome="pruned", curve=((0.25, 0.3),), train_seconds=60.0)
        if run.study == "mnr" and run.trial == 2:
            return replace(record, outcome="infeasible", scores={}, error="batch 64 does not fit the device")
        if run.study == "mnr" and run.stage == "final" and run.seed == 2:
            return replace(record, outcome="diverged", scores={}, items={}, error="the loss became nan at step 4")
        if run.study == "mnr+hard" and run.stage == "final" and run.seed == 3:
            return None
        if run.stage != "tune":
            scores = {name: score for name, score in record.scores.items() if name != "mteb/SICK-R"}
            return replace(record, scores=scores, missing={"SICK-R": "not on the hub"})
        return record

    ablation = synthetic.make_ablation()
    return make_plan(ablation, synthetic.make_records(ablation, change=change), pruning=True, unavailable=["SICK-R"])


def test_page_equals_the_golden_file(tmp_path: Path) -> None:
    golden = TESTS / "golden" / "report.md"
    page = page_of(synthetic.make(), tmp_path)
    if os.environ.get("HARNESS_GOLDEN") == "write":
        golden.write_text(page, encoding="utf-8")
    assert page == golden.read_text(encoding="utf-8")


def test_the_same_records_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, synthetic; from harness.report import write_report; "
        f"write_report(synthetic.make(), pathlib.Path(sys.argv[1]), {COMMAND!r}); sys.exit('torch' in sys.modules)"
    )
    path = os.pathsep.join([str(TESTS.parent / "support"), str(TESTS.parents[1])])
    written = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        settings = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=settings, cwd=tmp_path)
        written.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]
    figures_ = {Path("figures") / f"{name}.svg" for name in FIGURES}
    assert set(written[0]) == {
        Path("README.md"),
        Path("report.html"),
        Path("scores.csv"),
        Path("records.json"),
        *figures_,
    }


def test_figures_are_svg_on_an_opaque_white_ground_without_a_date(tmp_path: Path) -> None:
    write_report(synthetic.make(), tmp_path, COMMAND)
    for name in FIGURES:
        text = (tmp_path / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "fill: #ffffff" in text.split('id="axes_1"')[0]
        assert "<dc:date>" not in text
        assert "<text" not in text  # paths: no font is needed where it is shown


def test_figures_ignore_the_users_matplotlib_settings() -> None:
    import matplotlib as mpl

    found = gather(synthetic.make())
    plain = figures.draw(figures.differences, found)
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "figure.facecolor": "black"}):
        assert figures.draw(figures.differences, found) == plain
        assert mpl.rcParams["font.size"] == 30


def test_headline_holds_the_means_intervals_and_differences_of_the_records() -> None:
    plan = synthetic.make()
    found = gather(plan)
    table = tables.headline(found)
    assert [row[0] for row in table.rows] == ["untrained", "softmax", "cosine", "mnr", "mnr+hard"]
    records = {
        name: [run.record for run in plan.of(name, "final", "best") if run.record] for name in ("mnr", "mnr+hard")
    }
    scores = {name: [record.scores[HEADLINE] for record in records[name]] for name in records}
    mnr, hard = (sum(values) / 3 for values in scores.values())
    interval = estimates.interval(scores["mnr+hard"], scores["mnr"])
    last = table.rows[-1]
    assert interval is not None
    assert last[3].startswith(f"{100 * hard:.2f}<br>(")
    assert last[6].startswith(f"+{100 * (hard - mnr):.2f}<br>(pairs ")
    assert f"seeds +{100 * interval.low:.2f} to +{100 * interval.high:.2f}" in last[6]
    tasks = [[r.scores[f"mteb/{task}"] for r in records["mnr+hard"]] for task in synthetic.TASKS]
    assert last[5] == f"{100 * sum(map(sum, tasks)) / 12:.2f}"
    assert last[9] == f"{len(found.studies[-1].runs)} of {len(found.studies[-1].runs)}"


def test_studies_that_do_not_gain_over_the_untrained_model_are_named(tmp_path: Path) -> None:
    plan = synthetic.make()
    (untrained,) = plan.of("untrained")
    reference = untrained.record
    assert reference is not None
    spearman = reference.scores[HEADLINE]
    assert "No improvement over the untrained model" not in page_of(plan, tmp_path / "all gain")

    def as_untrained(run: PlannedRun, record: Record) -> Record:
        if run.study != "mnr" or run.stage != "final":
            return record
        return replace(record, items=reference.items, scores={**record.scores, HEADLINE: spearman})

    page = page_of(synthetic.make(change=as_untrained), tmp_path / "one does not")
    assert "No improvement over the untrained model is shown at the best point: mnr. If no" in page


def test_mean_over_tasks_leaves_out_a_task_that_one_run_lacks() -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        lacks = run.study == "mnr" and run.stage == "final" and run.seed == 2
        scores = {name: score for name, score in record.scores.items() if not (lacks and name == "mteb/STS16")}
        return replace(record, scores=scores)

    found = gather(synthetic.make(change=change))
    assert found.common_tasks == ("STS12", "SICK-R", "Banking77Classification")
    assert found.missing == {"STS16": "not evaluated yet"}
    assert "mean of 3 tasks (of 4)" in tables.headline(found).header
    softmax = found.studies[0]
    kept = [softmax.mean(f"mteb/{task}") or 0 for task in found.common_tasks]
    assert found.task_mean(softmax) == pytest.approx(sum(kept) / 3)


def test_troubles_are_told(tmp_path: Path) -> None:
    page = page_of(troubled(), tmp_path)
    for words in (
        "**Incomplete: of 3 claims 3 incomplete. 21 of 29 planned runs done.**",
        "2 of 3 seeds",
        "Missing scores: SICK-R",
        "- SICK-R: not on the hub",
        "1 pruned, 1 infeasible, 1 diverged, 7 failed",
        "Pruning stopped 1 trial after 1.0 minutes of training and saved 3.0.",
        "ValueError: rows.csv holds \\*no\\* \\| rows",
        "Without final runs at both points: cosine.",
        "mnr seed 2 diverged",
    ):
        assert words in page
    assert "/home/" not in page + (tmp_path / "records.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("stages", [(), ("untrained",), ("tune",), ("untrained", "tune")], ids=str)
def test_a_store_done_in_part_is_reported_as_far_as_it_goes(stages: tuple[str, ...], tmp_path: Path) -> None:
    ablation = synthetic.make_ablation()
    records = [record for record in synthetic.make_records(ablation) if record.stage in stages]
    plan = make_plan(ablation, records)
    page = page_of(plan, tmp_path)
    done = sum(run.state == "done" for run in plan.runs)
    assert f"{done} of {len(plan.runs)} planned runs done.**" in page
    assert "Runs not done:" in page
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {
        name for name in ("differences", "tuning", "learning_rates", "tasks", "cost") if f"figures/{name}.svg" in page
    }
    assert ("learning_rates" in drawn) == ("tune" in stages)


def test_a_figure_with_nothing_to_show_any_more_is_removed(tmp_path: Path) -> None:
    ablation = synthetic.make_ablation()
    write_report(synthetic.make(ablation), tmp_path, COMMAND)
    write_report(make_plan(ablation, []), tmp_path, COMMAND)
    assert not list((tmp_path / "figures").iterdir())


@pytest.mark.parametrize("count", [1, 10])
def test_one_study_and_ten_with_long_names_can_be_drawn(count: int, tmp_path: Path) -> None:
    names = [f"a study whose name is much longer than any label {index}" for index in range(count)]
    ablation = synthetic.make_ablation(names, expect=[], seeds=2, trials=2, tasks=testbeds.book.tasks)
    page = page_of(synthetic.make(ablation), tmp_path)
    assert all(name in page for name in names)
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == FIGURES


def test_a_sweep_is_a_table_and_a_curve(tmp_path: Path) -> None:
    plain = synthetic.make_ablation(["softmax", "mnr"], expect=[], trials=2)
    softmax, mnr = plain.studies
    studies = [*mnr.sweep(rows=[100, 900]), mnr, *softmax.sweep(rows=[900, 100]), *mnr.sweep(scale=[0.05, 20])]
    quality = {study.name: 0.5 + 0.03 * place for place, study in enumerate(studies)}
    plan = synthetic.make(replace(plain, studies=studies), quality=quality)
    page = page_of(plan, tmp_path)

    def cell(name: str) -> str:
        return tables.mean_over_seeds(next(row for row in gather(plan).rows if row.name == name))

    assert "## Sweeps" in page
    assert "![Test score against the swept parameter" in page
    for line in (
        "| rows | mnr | softmax |",
        f"| 100 | {cell('mnr rows=100')} | {cell('softmax rows=100')} |",
        f"| 900 | {cell('mnr rows=900')} | {cell('softmax rows=900')} |",
        f"| all | {cell('mnr')} | – |",
        "| scale | mnr |",
        f"| 0.05 | {cell('mnr scale=0.05')} |",
        f"| 20 | {cell('mnr scale=20')} |",
    ):
        assert line in page
    assert page.index("| 100 |") < page.index("| 900 |") < page.index("| all |")
    assert ElementTree.parse(tmp_path / "figures" / "sweeps.svg").getroot().tag.endswith("svg")
    drawn = draw_sweeps(gather(plan))
    assert drawn is not None
    axis = drawn.axes[0].xaxis
    ticks = dict(zip([tick.get_text() for tick in axis.get_ticklabels()], axis.get_ticklocs(), strict=True))
    assert ticks["100"] == 100, "the axis has the rows requested, as the table"
    assert ticks.keys() <= {"100", "900", "all"}


def test_studies_that_no_number_tells_apart_are_no_sweep(tmp_path: Path) -> None:
    plain = synthetic.make_ablation(["mnr"], expect=[], trials=2)
    page = page_of(synthetic.make(replace(plain, studies=plain.studies[0].sweep(pooling=["cls", "max"]))), tmp_path)
    assert "## Sweeps" not in page


def test_scores_csv_has_a_line_for_each_scored_final_run(tmp_path: Path) -> None:
    plan = synthetic.make()
    write_report(plan, tmp_path, COMMAND)
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    expected = {run.id: run.record for run in plan.runs if run.stage != "tune"}
    assert {line["id"] for line in lines} == set(expected)
    for line in lines:
        record = expected[line["id"]]
        assert record is not None
        assert {name: float(line[name]) for name in record.scores} == record.scores


def test_records_json_holds_all_records_without_their_pairs(tmp_path: Path) -> None:
    plan = synthetic.make()
    write_report(plan, tmp_path, COMMAND)
    document = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"))
    assert [record["id"] for record in document["records"]] == sorted(str(run.id) for run in plan.runs)
    assert not any({"pairs", "items"} & record.keys() for record in document["records"])


def test_tuning_that_changes_the_ranking_is_told(tmp_path: Path) -> None:
    def change(run: PlannedRun, record: Record) -> Record:
        better = run.study == "softmax" and run.point is not None and run.point.lr > 9e-5
        return synthetic.make_record(run, ablation, 0.95) if better else record

    ablation = synthetic.make_ablation(["softmax", "mnr"], expect=[beats("mnr", "softmax")])
    plan = synthetic.make(ablation, change=change)
    ranking = tables.ranking(gather(plan))
    assert (list(ranking.tuned), list(ranking.untuned)) == (["softmax", "mnr"], ["mnr", "softmax"])
    assert (
        "Tuning changes the ranking: softmax < mnr at the default point, mnr < softmax at the best point."
        in page_of(plan, tmp_path)
    )


@pytest.mark.parametrize(
    ("dimension", "value", "tried", "words"),
    [
        (log_uniform(1e-6, 1e-4), 9.5e-5, [1e-5, 9.5e-5, 9.9e-5], "high edge"),
        (log_uniform(1e-6, 1e-4), 1.1e-6, [1.0e-6, 1.1e-6, 5e-5], "low edge"),
        (log_uniform(1e-6, 1e-4), 2e-5, [1e-6, 2e-5, 5e-5], None),
        (log_uniform(1e-6, 1e-4), 5e-5, [1e-6, 2e-5, 5e-5], "highest value that was tried"),
        (log_uniform(1e-6, 1e-4), 5e-5, [5e-5], None),
        (choice(16, 32, 64), 64, [16, 64], "highest value of the space"),
        (choice(16, 32, 64), 32, [16, 32, 64], None),
        (choice(32), 32, [32], None),
        (log_uniform(1e-4, 5e-3), 5e-5, [5e-5, 2e-4], "outside the space, which begins at 0.0001"),
        (log_uniform(1e-6, 1e-5), 5e-5, [5e-5, 2e-6], "outside the space, which ends at 1e-05"),
        (log_uniform(1.0004e-4, 1e-2), 1e-4, [1e-4, 2e-4], "low edge"),  # a bound that was rounded to four digits
        (choice(8, 16), 32, [8, 32], "outside the space, which holds 8, 16"),
    ],
)
def test_edges(dimension: Any, value: float, tried: list[float], words: str | None) -> None:
    found = edge_of(dimension, value, tried)
    assert found is None if words is None else words in (found or "")


def origin(**provenance: Any) -> Plan:
    def change(run: PlannedRun, record: Record) -> Record:
        changed = {**record.provenance, **provenance} if run.study == "mnr" else record.provenance
        return replace(record, provenance=changed)

    return synthetic.make(change=change)


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        ({"hub": "http://stand-in:8000"}, "a hub other than the public one"),
        ({"precision": "bf16"}, "precision bf16 (mnr), fp32"),
        ({"versions": {"torch": "2.14.0"}}, "2.14.0 (mnr)"),
        ({"git": {"commit": "another", "dirty": False}}, "different commits"),
        ({"git": {"commit": synthetic.PROVENANCE["git"]["commit"], "dirty": True}}, "uncommitted changes"),
    ],
)
def test_threats_follow_from_where_the_records_come(provenance: dict[str, Any], words: str) -> None:
    assert not any(words in threat for threat in threats(gather(synthetic.make())))
    assert any(words in threat for threat in threats(gather(origin(**provenance))))


def test_a_slower_forward_path_is_said_with_its_number_and_a_reason() -> None:
    paths = {0: {"path": "packed"}, 1: {"path": "chunks", "reason": "packed: the *first*"}, 2: {}}
    paths[3] = {"path": "chunks", "reason": "packed: the second"}

    def change(run: PlannedRun, record: Record) -> Record:
        trained = run.study == "mnr" and run.stage == "tune"
        return replace(record, forward=paths.get(run.trial or 0, paths[0]) if trained else {})

    said = [text for text in threats(gather(synthetic.make(change=change))) if "forward path" in text]
    (text,) = said
    assert text.startswith("2 of ")
    assert "slower forward path chunks" in text
    assert r"packed: the \*first\*" in text
    assert not [text for text in threats(gather(synthetic.make())) if "forward path" in text]


def test_a_stand_in_hub_is_named_at_the_top(tmp_path: Path) -> None:
    assert "Not from the public hub" not in page_of(synthetic.make(), tmp_path)
    page = page_of(origin(hub="http://stand-in:8000"), tmp_path)
    assert "came from http://stand-in:8000" in page.split("## Result")[0]


def test_a_report_on_generated_sentences_says_that_they_are_not_stsb(tmp_path: Path) -> None:
    assert "Generated sentences" not in page_of(synthetic.make(), tmp_path)
    ablation = replace(synthetic.make_ablation(), testbed=testbeds.embedded)
    page = page_of(synthetic.make(ablation), tmp_path)
    assert "not scores on STSB or MTEB" in page.split("## Result")[0]


def test_records_without_provenance_are_reported(tmp_path: Path) -> None:
    plan = synthetic.make(change=lambda run, record: replace(record, provenance={}))
    assert "The records contain no provenance." in page_of(plan, tmp_path)


def test_paths_are_shortened_and_addresses_are_not() -> None:
    text = "File '/home/me/a b/x.py', line 3; C:\\Users\\me\\y.py; https://huggingface.co/nyu-mll/glue; nyu-mll/glue"
    assert without_paths(text) == "File 'a b/x.py', line 3; y.py; https://huggingface.co/nyu-mll/glue; nyu-mll/glue"
    assert without_paths("../../model and ./data/a.csv") == "../../model and ./data/a.csv"


def test_best_so_far_never_falls_and_counts_trials_without_a_score() -> None:
    row = gather(troubled()).rows[3]
    assert row.name == "mnr"
    curve = curves.best_so_far(row)
    assert [trials for trials, _ in curve] == [1, 2, 3, 4]
    assert [score for _, score in curve] == sorted(score for _, score in curve)
    assert row.winner is not None
    assert curve[-1][1] == row.winner.scores["stsb-dev/spearman_cosine"]
