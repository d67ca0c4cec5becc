"""Sentences that the files of a report decide cannot be changed, even without its store and study file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from test_ranks import lucky
from test_verify import at_random, failing, mutated, without_html, written

from harness.planning.plan import Plan, PlannedRun
from harness.report.verification.verify import verify
from harness.store.records import Record


def in_bf16() -> Plan:
    def change(run: PlannedRun, record: Record) -> Record:
        return replace(record, provenance={**record.provenance, "precision": "bf16"})

    names = ("softmax", "mnr", "cosine")
    quality = {"softmax": 0.74, "mnr": 0.742, "cosine": 0.6}
    return synthetic.make(synthetic.make_ablation(names, expect=[]), change=change, quality=quality)


PLANS = {"bf16": in_bf16, "failing": failing, "lost": lucky}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: without_html(written(plan(), tmp_path_factory.mktemp(name))) for name, plan in PLANS.items()}


@pytest.mark.parametrize(
    ("report", "pattern", "instead"),
    [
        ("bf16", r"it is not shown that (\w+) is better than", r"\1 is better than"),
        ("lost", r"Tuning does not change the ranking\.", "Tuning changes the ranking: mnr < cosine."),
        ("bf16", r"None: every finished run has scores\.", "None."),
        ("failing", r"1 infeasible, 1 diverged, 2 failed of", "1 infeasible, 1 failed of"),
        ("failing", r"^\| mnr \| tune \| diverged .*\n", ""),
        ("failing", r"^(\| mnr \| tune \| diverged .*) 1 \|$", r"\1 2 |"),
        ("bf16", r"^- precision bf16 ", "- precision fp32 "),
        ("bf16", r"^- All runs were trained in bf16", "- All runs were trained in fp32"),
        ("bf16", r"^- All runs were trained in bf16.*\n", ""),
        ("bf16", r"torch 2\.13\.0", "torch 2.12.0"),
        ("bf16", r"cpu a processor", "cpu another"),
        ("bf16", r"^- threads 2 ", "- threads 4 "),
        ("bf16", r"^- The intervals over seeds are estimated from only 3 .*\n", ""),
        ("bf16", r"^\| model \| google-bert/bert-base-uncased", "| model | google-bert/bert-large-uncased"),
        ("bf16", r"(\d) warnings?, ", "0 warnings, "),
        ("bf16", r"^\| warning .*\n", ""),
        ("bf16", r"scored by STS dev Spearman", "scored by STS test Spearman"),
        ("bf16", r"(\| mnr \| 4 .*)batch 32, lr 5e-05", r"\1batch 64, lr 5e-05"),
        ("bf16", r"(without shared pairs \|\n\|[-:| ]+\|\n\| untrained \| )\d", r"\g<1>9"),
        ("bf16", r"(without shared pairs \|\n\|[-:| ]+\|\n\| untrained \| \d\d.\d\d \| )\d", r"\g<1>9"),
    ],
)
def test_a_sentence_that_the_files_decide_cannot_be_changed(
    report: str, pattern: str, instead: str, reports: dict[str, Path]
) -> None:
    assert mutated(reports[report], pattern, instead) is not None


def test_reports_of_these_plans_agree(reports: dict[str, Path]) -> None:
    assert [verify(folder).problem for folder in reports.values()] == [None] * len(reports)


def test_a_best_point_that_is_not_known_yet_has_no_others_beside_it(tmp_path: Path) -> None:
    """Tuning goes on, but later tunings have ended and give points of their own."""
    folder = without_html(written(at_random(23), tmp_path))
    assert verify(folder).problem is None
