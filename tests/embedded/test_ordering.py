"""The book's ordering, from a small run: what CI asks after an upgrade. Real language, base model and code path."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from conftest import CLOSED, GUARD, harness

STUDY_FILE = Path(__file__).parents[2] / "studies" / "all_losses.py"
# fp32, in which the bounds below were set: a processor with bf16 must not be asked for them by other arithmetic.
# Processors round differently, and each pretrains a base model of its own, so the bounds are half of what was measured or
# less, they are of means over seeds, and no verdict on a close claim is asked for.
SMALL = ("--testbed", "embedded", "--rows", "3000", "--trials", "1", "--seeds", "3", "--precision", "fp32")
TASKS = ("--tasks", "EmbeddedSTS,EmbeddedRetrieval")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a first user's command ran: no cache, and a hub that nobody answers at."""
    folder = tmp_path_factory.mktemp("ordering")
    env = {"HARNESS_CACHE": str(folder / "cache"), "HF_ENDPOINT": CLOSED}
    done = harness("run", STUDY_FILE, *SMALL, *TASKS, cwd=folder, env=env, timeout=GUARD)
    assert done.returncode == int("violated" in done.stdout), done.stdout + done.stderr
    assert "report: reports/all_losses-embedded/README.md" in done.stdout
    return folder


def document(folder: Path, command: str) -> Any:
    return json.loads(harness(command, STUDY_FILE, "--testbed", "embedded", "--json", cwd=folder).stdout)


def scores(folder: Path, study: str, name: str = "stsb-test/spearman_cosine") -> list[float]:
    records = document(folder, "show")["records"]
    return [r["scores"][name] for r in records if r["study"] == study and r["stage"] != "tune"]


def test_in_batch_negatives_beat_what_trains_on_labels_by_far(folder: Path) -> None:
    """The step of the book that every machine's base model shows, by half of what it was wherever it was measured.

    Untuned, softmax and cosine lost 8 points and more of the untrained model's score, and in-batch negatives gained 2 to
    4. Which of the two losers leads differs between processors: nothing is asked of that.
    """
    judged = {v["expectation"]: v["verdict"] for v in document(folder, "check")["verdicts"]}
    assert "violated" not in (judged["cosine < mnr"], judged["mnr+hard beats mnr"])
    for study in ("mnr", "mnr+hard"):
        for loser in ("softmax", "cosine"):
            assert mean(scores(folder, study)) > mean(scores(folder, loser)) + 0.05, (study, loser)


def test_the_untrained_model_is_middling(folder: Path) -> None:
    """Like the real BERT's .59 on STSB dev: neither nothing nor good, so that losses can gain and lose.

    Processors round differently, and each pretrains a model of its own; the bounds leave room for that.
    """
    for name in ("stsb-dev/spearman_cosine", "stsb-test/spearman_cosine", "mteb/EmbeddedSTS", "mteb/EmbeddedRetrieval"):
        (score,) = scores(folder, "untrained", name)
        assert 0.4 < score < 0.85, name


def test_ranking_losses_gain_over_the_untrained_model(folder: Path) -> None:
    """By a quarter of what was measured: 3.9 points over three test sets together, of which STSB test gives 2 alone."""
    for study in ("mnr", "mnr+hard"):
        gains = [
            mean(scores(folder, study, name)) - scores(folder, "untrained", name)[0]
            for name in ("stsb-test/spearman_cosine", "mteb/EmbeddedSTS", "mteb/EmbeddedRetrieval")
        ]
        assert mean(gains) > 0.01, (study, gains)


def test_the_report_is_complete(folder: Path) -> None:
    report = folder / "reports" / "all_losses-embedded"
    text = (report / "README.md").read_text(encoding="utf-8")

    assert "No figure" not in text
    assert "not done" not in text
    for figure in (report / "figures").glob("*.svg"):
        assert f"figures/{figure.name}" in text
    assert {path.name for path in report.iterdir()} >= {"README.md", "figures", "scores.csv", "records.json"}
