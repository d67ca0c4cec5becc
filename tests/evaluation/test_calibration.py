"""`harness calibrate`: published scores against measured ones, and what cannot be compared is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import harness

from harness import testbeds
from harness.cli import exits
from harness.cli.main import main
from harness.errors import UsageError
from harness.evaluation.published import MODELS, TOLERANCE, Row, exit_code, rows, subjects
from harness.scores import HEADLINE

MINILM, BERT = "sentence-transformers/all-MiniLM-L6-v2", "google-bert/bert-base-uncased"


def row(published: float | None, measured: float | None) -> Row:
    return Row(MINILM, HEADLINE, published, measured)


@pytest.mark.parametrize(
    ("published", "measured", "outcome"),
    [
        (0.8203, 0.8203, "agrees"),
        (0.8203, 0.8213, "agrees"),
        (0.8203, 0.8193, "agrees"),
        (0.8203, 0.82131, "disagrees"),
        (0.8203, 0.81929, "disagrees"),
        (0.8203, None, "not available"),
        (None, 0.8203, "not available"),
    ],
)
def test_a_tenth_of_a_point_is_tolerated(published: float | None, measured: float | None, outcome: str) -> None:
    assert TOLERANCE == 0.001
    assert row(published, measured).outcome == outcome


def test_exit_code_needs_a_comparison_and_forgives_no_disagreement() -> None:
    agrees, disagrees, absent = row(0.8, 0.8), row(0.8, 0.7), row(0.8, None)
    assert [exit_code(found) for found in ([agrees, absent], [agrees, disagrees], [disagrees], [absent], [])] == [
        0,
        1,
        1,
        3,
        3,
    ]


def test_the_testbeds_tasks_and_stsb_are_compared_with_the_published_scores() -> None:
    found = {r.figure: r for r in rows(subjects(MINILM), testbeds.book)}
    assert list(found)[:2] == [HEADLINE, "mteb/STSBenchmark"]
    assert set(found) == {HEADLINE, "mteb/STSBenchmark", *(f"mteb/{task}" for task in testbeds.book.tasks)}
    assert [found[name].published for name in (HEADLINE, "mteb/STSBenchmark", "mteb/STS16", "mteb/SICK-R")] == [
        0.8203,
        0.8203,
        0.7899,
        0.7758,
    ]
    assert found["mteb/TwentyNewsgroupsClustering.v2"].reason == "the harness has no published score of it"
    bert = {r.figure: r for r in rows(subjects(BERT), testbeds.book)}
    assert bert[HEADLINE].published == 0.4729
    assert "mteb no longer reproduces" in bert["mteb/Banking77Classification"].reason
    assert [r.figure for r in rows(subjects(BERT), testbeds.book, [])] == [HEADLINE]
    assert not any(r.published for r in rows(subjects(None), testbeds.embedded, testbeds.embedded.tasks))


def test_all_published_scores_are_in_points_of_one() -> None:
    for published in MODELS.values():
        assert all(0 < score < 1 for score in published.scores.values())


def test_models_are_hub_ids_or_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "all-MiniLM-L6-v2"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert [(s.name, s.folder) for s in subjects(None)] == [(BERT, None), (MINILM, None)]
    assert [(s.name, s.folder) for s in subjects(f"{MINILM}, bert-base-uncased")] == [(MINILM, None), (BERT, None)]
    for text in (str(folder), "./all-MiniLM-L6-v2", f"{MINILM}={folder}", f"all-MiniLM-L6-v2={folder}"):
        assert [(s.name, s.folder) for s in subjects(text)] == [(MINILM, folder)]
    assert subjects(f"{BERT}={folder}")[0].name == BERT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody/nothing", "neither a folder nor a model with published scores"),
        (",", "names no model"),
        ("other", "no published model is called 'other'; write ID=FOLDER"),
        ("nobody=other", "no published model is called 'nobody'"),
        (f"{MINILM}=other", "has no config.json"),
    ],
)
def test_models_that_cannot_be_meant_are_refused(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        subjects(text)
    assert main(["calibrate", "--models", text]) == 2
    assert words in capsys.readouterr().err


def test_without_published_scores_nothing_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--testbed", "embedded", "--tasks", "EmbeddedSTS", "--json"]) == 3
    assert {r["outcome"] for r in json.loads(capsys.readouterr().out)["rows"]} == {"not available"}


def test_other_weights_and_data_disagree_and_missing_ones_are_named(cache: Path, tmp_path: Path) -> None:
    """The tiny hub's model is not bert-base-uncased, whatever its name: the negative control."""
    tasks = "STS16,STS13,TwentyNewsgroupsClustering.v2"
    done = harness("calibrate", "--tasks", tasks, "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = {(r["model"], r["figure"]): r for r in json.loads(done.stdout)["rows"]}
    assert len(found) == 8
    for figure in (HEADLINE, "mteb/STS16"):
        assert found[BERT, figure]["outcome"] == "disagrees"
        assert -1 <= found[BERT, figure]["measured"] <= 1
    assert "mteb/sts13-sts: " in found[BERT, "mteb/STS13"]["reason"]
    assert found[BERT, "mteb/STS13"]["outcome"] == "not available"
    for figure in (HEADLINE, "mteb/STS16", "mteb/STS13"):
        assert found[MINILM, figure]["outcome"] == "not available"
        assert "it is not in the cache" in found[MINILM, figure]["reason"]
    assert "google-bert/bert-base-uncased mteb/STS16: disagrees" in done.stderr


def test_each_code_of_calibrate_is_reached(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    once = ["calibrate", "--models", BERT, "--tasks", "", "--json"]
    codes = [main(["calibrate", "--models", "nobody"]), main(["calibrate", "--testbed", "embedded", "--tasks", ""])]
    capsys.readouterr()
    codes.append(main(once))
    measured = json.loads(capsys.readouterr().out)["rows"]
    own = replace(MODELS[BERT], scores={"STSBenchmark": measured[0]["measured"]})
    monkeypatch.setattr("harness.evaluation.published.MODELS", {**MODELS, BERT: own})
    codes.append(main(once))
    assert codes == [2, 3, 1, 0]
    assert {*codes, 70, 130} == {*exits.codes("calibrate")}


def test_the_command_line_stays_light() -> None:
    code = (
        "import sys, harness.verdicts.baseline, harness.verdicts.junit, harness.evaluation.published, harness.evaluation.calibrate, harness.cli, harness.verdicts.judge\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sentence_transformers', 'mteb', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
