"""`harness new` and cells that are empty, or may not be meant as they stand: left out, refused, or said."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from drafts import drafted, new, texts

from harness.cli.main import main
from harness.errors import AuditFailed
from harness.reading.items import columns, labelled
from harness.reading.rows import read
from harness.spec.loading import load_study_file
from harness.testbeds import sources

ROWS = 90


def pairs(**further: list[object]) -> list[dict[str, object]]:
    """Return pairs of texts with further columns, whose values come in turn."""
    both = zip(texts(ROWS), texts(ROWS, 9), strict=True)
    return [
        {"question": first, "answer": second, **{name: values[n % len(values)] for name, values in further.items()}}
        for n, (first, second) in enumerate(both)
    ]


def some(
    rows: list[dict[str, object]], name: str, value: object, every: int, first: int = 0
) -> list[dict[str, object]]:
    """Return rows of which some have another value in a column."""
    return [{**row, name: value} if n % every == first else row for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("kind", "line"), [("csv", "lines 2, 17, 32, 47, 62, ..."), ("jsonl", "lines 1, 16, 31, 46, 61, ...")]
)
@pytest.mark.parametrize("empty", ["", "  ", None])
def test_rows_with_an_empty_text_are_left_out_by_the_draft(
    empty: str | None, kind: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = some(some(pairs(), "question", empty, 15), "answer", empty, 45, 1)
    assert new(tmp_path, rows, kind) == 0
    told = capsys.readouterr().out
    first = f"6 of 90 rows are left out, with an empty or blank cell in 'question' ({line})"
    assert f"{first}." in told
    assert "2 of 90 rows are left out, with an empty or blank cell in 'answer' (lines" in told
    assert f"# {first}." in drafted(tmp_path)
    bed = load_study_file(tmp_path / "mine.py").testbed
    assert len(read(bed.source).rows) + len(read(bed.dev.source).rows) + len(read(bed.test.source).rows) == 82  # type: ignore[union-attr, arg-type]
    assert main(["plan", str(tmp_path / "mine.py")]) == 0


def test_lines_are_those_of_the_file_also_after_texts_of_several_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pairs()
    rows[0] = {**rows[0], "answer": "one line\nand another\nand a third"}
    rows[2] = {**rows[2], "answer": ""}
    assert new(tmp_path, rows) == 0
    assert "1 of 90 rows is left out, with an empty or blank cell in 'answer' (line 6)." in capsys.readouterr().out


@pytest.mark.parametrize(("values", "condition"), [(["a", "b", ""], ".str.strip()"), ([1, 2, None], ".notna()")])
def test_rows_with_an_empty_class_are_left_out_by_the_draft(
    values: list[object], condition: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": text, "label": values[n % 3]} for n, text in enumerate(texts(ROWS))]
    assert new(tmp_path, rows) == 0
    told = capsys.readouterr().out
    assert "30 of 90 rows are left out, with an empty or blank cell in 'label' (lines 4, 7, 10, 13, 16, ...)." in told
    assert "60 rows make a test set of about 6" in told
    assert f'rows["label"]{condition}' in drafted(tmp_path)
    assert len(read(load_study_file(tmp_path / "mine.py").testbed.source).rows) == 48


def test_rows_that_are_mostly_empty_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row if n % 3 else {**row, "answer": ""} for n, row in enumerate(some(pairs(), "answer", "", 3, 1))]
    assert new(tmp_path, rows) == 2
    told = capsys.readouterr().err
    assert "60 of 90 rows are left out, with an empty or blank cell in 'answer' (lines 2, 3, 5, 6, 8, ...)" in told
    assert "too few are left" in told
    assert not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pairs(label=[1]), "the labels are all the same"),
        (pairs(score=[3.5]), "all its gold scores are 3.5"),
        (
            [{"question": f"the dog sees boat {n}", "answer": f"the man hears song {n}"} for n in range(ROWS)],
            "leaves no rows for",
        ),
        ([{**row, "negative": row["answer"]} for row in pairs()], "with a negative equal to the positive"),
    ],
)
def test_rows_that_cannot_be_run_on_are_refused_and_no_file_is_left(
    rows: list[dict[str, object]], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, rows) == 2
    told = capsys.readouterr().err
    assert "no study file was written, because `harness run` would stop: " in told
    assert message in told
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("scores", "scale", "warning"),
    [
        ([0, 1, 2, 3], (0, 3), None),
        ([1, 2, 3, 4, 5], (1, 5), None),
        ([0, 1, 2, 4], (0, 5), None),
        ([0.5, 1, 2, 3], (0, 5), None),
        ([0, 1], (0, 1), None),
        ([-1, 1], (-1, 1), None),
        ([-1, 0, 1], (-1, 1), None),
        ([-2, -1, 0, 1, 2], (-2, 2), None),
        ([-0.5, 0, 0.5], (-1, 1), None),
        ([20, 40, 60, 80, 100], (0, 100), None),
        ([0.5, 2, 3.5, 5, -1], (-1, 5), "18 of 90 scores are -1, apart from all others"),
        ([-1, 0, 1, 2, 3], (-1, 3), "18 of 90 scores are -1, apart from all others"),
        ([0.5, 2, 3.5, 5, -999], (-999, 5), "18 of 90 scores are -999, apart from all others"),
        ([0.5, 2, 3.5, 5, 999], (0, 999), "18 of 90 scores are 999, apart from all others"),
        ([0, 0.25, 1, 5], (0, 5), None),
    ],
)
def test_the_scale_of_scores_and_marks_among_them(
    scores: list[object],
    scale: tuple[float, float],
    warning: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert new(tmp_path, pairs(score=scores)) == 0
    told = capsys.readouterr().out
    assert f"Scores from {scale[0]:g} to {scale[1]:g} are taken to be possible" in told
    ablation = load_study_file(tmp_path / "mine.py")
    assert ablation.testbed.dev.range == scale  # type: ignore[union-attr]
    assert ("apart from all others" in told) == (warning is not None)
    if warning is not None:
        assert f"warning: {warning}" in told
        assert f"# Warning: {warning}" in drafted(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("question", "NA", "2 cells of column 'question' are 'NA', which are texts like any other"),
        ("answer", "null", "2 cells of column 'answer' are 'null', which are texts like any other"),
        ("answer", "-", "2 cells of column 'answer' are '-', which are texts like any other"),
        ("answer", "nothing", None),
    ],
)
def test_texts_that_stand_for_missing_ones_are_said(
    name: str, value: str, what: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, some(pairs(), name, value, 45)) == 0
    told = capsys.readouterr().out
    assert ("like any other" in told) == (what is not None)
    assert what is None or (f"warning: {what}." in told and f"# Warning: {what}." in drafted(tmp_path))


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (["Sport", "sport ", "SPORT", "politics"], "'Sport' and 'sport ' and 'SPORT'."),
        (["007", "7", "07", "x8"], "'007' and '7' and '07'."),
        (["ﬁsh", "fish", "dog", "DOG"], "'ﬁsh' and 'fish'; 'dog' and 'DOG'."),
        (["on_hold", "on hold", "b"], "'on_hold' and 'on hold'."),
        (["v10", "v1", "v100", "v1.05", "v1.5"], None),
        (["NA", "b", "c"], "30 cells of column 'label' are 'NA', which are classes like any other."),
    ],
)
def test_classes_that_differ_only_in_their_spelling_are_said(
    values: list[object], what: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, [{"text": text, "label": values[n % len(values)]} for n, text in enumerate(texts(ROWS))]) == 0
    told = capsys.readouterr().out
    assert ("warning: " in told.replace("warning: 90 rows make", "")) == (what is not None)
    assert what is None or what in told


@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("source", ["human_pos", "synthetic_neg"], "values such as 'human_pos', 'synthetic_neg' may say"),
        ("topic", ["relevant", "not relevant", "unsure"], "values such as 'relevant', 'not relevant' may say"),
        ("source", ["forum", "manual"], None),
        ("split", ["train", "test"], None),
    ],
)
def test_why_a_column_beside_pairs_is_not_used_is_said(
    name: str, values: list[object], shown: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(tmp_path, pairs(**{name: values})) == 0
    told = capsys.readouterr().out
    assert f"column {name}: {len(values)} different short texts; by its name it says nothing of pairs; not used" in told
    assert ("may say which pairs are alike" in told) == (shown is not None)
    assert shown is None or (shown in told and f"# Warning: column '{name}' is not used" in drafted(tmp_path))


def test_a_third_column_of_texts_is_not_used_because_a_pair_has_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "remark": text} for row, text in zip(pairs(), texts(ROWS, 5), strict=True)]
    assert new(tmp_path, rows) == 0
    assert "100% distinct; a pair has two texts; not used" in capsys.readouterr().out


NAMES = ['it\'s a "text"', "a\\", '"""', "line\nbreak", "{braces}", "'"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_column_stays_a_name_in_the_draft(name: str, tmp_path: Path) -> None:
    rows = [{name: row["question"], "answer": row["answer"]} for row in some(pairs(), "question", "null", 30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, some(rows, name, "", 30, 1))), encoding="utf-8")
    assert main(["new", str(tmp_path / "mine.py"), "--source", str(tmp_path / "rows.jsonl")]) == 0
    ast.parse(drafted(tmp_path))
    assert load_study_file(tmp_path / "mine.py").studies[0].view.columns[:2] == (name, "answer")  # type: ignore[union-attr]


def test_cells_of_a_measure_without_a_text_or_label_are_counted_with_their_lines(tmp_path: Path) -> None:
    rows = some(some(pairs(label=["a", "b"]), "question", "", 30), "label", "", 45, 1)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = sources.file(str(tmp_path / "rows.jsonl"))
    part = source.take(60)
    with pytest.raises(
        AuditFailed, match=r"measure 'm': 2 of 60 rows of first 60 of .* have no text in 'question'"
    ) as told:
        columns(part, ["question"], "measure 'm'")
    assert "(row 1 has ''; the column is empty in lines 1, 31, 61 of " in str(told.value)
    with pytest.raises(
        AuditFailed, match=r"2 of 90 rows of .* have no label in 'label' \(row 2 has ''; .* lines 2, 47 of"
    ):
        labelled(source, ["answer"], "label", "measure 'm'")
    with pytest.raises(AuditFailed, match=r"1 of 39 rows of .* has no text in 'question' \(row 1 has ''\)\. Give"):
        columns(sources.frame(read(source).rows.head(40).drop(30)), ["question"], "measure 'm'")


def retrieval_sets(folder: Path) -> list[str]:
    """Write two retrieval sets and return the options that name them."""
    for side in ("dev", "test"):
        (folder / side / "qrels").mkdir(parents=True)
        lines = "".join(json.dumps({"_id": str(n), "text": text}) + "\n" for n, text in enumerate(texts(5)))
        for name in ("corpus", "queries"):
            (folder / side / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        judged = "".join(f"{n}\t{n}\t1\n" for n in range(5))
        (folder / side / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return ["--dev", str(folder / "dev"), "--test", str(folder / "test")]


def test_nli_rows_with_an_empty_premise_are_left_out_before_their_labels_are_read(tmp_path: Path) -> None:
    rows = [
        {"premise": row["question"], "hypothesis": row["answer"], "label": n % 3}
        for n, row in enumerate(some(pairs(), "question", "", 30))
    ]
    assert new(tmp_path, rows, "csv", *retrieval_sets(tmp_path)) == 0
    assert 'sources.nli(sources.file("rows.csv").where(usable))' in drafted(tmp_path)
    assert len(read(load_study_file(tmp_path / "mine.py").testbed.source).rows) == 87


def test_a_retrieval_set_that_cannot_be_scored_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = retrieval_sets(tmp_path)
    (tmp_path / "test" / "qrels" / "test.tsv").unlink()
    assert new(tmp_path, pairs(), "csv", *options) == 2
    assert "`harness run` would stop: " in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()
