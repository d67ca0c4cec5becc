"""Reading of retrieval sets: every form that BEIR, TREC and the hub have, and errors that name the place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AuditFailed, TestbedUnavailable
from harness.reading import beir, files
from harness.reading.items import Texts, texts_of
from harness.testbeds import fetching, measures, sources
from harness.testbeds.measure_kinds import Retrieval
from harness.testbeds.refs import Ref

CORPUS = [
    {"_id": "<dbpedia:A>", "title": "Title", "text": "Straße 1"},
    {"_id": "b", "title": "", "text": " second "},
    {"_id": "c", "text": "third"},
    {"_id": "4", "title": "Only a title", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "three"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\t<dbpedia:A>\t2\nq1\tb\t0\nq2\tc\t1\nq3\tb\t0\n"


def lines(entries: list[Any]) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def write(
    folder: Path, corpus: Any = CORPUS, queries: Any = QUERIES, qrels: str = QRELS, split: str = "test"
) -> Retrieval:
    """Write a set; lists become lines of JSON, and texts are written as they are."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, content in (("corpus", corpus), ("queries", queries)):
        text = content if isinstance(content, str) else lines(content)
        (folder / f"{name}.jsonl").write_bytes(text.encode())
    (folder / f"qrels/{split}.tsv").write_bytes(qrels.encode())
    return measures.retrieval(str(folder), "own", split=split)


def test_titles_grades_and_queries_without_a_relevant_document(tmp_path: Path) -> None:
    found = beir.load(write(tmp_path))
    assert found == beir.RetrievalSet(
        ("q1", "q2"),
        ("one", "two"),
        ("<dbpedia:A>", "b", "c", "4"),
        ("Title Straße 1", " second ", "third", "Only a title"),
        {"q1": {"<dbpedia:A>": 2.0}, "q2": {"c": 1.0}},
        left_out=1,
    )
    assert texts_of(write(tmp_path)) == Texts(
        (("one", "Title Straße 1"), ("two", "third")), (), ("one", "two"), found.documents
    )


@pytest.mark.parametrize(
    "qrels",
    [
        "q1\t<dbpedia:A>\t2\nq1\tb\t0\nq2\tc\t1",
        "q1\t0\t<dbpedia:A>\t2\nq1\t0\tb\t0\nq2\t0\tc\t1\n",
        "q1 Q0 <dbpedia:A> 2\nq1 Q0 b 0\n\nq2 Q0 c 1\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq1\t<dbpedia:A>\t2\r\nq1\tb\t-1\r\nq2\tc\t1.0\r\n",
        "query\titer\tdocument\trelevance\nq1\t0\t<dbpedia:A>\t2\nq2\t0\tc\t1\n",
        "something\telse\tgrade\nq1\t<dbpedia:A>\t2\nq2\tc\t1\n",
        "\ufeffq1\t<dbpedia:A>\t2\nq2\tc\t1\nq2\tc\t1\n",
    ],
    ids=["no header", "trec", "blanks", "windows", "header of trec", "any header", "no header, repeated line"],
)
def test_judgements_have_several_forms(qrels: str, tmp_path: Path) -> None:
    assert beir.load(write(tmp_path, qrels=qrels)).relevant == {"q1": {"<dbpedia:A>": 2.0}, "q2": {"c": 1.0}}


@pytest.mark.parametrize("header", ["query-id\tcorpus-id\n", ""])
def test_judgements_without_grades_are_relevant(header: str, tmp_path: Path) -> None:
    assert beir.load(write(tmp_path, qrels=f"{header}q1\tb\n")).relevant == {"q1": {"b": 1.0}}


def test_integers_as_ids_other_keys_a_bom_and_compressed_files(tmp_path: Path) -> None:
    corpus = "\ufeff" + lines([{"id": 1, "text": "a", "metadata": {}}, {"id": 2, "text": "b", "title": None}])
    measure = write(tmp_path, corpus=corpus, queries=[{"id": 7, "text": "x"}], qrels="7\t2\t1\n", split="dev")
    plain = beir.load(measure)
    assert (plain.document_ids, plain.documents, plain.relevant) == (("1", "2"), ("a", "b"), {"7": {"2": 1.0}})
    for path in [*tmp_path.rglob("*.jsonl"), *tmp_path.rglob("*.tsv")]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert beir.load(measure) == plain


def test_a_relative_folder_starts_beside_the_study_file(tmp_path: Path) -> None:
    write(tmp_path / "sets" / "own")
    measure = Retrieval("own", "sets/own", beside=str(tmp_path))
    assert len(beir.load(measure).queries) == 2


def test_a_changed_file_is_read_again_and_has_another_content(tmp_path: Path) -> None:
    first = beir.load(write(tmp_path))
    again = beir.load(write(tmp_path, qrels=QRELS.replace("q2\tc\t1", "q2\tc\t2")))
    assert again.relevant["q2"] == {"c": 2.0}
    assert first.content != again.content
    assert beir.load(write(tmp_path)).content == first.content


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named_with_what_is_there(missing: str, tmp_path: Path) -> None:
    measure = write(tmp_path)
    (tmp_path / missing).rename((tmp_path / missing).with_name("other.txt"))
    with pytest.raises(TestbedUnavailable, match=rf"{missing}: no such file.*other\.txt"):
        beir.load(measure)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TestbedUnavailable, match="there is no folder"):
        beir.load(measures.retrieval(str(tmp_path / "none"), "own"))


BLANK = [{"_id": "b", "text": " "}]

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no JSON": ({"corpus": lines(CORPUS) + "\n{broken\n"}, r"corpus\.jsonl:6: not JSON"),
    "a list": ({"queries": '["q1"]\n'}, r"queries\.jsonl:1: a list"),
    "no id": ({"queries": '{"text": "one"}\n'}, r"queries\.jsonl:1: _id is None"),
    "empty id": ({"queries": '{"_id": "", "text": "one"}\n'}, r"queries\.jsonl:1: _id is ''"),
    "no text": ({"corpus": '{"_id": "b", "body": "one"}\n'}, r"corpus\.jsonl:1: no text; it has _id, body"),
    "number as text": ({"corpus": '{"_id": "b", "text": 3}\n'}, r"corpus\.jsonl:1: text is a int"),
    "repeated documents": (
        {"corpus": [*CORPUS, *CORPUS]},
        r"4 document ids are repeated, '<dbpedia:A>', 'b', 'c', \.\.\.;",
    ),
    "repeated queries": ({"queries": [*QUERIES, QUERIES[1]]}, "1 query ids are repeated, 'q2';"),
    "unknown query": ({"qrels": QRELS + "x\tb\t1\n"}, "1 of 5 judgements .*query 'x'"),
    "unknown document": ({"qrels": QRELS + "q1\tx\t1\nq1\ty\t0\n"}, "2 of 6 judgements .*document 'x', document 'y'"),
    "nothing relevant": ({"qrels": "q1\tb\t0\n"}, "no query has a relevant document"),
    "no judgements": ({"qrels": "query-id\tcorpus-id\tscore\n"}, "no query has a relevant document"),
    "two grades": ({"qrels": QRELS + "q2\tc\t2\n"}, "query 'q2' and document 'c' have two grades"),
    "no number": ({"qrels": QRELS + "q2\tb\thigh\n"}, r"test\.tsv:6: grade 'high' is not a number"),
    "not finite": ({"qrels": QRELS + "q2\tb\tnan\n"}, r"test\.tsv:6: grade 'nan' is not a number"),
    "columns": ({"qrels": QRELS + "q2\tb\n"}, r"test\.tsv:6: 2 columns"),
    "empty cell": ({"qrels": QRELS + "q2\t\t1\n"}, r"test\.tsv:6: 3 columns"),
    "empty query": (
        {"queries": [{"_id": "q1", "text": " "}, QUERIES[1]], "qrels": "q1\tb\t1\n"},
        "1 queries have an empty text, 'q1'",
    ),
    "empty relevant": (
        {"corpus": [*BLANK, CORPUS[2]], "qrels": "q1\tb\t1\n"},
        "only relevant documents with an empty text, 'q1'",
    ),
    "empty documents": ({"corpus": [*BLANK, CORPUS[2]], "qrels": "q1\tc\t1\n"}, "1 documents have an empty text, 'b'"),
}


@pytest.mark.parametrize(("changed", "message"), WRONG.values(), ids=WRONG)
def test_another_form_is_refused_with_its_place(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    measure = write(tmp_path, **changed)
    with pytest.raises(AuditFailed, match=message):
        beir.load(measure)


def test_text_that_is_not_utf8_and_half_a_gzip_file_are_named(tmp_path: Path) -> None:
    measure = write(tmp_path)
    (tmp_path / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "\xfc"}\n')
    with pytest.raises(AuditFailed, match=r"queries\.jsonl:2: not UTF-8"):
        beir.load(measure)
    (tmp_path / "queries.jsonl").unlink()
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(lines(QUERIES).encode())[:-9])
    with pytest.raises(AuditFailed, match=r"queries\.jsonl\.gz: not a whole gzip file"):
        beir.load(measure)


def many(number: int) -> tuple[list[dict[str, str]], str]:
    return [{"_id": f"d{n}", "text": f"text {n}"} for n in range(number)], "".join(
        f"q1\td{n}\t1\n" for n in range(number)
    )


def test_a_few_missing_documents_are_counted_and_more_are_refused(tmp_path: Path) -> None:
    corpus, qrels = many(200)
    found = beir.load(write(tmp_path, corpus=corpus, qrels=qrels + "q1\tx\t1\nq1\ty\t1\n"))
    assert found.unknown == 2
    assert set(found.relevant["q1"]) == set(found.document_ids)
    with pytest.raises(AuditFailed, match="3 of 203 judgements"):
        beir.load(write(tmp_path, corpus=corpus, qrels=qrels + "q1\tx\t1\nq1\ty\t1\nq1\tz\t0\n"))
    with pytest.raises(AuditFailed, match=r"all relevant documents of 1 queries \('q2'\) are missing"):
        beir.load(write(tmp_path, corpus=corpus, qrels=qrels + "q2\tx\t1\nq2\td0\t0\n"))


def test_a_few_documents_without_text_are_counted(tmp_path: Path) -> None:
    corpus, qrels = many(200)
    found = beir.load(write(tmp_path, corpus=[*corpus, *BLANK], qrels=qrels + "q1\tb\t1\n"))
    assert (found.empty, len(found.documents)) == (1, 201)


def test_a_document_is_left_out_only_if_it_is_the_query_itself(tmp_path: Path) -> None:
    queries = [{"_id": str(n), "text": f"Claim  {n}"} for n in range(5)]
    corpus = [{"_id": str(n), "title": "topic", "text": f"claim {n} and more"} for n in range(9)]
    same = beir.load(write(tmp_path, corpus, queries, "0\t5\t1\n1\t6\t1\n2\t0\t1\n"))
    assert same.exclude
    judged = beir.load(write(tmp_path, corpus, queries, "0\t5\t1\n1\t1\t1\n"))
    assert not judged.exclude, "its own document is an answer"
    numbered = [{**document, "text": f"about {number}"} for number, document in enumerate(corpus)]
    assert not beir.load(write(tmp_path, numbered, queries, "0\t5\t1\n1\t6\t1\n")).exclude
    numbered[1] = corpus[1]
    assert not beir.load(write(tmp_path, numbered, queries, "0\t5\t1\n1\t6\t1\n")).exclude, "one by chance"
    assert not beir.load(write(tmp_path)).exclude


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip()),
        min_size=1,
        max_size=6,
    ),
    grade=st.floats(0.5, 9),
)
def test_any_text_is_read_as_it_was_written(
    texts: list[str], grade: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = [{"_id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    for ascii_only in (True, False):
        written = "".join(json.dumps(entry, ensure_ascii=ascii_only) + "\r\n" for entry in corpus)
        found = beir.load(write(tmp_path_factory.mktemp("any"), written, QUERIES, f"q1\td0\t{grade!r}\n"))
        assert found.documents == tuple(texts)
        assert found.relevant == {"q1": {"d0": grade}}


def rows_of(number: int) -> Retrieval:
    rows = pd.DataFrame({"query": ["a", "b", "a", "a"], "document": ["x", "y", "x", "z"]})
    return measures.retrieval(sources.frame(rows.head(number)), "rows")


def test_rows_of_a_query_and_a_document() -> None:
    assert beir.load(rows_of(4)) == beir.RetrievalSet(
        ("q0", "q1"), ("a", "b"), ("d0", "d1", "d3"), ("x", "y", "z"), {"q0": {"d0": 1.0, "d3": 1.0}, "q1": {"d1": 1.0}}
    )
    assert beir.load(rows_of(1)).relevant == {"q0": {"d0": 1.0}}
    with pytest.raises(AuditFailed, match="no rows"):
        beir.load(rows_of(0))


@pytest.mark.parametrize("style", ["nano", "mteb"])
def test_a_data_set_of_the_hub(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As parquet in a snapshot: NanoBEIR has no grades and all splits are "train"; mteb's have others, and grades."""
    qrels = pd.DataFrame({"query-id": ["q1", "q2", "q2"], "corpus-id": ["<dbpedia:A>", "c", "b"]})
    nano = style == "nano"
    judged = qrels if nano else qrels.assign(score=[2, 1, 0])
    parts = {
        ("corpus", "train" if nano else "corpus"): pd.DataFrame(CORPUS),
        ("queries", "train" if nano else "queries"): pd.DataFrame(QUERIES),
        ("qrels" if nano else "default", "train" if nano else "test"): judged,
    }
    readme = ["---", "configs:"]
    for (config, split), rows in parts.items():
        (tmp_path / config).mkdir()
        rows.to_parquet(tmp_path / config / f"{split}-00000-of-00001.parquet")
        readme += [f"- config_name: {config}", "  data_files:", f"  - split: {split}", f"    path: {config}/{split}-*"]
    (tmp_path / "README.md").write_text("\n".join([*readme, "---", ""]), encoding="utf-8")
    monkeypatch.setattr(fetching, "locate", lambda ref: tmp_path)
    found = beir.load(Retrieval(style, split="train" if nano else "test", hub=Ref("own/set", "main")))
    assert found.documents == ("Title Straße 1", " second ", "third", "Only a title")
    grades: Any = (
        {"q1": {"<dbpedia:A>": 1.0}, "q2": {"c": 1.0, "b": 1.0}}
        if nano
        else {"q1": {"<dbpedia:A>": 2.0}, "q2": {"c": 1.0}}
    )
    assert found.relevant == grades
    with pytest.raises(TestbedUnavailable, match="no split 'dev'"):
        beir.load(Retrieval(f"{style} dev", split="dev", hub=Ref("own/set", "main")))


def test_a_data_set_of_the_hub_of_another_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, pd.DataFrame] = {}
    monkeypatch.setattr(fetching, "locate", lambda ref: tmp_path)
    monkeypatch.setattr(files, "read", lambda folder, ref: (parts[ref.config], {}))
    texts, good = pd.DataFrame({"_id": ["a"], "text": ["x"]}), pd.DataFrame({"query-id": ["a"], "corpus-id": ["a"]})
    for number, (changed, message) in enumerate(
        [
            ({"corpus": texts.rename(columns={"text": "body"})}, "corpus: no column text; it has _id, body"),
            ({"corpus": texts.assign(text=[3])}, "corpus: 3 .* is no text"),
            ({"qrels": good.rename(columns={"corpus-id": "doc"})}, "qrels: no column corpus-id; it has query-id, doc"),
            ({"qrels": good.assign(score=["high"])}, "qrels: the grade of row 1 is not a number"),
        ]
    ):
        parts.update({"corpus": texts, "queries": texts, "qrels": good, **changed})
        with pytest.raises(AuditFailed, match=message):
            beir.load(Retrieval(f"wrong {number}", split="train", hub=Ref("own/set", "main")))
