"""Diagnostics: known answers, the look at a final run's dev score that changes nothing, and what the report says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from driven import MNR, driven, make_ablation
from synthetic import DEV, make, pairs_of
from synthetic import make_ablation as synthetic_ablation

from harness import testbeds
from harness.api import load
from harness.evaluation.diagnostics import MOST, geometry
from harness.planning.plan import PlannedRun
from harness.report import write_report
from harness.scores import OBJECTIVE
from harness.spec.study import UNTRAINED
from harness.store.items import Pairs
from harness.store.records import Record


def unit(points: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return scaled


def test_figures_are_those_of_their_papers_code() -> None:
    random = np.random.default_rng(0)
    left, right = (unit(random.normal(0.4, 1, (200, 12))) for _ in range(2))
    gold = random.random(200).tolist()
    found = geometry(left, right, gold)

    x, y = (torch.tensor(side[np.array(gold) >= 0.8]) for side in (left, right))
    points = torch.tensor(np.concatenate([left, right]))
    assert found["alignment"] == pytest.approx((x - y).norm(p=2, dim=1).pow(2).mean().item())
    assert found["uniformity"] == pytest.approx(torch.pdist(points, p=2).pow(2).mul(-2).exp().mean().log().item())
    cosines = (points @ points.T)[~torch.eye(len(points), dtype=torch.bool)]
    assert found["anisotropy"] == pytest.approx(cosines.mean().item())


def test_figures_at_their_ends() -> None:
    axes = np.concatenate([np.eye(6), -np.eye(6)])
    spread = geometry(axes, axes, [1.0] * 12)
    assert spread["alignment"] == 0
    assert spread["anisotropy"] == pytest.approx(-1 / 11)
    assert spread["effective_rank"] == pytest.approx(6)

    line = unit(np.array([[1.0, t] for t in np.linspace(0, 0.001, 50)]))
    narrow = geometry(line, line, [1.0] * 50)
    assert narrow["anisotropy"] == pytest.approx(1, abs=1e-5)
    assert narrow["uniformity"] == pytest.approx(0, abs=1e-5)
    assert narrow["effective_rank"] == pytest.approx(1, abs=1e-2)

    opposite = geometry(axes[:6], axes[6:], [0.9, *[0.1] * 5])
    assert opposite["alignment"] == pytest.approx(4)


def test_without_positive_pairs_or_a_second_sentence_figures_are_left_out() -> None:
    axes = np.eye(3)
    assert "alignment" not in geometry(axes, axes, [0.0, 0.5, 0.79])
    assert set(geometry(axes[:1], axes[:1], [1.0])) == {"alignment"}


def test_sentences_count_once_and_many_are_sampled() -> None:
    random = np.random.default_rng(1)
    points = unit(random.normal(size=(40, 8)))
    twice = np.concatenate([points, points])
    assert geometry(twice, twice, [1.0] * 80) == pytest.approx(geometry(points, points, [1.0] * 40))

    many = unit(random.normal(0.5, 1, size=(3 * MOST, 8)))
    some = geometry(many, many, [1.0] * len(many))
    cosines = many.sum(axis=0) @ many.sum(axis=0) / len(many) ** 2
    assert some["anisotropy"] == pytest.approx(cosines, abs=0.02)


@pytest.mark.usefixtures("cache")
def test_looking_at_a_final_run_changes_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation = make_ablation({"a": MNR}, trials=1, testbed=replace(testbeds.book, also=(), max_rows=1600))
    driven(ablation, tmp_path / "looked")
    monkeypatch.setattr("harness.engine.run.LOOKS", ())
    driven(ablation, tmp_path / "blind")

    looked, blind = ({r.id: r for r in load(tmp_path / name).records()} for name in ("looked", "blind"))
    assert looked.keys() == blind.keys()
    for key, record in looked.items():
        assert record.scores == blind[key].scores
        assert record.items == blind[key].items
        assert record.diagnostics == blind[key].diagnostics
    final = only(list(looked.values()), "final")
    assert final.steps == 4
    assert [share for share, _ in final.curve] == [1 / 4, 1 / 2, 1]
    assert [share for share, _ in only(list(blind.values()), "final").curve] == [1]
    assert len({score for _, score in final.curve}) > 1, "later looks see another model"


@pytest.mark.usefixtures("cache")
def test_final_and_untrained_runs_are_described_and_tuning_is_not(tmp_path: Path) -> None:
    driven(make_ablation({"a": MNR}, trials=1), tmp_path)
    records = load(tmp_path).records()

    assert only(records, "tune").diagnostics == {}
    assert [share for share, _ in only(records, "tune").curve] == [1]
    before, after = only(records, "untrained"), only(records, "final")
    for record in (before, after):
        assert set(record.diagnostics) == {"alignment", "uniformity", "anisotropy", "effective_rank"}
        assert record.diagnostics["anisotropy"] >= np.mean(pairs_of(record, DEV).cosine) - 0.5
        assert not set(record.diagnostics) & set(record.scores)
    assert before.diagnostics != after.diagnostics
    table = load(tmp_path).frame()
    assert table["diagnostics.uniformity"].notna().sum() == 2


def only(records: list[Record], stage: str) -> Record:
    (found,) = (record for record in records if record.stage == stage)
    return found


GAPS = {UNTRAINED: 1.5, "softmax": 0.5, "cosine": 2.0, "mnr": 2.5}
"""By how many standard deviations within a fifth the cosines of the highest fifth lie above the lowest's."""
DEV_SCORES = {UNTRAINED: 0.5, "softmax": 0.4, "cosine": 0.55, "mnr": 0.7}


def planted(run: PlannedRun, record: Record) -> Record:
    gap, score = GAPS[run.study], DEV_SCORES[run.study]
    if run.stage == "tune":
        return record
    noise = np.array([-0.01, 0.01] * 50) * np.sqrt(198 / 200)  # the two fifths' means cost two degrees of freedom
    pairs = Pairs((0.1,) * 100 + (0.9,) * 100, (*noise.tolist(), *(noise + 0.01 * gap).tolist()))
    curve = ((0.25, 0.45), (0.5, 0.6 if run.study == "cosine" else 0.3), (1.0, score))
    return replace(
        record,
        scores={**record.scores, OBJECTIVE: score},
        items={**record.items, DEV: pairs},
        curve=curve if run.point else ((1.0, score),),
    )


def why(folder: Path, change: Any = planted) -> str:
    """Return the report's section on why studies differ."""
    plan = make(synthetic_ablation(("softmax", "cosine", "mnr"), expect=[]), change=change)
    text = write_report(plan, folder, "harness run").read_text(encoding="utf-8")
    return text.split("## Why they differ")[1].split("## With and without")[0]


def test_the_report_says_what_the_cosines_tell_apart_and_since_when_a_study_trails(tmp_path: Path) -> None:
    text = why(tmp_path)

    for study, gap in GAPS.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {study} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert (cells[1], cells[-1]) == (f"{100 * DEV_SCORES[study]:.2f}", f"{gap:.2f}")
    assert "softmax has the lowest dev score and mnr the highest. Their separation" in text
    assert "is 0.50 and 2.50 standard deviations (untrained 1.50): the cosines of softmax separate" in text
    assert "softmax (from the first evaluation, at 25% of the training, to the end)." in text
    assert (tmp_path / "figures" / "explain.svg").is_file()


def test_a_separation_that_explains_nothing_is_not_given_as_the_reason(tmp_path: Path) -> None:
    def swapped(run: PlannedRun, record: Record) -> Record:
        study = {"softmax": "mnr", "mnr": "softmax"}.get(run.study, run.study)
        return replace(planted(run, record), items=planted(replace(run, study=study), record).items)

    text = why(tmp_path, swapped)
    assert "is 2.50 and 0.50 standard" in text
    assert "less clearly" not in text


def test_records_without_diagnostics_are_said_to_have_none(tmp_path: Path) -> None:
    text = why(tmp_path, lambda run, record: replace(record, diagnostics={}))
    assert "The final runs' records have no diagnostics" in text
    assert not (tmp_path / "figures" / "explain.svg").exists()
