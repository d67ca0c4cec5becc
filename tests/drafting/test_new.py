"""`harness new`: from a file of rows to a study file that loads, for each form that rows can have."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.spec.loading import load_study_file
from harness.testbeds.measure_kinds import Classification, PairClasses, Retrieval, Sts

WORDS = ("boat", "dog", "guitar", "woman", "street", "child", "song", "Straße", "man", "horse", "river", "lamp")


def say(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + f" {rng.randrange(10**6)}"


def columns(form: str, rng: random.Random) -> dict[str, object]:
    texts = {"one": say(rng, 6), "two": say(rng, 9)}
    return {
        "pairs": {"id": f"A{rng.randrange(10**6)}", "title": texts["one"], "body": texts["two"], "year": 1990},
        "triplets": {"anchor": texts["one"], "positive": texts["two"], "negative": say(rng, 9)},
        "scored pairs": {"sentence1": texts["one"], "sentence2": texts["two"], "score": round(5 * rng.random(), 2)},
        "labelled pairs": {"text1": texts["one"], "text2": texts["two"], "is_duplicate": rng.randrange(2)},
        "labelled texts": {"text": texts["one"], "label": rng.choice(("billing", "login", "other"))},
        "nli": {"premise": texts["one"], "hypothesis": texts["two"], "label": rng.randrange(3)},
        "texts": {"sentence": texts["one"]},
    }[form]  # type: ignore[return-value]


def write(folder: Path, form: str, count: int = 60) -> Path:
    rng = random.Random(0)
    rows = [columns(form, rng) for _ in range(count)]
    path = folder / f"{form.replace(' ', '_')}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


MEASURES = {
    "pairs": Retrieval,
    "triplets": Retrieval,
    "scored pairs": Sts,
    "labelled pairs": PairClasses,
    "labelled texts": Classification,
}


@pytest.mark.parametrize("form", MEASURES)
def test_rows_of_each_form_become_a_study_file_that_loads_and_plans(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "studies" / "mine.py"
    assert main(["new", str(file), "--source", str(write(tmp_path, form))]) == 0
    told = capsys.readouterr().out
    assert f"The rows are {form}." in told
    ablation = load_study_file(file)
    bed = ablation.testbed
    assert isinstance(bed.dev, MEASURES[form])
    assert isinstance(bed.test, MEASURES[form])
    assert bed.dev != bed.test
    assert main(["plan", str(file)]) == 0
    fed = told.split("losses that these rows feed: ")[1].splitlines()[0].split(", ")
    for study in ablation.studies:
        name = getattr(study.loss, "name", "")
        assert name in fed or (form == "triplets" and study.name == "mnr"), name


def test_what_is_not_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(write(tmp_path, "pairs"))]) == 0
    told = capsys.readouterr().out
    assert "column id: a different single word in each row, as ids are; not used" in told
    assert "column year: whole numbers from 1990 to 1990, and its name says neither score nor label; not used" in told
    assert 'columns("title", "body")' in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(("count", "tested", "points"), [(12, "1", "100"), (60, "6", "17"), (2000, None, None)])
def test_a_test_set_too_small_to_compare_losses_is_said(
    count: int, tested: str | None, points: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(write(tmp_path, "pairs", count))]) == 0
    told = capsys.readouterr().out
    assert ("warning" in told) == (tested is not None)
    if tested is not None:
        assert f"{count} rows make a test set of about {tested}, in which a single row can be worth {points}" in told


@pytest.mark.parametrize("form", ["nli", "texts"])
def test_rows_that_say_nothing_of_quality_need_a_measure(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(write(tmp_path, form))
    assert main(["new", str(tmp_path / "mine.py"), "--source", source]) == 2
    assert "give --dev FOLDER and --test FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()
    for side in ("dev", "test"):
        (tmp_path / side / "qrels").mkdir(parents=True)
        for name in ("corpus", "queries"):
            (tmp_path / side / f"{name}.jsonl").write_text(json.dumps({"_id": "1", "text": "a b"}), encoding="utf-8")
    given = ["--dev", str(tmp_path / "dev"), "--test", str(tmp_path / "test")]
    assert main(["new", str(tmp_path / "mine.py"), "--source", source, *given]) == 0
    dev = load_study_file(tmp_path / "mine.py").testbed.dev
    assert isinstance(dev, Retrieval)
    assert dev.folder == "dev"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine.txt", "--source", "rows.csv"], "a study file ends in .py"),
        (["there.py", "--source", "rows.csv"], "exists already and is not overwritten"),
        (["mine.py", "--source", "none.csv"], "no such file"),
        (["mine.py", "--source", "rows.csv", "--dev", "."], "--dev and --test belong together"),
        (["mine.py", "--source", "rows.csv", "--dev", ".", "--test", "."], "has no corpus.jsonl"),
        (["mine.py", "--source", "numbers.csv"], "no column of texts was recognised; it has a (0 or 1)"),
        (["mine.py", "--source", "empty.csv"], "empty.csv"),
        (["mine.py", "--source", "one.csv"], "only 1 row"),
        (["mine.py", "--source", "likes.csv"], "column 'is_duplicate' seems to say which pairs are alike"),
    ],
)
def test_what_cannot_become_a_study_file_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "pairs").rename("rows.csv")
    Path("there.py").write_text("mine = 1\n", encoding="utf-8")
    Path("numbers.csv").write_text("a\n" + "0\n1\n" * 9, encoding="utf-8")
    Path("one.csv").write_text("a,b\nx y,z u\n", encoding="utf-8")
    likes = "".join(f"the dog {n},a cat {n},{'yes' if n % 2 else 'no'}\n" for n in range(20))
    Path("likes.csv").write_text("text1,text2,is_duplicate\n" + likes, encoding="utf-8")
    Path("empty.csv").write_text("", encoding="utf-8")
    assert main(["new", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert Path("there.py").read_text(encoding="utf-8") == "mine = 1\n"
    assert not Path("mine.py").exists()


def test_texts_without_spaces_are_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"質問": f"これは質問番号{n}ですか", "回答": f"はい、これは{n}番目の回答です" if n % 5 else None}
        for n in range(30)
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "japanese.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(tmp_path / "japanese.jsonl")]) == 0
    told = capsys.readouterr().out
    assert "The rows are pairs." in told
    assert "20% empty" in told
    assert load_study_file(tmp_path / "mine.py").studies[0].view.columns == ("質問", "回答")  # type: ignore[union-attr]
