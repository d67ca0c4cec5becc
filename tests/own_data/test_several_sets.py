"""A study of two data sets with two losses, from the audit to the report."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from driven import driven
from models import FAST_WAYS
from torch import Tensor, nn

from harness import (
    Ablation,
    Budget,
    Part,
    Point,
    Space,
    Study,
    Testbed,
    beats,
    choice,
    columns,
    log_uniform,
    losses,
    measures,
    sources,
)
from harness.api import audit, check, load, plan, report
from harness.store.records import Record

THINGS = ("boat", "dog", "guitar", "woman", "street", "child", "song", "picture", "man", "horse")


def pairs(number: int, seed: int) -> list[tuple[str, str]]:
    """Return distinct pairs of sentences; other seeds have other ones."""
    rng = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < number:
        a, b, c = (rng.choice(THINGS) for _ in range(3))
        made[f"é {seed} the {a} sees the {b} {c}"] = f"in {seed} a {b} and a {c}"
    return list(made.items())


def frame(number: int, seed: int, scored: bool) -> sources.Source:
    rows = pd.DataFrame(pairs(number, seed), columns=["left", "right"])
    return sources.frame(rows.assign(score=[(n % 6) / 5 for n in range(number)]) if scored else rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, hub_root: Path, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(hub_root / "models" / "google-bert" / "bert-base-uncased", folder)
    return folder


VIEW = columns("left", "right")
SCORED = columns("left", "right", score="score")
BOTH = Study(
    "both",
    parts=[
        Part("pairs", loss=losses.MultipleNegativesRankingLoss, view=VIEW),
        Part("scored", loss=losses.CoSENTLoss, view=SCORED, source=frame(18, 4, scored=True)),
    ],
)


def declared(model: Path, *studies: Study, **changes: Any) -> Ablation:
    bed = Testbed(
        name="two",
        model=str(model),
        source=frame(40, 1, scored=False),
        dev=measures.sts(frame(16, 2, scored=True), "dev", columns=("left", "right", "score"), range=(0, 1)),
        test=measures.sts(frame(20, 3, scored=True), "test", columns=("left", "right", "score"), range=(0, 1)),
    )
    fields: dict[str, Any] = {
        "name": "two",
        "testbed": bed,
        "studies": list(studies),
        "space": Space(batch_size=choice(8), lr=log_uniform(1e-4, 1e-2)),
        "budget": Budget(trials=1, seeds=1, epochs=2),
        "default": Point(batch_size=8, lr=3e-3),
        "precision": "fp32",
    }
    return Ablation(**{**fields, **changes})


def finals(store: Path) -> dict[str, Record]:
    return {record.study: record for record in load(store).records() if record.stage == "final"}


def test_both_mixings_run_to_the_report(model: Path, tmp_path: Path) -> None:
    single = Study("pairs only", loss=losses.MultipleNegativesRankingLoss, view=VIEW)
    turns = replace(BOTH, name="turns", mixing="round_robin")
    ablation = declared(model, single, BOTH, turns, expect=[beats("both", "pairs only")])
    store = tmp_path / "store"
    driven(ablation, store)

    records = finals(store)
    assert {name: record.outcome for name, record in records.items()} == dict.fromkeys(records, "ok")
    counted = {name: (record.rows, record.steps, record.examples_seen) for name, record in records.items()}
    assert counted == {"pairs only": (40, 10, 80), "both": (58, 16, 116), "turns": (58, 12, 84)}
    assert len({record.scores["test/spearman_cosine"] for record in records.values()}) == 3
    assert records["both"].forward["path"] == FAST_WAYS[0]
    told = records["both"].provenance["revisions"]["rows"]
    assert told == "pairs: a DataFrame of 40 rows + scored: a DataFrame of 18 rows"
    assert all(run.state == "done" for run in plan(ablation, store).runs)
    assert len(check(ablation, store)) == 1

    page = report(ablation, store, tmp_path / "report").read_text(encoding="utf-8")
    assert "pairs: MultipleNegativesRankingLoss + scored: CoSENTLoss" in page
    assert r"mixed round\_robin" in page

    swapped = replace(BOTH, parts=[BOTH.parts[1], BOTH.parts[0]])
    assert "done" not in {run.state for run in plan(declared(model, swapped), store).of("both")}


def test_every_part_is_audited_and_its_own_loss_tried(model: Path, tmp_path: Path) -> None:
    leaking = sources.frame(pd.DataFrame(pairs(20, 3)[:5] + pairs(30, 5), columns=["left", "right"]))

    class Deaf(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            left, right = (self.model(each)["sentence_embedding"] for each in features)
            return 1 - torch.cosine_similarity(left, right).mean()

    spoilt = [replace(BOTH.parts[0], source=leaking), replace(BOTH.parts[1], loss=Deaf)]
    found = audit(declared(model, replace(BOTH, parts=spoilt)), tmp_path / "store").of("error")
    assert {(finding.what, finding.where) for finding in found} == {
        ("pairs of test in the training rows", "testbed two"),
        ("ignored label", "study both/scored"),
    }


def test_a_part_whose_rows_changed_makes_new_runs(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "scored.csv"
    path.write_text("left,right,score\n" + "".join(f"{a},{b},0.{n % 9}\n" for n, (a, b) in enumerate(pairs(12, 6))))
    study = replace(BOTH, parts=[BOTH.parts[0], replace(BOTH.parts[1], source=sources.file(str(path)))])
    ablation, store = declared(model, study), tmp_path / "store"
    driven(ablation, store)
    assert {run.state for run in plan(ablation, store).runs} == {"done"}
    path.write_text(path.read_text().replace("0.3", "0.7"))
    driven(ablation, store)
    assert len([record for record in load(store).records() if record.stage == "final"]) == 2
