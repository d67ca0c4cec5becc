"""Mined negatives: which they are, that they are made once, and how a study waits for the study that mines for it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import synthetic
from commandline import harness
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from harness import Study, testbeds, views
from harness.api import load
from harness.compat import candidates_at_most
from harness.data.mining import mine, with_negatives
from harness.engine.rows import study_rows, view_rows
from harness.engine.turns import Turns
from harness.errors import RunFailed, StudyFileError
from harness.executors import library_output
from harness.model.loading import fresh_model
from harness.planning.planner import Planner, make_plan
from harness.reading import materials
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.loading import load_study_file
from harness.spec.views import named
from harness.store import contents

MNR = losses.MultipleNegativesRankingLoss

STUDIES = """
from harness import *
mnr = losses.MultipleNegativesRankingLoss
ablation = Ablation(
    name="mined",
    testbed=testbeds.book,
    studies=[
        Study("by base", loss=mnr, view=views.mined()),
        Study("by mnr", loss=mnr, view=views.mined(by="mnr", negatives=2, margin=0)),
        Study("mnr", loss=mnr, view="pair-of-triplet"),
    ],
    space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
    budget=Budget(trials=2, epochs=1, seeds=1),
)
"""


def pairs() -> pd.DataFrame:
    """The tiny hub's pairs; the last anchor comes first once more, so that rows of an anchor are no neighbours."""
    found = view_rows(testbeds.book.sealed(), named("pair-of-triplet")).head(60)
    again = pd.DataFrame([(found["anchor"].iloc[-1], "the sailor never sleeps .")], columns=found.columns)
    return pd.concat([again, found], ignore_index=True)


def test_negatives_are_the_most_alike_below_the_margin(cache: Path) -> None:
    rows, model = pairs(), fresh_model(testbeds.book.sealed())
    mining = views.mined(margin=0.05, negatives=2).mining
    assert mining is not None

    found = mine(rows, mining, model)

    corpus = list(dict.fromkeys(rows["positive"]))
    of_anchor, of_text = (model.encode(texts, normalize_embeddings=True) for texts in (list(rows["anchor"]), corpus))
    cosines = of_anchor @ of_text.T
    place = {text: i for i, text in enumerate(corpus)}
    row: Any
    for index, row in enumerate(found.itertuples(index=False)):
        own = set(rows.loc[rows["anchor"] == rows["anchor"][index], "positive"])
        limit = min(cosines[index, place[text]] for text in own)
        limit -= 0.05 * abs(limit)
        fit = sorted(
            (c for t, c in zip(corpus, cosines[index], strict=True) if t not in own and c <= limit + 1e-6), reverse=True
        )
        assert row.drawn == max(0, 2 - len(fit))
        assert not {row.negative1, row.negative2} & own
        mined_ = [row.negative1, row.negative2][: 2 - row.drawn]
        assert [cosines[index, place[t]] for t in mined_] == pytest.approx(fit[: len(mined_)], abs=1e-5)
    one = found.loc[rows["anchor"] == rows["anchor"][0], ["negative1", "negative2"]].drop_duplicates()
    assert len(one) == 1, "all rows of an anchor have the same negatives"


@pytest.mark.skipif(candidates_at_most(10, 4, 2) < 10, reason="it fails for so few texts before 5.7")
def test_the_librarys_rows_are_of_distinct_anchors_in_order_and_short_ones_are_left_out(cache: Path) -> None:
    """Why triplets are asked for: rows a, b, a, c come back as a, a, b, c, each with its own negatives."""
    model = fresh_model(testbeds.book.sealed())
    first = pairs().drop_duplicates("anchor").head(3)
    a, b, c = first["anchor"]
    rows = pd.DataFrame(
        [
            *zip([a, b], first["positive"][:2], strict=True),
            (a, "the dog paints the boat ."),
            (c, first["positive"].iloc[2]),
        ],
        columns=["anchor", "positive"],
    )

    def mined(number: int, form: str) -> list[dict[str, str]]:
        found = mine_hard_negatives(
            Dataset.from_pandas(rows, preserve_index=False),
            model,
            range_max=10,
            num_negatives=number,
            output_format=form,  # type: ignore[arg-type]
            verbose=False,
        )
        return [dict(row) for row in found]

    tuples = mined(2, "n-tuple")
    assert [row["anchor"] for row in tuples] == [a, a, b, c]
    own = rows.groupby("anchor")["positive"].agg(set)
    assert all(row["positive"] in own[row["anchor"]] for row in tuples), "each with its own positive"
    assert all(not {row["negative_1"], row["negative_2"]} & own[row["anchor"]] for row in tuples), "and negatives"
    assert [row["anchor"] for row in mined(3, "n-tuple")] == [b, c], "a has only two that are not its own"
    assert {row["anchor"] for row in mined(3, "triplet")} == {a, b, c}


def test_rows_stay_equal_where_a_margin_leaves_nothing_and_negatives_are_then_random(cache: Path) -> None:
    rows = pairs()
    mining = views.mined(margin=0.999).mining
    assert mining is not None

    found = mine(rows, mining, fresh_model(testbeds.book.sealed()))

    assert len(found) == len(rows)
    assert (found["drawn"] == 1).mean() > 0.5
    own = rows.groupby("anchor")["positive"].agg(set)
    assert all(n not in own[a] for a, n in zip(rows["anchor"], found["negative1"], strict=True))
    assert found["negative1"].nunique() > len(rows) / 4, "not one and the same for all"


def test_negatives_are_mined_once_for_equal_pairs_options_and_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    rows, asked = pairs(), Counter[str]()

    def model(name: str) -> object:
        asked[name] += 1
        return fresh_model(testbeds.book.sealed())

    def negatives(view: views.View, frame: pd.DataFrame, base: str, name: str) -> pd.DataFrame:
        return with_negatives(view, frame, base, lambda: model(name))  # type: ignore[arg-type, return-value]

    first = negatives(views.mined(), rows, "base", "first")
    assert list(first.columns) == ["anchor", "positive", "negative"]
    pd.testing.assert_frame_equal(first, negatives(views.mined(), rows, "base", "again"))
    negatives(views.mined(margin=0.1), rows, "base", "margin")
    negatives(views.mined(negatives=2), rows, "base", "number")
    negatives(views.mined(), rows, "other", "base")
    negatives(views.mined(), rows.iloc[1:], "base", "rows")
    assert asked == dict.fromkeys(("first", "margin", "number", "base", "rows"), 1)
    assert {path.suffix for path in (tmp_path / "mined").iterdir()} <= {".negatives", ".lock"}, "nothing half written"


def short(content: bytes) -> bytes:
    """Whole negatives of a row too few, with their right hash."""
    table = pd.read_parquet(io.BytesIO(content.partition(b"\n")[2])).iloc[1:].to_parquet(index=False)
    return hashlib.sha256(table).hexdigest().encode() + b"\n" + table


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one bit": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "a row too few": short,
    "no parquet": lambda content: hashlib.sha256(b"x").hexdigest().encode() + b"\nx",
}


def test_a_damaged_file_of_negatives_is_mined_again_and_that_is_told(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    rows, asked = pairs(), Counter[str]()

    def model() -> SentenceTransformer:
        asked["models"] += 1
        return fresh_model(testbeds.book.sealed())

    umask = os.umask(0o022)
    try:
        first = with_negatives(views.mined(), rows, "base", model)
    finally:
        os.umask(umask)
    (path,) = (tmp_path / "mined").glob("*.negatives")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "whoever shares the cache may read it"
    whole = path.read_bytes()
    for number, damage in enumerate(DAMAGE.values(), 2):
        path.write_bytes(damage(whole))
        os.utime(path, ns=(number, number))  # the clock may be coarse
        told: dict[str, None] = {}
        with library_output.warnings_collected(told):
            again = with_negatives(views.mined(), rows, "base", model)
        pd.testing.assert_frame_equal(again, first)
        assert path.read_bytes() == whole
        assert [line for line in told if path.name in line and "mined again" in line]
        assert asked["models"] == number


def test_whoever_waits_for_a_lock_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr("harness.waiting.PATIENCE", 0.01)
    with_negatives(views.mined(), pairs(), "base", lambda: fresh_model(testbeds.book.sealed()))
    (path,) = (tmp_path / "mined").glob("*.negatives")
    path.unlink()
    lock = path.with_suffix(".lock").open("a")  # no FileLock: one of this thread's own would be an error and no wait
    fcntl.flock(lock, fcntl.LOCK_EX)
    capsys.readouterr()
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)

    def release() -> None:
        while not told.getvalue():
            time.sleep(0.01)
        lock.close()

    thread = threading.Thread(target=release)
    thread.start()
    with_negatives(views.mined(), pairs(), "base", lambda: fresh_model(testbeds.book.sealed()))
    thread.join()
    assert "waiting for another worker or command, which mines the same negatives" in told.getvalue()
    assert str(path.with_suffix(".lock")) in told.getvalue()


def two(**changes: str) -> Ablation:
    studies = [Study("mined", MNR, views.mined(by="mnr")), Study("mnr", MNR, "pair-of-triplet")]
    return replace(synthetic.make_ablation(["softmax"], trials=2, seeds=2, expect=[]), studies=studies)


def test_a_study_waits_for_the_trials_of_the_one_that_mines_and_its_runs_are_told_apart_by_them() -> None:
    ablation = two()
    before = make_plan(ablation, [])
    assert {(run.state, run.id) for run in before.of("mined")} == {("waiting", None)}

    plain = replace(ablation, studies=ablation.studies[1:])
    records = [r for r in synthetic.make_records(plain) if r.stage == "tune"]
    ready = make_plan(ablation, records)
    assert {run.state for run in ready.of("mined", "tune")} == {"to do"}
    winner = max(records, key=lambda r: r.scores["stsb-dev/spearman_cosine"])
    mining = ready.ablation.study("mined").mining
    assert mining is not None
    assert (mining.trial, mining.point) == (winner.id, winner.point)

    worst = min(records, key=lambda r: r.scores["stsb-dev/spearman_cosine"])
    turned = [replace(r, scores={"stsb-dev/spearman_cosine": 0.99}) if r.id == worst.id else r for r in records]
    other = make_plan(ablation, turned)
    ids = [{run.id for run in plan.of("mined", "tune")} for plan in (ready, other)]
    assert not ids[0] & ids[1], "another winner mines other negatives"
    assert {run.id for run in ready.of("mnr")} >= {run.id for run in make_plan(plain, records).of("mnr", "tune")}


def test_only_a_mined_study_brings_the_one_that_mines() -> None:
    assert {run.study for run in make_plan(two(), [], only=["mined"]).runs} == {"untrained", "mined", "mnr"}


def test_a_study_that_is_not_selected_has_no_turn_when_its_miner_has_trained() -> None:
    ablation = two()
    ablation = replace(ablation, studies=[*ablation.studies, Study("besides", MNR, views.mined(by="mnr", negatives=2))])
    planner = Planner(ablation, [], only=["mined"])
    turns, trained = Turns(planner), []
    records = {r.id: r for r in synthetic.make_records(replace(ablation, studies=[ablation.study("mnr")]))}
    trials = {record.trial: record for record in records.values() if record.stage == "tune"}
    while (run := turns.take()) and run.study != "mined":
        record = records[run.id] if run.id else trials[run.trial]
        planner.add(record)
        turns.refresh(record.study, *planner.mined_by(record.study))
        trained.append(record)
    assert run is not None, "its turn has come"
    assert {record.study for record in trained} == {"untrained", "mnr"}


@pytest.mark.parametrize("by", ["nobody", "mined"])
def test_a_miner_that_is_no_study_or_is_mined_for_itself_is_refused(by: str) -> None:
    with pytest.raises(StudyFileError, match="are mined by"):
        replace(two(), studies=[Study("mined", MNR, views.mined(by=by)), Study("mnr", MNR, "pair")])


def test_a_two_stage_ablation_runs_in_workers_and_the_negatives_are_the_winners(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mined.py").write_text(STUDIES, encoding="utf-8")
    environment = {"HARNESS_CACHE": str(tmp_path / "cache")}

    done = harness("run", "mined.py", "--no-mteb", "--workers", "2", cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stderr
    assert "Batches" not in done.stderr
    records = load(tmp_path / "runs" / "mined-book").records()
    assert {r.outcome for r in records} == {"ok"}, [r.error for r in records if r.error]
    assert len({r.rows for r in records if r.study != "untrained"}) == 1, "equal rows in every study"
    audit = json.loads((tmp_path / "runs" / "mined-book" / "audit.json").read_text(encoding="utf-8"))
    assert any(f["what"] == "negatives not mined yet" and "by mnr" in f["where"] for f in audit["findings"])
    files = list((tmp_path / "cache" / "mined").glob("*.negatives"))
    assert len(files) == 2

    monkeypatch.setenv("HARNESS_CACHE", os.path.join(tmp_path, "elsewhere"))  # mined again, by the winner trained again
    folder = tmp_path / "runs" / "mined-book"
    declared = contents.resolved(load_study_file(tmp_path / "mined.py"), contents.read(folder))
    again = make_plan(declared, records).ablation
    mined = study_rows(again, "by mnr")
    kept = [pd.read_parquet(BytesIO(path.read_bytes().partition(b"\n")[2])) for path in files]
    same = next(frame for frame in kept if "negative2" in frame)
    pd.testing.assert_frame_equal(same[["negative1", "negative2"]], mined[["negative1", "negative2"]])
    assert list(mined.columns) == ["anchor", "positive", "negative1", "negative2"]
    assert set(mined["negative1"]) <= set(materials.load_rows(testbeds.book.source)["hypothesis"])


def test_rows_mined_by_a_study_whose_winner_is_unknown_are_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mined.py").write_text(STUDIES, encoding="utf-8")

    with pytest.raises(RunFailed, match="mined by 'mnr', whose best trial is not known"):
        study_rows(load_study_file(tmp_path / "mined.py"), "by mnr")
