"""Rows, labels and gold scores: all of them, read as they are meant and fit for what reads them, or a refusal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audited import MNR, examined, make, plant, revision_of
from commandline import harness
from datasets import ClassLabel, Dataset, Features, Value
from hub import Hub as Served
from hub import _write_data, nli_rows, sts_pairs
from rich.console import Console

from harness import Study, api, measures, sources, testbeds
from harness.audit import cache as audits
from harness.engine.options import Options
from harness.engine.rows import view_rows
from harness.errors import AuditFailed, StudyFileError, TestbedUnavailable
from harness.reading import files, materials
from harness.spec import losses
from harness.spec.views import VIEWS, View
from harness.testbeds.measure_kinds import Sts
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Hub

STANDARD = ("entailment", "neutral", "contradiction")


def sharded(folder: Path, names: list[str], card: str = "") -> int:
    """Write an NLI set of one file a name and return how many rows it has."""
    (folder / "mnli").mkdir(parents=True)
    for number, name in enumerate(names):
        nli_rows(number, 100).drop(columns="idx").to_parquet(folder / "mnli" / f"{name}.parquet", index=False)
    head = "configs:\n- config_name: mnli\n  data_files:\n  - split: train\n    path: mnli/train-*"
    (folder / "README.md").write_text(f"---\n{head}\n{card}---\n", encoding="utf-8")
    return 100 * len(names)


def stated(rows: int) -> str:
    """Return the part of a README that says how many rows a data set has."""
    fields = "".join(f"  - name: {name}\n    dtype: {kind}\n" for name, kind in NLI.items())
    split = f"  splits:\n  - name: train\n    num_bytes: 1\n    num_examples: {rows}\n"
    return f"dataset_info:\n- config_name: mnli\n  features:\n{fields}{split}"


NLI = {"premise": "string", "hypothesis": "string", "label": "int64"}
REF = Ref("planted/shards", "2" * 40, "mnli", "train", ("README.md", "mnli/*"))
SHARDS = [f"train-{n:05}-of-00003" for n in range(3)]


@pytest.mark.parametrize("present", [[0], [1, 2], [0, 2]])
def test_a_shard_that_is_missing_is_named(present: list[int], tmp_path: Path) -> None:
    sharded(tmp_path, [SHARDS[n] for n in present])
    with pytest.raises(TestbedUnavailable) as told:
        files.read(tmp_path, REF)
    for number, name in enumerate(SHARDS):
        assert (name in str(told.value)) == (number not in present)
    assert "harness fetch FILE" in str(told.value)


def test_files_that_come_later_are_read_although_the_library_remembers_the_folder(tmp_path: Path) -> None:
    sharded(tmp_path, ["train-a"])
    assert len(files.read(tmp_path, REF)[0]) == 100
    nli_rows(9, 60).drop(columns="idx").to_parquet(tmp_path / "mnli" / "train-b.parquet", index=False)
    assert len(files.read(tmp_path, REF)[0]) == 160
    nli_rows(7, 100).drop(columns="idx").to_parquet(tmp_path / "mnli" / "train-a.parquet", index=False)
    again = files.read(tmp_path, REF)[0]
    assert set(nli_rows(7, 100)["premise"]) <= set(again["premise"])


def test_as_many_rows_as_the_data_set_says_or_none(tmp_path: Path) -> None:
    for said, name in ((200, "right"), (300, "wrong")):
        sharded(tmp_path / name, ["train-a", "train-b"], stated(said))
    assert len(files.read(tmp_path / "right", REF)[0]) == 200
    for _ in range(2):  # what was prepared the first time is no excuse the second
        with pytest.raises(TestbedUnavailable, match=r"200 rows were read from 2 files, .* says that it has 300"):
            files.read(tmp_path / "wrong", REF)


def test_a_readme_that_names_files_of_this_machine_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("premise,hypothesis,label\nmine,mine,0\n", encoding="utf-8")
    for number, path in enumerate([str(secret), "../secret.csv", "../*.csv", "mnli/link.csv"]):
        folder = tmp_path / f"set{number}"
        sharded(folder, ["train-a"])
        (folder / "mnli" / "link.csv").symlink_to(secret)
        (folder / "README.md").write_text(
            f'---\nconfigs:\n- config_name: mnli\n  data_files:\n  - split: train\n    path: "{path}"\n---\n'
        )
        with pytest.raises(TestbedUnavailable, match="names a file outside the data set"):
            files.read(folder, REF)


STUDY_OF = """
from dataclasses import replace
from harness import *
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Hub
ablation = Ablation(
    name="rows",
    testbed=replace(testbeds.book, also=(), max_rows=1000, source=sources.nli({ref!r})),
    studies=[
        Study("softmax", loss=losses.softmax, view="pair-class"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="triplet"),
    ],
    space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
    budget=Budget(trials=1, epochs=1, seeds=1),
)
"""


@pytest.mark.parametrize("listed", [False, True], ids=["copied by hand", "begun by the hub's library"])
def test_a_cache_with_a_part_of_the_rows_is_refused_offline_and_filled_online(
    listed: bool, hub: Served, hub_root: Path, cache: Path, tmp_path: Path
) -> None:
    served = hub_root / "datasets" / "planted" / "shards"
    if not served.exists():
        sharded(served, SHARDS)
    (tmp_path / "study.py").write_text(STUDY_OF.format(ref=Hub(REF)), encoding="utf-8")
    home = Path(shutil.copytree(cache, tmp_path / "home", symlinks=True))
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    snapshot = home / "hub" / "datasets--planted--shards" / "snapshots" / REF.revision
    if listed:
        assert harness("fetch", "study.py", "--tasks", "", cwd=tmp_path, env=online).returncode == 0
        for name in SHARDS[1:]:
            (snapshot / "mnli" / f"{name}.parquet").unlink()
    else:
        (snapshot / "mnli").mkdir(parents=True)
        for name in ("README.md", f"mnli/{SHARDS[0]}.parquet"):
            shutil.copy(served / name, snapshot / name)

    refused = harness("run", "study.py", "--audit-only", cwd=tmp_path, env=offline)
    assert refused.returncode == 3, refused.stderr
    for name in SHARDS[1:]:
        assert name in refused.stderr
    assert "harness fetch FILE" in refused.stderr
    done = harness("run", "study.py", "--audit-only", cwd=tmp_path, env=online)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "runs" / "rows-book" / "audit.json").read_text(encoding="utf-8"))["findings"]
    rows = pd.concat([nli_rows(number, 100) for number in range(3)])
    assert {f["of"] for f in found if f["what"] == "label balance"} == {int((rows["label"] >= 0).sum())}


def labelled(cache: Path, name: str, labels: list[Any], feature: Any = None) -> Hub:
    """Plant an NLI set of these labels, one a row."""
    revision = revision_of(name)
    folder = cache / "hub" / f"datasets--planted--{name}" / "snapshots" / revision
    frame = pd.DataFrame({"premise": [f"p {n}" for n in range(len(labels))]}).assign(hypothesis="h", label=labels)
    if not folder.exists():
        _write_data(folder, {"mnli": {"train": frame}})
    if feature is not None:
        features = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": feature})
        whole = Dataset.from_dict({**frame.to_dict("list"), "label": labels}, features=features)
        whole.to_parquet(folder / "mnli" / "train-00000-of-00001.parquet")
    return Hub(Ref(f"planted/{name}", revision, "mnli", "train"))


READ: dict[str, tuple[list[Any], Any, list[int]]] = {
    "positions, as GLUE has them": ([0, 1, 2, -1], None, [0, 1, 2, -1]),
    "names in GLUE's order": ([0, 1, 2, -1], ClassLabel(names=list(STANDARD)), [0, 1, 2, -1]),
    "names in another order": (
        [0, 1, 2, -1],
        ClassLabel(names=["contradiction", "entailment", "neutral"]),
        [2, 0, 1, -1],
    ),
    "four names, spelled otherwise": (
        [0, 1, 2, 3],
        ClassLabel(names=["-", "Contradicts", " NEUTRAL", "entails"]),
        [-1, 2, 1, 0],
    ),
    "names that are only numbers": ([0, 1, 2], ClassLabel(names=["0", "1", "2"]), [0, 1, 2]),
    "text": (["neutral", "Entailment", "contradiction ", "-"], None, [1, 0, 2, -1]),
    "text with a null": (["neutral", None, "entailment"], None, [1, -1, 0]),
    "integers with a null": ([2, None, 0], Value("int64"), [2, -1, 0]),
}


@pytest.mark.parametrize("case", READ)
def test_labels_are_read_by_their_names_or_in_glues_order(case: str, cache: Path) -> None:
    labels, feature, expected = READ[case]
    rows = materials.load_rows(sources.nli(labelled(cache, f"read-{list(READ).index(case)}", labels, feature)))
    assert rows["label"].tolist() == expected
    assert rows["label"].dtype == np.int64


MISREAD: dict[str, tuple[list[Any], Any, str]] = {
    "from one": ([1, 2, 3], None, "holds 1, 2, 3"),
    "two classes": ([0, 1], ClassLabel(names=["entailment", "not_entailment"]), "'entailment', 'not_entailment'"),
    "other words": (["yes", "maybe", "no"], None, "'yes', 'maybe', 'no'"),
    "numbers as text": (["0", "1", "2"], None, "'0', '1', '2'"),
    "grades": ([0.0, 0.5, 1.0], None, "0.5"),
    "truth": ([True, False], None, "True, False"),
    "below": ([-2, 0, 1], None, "holds -2, 0, 1"),
}


@pytest.mark.parametrize("case", MISREAD)
def test_labels_that_may_mean_anything_are_refused_with_the_values_seen(case: str, cache: Path) -> None:
    labels, feature, seen = MISREAD[case]
    planted = labelled(cache, f"misread-{case.replace(' ', '-')}", labels, feature)
    with pytest.raises(AuditFailed, match=re.escape(seen)) as told:
        materials.load_rows(sources.nli(planted))
    assert "labels=(" in str(told.value)


def test_what_labels_stand_for_may_be_said_where_the_data_set_does_not(cache: Path) -> None:
    planted = labelled(cache, "said", [1, 2, 3, 3])
    rows = materials.load_rows(sources.nli(planted, labels=("-", "contradiction", "neutral", "entailment")))
    assert rows["label"].tolist() == [2, 1, 0, 0]


def test_columns_of_another_form_are_refused_by_name(cache: Path) -> None:
    frame = nli_rows(1, 30).drop(columns="idx")
    for number, (change, said) in enumerate(
        (
            (frame.rename(columns={"premise": "sentence1"}), "no column premise; it has sentence1, hypothesis, label"),
            (frame.assign(premise=range(30)), "column 'premise' holds 0"),
        )
    ):
        planted = plant(cache, f"form{number}", "mnli", "train", change)
        with pytest.raises(AuditFailed, match=said):
            materials.load_rows(sources.nli(planted))


def sts(cache: Path, name: str, part: str = "dev", **columns: Any) -> Sts:
    pairs = sts_pairs(30, 40, 1.0, "score")
    own = pairs.assign(sentence1=pairs["sentence1"] + f" {name}")  # a pair that dev and test set share is an error, too
    return measures.sts(plant(cache, name, "default", "test", own.assign(**columns)), f"stsb-{part}")


def first(values: Any, count: int = 40) -> list[Any]:
    """Return forty values: what is given, then 0.25 and 0.75 in turn."""
    return [*values, *([0.25, 0.75] * count)][:count]


SCORES: dict[str, tuple[dict[str, Any], str, int]] = {
    "one NaN": ({"score": first([0.5, np.nan])}, "scores that are no numbers", 1),
    "infinite": ({"score": first([np.inf, np.inf])}, "scores that are no numbers", 2),
    "withheld": ({"score": [-1.0] * 40}, "constant scores", 40),
    "0 to 5": ({"score": first([5.0, 0.0, 1.2])}, "scores outside their range", 2),
    "below": ({"score": first([-0.1])}, "scores outside their range", 1),
    "a null text": ({"sentence1": [None, *["a", "b", "c"] * 13]}, "null texts", 1),
}


@pytest.mark.parametrize("case", SCORES)
@pytest.mark.parametrize("part", ["dev", "test"])
def test_gold_scores_that_would_fail_after_all_tuning_are_errors_of_the_audit(
    case: str, part: str, cache: Path
) -> None:
    columns, what, count = SCORES[case]
    measure: dict[str, Any] = {part: sts(cache, f"scores-{part}-{case.replace(' ', '-')}", part, **columns)}
    found = examined(make([Study("mnr", MNR, "pair")], **measure))
    assert [(f.what, f.count) for f in found.of("error")] == [(f"{what} of stsb-{part}", count)]
    assert ("range=(LOWEST, HIGHEST)" in found.of("error")[0].explain) == ("range" in what)


def test_scores_in_their_range_are_no_error_and_a_range_too_wide_is_doubted(cache: Path) -> None:
    of_five = sts(cache, "of-five", score=first([0.0, 5.0]))
    studies = [Study("mnr", MNR, "pair")]
    assert not examined(make(studies, dev=replace(of_five, range=(0.0, 5.0)))).of("error")
    of_one = replace(sts(cache, "of-one"), range=(0.0, 5.0))
    doubted = [finding.explain for finding in examined(make(studies, dev=of_one)).of("warning")]
    assert any("run from 0 to 1, a small part of their range, 0 to 5" in text for text in doubted)


def test_scores_that_are_text_are_refused(cache: Path) -> None:
    with pytest.raises(AuditFailed, match=r"column 'score' of planted/words .* holds a value that is no number"):
        materials.load_sts(sts(cache, "words", score=["much"] * 40))


def graded(values: list[float]) -> View:
    def build(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
        pairs = rows.head(limit)[["premise", "hypothesis"]].set_axis(["sentence1", "sentence2"], axis=1)
        return pairs.assign(score=(values * len(pairs))[: len(pairs)]).reset_index(drop=True)

    return View(f"graded {values}", ("sentence1", "sentence2", "score"), "score", build)


def classes(values: list[int]) -> View:
    def build(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
        first_rows = rows.head(limit)[["premise", "hypothesis"]]
        return first_rows.assign(label=(values * len(first_rows))[: len(first_rows)])

    return View(f"classes {values}", ("premise", "hypothesis", "label"), "class", build)


UNREAD: list[tuple[Any, str | View, str | None]] = [
    (losses.ContrastiveLoss, "pair-score-half", "0.5"),
    (losses.OnlineContrastiveLoss, "pair-score-half", "0.5"),
    (losses.OnlineContrastiveLoss.given(margin=0.3), "pair-score-half", "0.5"),
    (partial(losses.ContrastiveLoss, margin=0.3), "pair-score-half", "0.5"),
    (losses.ContrastiveLoss, "pair-score", None),
    (losses.OnlineContrastiveLoss, "pair-score-no-neutral", None),
    (losses.CosineSimilarityLoss, "pair-score-half", None),
    (losses.CosineSimilarityLoss, graded([0, 2, 5]), "2, 5"),
    (losses.CosineSimilarityLoss, graded([-1, 0, 1]), None),
    (losses.CoSENTLoss, graded([0, 2, 5]), None),
    (losses.AnglELoss, graded([0, 2, 5]), None),
    (losses.softmax, "pair-class", None),
    (losses.softmax, classes([0, 1, 3]), "3"),
    (partial(losses.softmax, num_labels=4), classes([0, 1, 3]), None),
    (losses.softmax, classes([-1, 1, 2]), "-1"),
]


@pytest.mark.parametrize(("loss", "view", "unread"), UNREAD)
def test_labels_that_a_loss_does_not_read_are_refused_before_tuning(
    loss: Any, view: str | View, unread: str | None, cache: Path
) -> None:
    errors = examined(make([Study("mine", loss, view)])).of("error")
    assert [f.what for f in errors] == (["labels that the loss does not read"] if unread else [])
    if unread:
        assert f" {unread}; it reads " in errors[0].explain
        assert errors[0].where == "study mine"


def dirty(cache: Path, name: str, repeat: int) -> Hub:
    """Plant 900 rows with, `repeat` times each: a pair labelled both ways, an empty text, a null text, a null label."""
    clean_rows = nli_rows(21, 900).drop(columns="idx").astype({"label": "float64"})
    worst = [
        ("both ways", "Both, at once", 0.0),
        ("both ways", "both at once!", 2.0),
        ("empty", " ", 0.0),
        ("null", None, 0.0),
        ("unlabelled", "not labelled", None),
        ("twice", "said twice", 0.0),
        ("twice", "said twice", 0.0),
    ]
    bad = [
        tuple(f"{text} {n}" if text and text.strip() else text for text in row[:2]) + row[2:]
        for n in range(repeat)
        for row in worst
    ]
    frame = pd.DataFrame(bad, columns=list(NLI)).astype({"label": "float64"})
    return plant(
        cache, name, "mnli", "train", pd.concat([clean_rows[:450], frame, clean_rows[450:]], ignore_index=True)
    )


def test_a_few_rows_that_cannot_train_are_left_out_and_counted_in_the_report(cache: Path, tmp_path: Path) -> None:
    ref = dirty(cache, "little", 1)
    (tmp_path / "study.py").write_text(STUDY_OF.format(ref=ref), encoding="utf-8")
    done = harness("run", "study.py", "--tasks", "", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    report = (tmp_path / "reports" / "rows-book" / "README.md").read_text(encoding="utf-8")
    rows = materials.load_rows(sources.nli(ref))
    built = VIEWS["triplet"].build(rows, 1000)
    (both,) = built.index[built["anchor"] == "both ways 0"]
    assert f"1 with a negative equal to the positive (row {both} counted from 0)" in report
    whole = VIEWS["pair-class"].build(rows, 1000)
    texts = [str(n) for n in whole.index[whole["premise"].isin(["empty 0", "null 0"])]]
    assert f"2 of {len(whole):,} rows of view 'pair-class' cannot be trained on and are left out" in report
    assert f"2 with an empty or null text (rows {', '.join(texts)} counted from 0)" in report
    assert "1 of 907 rows have a null label (row 454 counted from 0)" in report
    assert "repeat an earlier one in every column" in report
    trained = {r.study: r.rows for r in api.load(tmp_path / "runs" / "rows-book").records() if r.stage == "tune"}
    assert trained == {"softmax": len(whole) - 2, "mnr": len(built) - 1}


def test_the_rows_that_are_trained_on_are_those_that_were_audited(cache: Path) -> None:
    bed = replace(testbeds.book, also=(), max_rows=1000, source=sources.nli(dirty(cache, "little", 1)))
    for name, lost in (("triplet", 1), ("pair-class", 2), ("pair", 2), ("pair-score", 2)):
        built, kept = VIEWS[name].build(materials.load_rows(bed.source), 1000), view_rows(bed.sealed(), VIEWS[name])
        assert len(built) - len(kept) == lost
        pd.testing.assert_frame_equal(
            kept, built[built.apply(tuple, axis=1).isin(kept.apply(tuple, axis=1))].reset_index(drop=True)
        )
        assert not kept.map(lambda value: value is None or str(value).strip() == "").any(axis=None)


def test_more_rows_than_the_study_file_allows_refuse_a_run_before_anything_is_trained(
    cache: Path, tmp_path: Path
) -> None:
    text = STUDY_OF.format(ref=dirty(cache, "much", 40))
    (tmp_path / "study.py").write_text(text, encoding="utf-8")
    done = harness("run", "study.py", "--tasks", "", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing was trained" in done.stderr
    assert "study mnr: rows left out: " in done.stderr
    assert "This share exceeds 0.01" in done.stderr
    assert "max_dropped=SHARE" in done.stderr
    assert list((tmp_path / "runs" / "rows-book" / "records").iterdir()) == []
    (tmp_path / "study.py").write_text(
        text.replace("max_rows=1000", "max_rows=1000, max_dropped=0.2"), encoding="utf-8"
    )
    assert harness("run", "study.py", "--audit-only", "--store", "other", cwd=tmp_path).returncode == 0
    with pytest.raises(StudyFileError, match="a share is from 0 to 1"):
        replace(testbeds.book, max_dropped=5)


def test_only_the_studies_that_are_to_run_are_audited(cache: Path, tmp_path: Path) -> None:
    """A pair labelled both ways makes a bad triplet, and no bad row of softmax."""
    rows = pd.concat(
        [
            nli_rows(22, 300).drop(columns="idx"),
            pd.DataFrame([("a b", "c d", 0), ("a b", "C d", 2)] * 9, columns=list(NLI)),
        ]
    )
    ref = plant(cache, "bad-triplets", "mnli", "train", rows)
    (tmp_path / "study.py").write_text(STUDY_OF.format(ref=ref), encoding="utf-8")
    refused = harness("run", "study.py", "--tasks", "", cwd=tmp_path)
    assert (refused.returncode, "study mnr: rows left out" in refused.stderr) == (2, True)
    done = harness("run", "study.py", "--tasks", "", "--only", "softmax", cwd=tmp_path)
    assert "rows left out" not in done.stderr
    records = api.load(tmp_path / "runs" / "rows-book").records()
    assert {r.study for r in records if r.outcome == "ok"} == {"untrained", "softmax"}
    report = (tmp_path / "reports" / "rows-book" / "README.md").read_text(encoding="utf-8")
    assert "The audit covers only softmax: no other study was selected to run." in report
    again = harness("run", "study.py", "--tasks", "", cwd=tmp_path)
    assert (again.returncode, "study mnr: rows left out" in again.stderr) == (2, True)


def test_the_audit_of_some_studies_is_not_taken_for_that_of_all_or_of_others(cache: Path, tmp_path: Path) -> None:
    both = make([Study("a", MNR, "pair"), Study("b", losses.softmax, "pair-class")])
    part = api.audit(both, tmp_path / "s", only=["a"])
    assert part.studies == ("a",)
    assert audits.of_plan(api.plan(both, tmp_path / "s")) == part
    assert audits.of_plan(api.plan(make([Study("a", MNR, "pair-of-all"), both.study("b")]), tmp_path / "s")) is None
    assert audits.of_plan(api.plan(make([both.study("b")]), tmp_path / "s")) is None
    whole = api.audit(both, tmp_path / "s")
    assert whole.studies == ()
    assert {f.where for f in whole.findings} > {f.where for f in part.findings}
    assert api.audit(both, tmp_path / "s", only=["b"]) == whole


def warning(model: Any) -> Any:
    loss = MNR(model)
    for _ in range(3):
        warnings.warn("the margin is \x1b[31m odd", UserWarning, stacklevel=1)
        logging.getLogger("sentence_transformers.losses").warning(
            "label .5 is left out; token %s",
            os.environ.get("HF_TOKEN", ""),  # `commandline` removes it in the audit
        )
    warnings.warn("of no interest", DeprecationWarning, stacklevel=1)
    return loss


def test_what_libraries_warn_of_is_in_every_record_and_told_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_thisIsNobodysToken")
    said = io.StringIO()
    ablation = make([Study("mine", warning, "pair")])
    api.run(
        ablation, tmp_path / "s", Options(keep_models="none"), executor="inline", console=Console(file=said, width=300)
    )
    records = [r for r in api.load(tmp_path / "s").records() if r.stage != "untrained"]
    assert len(records) == 2
    for record in records:
        own = [line for line in record.warnings if "odd" in line or ".5" in line]
        assert own == ["label .5 is left out; token [HF_TOKEN]", "UserWarning: the margin is odd"]
        assert not any("of no interest" in line for line in record.warnings)
    assert said.getvalue().count("warning: mine: UserWarning: the margin is odd") == 1
    assert said.getvalue().count("warning: mine: label .5 is left out; token [HF_TOKEN]") == 1
    written = "".join(capfd.readouterr())
    assert "left out" not in written
    assert "odd" not in written


def test_a_record_keeps_no_more_warnings_than_can_be_read(cache: Path, tmp_path: Path) -> None:
    def chatty(model: Any) -> Any:
        for number in range(500):
            warnings.warn(f"warning {number} {'x' * 5000}", UserWarning, stacklevel=1)
        return MNR(model)

    plan = api.run(
        make([Study("mine", chatty, "pair")]), tmp_path / "s", Options(keep_models="none"), executor="inline"
    )
    lines = next(run.record for run in plan.runs if run.record and run.stage == "tune").warnings
    assert len(lines) == 20
    assert max(map(len, lines)) <= 600
    assert re.fullmatch(r"and \d+ more", lines[-1])
