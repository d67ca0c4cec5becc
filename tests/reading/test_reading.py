"""Reading of sources: what is in a file comes out as it stands, or an error names the line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hub import NLI_ROWS, nli_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import testbeds
from harness.errors import AuditFailed, TestbedUnavailable
from harness.reading.labels import UNLABELLED
from harness.reading.rows import missing_files, read, refs_of
from harness.testbeds import embedded, fetching, sources
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Format, Source

Make = Callable[..., Source]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a file and return it as a source; a name that ends in .gz is compressed."""

    def made(name: str, content: str | bytes, **options: Any) -> Source:
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
        return sources.file(str(tmp_path / name), **options)

    return made


def columns(source: Source) -> dict[str, list[Any]]:
    """Return the columns of a source, with None for null."""
    rows = read(source).rows
    assert rows.index.tolist() == list(range(len(rows)))
    return {
        name: [None if each is None or each != each else each for each in rows[name].tolist()]
        for name in rows.columns.tolist()
    }


def dtype(source: Source, name: str) -> str:
    return str(read(source).rows[name].dtype)


PAIRS = {"question": ["What, then?", 'He said "ä\n日本".', "001"], "score": [1.5, None, 3.0]}
WRITTEN: dict[Format, str] = {
    "csv": 'question,score\n"What, then?",1.5\n"He said ""ä\n日本"".",\n001,3.0\n',
    "tsv": 'question\tscore\nWhat, then?\t1.5\n"He said ""ä\n日本""."\t\n001\t3.0\n',
    "json": json.dumps([dict(zip(PAIRS, row, strict=True)) for row in zip(*PAIRS.values(), strict=True)], indent=2),
    "jsonl": '{"question": "What, then?", "score": 1.5}\n{"question": "He said \\"ä\\n日本\\"."}\n\n'
    '{"score": 3, "question": "001"}\n',
}


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("format", WRITTEN)
def test_each_format_gives_the_same_rows(make: Make, format: Format, bom: bytes, end: str) -> None:
    assert columns(make(f"a.{format}{end}", bom + WRITTEN[format].encode())) == PAIRS
    assert columns(make(f"a{end}", bom + WRITTEN[format].encode(), format=format)) == PAIRS


@pytest.mark.parametrize("end", ["", ".gz"])
def test_parquet_gives_the_same_rows(make: Make, tmp_path: Path, end: str) -> None:
    frame = pd.DataFrame(PAIRS).astype({"question": "category"})
    frame["label"], frame["large"] = [1, 2, 3], pd.Series([1, None, 2**53], dtype="Int64")
    frame.index = pd.Index([7, 8, 9], name="question of before")
    frame.to_parquet(tmp_path / "plain")
    found = make(f"a.parquet{end}", (tmp_path / "plain").read_bytes())
    more = {"label": [1, 2, 3], "large": [1, None, 2**53], "question of before": [7, 8, 9]}
    assert columns(found) == {**PAIRS, **more}
    assert dtype(found, "label") == "int64"
    pd.DataFrame({"id": pd.Series([1, None, 2**53 + 1], dtype="Int64")}).to_parquet(tmp_path / "plain")
    with pytest.raises(AuditFailed, match="'id' holds nulls and integers beyond 2\\^53"):
        read(make("a.parquet", (tmp_path / "plain").read_bytes()))


TEXTS = [
    "NA",
    "null",
    "None",
    "nan",
    "001",
    "1e5",
    "True",
    "+5",
    ".5",
    "5.",
    " 5",
    "1,5",
    "-",
    "0x1",
    "١",
    "inf",
    "1_0",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("at", [0, 1, 2500])
def test_one_text_makes_a_column_of_texts_wherever_it_stands(make: Make, text: str, at: int) -> None:
    cells = ["7"] * 2501
    cells[at] = text
    assert columns(make("a.csv", "a,b\n" + "".join(f'x,"{cell}"\n' for cell in cells)))["b"] == cells


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["7", "-12", "0"], "int64", [7, -12, 0]),
        (["7", "", "0"], "float64", [7.0, None, 0.0]),
        (["7", "0.10", "3.2e-05"], "float64", [7.0, 0.1, 3.2e-05]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808"], "str", ["9223372036854775808"]),
        (["9007199254740993", ""], "str", ["9007199254740993", None]),
        (["1e+999"], "str", ["1e+999"]),
        (["", ""], "str", [None, None]),
        (["", "a"], "str", [None, "a"]),
    ],
)
def test_types_of_cells(make: Make, cells: list[str], kind: str, values: list[Any]) -> None:
    source = make("a.csv", "a,b\n" + "".join(f"x,{cell}\n" for cell in cells))
    assert columns(source)["b"] == values
    assert dtype(source, "b") in (kind, "object")
    assert (dtype(source, "b") == "object") <= (kind == "str")


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, None], "float64", [1.0, None]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([2**53 + 1, None], "object", [2**53 + 1, None]),
        ([2**80], "object", [2**80]),
        ([True, False], "bool", [True, False]),
        ([True, 1], "object", [True, 1]),
        (["a", 1], "object", ["a", 1]),
        ([["a"], None], "object", [["a"], None]),
        (["1", "2"], "str", ["1", "2"]),
        ([float("nan"), 1.5], "float64", [None, 1.5]),
    ],
)
def test_types_of_json(make: Make, values: list[Any], kind: str, found: list[Any]) -> None:
    rows = [{"a": "x", "b": value} for value in values]
    for source in (make("a.json", json.dumps(rows)), make("a.jsonl", "\n".join(map(json.dumps, rows)))):
        assert columns(source)["b"] == found
        assert [type(each) for each in columns(source)["b"]] == [type(each) for each in found]
        assert dtype(source, "b") in ((kind, "object") if kind == "str" else (kind,))


def test_a_key_that_comes_late_is_null_before(make: Make) -> None:
    early, late = ['{"a": "x"}'] * 1500, ['{"b": "y", "a": null}', '{"c": 2}']
    found = columns(make("a.jsonl", "\n".join(early + late)))
    assert found == {"a": ["x"] * 1500 + [None] * 2, "b": [None] * 1500 + ["y", None], "c": [None] * 1501 + [2.0]}


def test_a_list_is_read_across_the_ends_of_chunks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"a": "x" * (size % 50), "b": [{"c": size}]} for size in range(300)]
    for chunk in (1, 7, 64):
        monkeypatch.setattr("harness.reading.objects.CHUNK", chunk)
        for indent in (None, 3):
            source = make(f"{chunk}-{indent}.json", " \n" + json.dumps(rows, indent=indent) + "\n ")
            assert columns(source) == {"a": [row["a"] for row in rows], "b": [row["b"] for row in rows]}


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(CELLS, CELLS, st.integers(-9, 9)), min_size=1, max_size=8))
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
def test_what_pandas_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, format: Format, rows: list[tuple[str, str, int]]
) -> None:
    frame = pd.DataFrame([("word " + one, "word " + other, number) for one, other, number in rows])
    frame.columns = pd.Index(["a", "b", "n"])
    path = tmp_path_factory.mktemp("written") / f"a.{format}"
    if format == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="," if format == "csv" else "\t", quoting=csv.QUOTE_NONNUMERIC)
    if format == "tsv" and any("\t" in text and ("\n" in text or "\r" in text) for text in [*frame["a"], *frame["b"]]):
        return  # refused, or each line is a row: the file does not tell which was meant
    assert columns(sources.file(str(path))) == frame.to_dict(orient="list")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "END", "ENDEND"])
def test_line_ends(make: Make, end: str, last: str) -> None:
    assert columns(make("a.csv", f"a,b{end}{end}x,1{end}y,2{last}".replace("END", end))) == {
        "a": ["x", "y"],
        "b": [1, 2],
    }


@pytest.mark.parametrize(
    ("name", "content", "options", "found"),
    [
        ("a.csv", "a;b\nx, y;1,5\n", {}, {"a": ["x, y"], "b": ["1,5"]}),
        ("a.csv", "a\tb\nx, y\t1\n", {}, {"a": ["x, y"], "b": [1]}),
        ("a.csv", "a\nx; y\n", {}, {"a": ["x; y"]}),
        ("a.csv", "x; y,1\nz,2\n", {"names": ["a", "b"]}, {"a": ["x; y", "z"], "b": [1, 2]}),
        ("a.csv", "x;y;1,5\n", {"names": ["a", "b", "c"]}, {"a": ["x"], "b": ["y"], "c": ["1,5"]}),
        ("a.tsv", "x\n", {"names": ("a",)}, {"a": ["x"]}),
        ("a.tab", 'a\tb\n"He" said\t"no"\nx "y"\tz\n', {}, {"a": ['"He" said', 'x "y"'], "b": ['"no"', "z"]}),
        ("a.tsv", 'a\tb\nx\t"He said\ny\tShe said"\n', {}, {"a": ["x", "y"], "b": ['"He said', 'She said"']}),
        ("a.tsv", 'a\tb\nx\t"1\n2"\n', {}, {"a": ["x"], "b": ["1\n2"]}),
        ("a.csv", 'a,b\nx "y" z,1\n', {}, {"a": ['x "y" z'], "b": [1]}),
        ("a.csv", "a,b\n" + "x" * 200_000 + ",1\n", {}, {"a": ["x" * 200_000], "b": [1]}),
    ],
)
def test_separators_and_quotes(
    make: Make, name: str, content: str, options: dict[str, Any], found: dict[str, list[Any]]
) -> None:
    assert columns(make(name, content, **options)) == found


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "", {}, "line 1: the file is empty"),
        ("a.csv", "\n\n", {}, "line 1: the file is empty"),
        ("a.csv", "", {"names": ["a"]}, "line 1: the file is empty"),
        ("a.csv", "a,b\n", {}, "it has columns, but no rows"),
        (
            "a.csv",
            "a,b\nx,1\ny\n",
            {},
            "line 3: 1 columns, separated by commas, instead of 2 \\(a, b\\); it ends before 'b'",
        ),
        ("a.csv", 'a,b\n"x\n\n",1\ny,2,3\n', {}, "line 5: 3 columns"),
        ("a.csv", "x,1\ny,2\n", {"names": ["a", "b", "c"]}, "line 1: 2 columns.*instead of 3.*before 'c'"),
        ("a.csv", "a,b\nx,1\n", {"names": ["a", "b"]}, "line 1: the file has a header with these names"),
        ("a.csv", "a,b,a\nx,1,2\n", {}, "line 1: two columns of the header are named 'a'.*names="),
        ("a.csv", ",a\n0,x\n", {}, "line 1: column 1 of the header has no name.*index=False"),
        ("a.csv", 'a,b\nx,1\n"y,2\nz,3\n', {}, "line 3: in the row that starts here, quotes are not in pairs"),
        ("a.csv", 'a,b\n"y" z,3\n', {}, "line 2: .*quotes are not in pairs"),
        ("a.csv", b"a,b\nx,1\n\xe4,2\n", {}, "line 3: it is not in UTF-8.*iconv -f WINDOWS-1252"),
        ("a.csv.gz", b"a,b\nx,1\n" * 9000 + b"\xe4,2\n", {}, "line 18,001: it is not in UTF-8"),
        ("a.csv", b"\xff\xfe" + "a,b\nx,1\n".encode("utf-16-le"), {}, "line 1: it is not in UTF-8.*iconv -f UTF-16 -t"),
        ("a.csv", b"\xfe\xff" + "a,b\nx,1\n".encode("utf-16-be"), {}, "line 1: it is not in UTF-8.*iconv -f UTF-16 -t"),
        ("a.csv", "a,b\nx,1\n".encode("utf-16-le"), {}, "line 1: it holds zero bytes"),
        ("a.tsv", "a\tb\nx\t1\ny\n", {}, "line 3: 1 columns, separated by tabs"),
        ("a.tsv", 'a\tb\n"x\ny"\t1\nz\n', {}, "line 4: 1 columns"),
        ("a.json", "", {}, "line 1: this is no list of objects"),
        ("a.json", "[]", {}, "it has columns, but no rows"),
        ("a.json", '\n{"a": 1}\n{"a": 2}\n', {}, 'line 2: this is no list.*format="jsonl"'),
        ("a.json", '[\n{"a": 1},\n2]', {}, "line 3: 2 is no object"),
        ("a.json", '[\n{"a": 1},\n{"a": }]', {}, "line 3: column 7: Expecting value"),
        ("a.json", '[\n{"a": 1}\n{"a": 2}]', {}, "line 3: expected are a comma"),
        ("a.json", '[\n{"a": 1},\n]', {}, "line 3: expected are a comma"),
        ("a.json", '[{"a": 1}]\n[]', {}, "line 2: something stands behind"),
        ("a.json", '[{"a": 1}, {"a": ]', {}, "line 1: column 18: Expecting value"),
        ("a.json", '[{"a": 1}', {}, "line 1: expected are a comma"),
        ("a.json", '[{"a": 1, "a": 2}]', {}, "line 1: an object has the key 'a' twice"),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}', {}, "line 2: an object has the key 'a' twice"),
        ("a.jsonl", '{"a": 1}\n\n["a"]', {}, 'line 3: \\["a"\\] is no object'),
        ("a.jsonl", '{"a": 1}\n{"a": 1', {}, "line 2: column 8: Expecting"),
        ("a.jsonl", '{"a": Infinity}', {}, "line 1: Infinity is no number"),
        ("a.jsonl", '{"a": "x"}\n{"a": "\\ud83d"}', {}, "line 2: column 'a' holds half a surrogate pair"),
        ("a.jsonl", '{"a": ' + "[" * 100_000 + "\n", {}, "line 1: values are nested too deeply"),
        ("a.jsonl", "\n", {}, "it has columns, but no rows"),
        ("a.parquet", b"PAR1 no more", {}, "the parquet file cannot be read"),
        ("a.csv.gz", b"", {}, "line 1: the file is empty"),
        ("a.csv", gzip.compress(b"a,b\nx,1\n" * 99, mtime=0)[:-9], {}, "the compressed file is damaged"),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(
    make: Make, name: str, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AuditFailed, match=f"(?s)a\\.[a-z.]+: {message}"):
        read(make(name, content, **options))


def test_files_that_are_missing(make: Make, tmp_path: Path) -> None:
    lacks, there = sources.file(str(tmp_path / "no.csv")), make("a.csv", "a\nx\n")
    ref = Ref("organisation/set", "main", None, "train")
    both = sources.mix(sources.nli(lacks), lacks.take(1), sources.hub("organisation/set"), there.split(by="a").dev)
    assert missing_files(both.where(lambda rows: rows["a"] > 1)) == [str(tmp_path / "no.csv")]
    assert refs_of(both) == [ref]
    with pytest.raises(TestbedUnavailable, match=r"there is no file .*no\.csv.*folder of the study file"):
        read(lacks)
    with pytest.raises(TestbedUnavailable, match="cannot be read"):
        read(sources.file(str(tmp_path), format="csv"))


def test_paths_start_from_beside_and_a_changed_file_is_read_again(make: Make, tmp_path: Path) -> None:
    make("a.csv", "a\nx\n")
    source = sources.File("a.csv", "csv", beside=str(tmp_path))
    assert columns(source) == {"a": ["x"]}
    rows = read(source).rows
    rows["b"] = 1
    assert columns(source) == {"a": ["x"]}
    make("a.csv", "a\nyy\n")
    assert columns(source) == columns(source.take(5)) == {"a": ["yy"]}


def test_a_frame_is_copied() -> None:
    frame = pd.DataFrame({1: ["x", "y"], "b": [1, 2]}, index=[5, 4])
    source = sources.frame(frame)
    assert columns(source) == {"1": ["x", "y"], "b": [1, 2]}
    frame.loc[5, 1] = "z"
    assert columns(source)["1"] == ["x", "y"]
    with pytest.raises(AuditFailed, match="two columns are named '1'"):
        read(sources.frame(pd.DataFrame([[1, 2]], columns=[1, "1"])))
    with pytest.raises(AuditFailed, match="no rows"):
        read(sources.frame(pd.DataFrame({"a": []})))


def numbered(number: int, of: str = "a") -> Source:
    return sources.frame(pd.DataFrame({"a": [f"{of}{row}" for row in range(number)], "b": list(range(number))}))


def test_take_and_where() -> None:
    few = numbered(9).take(4)
    assert columns(few)["b"] == [0, 1, 2, 3]
    assert columns(numbered(3).take(4))["b"] == [0, 1, 2]
    assert columns(few.where(lambda rows: rows["b"] > 1)) == {"a": ["a2", "a3"], "b": [2, 3]}
    for some in ([True, None, float("nan"), True], np.array([1, 0, 0, 1]) > 0, pd.array([True, pd.NA, False, True])):
        assert columns(few.where(lambda rows, some=some: some))["b"] == [0, 3]  # type: ignore[misc]

    def spoils(rows: pd.DataFrame) -> Any:
        rows["a"], rows["c"] = "spoilt", 1
        rows.loc[0, "b"] = 7
        return rows["b"] < 9

    assert columns(few.where(spoils)) == columns(few)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            lambda rows: rows["c"] > 1,
            "where\\(lambda of test_reading.py, line \\d+\\) raised KeyError: 'c'.*columns are a, b",
        ),
        (lambda rows: [True], "returned 1 values for 4 rows"),
        (lambda rows: rows["b"], "returned 0 \\(int\\)"),
        (lambda rows: ["True"] * 4, "returned 'True' \\(str\\)"),
        (lambda rows: rows[rows["b"] > 2], "returned a DataFrame"),
        (lambda rows: (rows["b"] > 2).sort_values(ascending=False), "another index"),
        (lambda rows: True, "returned bool"),
        (lambda rows: rows["b"] > 9, "leaves no rows"),
    ],
)
def test_what_where_refuses(keep: Any, message: str) -> None:
    with pytest.raises(AuditFailed, match=f"DataFrame of 4 rows: .*{message}"):
        read(numbered(4).where(keep))


def test_a_mix_gives_every_stretch_its_share() -> None:
    rows = columns(sources.mix(numbered(7, "x"), numbered(3, "y")))["a"]
    assert rows == ["x0", "y0", "x1", "x2", "x3", "y1", "x4", "x5", "y2", "x6"]
    assert columns(sources.mix(numbered(2)))["b"] == [0, 1]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    parts=st.lists(st.tuples(st.integers(1, 40), st.floats(0.2, 5)), min_size=1, max_size=4),
)
def test_a_weighted_mix_repeats_no_row_and_ends_with_the_first_source_used_up(parts: list[tuple[int, float]]) -> None:
    each = [numbered(number, f"part {n} row ") for n, (number, _) in enumerate(parts)]
    weights = [weight for _, weight in parts]
    end = min(number / weight for number, weight in parts)
    if any(0.5 / weight >= end for weight in weights):
        with pytest.raises(AuditFailed, match="has no row of"):
            read(sources.mix(*each, weights=weights))
        return
    rows = columns(sources.mix(*each, weights=weights))["a"]
    of = np.array([int(row.split()[1]) for row in rows])
    assert len(set(rows)) == len(rows)
    assert any((of == n).sum() == number for n, (number, _) in enumerate(parts))
    for n, weight in enumerate(weights):
        mine = [row for row in rows if row.startswith(f"part {n} ")]
        assert mine == [f"part {n} row {k}" for k in range(len(mine))]
        for length in range(1, len(rows) + 1):  # every stretch from the start has its share, but for what is rounded
            assert abs((of[:length] == n).sum() - length * weight / sum(weights)) <= len(weights)


def test_a_mix_needs_equal_columns(make: Make) -> None:
    one = make("a.csv", "a,b\nx,1\n")
    with pytest.raises(AuditFailed, match=r"only .*a\.csv has 'b'; only .*c\.csv has 'c'"):
        read(sources.mix(one, make("c.csv", "a,c\nx,1\n")))
    with pytest.raises(AuditFailed, match="'b' holds numbers in one and something else in the other"):
        read(sources.mix(one, make("d.csv", "a,b\nx,y\n")))
    assert columns(sources.mix(one, make("e.csv", "b,a\n2.5,z\n"))) == {"a": ["x", "z"], "b": [1, 2.5]}
    assert columns(sources.mix(one, make("f.csv", "b,a\n,z\n"))) == {"a": ["x", "z"], "b": [1, None]}


def test_nli_rows_are_those_of_the_testbed() -> None:
    """Those of the embedded testbed's file, and each twice where it is mixed with itself."""
    rows = read(embedded.source).rows
    assert list(rows) == ["premise", "hypothesis", "label"]
    assert set(rows["label"]) == {0, 1, 2}
    assert read(embedded.source).null_labels == ()
    twice = read(sources.mix(embedded.source, embedded.source)).rows
    pd.testing.assert_frame_equal(twice.iloc[::2].reset_index(drop=True), rows)
    pd.testing.assert_frame_equal(twice.iloc[1::2].reset_index(drop=True), rows)


def test_null_labels_are_told_whatever_follows(make: Make) -> None:
    source = sources.nli(
        make("a.csv", "label,premise,hypothesis,id\nneutral,p,h,1\n,q,,2\nentailment,,h,3\n-,r,h,4\n,s,h,5\n")
    )
    found = read(source)
    assert columns(source) == {
        "premise": ["p", "q", "", "r", "s"],
        "hypothesis": ["h", "", "h", "h", "h"],
        "label": [1, UNLABELLED, 0, UNLABELLED, UNLABELLED],
    }
    assert found.rows["label"].dtype == "int64"
    assert found.null_labels == (1, 4)
    seen: list[str] = []

    def not_p(rows: pd.DataFrame) -> Any:
        seen.extend(rows.columns)
        return rows["premise"] != "p"

    some = source.where(not_p)
    assert (read(some).null_labels, seen) == ((0, 3), ["premise", "hypothesis", "label"])
    assert read(source.take(2)).null_labels == (1,)
    assert read(sources.mix(source, source)).null_labels == (2, 3, 8, 9)


def test_nli_rows_of_another_form(make: Make) -> None:
    with pytest.raises(AuditFailed, match="no column hypothesis; it has premise, label"):
        read(sources.nli(make("a.csv", "premise,label\nx,0\n")))
    with pytest.raises(AuditFailed, match="column 'hypothesis' holds 7 \\(int\\), not a text"):
        read(sources.nli(make("a.csv", "premise,hypothesis,label\nx,7,0\n")))
    with pytest.raises(AuditFailed, match="column 'label' holds 'perhaps'"):
        read(sources.nli(make("a.csv", "premise,hypothesis,label\nx,y,perhaps\n")))
    reverse = sources.nli(make("b.csv", "premise,hypothesis,label\nx,y,0\n"), labels=("contradiction", "-", "neutral"))
    assert columns(reverse)["label"] == [2]


def test_a_data_set_of_the_hub(cache: Path) -> None:
    """The tiny hub's rows, from a snapshot."""
    source = sources.hub("nyu-mll/glue", "mnli", revision=testbeds._GLUE, files=("README.md", "mnli/*"))
    assert sources.nli(source) == testbeds.book.source
    written = nli_rows(1, NLI_ROWS)
    found = read(sources.nli(source)).rows
    assert found["premise"].tolist() == written["premise"].tolist()
    assert found["label"].tolist() == written["label"].tolist()
    with pytest.raises(TestbedUnavailable, match="harness fetch"):
        read(sources.hub("no/such"))


def test_class_labels_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("contradiction", "entailment", "neutral")
    features = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=names)})
    rows = {"premise": ["p", "q"], "hypothesis": ["h", "i"], "label": [0, 2]}
    Dataset.from_dict(rows, features).to_parquet(tmp_path / "train.parquet")
    monkeypatch.setattr(fetching, "locate", lambda ref: tmp_path)
    source = sources.hub("some/set")
    for same in (source, source.take(1), source.where(lambda rows: rows["label"] > 0), sources.mix(source, source)):
        assert read(same).names == {"label": names}
    assert (columns(source)["label"], columns(sources.nli(source))["label"]) == ([0, 2], [2, 1])
    assert read(sources.nli(source)).names == {}
    with pytest.raises(AuditFailed, match="class labels have the names"):
        read(sources.mix(source, sources.frame(pd.DataFrame(rows))))
