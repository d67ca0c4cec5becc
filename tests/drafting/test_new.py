"""`harness new`: from a file of rows to a study file that loads, for each form that rows can have."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from drafts import new, say, texts

from harness.cli.main import main
from harness.spec.loading import load_study_file
from harness.testbeds.measure_kinds import Classification, PairClasses, Retrieval, Sts


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


@pytest.mark.parametrize(("count", "tested", "points"), [(30, "3", "33"), (60, "6", "17"), (2000, None, None)])
def test_a_test_set_too_small_to_compare_losses_is_said(
    count: int, tested: str | None, points: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(write(tmp_path, "pairs", count))]) == 0
    told = capsys.readouterr().out
    assert ("warning" in told) == (tested is not None)
    if tested is not None:
        assert f"{count} rows make a test set of about {tested}, in which a single one can be worth {points}" in told


@pytest.mark.parametrize(
    ("form", "number"),
    [
        ("pairs", "60 different queries"),
        ("scored pairs", "60 different pairs"),
        ("labelled texts", "60 different texts"),
    ],
)
def test_copies_do_not_count_for_the_size_of_a_test_set(
    form: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, form)
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, *lines, *lines, *lines]), encoding="utf-8")
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(path)]) == 0
    assert f"180 rows have only {number}, which make a test set of about 6, in which" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("form", "assumed"),
    [
        ("labelled pairs", "In column 'is_duplicate' 1 is taken for alike and 0 for not alike."),
        ("scored pairs", "In column 'score' more is taken for more alike."),
    ],
)
def test_the_direction_of_a_label_is_said_in_output_and_draft(
    form: str, assumed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(write(tmp_path, form))]) == 0
    assert assumed in capsys.readouterr().out
    assert f"# {assumed}" in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(("values", "told"), [(["train", "Dev", "test"], True), (["train", "web"], False)])
def test_a_division_of_the_rows_that_is_not_used_is_said_with_the_way_to_use_it(
    values: list[object], told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with("split", values)) == 0
    out, draft = capsys.readouterr().out, (tmp_path / "mine.py").read_text(encoding="utf-8")
    assert ("warning: column 'split' looks like a division of the rows" in out) == told
    assert ("# Warning: column 'split' looks like a division of the rows" in draft) == told
    assert ('`train = rows.where(lambda rows: rows["split"] == "train")`' in out) == told


def test_lists_of_texts_are_refused_with_the_way_to_make_rows_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    triplets = [*zip(*(texts(40, words) for words in (6, 7, 8)), strict=True)]
    rows = [{"query": anchor, "pos": [positive], "neg": [negative, anchor]} for anchor, positive, negative in triplets]
    assert new(tmp_path, rows, "jsonl") == 2
    message = capsys.readouterr().err
    assert "columns 'pos' and 'neg' hold lists of texts" in message
    assert '.explode("pos").explode("neg").to_json("ROWS.jsonl", orient="records", lines=True)' in message
    assert "--dev" not in message
    names = ("query", "pos", "neg")
    unrolled = [{**dict(zip(names, triplet, strict=True)), "tags": ["a", "b"]} for triplet in triplets]
    assert new(tmp_path, unrolled, "jsonl") == 0, "a list under another name is no text of a triplet"


def test_rows_of_which_no_set_could_tell_models_apart_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(write(tmp_path, "pairs", 12))]) == 2
    assert "is the same for every model, however it ranks: the set has 1 document" in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()


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
        documents = [json.dumps({"_id": n, "text": f"a b {n}"}) for n in ("1", "2")]
        (tmp_path / side / "corpus.jsonl").write_text("\n".join(documents), encoding="utf-8")
        (tmp_path / side / "queries.jsonl").write_text(documents[0], encoding="utf-8")
        (tmp_path / side / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t1\t1\n", encoding="utf-8")
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


def pairs_with(name: str, values: list[object], count: int = 60) -> list[dict[str, object]]:
    """Return pairs of texts with a further column, which repeats some values."""
    rng = random.Random(0)
    rows: list[dict[str, object]] = [columns("triplets", rng) for _ in range(count)]
    return [
        {"text1": row["anchor"], "text2": row["positive"], name: values[n % len(values)]} for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("is_duplicate", ["duplicate", "not_duplicate"], "'duplicate', 'not_duplicate'"),
        ("target", ["positive", "negative"], "'positive', 'negative'"),
        ("label", ["similar", "dissimilar"], "'similar', 'dissimilar'"),
        ("label", ["positive"], "'positive'"),
        ("label", [1, -1], "whole numbers other than 0 and 1 (its values: 1, -1)"),
        ("label", [1, 2], "whole numbers other than 0 and 1 (its values: 1, 2)"),
        ("isDuplicate", [1, ""], "30 of 60 rows have none (its values: an empty cell, 1.0)"),
        ("score", ["3,75", "0,5", "1,25", "5,0"], "'3,75', '0,5', '1,25', ..."),
        ("score", ["75%", "100%"], "'75%', '100%'"),
        ("score", [3.75, 1.25, 2.5, "n/a"], "'n/a', '3.75', '1.25', ..."),
        ("Similarity", [0.25, "NaN"], "'NaN', '0.25'"),
        ("gold score", [0.25, 0.5, ""], "20 of 60 rows have none"),
        ("score", [f"{n},5" for n in range(50)], "'0,5', '1,5', '2,5', ..."),
        ("label", [f"alike for reason {n}" for n in range(60)], "'alike for reason 0'"),
    ],
)
def test_a_label_of_pairs_that_cannot_be_used_is_refused(
    name: str, values: list[object], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with(name, values)) == 2
    told = capsys.readouterr().err
    assert f"column {name!r} seems to say which pairs are alike, and without it all pairs would count as alike" in told
    assert shown in told
    assert "Write plain numbers into a column named 'label' (1: alike, 0: not) or 'score'" in told
    assert "or remove the column" in told
    assert not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("verdict", ["good", "bad"]),
        ("verdict", ["the second text says the same as the first", "the texts have little in common"]),
        ("mark", ["x", ""]),
        ("ähnlich", [0, 1]),
        ("sameMeaning", [0, 1]),
        ("wert", [0.25, 0.5, 3.75]),
        ("wert", [f"{n},5" for n in range(60)]),
        ("wert", ["0,5", "1", "2,5", "unknown"]),
        ("stars", [1, 2, 3, 4, 5]),
        ("stars", list(range(20))),
        ("percent", list(range(0, 101, 2))),
        ("label_id", [1, 2]),
        ("category", ["yes", "no"]),
        ("topic", [0, 1]),
        ("topic", [1, -1]),
        ("topic", [1, ""]),
        ("wert", [f"{n}%" for n in range(0, 100, 2)]),
        ("wert", [f"{n},5" if n % 5 < 3 else f"unclear {n}" for n in range(50)]),
        ("source", ["match", "no match"]),
        ("tag", ["a", "b"]),
        ("group", [f"group {n}" for n in range(20)]),
        ("helpful score", [0.5, 0.25]),
        ("user_feedback", ["up", "down"]),
    ],
)
def test_a_column_that_may_be_a_label_of_pairs_is_refused(
    name: str, values: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with(name, values)) == 2
    told = capsys.readouterr().err
    assert f"column {name!r} may say which pairs are alike" in told
    assert "its name does not say whether it does" in told
    assert not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("language", ["de", "en"]),
        ("target_language", ["de", "en"]),
        ("Source", ["forum", "manual", "mail"]),
        ("category", ["x", "y"]),
        ("publication year", [1990, 2000, 2010]),
        ("length", list(range(28, 52))),
        ("qid1", [4, 7, 9]),
        ("number", list(range(60))),
        ("place", list(range(60))),
        ("views", list(range(100, 121))),
        ("maker", [f"maker {n}" for n in range(21)]),
        ("flag", ["x"]),
        ("verdict", [1]),
        ("score", [""]),
        ("comment", [f"{n},5" if n % 5 < 2 else f"unclear {n}" for n in range(60)]),
        ("comment", [f"see the notes on row {n}" for n in range(60)]),
    ],
)
def test_a_column_that_says_nothing_of_pairs_is_not_used(
    name: str, values: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with(name, values)) == 0
    told = capsys.readouterr().out
    assert "The rows are pairs." in told
    line = next(line for line in told.splitlines() if line.startswith(f"column {name}:"))
    assert line.endswith("; not used")


def test_a_different_text_in_each_of_few_rows_is_no_label(tmp_path: Path) -> None:
    assert new(tmp_path, pairs_with("comment", [f"see note {n}" for n in range(15)], count=15)) == 0


@pytest.mark.parametrize(
    ("name", "values", "form"),
    [
        ("label", [1.0, 0.0], "labelled pairs"),
        ("Is Duplicate", [1, 0], "labelled pairs"),
        ("gold_label", [1, 0], "labelled pairs"),
        ("target", [0.25, 1.0], "scored pairs"),
        ("human_score", [0, 1], "scored pairs"),
        ("similarity", [1, 2, 5], "scored pairs"),
        ("Mean rating", [1, 2, 5], "scored pairs"),
    ],
)
def test_the_name_of_a_label_of_pairs_is_understood(
    name: str, values: list[object], form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with(name, values)) == 0
    assert f"The rows are {form}." in capsys.readouterr().out
    assert f'score="{name}"' in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "values", "turned"),
    [
        ("distance", [0.0, 1.25, 5.0], "score = 5 - distance"),
        ("is_different", [0, 1], "score = 1 - is_different"),
        ("dissimilarity", [0.5, 0.25], "score = 0.5 - dissimilarity"),
        ("not_duplicate", [0, 1], "score = 1 - not_duplicate"),
        ("rank", list(range(1, 11)), "score = 10 - rank"),
        ("mismatch", ["yes", "no"], "score = maximum - mismatch"),
        ("different", [1], "score = 1 - different"),
    ],
)
def test_a_column_that_says_the_opposite_is_refused(
    name: str, values: list[object], turned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with(name, values)) == 2
    told = capsys.readouterr().err
    assert f"column {name!r} seems to say which pairs are alike, but by its name a larger value means less" in told
    assert turned in told
    assert not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize("values", [["3.75", "1.25"], [True, None], [[1], [0]], [{"is": 1}, {"is": 0}], [1, "0"]])
def test_labels_of_json_that_are_no_numbers_are_refused(
    values: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs_with("label", values), "jsonl") == 2
    assert "column 'label' seems to say which pairs are alike" in capsys.readouterr().err
    assert new(tmp_path, pairs_with("wert", values), "jsonl") == 2
    assert "column 'wert' may say which pairs are alike" in capsys.readouterr().err


def test_two_labels_of_pairs_are_refused_and_others_do_not_matter_beside_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pairs_with("score", [0.5, 0.25])
    assert new(tmp_path, [{**row, "human_score": n} for n, row in enumerate(rows)]) == 2
    assert "columns 'score' and 'human_score' all seem to say which pairs are alike" in capsys.readouterr().err
    assert new(tmp_path, [{"category": n % 2, **row, "distance": n} for n, row in enumerate(rows)]) == 0
    assert "The rows are scored pairs." in capsys.readouterr().out
    assert 'score="score"' in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "values", "code"), [("label", [0, 1], 2), ("margin", [0.5, 2.5], 2), ("lang", "ab", 0)]
)
def test_triplets_with_a_label_are_refused(
    name: str, values: list[object], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    assert new(tmp_path, [{**columns("triplets", rng), name: values[n % 2]} for n in range(60)]) == code
    told = capsys.readouterr()
    assert (f"column {name!r} may say which texts belong together" in told.err) == (code == 2)
    assert ("The rows are triplets." in told.out) == (code == 0)


@pytest.mark.parametrize(
    ("names", "view"),
    [
        (("neg", "query", "pos"), ("query", "pos", "neg")),
        (("prompt", "rejected", "chosen"), ("prompt", "chosen", "rejected")),
        (("Hard Negative", "a", "b"), ("a", "b", "Hard Negative")),
        (("question", "wrongAnswer", "right"), ("question", "right", "wrongAnswer")),
        (("author", "frage", "antwort"), ("frage", "antwort")),
        (("source", "target"), ("source", "target")),
    ],
)
def test_texts_have_the_roles_of_their_names_in_any_order(
    names: tuple[str, ...], view: tuple[str, ...], tmp_path: Path
) -> None:
    rng = random.Random(0)
    assert new(tmp_path, [{name: say(rng, 7) for name in names} for _ in range(15)]) == 0
    declared = {study.view.columns for study in load_study_file(tmp_path / "mine.py").studies}  # type: ignore[union-attr]
    assert declared == {view, view[:2]}


def test_ids_that_occur_again_are_no_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"doc_id": f"D{n % 30}", **row} for n, row in enumerate(pairs_with("date", [f"2020-1-{n}" for n in range(30)]))
    ]
    assert new(tmp_path, rows) == 0
    told = capsys.readouterr().out
    assert "column doc_id: 30 different single words, and by its name no texts; not used" in told
    assert "column date: 30 different single words, and by its name no texts; not used" in told
    assert 'columns("text1", "text2")' in (tmp_path / "mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (["Find the passage that answers this question"], 0),
        (["Both say the same of it all", "They have little in common"], 2),
    ],
)
def test_a_text_that_most_rows_share_is_no_text_of_a_pair(
    instruction: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"first": instruction[n % len(instruction)], "frage": row["text1"], "antwort": row["text2"]}
        for n, row in enumerate(pairs_with("year", [1990]))
    ]
    assert new(tmp_path, rows) == code
    if code:
        assert "column 'first' may say which pairs are alike" in capsys.readouterr().err
    else:
        assert 'columns("frage", "antwort")' in (tmp_path / "mine.py").read_text(encoding="utf-8")


def test_queries_that_have_many_documents_are_texts_of_a_pair(tmp_path: Path) -> None:
    rows = [
        {"wer": row["text1"], "query": f"which dog sings song {n % 20} best", "passage": row["text2"]}
        for n, row in enumerate(pairs_with("year", [1990]))
    ]
    assert new(tmp_path, rows) == 0
    assert 'columns("query", "passage")' in (tmp_path / "mine.py").read_text(encoding="utf-8")


def test_too_many_whole_numbers_are_no_classes_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"text": row["text1"], "label": n} for n, row in enumerate(pairs_with("x", [1]))]
    assert new(tmp_path, rows) == 2
    assert (
        "not used: label (60 different whole numbers from 0 to 59, too many to be classes of 60 rows). Texts alone"
        in capsys.readouterr().err
    )


def test_two_labels_of_premises_and_hypotheses_do_not_say_which_is_entailment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    assert new(tmp_path, [{**columns("nli", rng), "label": n % 2 or -(n % 4 == 0)} for n in range(60)]) == 2
    assert "column 'label' has two labels, of which either may mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "cell"),
    [
        ("a boat,a boat swims there,x", "a boat swims there"),
        ("blue boat,red boat,3.75", "3.75"),
        ("blue boat,red boat,1", "1"),
        ("blue boat,red boat,75%", "75%"),
        ("Wer singt?,das Kind,x", "Wer singt?"),
        (f"{'質問' * 31},回答,x", "質問" * 31),
    ],
)
def test_a_first_row_that_is_no_header_is_refused(
    names: str, cell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    rows = "".join(f"{say(rng, 6)},{say(rng, 9)},{n % 5}\n" for n in range(30))
    source = tmp_path / "rows.csv"
    source.write_text(f"{names}\n{rows}", encoding="utf-8")
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(source)]) == 2
    told = capsys.readouterr().err
    assert f"{cell!r} stands where the name of a column should be" in told
    assert "Write a first line of names above the rows" in told
    source.write_text(f"Question of customer,Answer (short),Score 0-5\n{rows}", encoding="utf-8")
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(source)]) == 0
    assert "The rows are scored pairs." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([[1, 2], [3]], "answer (no column of texts, because of values such as [1, 2])"),
        ([5, "a boat", "a dog"], "answer (no column of texts, because of values such as 5)"),
        (list(range(60)), "answer (whole numbers from 0 to 59, and its name says neither score nor label)"),
        ([3.0, 1370.0], "answer (whole numbers from 3 to 1370, and its name says neither score nor label)"),
    ],
)
def test_why_a_column_is_not_taken_for_texts_is_said(
    values: list[object], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": row["text1"], "answer": row["answer"]} for row in pairs_with("answer", values)]
    assert new(tmp_path, rows, "jsonl") == 2
    told = capsys.readouterr().err
    assert f"question is taken for texts; not used: {why}. Texts alone do not say" in told


def test_numbers_written_as_texts_are_no_text_of_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [(row["text1"], row["text2"]) for row in pairs_with("year", [1990])]
    rows: list[dict[str, object]] = [
        {"wert": f"{n % 50},5", "frage": first, "antwort": second} for n, (first, second) in enumerate(pairs)
    ]
    assert new(tmp_path, rows) == 2
    assert "column 'wert' may say which pairs are alike" in capsys.readouterr().err
    rows = [{"question": first, "answer": f"{n % 50}.5 %"} for n, (first, _) in enumerate(pairs)]
    assert new(tmp_path, rows) == 0
    assert "The rows are pairs." in capsys.readouterr().out


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
