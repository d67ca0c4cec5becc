"""Views of one's own columns: what the loss receives, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from harness.errors import AuditFailed, StudyFileError
from harness.spec import losses
from harness.spec.unlabelled_views import damage
from harness.spec.views import View, columns, denoised, mined, rows, tension

ROWS = pd.DataFrame(
    {
        "answer": ["drei", "vier", "fünf", None],
        "question": ["three", "four", "five", "six"],
        "label": ["yes", "no", "yes", "maybe"],
        "stars": [5.0, 0.0, 2.5, 1.0],
        "teacher": [[1, 2], [3.5, 4], None, [5, 6]],
    },
    index=[7, 3, 5, 9],
)


def listed(view: View, limit: int = 99, of: pd.DataFrame = ROWS) -> list[tuple[Any, ...]]:
    made = view.build(of, limit)
    assert tuple(made.columns) == view.columns
    assert list(made.index) == list(range(len(made)))
    return list(made.itertuples(index=False, name=None))


def test_texts_come_in_the_order_given_and_of_the_first_rows() -> None:
    assert listed(columns("question", "answer"), 2) == [("three", "drei"), ("four", "vier")]
    assert listed(columns("answer", "question"), 1) == [("drei", "three")]
    assert listed(columns("question", "answer"), 0) == []
    assert len(listed(columns("question", "answer"))) == 4, "a null text stays for the audit to count"


def test_scores_stay_or_are_brought_to_0_to_1() -> None:
    assert [row[-1] for row in listed(columns("question", "answer", score="stars"))] == [5, 0, 2.5, 1]
    assert [row[-1] for row in listed(columns("question", "answer", score="stars", range=(0, 5)))] == [1, 0, 0.5, 0.2]
    assert [row[-1] for row in listed(columns("question", "answer", score="stars", range=(-5, 5)))] == [
        1,
        0.5,
        0.75,
        0.6,
    ]
    numbers: list[Any] = ["1", "2.5", True, None]
    assert listed(columns("question", score="n"), of=ROWS.assign(n=numbers))[1:3] == [
        ("four", 2.5),
        ("five", 1.0),
    ]


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (["yes", "no", "yes", "maybe"], [2, 1, 2, 0]),
        ([10, -1, 10, 3], [2, 0, 2, 1]),
        ([True, False, True, True], [1, 0, 1, 1]),
        ([2.0, 1.0, 2.0, None], [1, 0, 1, None]),
        (["ü", "z", "a", ""], [3, 2, 1, 0]),
    ],
)
def test_classes_are_numbered_in_sorted_order_of_all_rows(values: list[Any], codes: list[Any]) -> None:
    view = columns("question", label="kind")
    data = ROWS.assign(kind=pd.Series(values, index=ROWS.index))

    made = view.build(data, 99)["label"]
    assert [None if code is pd.NA else code for code in made] == codes
    assert made.dtype.kind == "i"
    assert view.build(data, 2)["label"].tolist() == codes[:2], "fewer rows keep the numbers"


@pytest.mark.parametrize(
    ("values", "row"), [([0.5, 1, 2, 3], 0), ([1, 2, "x", 3], 2), (["a", "b", "c", 4], 3), ([1, 2, [3], 4], 2)]
)
def test_what_is_no_class_is_refused_with_its_row(values: list[Any], row: int) -> None:
    data = ROWS.assign(kind=pd.Series(values, index=ROWS.index, dtype=object))
    with pytest.raises(AuditFailed, match=rf"view 'question; label kind', column 'kind': row {row} \(counted from 0\)"):
        columns("question", label="kind").build(data, 1)


LISTS = [[1, 2], [3.5, 4], [1, np.nan], [5, 6]]


def test_a_teacher_s_scores_are_columns_or_lists() -> None:
    texts = ("question", "answer", "question")
    good, bad = [1, 2, np.nan, 4], pd.Series([0.5, 1, 0, "2"], index=ROWS.index)
    data = ROWS.assign(good=good, bad=bad)

    assert [row[-1] for row in listed(columns(*texts, scores=("good", "bad")), of=data)] == [
        (1, 0.5),
        (2, 1),
        None,
        (4, 2),
    ]
    assert [row[-1] for row in listed(columns(*texts, scores="teacher"))] == [(1, 2), (3.5, 4), None, (5, 6)]
    assert [row[-1] for row in listed(columns(*texts, scores="stars"))] == [(5,), (0,), (2.5,), (1,)]
    arrays: Any = ROWS.assign(teacher=pd.Series([np.array(each) for each in LISTS], index=ROWS.index))
    assert [row[-1] for row in listed(columns(*texts, scores="teacher"), of=arrays)] == [(1, 2), (3.5, 4), None, (5, 6)]


def test_a_teacher_s_embeddings_are_one_or_one_for_each_text() -> None:
    shared = [row[-1] for row in listed(columns("question", "answer", embedding="teacher"))]
    each = [row[-1] for row in listed(columns("question", "answer", embedding=("teacher", "teacher")))]

    assert shared[2] is None is each[2]
    assert shared[1].dtype == np.float32
    assert shared[1].tolist() == [3.5, 4]
    assert [part.tolist() for part in each[1]] == [[3.5, 4], [3.5, 4]]
    frame = columns("question", "answer", embedding=("teacher", "teacher")).build(ROWS.head(2), 9)
    assert Dataset.from_pandas(frame)[0]["label"] == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("names", "safe"),
    [
        (("label", "question"), ("label (1)", "question")),
        (("question", "score", "scores", "labels"), ("question", "score (2)", "scores (3)", "labels (4)")),
        (("return_loss", "dataset_name"), ("return_loss (1)", "dataset_name (2)")),
        (("text", "text"), ("text", "text (2)")),
        (("text", "text", "text (2)"), ("text", "text (2)'", "text (2)")),
        (("text", "text_de"), ("text (1)", "text_de")),
        (("text_de", "text"), ("text_de", "text (2)")),
        (("texts", "text"), ("texts", "text")),
    ],
)
def test_names_of_text_columns_are_safe_for_sentence_transformers(
    names: tuple[str, ...], safe: tuple[str, ...]
) -> None:
    data = pd.DataFrame({name: [f"content of {name}"] for name in names})

    assert columns(*names).columns == safe
    assert listed(columns(*names), of=data) == [tuple(f"content of {name}" for name in names)]


def test_a_text_column_called_label_stays_a_text_beside_a_label() -> None:
    view = columns("label", "question", label="label")

    assert view.columns == ("label (1)", "question", "label")
    assert listed(view, 2) == [("yes", "three", 2), ("no", "four", 1)]


@pytest.mark.parametrize(
    "made",
    [
        lambda: columns(),
        lambda: columns("a", ""),
        lambda: columns("a", 1),  # type: ignore[arg-type]
        lambda: columns("a", "b", score="s", label="l"),
        lambda: columns("a", "b", scores=()),
        lambda: columns("a", "b", "c", scores=("s", "t", "u")),
        lambda: columns("a", "b", embedding=("s", "t", "u")),
        lambda: columns("a", "b", range=(0, 5)),
        lambda: columns("a", "b", label="l", range=(0, 5)),
        lambda: columns("a", "b", score="s", range=(5, 0)),
        lambda: columns("a", "b", score="s", range=(1, 1)),
        lambda: rows(len, columns=()),  # type: ignore[arg-type]
        lambda: rows(len, columns=("a",), label="class"),  # type: ignore[arg-type]
        lambda: rows(len, columns=("a", "b"), label="other"),  # type: ignore[arg-type]
        lambda: denoised("a", share=1),
        lambda: denoised("a", share=-0.1),
        lambda: tension("a", negatives=0),
    ],
)
def test_declarations_that_contradict_themselves_are_refused_at_once(made: Callable[[], View]) -> None:
    with pytest.raises(StudyFileError):
        made()


TRIPLET = ("question", "answer", "question")


@pytest.mark.parametrize(
    ("view", "change", "says"),
    [
        (columns("quest", "answer"), {}, r"no column 'quest'; they have answer, question, .*; did you mean 'question'\?"),
        (columns("question", score="rating"), {}, "no column 'rating'; they have .*; name one of these"),
        (columns("stars", "answer"), {}, "'stars' holds float64 and no texts"),
        (columns("question", "teacher"), {}, "'teacher' holds list and no texts"),
        (columns("question", score="stars", range=(0, 4)), {}, r"'stars': row 0 \(counted from 0\) holds 5, outside range"),
        (columns("question", score="stars", range=(1, 5)), {}, r"row 1 .* holds 0, outside range=\(1, 5\)"),
        (columns("question", score="question"), {}, "row 0 .* no finite number"),
        (columns("question", score="teacher"), {}, "holds lists; .* given by scores="),
        (columns("question", score="stars"), {"stars": [1, np.inf, 2, 3]}, "row 1 .* no finite number"),
        (columns(*TRIPLET, scores="teacher"), {"teacher": [[1, 2], [1], [1, 2], [1]]}, "row 1 .* has 1 numbers, .* have 2"),
        (columns(*TRIPLET, scores="teacher"), {"teacher": [[1, 2, 3]] * 4}, "the rows have 3 numbers"),
        (columns(*TRIPLET, scores="teacher"), {"teacher": [[1, "x"]] * 4}, "row 0 .* other things than numbers"),
        (columns("question", embedding="teacher"), {"teacher": [[1, 2], "[1]", [1], [2]]}, "row 1 .* no list of numbers"),
        (columns("question", embedding="teacher"), {"teacher": [[1, 2], [1, np.inf]] * 2}, "row 1 .* infinite"),
        (columns("question", "answer", embedding=("teacher", "b")), {"b": [[1]] * 4}, "has 1 numbers, and earlier rows have 2"),
        (tension("question"), {"question": ["same"] * 4}, "fewer than two different texts"),
    ],
)  # fmt: skip
def test_rows_that_do_not_suit_the_view_are_refused_with_the_place(
    view: View, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(AuditFailed, match=says):
        view.build(ROWS.assign(**change), 99)


def test_a_function_makes_rows_of_the_first_ones() -> None:
    def joined(first: pd.DataFrame) -> pd.DataFrame:
        made = pd.DataFrame({"label": first["question"] + "?", "n": range(len(first)), "other": "unused"})
        return made.set_index(made.index[::-1])

    assert listed(rows(joined, columns=("label",)), 2) == [("three?",), ("four?",)]
    labelled = rows(joined, columns=("label", "n"), label="class")
    assert labelled.columns == ("label (1)", "label")
    assert listed(labelled, 2) == [("three?", 0), ("four?", 1)]
    assert listed(rows(joined, columns=("label", "n"), label="score", name="j"), 2)[1] == ("four?", 1.0)
    assert rows(joined, columns=("label",)).name == "joined"
    assert rows(joined, columns=("label",)) != rows(lambda first: first, columns=("label",))
    with pytest.raises(AuditFailed, match="the rows have no column 'm'; they have label, n, other"):
        rows(joined, columns=("label", "m"), label="class").build(ROWS, 2)
    with pytest.raises(AuditFailed, match="returned list; return a DataFrame"):
        rows(list, columns=("label",)).build(ROWS, 2)  # type: ignore[arg-type]
    with pytest.raises(AuditFailed, match="return classes as integers"):
        rows(lambda first: first, columns=("question", "label"), label="class").build(ROWS, 2)


def test_damage_deletes_words_and_keeps_at_least_one() -> None:
    text = "Eins, zwei und drei – vier fünf sechs sieben acht neun zehn elf zwölf!"
    kept = damage(text, 0.6, 0)

    assert damage(text, 0.0, 0) == text
    assert 0 < len(kept.split()) < len(text.split())
    assert [word for word in text.split() if word in kept.split()], "words come whole, in their order"
    assert damage("word", 0.99, 0) == "word"
    assert damage("", 0.6, 0) == ""
    assert len({damage(text, 0.6, seed) for seed in range(5)}) > 1
    many = [damage(f"{number} a b c d e f g h i", 0.6, 0) for number in range(400)]
    assert 3.7 < np.mean([len(each.split()) for each in many]) < 4.3


def test_denoised_pairs_are_the_same_in_every_process_and_for_every_limit() -> None:
    view = denoised("answer")
    made = listed(view)

    assert view.columns == ("answer (damaged)", "answer")
    assert made[:2] == listed(view, 2)
    assert [text for _, text in made[:3]] == ["drei", "vier", "fünf"]
    assert all(map(pd.isna, made[3])), "a null text stays for the audit to count"
    program = "from harness.spec.unlabelled_views import damage; print(damage('a b c d e f g h', 0.6, 0))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == damage("a b c d e f g h", 0.6, 0)


def test_tension_pairs_each_text_with_itself_or_another() -> None:
    texts = [f"text {number // 2}" for number in range(40)]  # each twice
    data = pd.DataFrame({"text": [*texts, None]})
    made = listed(tension("text", negatives=3), of=data)

    assert [first for first, _, _ in made[:-1]] == texts
    assert all(map(pd.isna, made[-1][:2]))
    assert [score for *_, score in made] == [1, 0, 0, 0] * 10 + [1]
    assert all((first == second) == bool(score) for first, second, score in made[:-1])
    assert len({second for _, second, score in made if not score}) > 10
    assert made[:-1] == listed(tension("text", negatives=3), of=data)[:-1]
    assert made[:-1] != listed(tension("text", negatives=3, seed=1), of=data)[:-1]
    assert listed(tension("text"), 0, data) == []


def test_columns_can_be_mined() -> None:
    view = mined(columns("question", "answer"), by="untrained", negatives=2)

    assert view.columns == ("anchor", "positive", "negative1", "negative2")
    assert view.build(ROWS, 1).to_dict("list") == {"anchor": ["three"], "positive": ["drei"]}
    with pytest.raises(StudyFileError, match="the view has question, answer, score"):
        mined(columns("question", "answer", score="stars"))


def test_equal_views_make_equal_rows() -> None:
    assert columns("question", "answer") == columns("question", "answer", name="other")
    assert columns("question", score="stars") != columns("question", score="stars", range=(0, 5))
    assert columns("question", "answer") != columns("answer", "question")
    assert denoised("question") != denoised("question", seed=1)
    names = {
        columns("a", "b").name,
        columns("a", score="b").name,
        columns("a", label="b").name,
        columns("a", scores="b").name,
    }
    assert len(names) == 4


def test_views_feed_the_losses_that_read_them() -> None:
    reader: Any = losses.reads("scores", fewest=2)(lambda model: model)
    assert columns("a", "b", scores="s").feeds(reader.inputs)
    assert not columns("a", "b").feeds(reader.inputs)
    assert not columns("a", "b", "c", "d").feeds(losses.INPUTS["TripletLoss"])


def test_declaring_columns_imports_neither_pandas_nor_torch() -> None:
    program = (
        "import sys; from harness.spec.views import columns, denoised; columns('a', 'b', score='c'); denoised('a').decides()\n"
        "print([name for name in ('pandas', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
