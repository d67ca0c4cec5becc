"""`harness new` and classes of texts: many of them, rare ones, and columns that may be documents instead."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drafts import WORDS, drafted, new, texts
from driven import driven
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression

from harness import Budget
from harness.api import load
from harness.reading.rows import read
from harness.spec.loading import load_study_file
from harness.testbeds.measure_kinds import Classification, Retrieval

LONG = "all that has to do with boats and rivers"
ROWS = 160


def two_columns(values: list[object], name: str, first: str = "text") -> list[dict[str, object]]:
    """Return rows of different texts and of values that come in turn."""
    return [{first: text, name: values[n % len(values)]} for n, text in enumerate(texts(ROWS))]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label", [f"L{n}" for n in range(40)]),
        ("intent", [f"intent {n}" for n in range(53)]),
        ("Main Category", [f"kind {n}" for n in range(25)]),
        ("intent_name", [f"kind {n}" for n in range(25)]),
        ("category", ["sport", "politics", LONG]),
        ("label", list(range(40))),
        ("label", [f"L{n}" for n in range(3)]),
        ("abteilung", [f"L{n}" for n in range(20)]),
    ],
)
def test_values_that_repeat_are_classes_whatever_their_number(
    name: str, values: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, two_columns(values, name)) == 0
    told = capsys.readouterr().out
    assert "The rows are labelled texts." in told
    assert f"The values of {name!r} are taken for the classes of 'text'." in told
    dev = load_study_file(tmp_path / "mine.py").testbed.dev
    assert isinstance(dev, Classification)
    assert (dev.text, dev.label) == ("text", name)
    assert {*read(dev.test).rows[name]} <= {*read(dev.train).rows[name]}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("abteilung", [f"part {n}" for n in range(40)], "40 different short texts in 160 rows, each in 4 rows"),
        ("target", [f"part {n}" for n in range(40)], "Rename it: to 'label' if they are classes, or to 'document'"),
        ("label", [f"part {n}" for n in range(80)], "column 'label' has the name of a class, but 80 different texts"),
        ("topic", [f"{LONG} {n}" for n in range(8)], "of 10 words in the median. Classes are short and repeat"),
    ],
)
def test_a_column_that_may_hold_classes_or_documents_is_refused(
    name: str, values: list[object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, two_columns(values, name)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()


def test_too_many_whole_numbers_for_classes_are_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, two_columns(list(range(70)), "label")) == 2
    assert "label (70 different whole numbers from 0 to 69, too many to be classes of 160 rows)" in (
        capsys.readouterr().err
    )
    assert new(tmp_path, two_columns([1, 2, 3, 4, 5], "stars")) == 2
    assert "If a column that is not used holds the classes of the texts, name it 'label'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("answer", [f"{first} {second}" for first in WORDS for second in WORDS[:3]], Retrieval),
        ("answer", ["yes", "no", "perhaps"], Classification),
        ("absatz", [f"{LONG} {number}" for number in texts(20)], Retrieval),
        ("label", texts(ROWS), Retrieval),
    ],
)
def test_documents_that_questions_share_are_documents(
    name: str, values: list[object], kind: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, two_columns(values, name, "question")) == 0
    assert isinstance(load_study_file(tmp_path / "mine.py").testbed.dev, kind)
    told = capsys.readouterr().out
    if name == "answer":
        warned = f"warning: column 'answer' holds {len(values)} different short texts in 160 rows"
        assert warned in told
        assert "# Warning: column 'answer' holds" in drafted(tmp_path)
    else:
        assert "warning: column" not in told


def test_a_name_or_a_text_of_pairs_settles_what_is_doubtful_elsewhere(tmp_path: Path) -> None:
    doubtful = [f"part {n}" for n in range(40)]
    rows = [{**row, "abteilung": doubtful[n % 40]} for n, row in enumerate(two_columns(["a", "b"], "label"))]
    assert new(tmp_path, rows) == 0
    assert 'label="label"' in drafted(tmp_path)
    (tmp_path / "mine.py").unlink()
    pairs = [
        {"text": row["text"], "abteilung": row["abteilung"], "absatz": f"{n} {LONG}"} for n, row in enumerate(rows)
    ]
    pairs = [{**row, "absatz": text} for row, text in zip(pairs, texts(ROWS, 9), strict=True)]
    assert new(tmp_path, pairs) == 0
    assert 'columns("text", "absatz")' in drafted(tmp_path)


def test_of_two_columns_of_classes_one_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = two_columns([0, 1, 2], "label")
    named = [{**row, "label_text": f"kind {row['label']}"} for row in rows]
    assert new(tmp_path, named) == 0
    assert 'label="label"' in drafted(tmp_path)
    (tmp_path / "mine.py").unlink()
    capsys.readouterr()
    assert new(tmp_path, [{**row, "topic": "ab"[n % 2]} for n, row in enumerate(rows)]) == 2
    assert "columns 'label' and 'topic' may all be the classes of 'text'" in capsys.readouterr().err


def test_rows_of_classes_that_train_would_lack_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rare = [f"rare {n}" for n in range(30)]
    values = [*rare, *("xyz"[n % 3] for n in range(ROWS - 30))]
    assert new(tmp_path, two_columns(list(values), "intent")) == 0
    reason = (
        "30 of 160 rows are left out, with a class in 'intent' that has fewer than 3 rows (lines 2, 3, 4, 5, 6, ...)"
    )
    assert f"{reason}." in capsys.readouterr().out
    assert f"# {reason}." in drafted(tmp_path)
    dev = load_study_file(tmp_path / "mine.py").testbed.dev
    assert isinstance(dev, Classification)
    assert {*read(dev.train).rows["intent"]} == {*"xyz"}


def test_a_class_of_texts_that_are_nearly_equal_is_left_out_while_it_is_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All texts of such a class are on one side of the division, so that only the division tells."""

    def rows(copies: int) -> list[dict[str, object]]:
        alike = [f"{base} {LONG} of the lamp {n}" for base in texts(9) for n in range(copies)]
        classes: list[dict[str, object]] = [
            {"text": text, "label": f"kind {n // copies}"} for n, text in enumerate(alike)
        ]
        return two_columns(["a", "b"], "label") + classes

    assert new(tmp_path, rows(4)) == 0
    assert "36 of 196 rows are left out, with a class in 'label' that has fewer than 5 rows" in capsys.readouterr().out
    (tmp_path / "mine.py").unlink()
    assert new(tmp_path, rows(11)) == 2
    told = capsys.readouterr().err
    assert "no study file was written, because `harness run` would stop: No model can be scored by mine-" in told
    assert "test labels that train lacks: ['kind" in told
    assert not (tmp_path / "mine.py").exists()


def test_a_draft_with_many_classes_runs_and_its_score_is_that_of_a_classifier(
    tmp_path: Path, hub_root: Path, cache: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(hub_root / "models" / "google-bert" / "bert-base-uncased", model)
    words = ("boat", "dog", "guitar", "woman", "street", "child", "song", "man", "horse", "river", "lamp", "picture")
    kinds = [f"{a} {b}" for a in words[:6] for b in words[6:10]]
    rows = [
        {"text": f"{kind} {kind} {text}" if n % 29 else " ", "intent": kind if n % 31 else ""}
        for n, text in enumerate(texts(240, 3))
        for kind in [kinds[n % len(kinds)]]
    ]
    assert new(tmp_path, rows, "csv", "--model", str(model)) == 0
    ablation = load_study_file(tmp_path / "mine.py")
    driven(replace(ablation, budget=Budget(trials=1, epochs=1, seeds=1), precision="fp32"), tmp_path / "store")
    records = load(tmp_path / "store").records()
    assert {record.outcome for record in records} == {"ok"}
    assert {record.study for record in records if record.stage == "final"} == {"batch all", "batch hard"}
    test = ablation.testbed.test
    assert isinstance(test, Classification)
    fitted, scored = read(test.train).rows, read(test.test).rows
    used = [(row["text"], row["intent"]) for row in rows if str(row["text"]).strip() and row["intent"]]
    assert {*zip(fitted["text"], fitted["intent"], strict=True)} | {
        *zip(scored["text"], scored["intent"], strict=True)
    } < {*used}
    base = SentenceTransformer(str(model), device="cpu")
    classifier = LogisticRegression(max_iter=100).fit(base.encode([*fitted["text"]]), [*fitted["intent"]])
    chances = np.sort(classifier.predict_proba(base.encode([*scored["text"]])), axis=1)
    right = np.mean(classifier.predict(base.encode([*scored["text"]])) == scored["intent"].to_numpy())
    undecided = np.mean(chances[:, -1] - chances[:, -2] < 0.002)
    untrained = next(record for record in records if record.stage == "untrained")
    assert untrained.scores["mine-test/accuracy"] == pytest.approx(right, abs=undecided + 1e-9)
    assert undecided < 0.2
