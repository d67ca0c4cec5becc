"""Ablations made of others: files that import each other, sweeps, and studies with a pooling, rows or points of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from commandline import harness

from harness import Ablation, Budget, Point, Space, Study, choice, log_uniform, sources, testbeds, views
from harness.api import load
from harness.cli.main import main
from harness.errors import StudyFileError
from harness.identity import digest
from harness.planning.plan import run_id
from harness.planning.planner import make_plan
from harness.reading import materials
from harness.spec import losses
from harness.spec.ablation import restrict
from harness.spec.loading import load_study_file
from harness.spec.study import Swept
from harness.testbeds import Testbed
from harness.testbeds.sources import Hub, Nli

SHIPPED = Path(__file__).parents[2] / "studies"
MNR = Study("mnr", losses.MultipleNegativesRankingLoss, "pair")

EXTENDED = """
from dataclasses import replace
from all_losses import ablation as all_losses
from own import scaled
from harness import Study
ablation = replace(all_losses, name="more", studies=all_losses.studies + [Study("own", loss=scaled, view="pair")])
"""
OWN = """
from harness import losses

@losses.reads("none")
def scaled(model):
    return losses.MultipleNegativesRankingLoss.given(scale=SCALE)(model)

SCALE = 30.0
"""


def ablation(*studies: Study, testbed: Testbed = testbeds.book) -> Ablation:
    return Ablation(
        "a", testbed, studies, Space(batch_size=choice(16, 32), lr=log_uniform(1e-5, 1e-3)), Budget(trials=4, seeds=2)
    )


def test_a_study_file_extends_another_and_workers_get_losses_of_both(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    shutil.copy(SHIPPED / "all_losses.py", tmp_path / "studies")
    (tmp_path / "studies" / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "studies" / "more.py").write_text(EXTENDED, encoding="utf-8")

    budget = ("--trials", "1", "--seeds", "1", "--rows", "60", "--no-mteb", "--only", "own")
    done = harness("run", "studies/more.py", *budget, "--workers", "1", "--store", "store", cwd=tmp_path)

    shown = harness("show", "studies/more.py", "--store", "store", "--json", cwd=tmp_path)
    records = json.loads(shown.stdout)["records"]
    assert [r["outcome"] for r in records if r["study"] == "own"] == ["ok", "ok"], done.stderr


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path: Path) -> None:
    scales = []
    for scale in ("2.0", "3.0"):
        folder = tmp_path / scale
        folder.mkdir()
        shutil.copy(SHIPPED / "all_losses.py", folder)
        (folder / "own.py").write_text(OWN.replace("30.0", scale), encoding="utf-8")
        (folder / "more.py").write_text(EXTENDED, encoding="utf-8")
        loaded = load_study_file(folder / "more.py")
        scales.append(loaded.study("own").all_parts[0].loss.__globals__["SCALE"])
        assert [study.name for study in loaded.studies] == ["softmax", "cosine", "mnr", "mnr+hard", "own"]
    assert scales == [2.0, 3.0]


def test_a_sweep_is_a_study_a_value_named_after_it() -> None:
    swept = MNR.sweep(scale=[20, 0.5], pooling=["cls"])

    assert [study.name for study in swept] == ["mnr scale=20 pooling=cls", "mnr scale=0.5 pooling=cls"]
    assert [study.label for study in swept] == [
        "MultipleNegativesRankingLoss(scale=20)",
        "MultipleNegativesRankingLoss(scale=0.5)",
    ]
    assert {study.pooling for study in swept} == {"cls"}
    assert [study.swept for study in swept] == [None, None]  # two things differ: no curve
    assert [study.swept for study in MNR.sweep(scale=[20, 0.5])] == [
        Swept("mnr", "scale", 20),
        Swept("mnr", "scale", 0.5),
    ]
    fixed = MNR.sweep(batch_size=[64])[0]
    assert ablation(fixed).dimensions(fixed)["batch_size"] == choice(64)
    assert ablation(fixed).default_point(fixed) == Point(64, 5e-5)


def test_a_sweep_of_a_function_hands_it_the_argument_and_keeps_what_it_reads() -> None:
    softmax = Study("softmax", losses.softmax, "pair-class")
    swept = softmax.sweep(concatenation_sent_rep=[False])[0]

    assert swept.label == "softmax(concatenation_sent_rep=False)"
    assert digest(swept.loss) != digest(softmax.loss)
    with pytest.raises(StudyFileError, match="the loss needs"):
        replace(swept, view="pair")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "has no values"),
        ({"scale": []}, "has no values"),
        ({"pooling": ["first"]}, "choose from mean, cls, max"),
        ({"rows": [0]}, "at least 1"),
        ({"lr": [0]}, "number above 0"),
        ({"view": ["pairs"]}, "unknown view"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused(values: dict[str, list[object]], words: str) -> None:
    with pytest.raises(StudyFileError, match=words):
        MNR.sweep(**values)


def test_a_function_that_does_not_take_the_argument_is_named() -> None:
    def plain(model: object, margin: float = 1.0) -> None: ...

    with pytest.raises(StudyFileError, match="takes no argument 'scale'; it has margin"):
        Study("plain", plain, "pair").sweep(scale=[1])


def test_what_a_study_has_of_its_own_decides_its_runs_and_no_other_studys() -> None:
    point = Point(32, 5e-5)
    ids = {
        run_id(ablation(study), "mnr", "tune", 0, point)
        for study in (
            MNR,
            replace(MNR, pooling="cls"),
            replace(MNR, rows=100),
            replace(MNR, view=views.noisy("pair", 0.1)),
        )
    }
    assert len(ids) == 4
    beside = ablation(MNR, replace(MNR, name="cls", pooling="cls"))
    assert run_id(beside, "mnr", "tune", 0, point) == run_id(ablation(MNR), "mnr", "tune", 0, point)
    explicit = run_id(ablation(replace(MNR, pooling="mean")), "mnr", "tune", 0, point)
    assert explicit not in ids, "it would take the place of another pooling that the base model brings along"
    more = replace(MNR, rows=10**9)
    assert run_id(ablation(more), "mnr", "tune", 0, point) in ids, "no more rows than the testbed's"


def test_a_fixed_point_is_one_trial_and_its_learning_rate_is_the_testbeds() -> None:
    fixed = replace(MNR, fixed={"batch_size": 16, "lr": 2e-5})
    scaled = replace(testbeds.embedded, lr_scale=20.0)
    plan = make_plan(restrict(ablation(fixed), testbed=scaled), [])

    assert [run.point for run in plan.of("mnr", "tune")] == [Point(16, 4e-4)]
    assert {run.roles for run in plan.of("mnr", "final")} == {("best",), ("default",)}


def test_mixed_sets_have_their_share_in_every_number_of_first_rows(
    hub_root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnli = testbeds.book.source
    assert isinstance(mnli, Nli)
    assert isinstance(mnli.of, Hub)
    few = replace(mnli, of=Hub(replace(mnli.of.ref, split="validation_matched")))
    mixed = replace(testbeds.book, source=sources.mix(mnli, few))

    rows = materials.load_rows(mixed.source)
    alone = [materials.load_rows(source) for source in (mnli, few)]

    assert len(rows) == sum(map(len, alone))
    of_few = rows.merge(alone[1].drop_duplicates().assign(few=1), how="left")["few"].fillna(0).cumsum()
    share = len(alone[1]) / len(rows)
    for taken in (40, 100, 200):
        assert of_few[taken - 1] == pytest.approx(share * taken, abs=3)
    first = rows[~rows["premise"].isin(set(alone[1]["premise"]))]
    kept = alone[0][~alone[0]["premise"].isin(set(alone[1]["premise"]))]
    pd.testing.assert_frame_equal(first.reset_index(drop=True), kept.reset_index(drop=True))
    assert mixed.revisions()["rows"] == f"{mnli} + {few}"


def test_pooled_studies_run_and_differ(cache: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent)
    text = study.read_text(encoding="utf-8")
    listed = text[text.index("    studies=") : text.index("    space=")]
    swept = "    studies=Study('mnr', losses.MultipleNegativesRankingLoss, 'pair').sweep(pooling=['cls', 'max'], rows=[90]),\n"
    study.write_text(
        text.replace(listed, swept).replace("[beats('mnr', 'cosine')]", "[]").replace('[beats("mnr", "cosine")]', "[]")
    )
    small = ["--trials", "1", "--seeds", "1", "--no-mteb", "--executor", "inline"]

    assert main(["run", "study.py", *small]) == 0

    final = {r.study: r for r in load("runs/small-book").records() if r.stage == "final"}
    assert {r.rows for r in final.values()} == {final["mnr pooling=cls rows=90"].rows}
    assert 0 < final["mnr pooling=cls rows=90"].rows < 90
    a, b = (r.scores["stsb-test/spearman_cosine"] for r in final.values())
    assert a != b
    assert all({"stsb-test/spearman_half", "stsb-test/spearman_eighth"} <= set(r.scores) for r in final.values())
    assert "cls-pooled" in Path("reports/small-book/README.md").read_text(encoding="utf-8")
