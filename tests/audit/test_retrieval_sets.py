"""Retrieval sets: copies that are judged differently, queries that are documents, and figures that say little."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import measures
from harness.data.findings import Finding
from harness.data.measured_sets import of_measure
from harness.testbeds.measure_kinds import Measure

Judgements = Sequence[tuple[str, str, float]]

FILLING = {f"f{number}": f"Filling number {number}" for number in range(120)}
"""Documents that are relevant to nothing, so that a random order scores little."""

QUERIES = {f"q{number}": f"question {number}" for number in range(4)}
ANSWERS = {f"d{number}": f"answer {number}" for number in range(4)}
RIGHT: Judgements = [(f"q{number}", f"d{number}", 1) for number in range(4)]


def written(
    folder: Path, queries: Mapping[str, str], documents: Mapping[str, str], judged: Judgements, **options: Any
) -> Measure:
    """Write a set in BEIR's layout and return a measure of it."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("queries", queries), ("corpus", documents)):
        lines = (json.dumps({"_id": id, "text": text}) + "\n" for id, text in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    grades = "".join(f"{query}\t{document}\t{grade:g}\n" for query, document, grade in judged)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + grades, encoding="utf-8")
    return measures.retrieval(str(folder), "own", **options)


def found(measure: Measure) -> dict[str, Finding]:
    every = {finding.what: finding for finding in of_measure(measure, "bed")}
    small = ("too few", "figures of own that are high in a random order")
    return {what: finding for what, finding in every.items() if not what.startswith(small)}


def summary(measure: Measure) -> dict[str, tuple[str, float, float]]:
    return {what: (each.severity, each.count, each.of) for what, each in found(measure).items()}


COPIED = {f"x{number}": f"ANSWER {number}!" for number in range(3)}

FAULTS: dict[str, tuple[Mapping[str, str], Mapping[str, str], Judgements, dict[str, tuple[str, float, float]]]] = {
    "nothing": (QUERIES, {**ANSWERS, **FILLING}, RIGHT, {}),
    "copies of relevant documents": (
        QUERIES,
        {**ANSWERS, **FILLING, **COPIED},
        RIGHT,
        {
            "repeated documents of own": ("warning", 3, 127),
            "copies judged differently in own": ("warning", 3, 4),
        },
    ),
    "one copy, judged alike": (
        QUERIES,
        {**ANSWERS, **FILLING, "x0": "Answer 0"},
        [*RIGHT, ("q0", "x0", 2)],
        {"repeated documents of own": ("note", 1, 125)},
    ),
    "a copy that is judged irrelevant": (
        QUERIES,
        {**ANSWERS, **FILLING, "x0": "Answer 0"},
        [*RIGHT, ("q0", "x0", 0)],
        {"repeated documents of own": ("note", 1, 125), "copies judged differently in own": ("warning", 1, 4)},
    ),
    "queries among the documents": (
        QUERIES,
        {**ANSWERS, **FILLING, "y0": "Question 0", "y1": "question 1", "y2": "question-2"},
        [*RIGHT, ("q2", "y2", 1)],
        {
            "queries of own that are irrelevant documents": ("warning", 2, 4),
            "queries of own that are relevant documents": ("warning", 1, 4),
        },
    ),
    "queries that their ids leave out": (
        QUERIES,
        {**ANSWERS, **FILLING, **QUERIES, "x1": "question 1"},
        RIGHT,
        {
            "repeated documents of own": ("note", 1, 129),
            "queries of own that are irrelevant documents": ("warning", 1, 4),
        },
    ),
    "equal queries with other answers": (
        {**QUERIES, "p0": "Question 0?", "p1": "Question 1?"},
        {**ANSWERS, **FILLING},
        [*RIGHT, ("p0", "d0", 1), ("p1", "d0", 1)],
        {"repeated queries of own": ("warning", 2, 6), "contradictions in own": ("warning", 2, 6)},
    ),
    "equal queries whose answers are copies": (
        {**QUERIES, "p0": "Question 0?"},
        {**ANSWERS, **FILLING, "x0": "answer 0"},
        [*RIGHT, ("q0", "x0", 1), ("p0", "x0", 1), ("p0", "d0", 1)],
        {"repeated documents of own": ("note", 1, 125), "repeated queries of own": ("warning", 1, 5)},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_retrieval_set_are_counted(fault: str, tmp_path: Path) -> None:
    queries, documents, judged, expected = FAULTS[fault]
    assert summary(written(tmp_path, queries, documents, judged)) == expected


def with_documents(folder: Path, number: int, figure: str = "ndcg@10") -> Measure:
    """Return a set of four queries, one relevant document each, and so many documents."""
    documents = dict(list({**ANSWERS, **FILLING}.items())[:number])
    return written(folder, QUERIES, documents, RIGHT, figure=figure)


def test_a_high_score_of_a_random_order_is_a_warning_with_the_number_of_documents(tmp_path: Path) -> None:
    few = found(with_documents(tmp_path / "few", 4))
    chance = few["score of a random order in own"]
    assert (chance.severity, chance.count, chance.of) == ("warning", 64.04, 100)  # (1 + .6309 + .5 + .4307) / 4
    assert "ndcg@10 of 64.04 (times 100): the set has 4 documents" in chance.explain
    same = few["figures of own that are the same for every model"]
    assert (same.severity, same.count) == ("warning", 6)
    assert "by accuracy@5, accuracy@10, precision@10, recall@5, recall@10, recall@100 of own" in same.explain

    assert "score of a random order in own" in found(with_documents(tmp_path / "45", 45))
    many = found(with_documents(tmp_path / "46", 46))
    assert {what: each.severity for what, each in many.items()} == {
        "figures of own that are the same for every model": "note"  # recall@100
    }


def test_other_figures_that_a_random_order_has_high_are_noted(tmp_path: Path) -> None:
    """Of 124 documents, 100 ranks hold the relevant one with a probability of 100 / 124."""
    (high,) = (
        each
        for each in of_measure(with_documents(tmp_path / "all", 124), "bed")
        if each.what == "figures of own that are high in a random order"
    )
    assert (high.severity, high.count, high.of) == ("note", 1, 14)
    assert "has recall@100 of 80.65 (times 100): the set has 124 documents" in high.explain


def test_a_figure_that_no_model_changes_is_an_error(tmp_path: Path) -> None:
    six = with_documents(tmp_path / "six", 6, "recall@10")
    assert summary(six) == {"recall@10 of own": ("error", 4, 4)}
    assert "the set has 6 documents" in found(six)["recall@10 of own"].explain
    assert not [
        each for each in of_measure(with_documents(tmp_path / "11", 11, "recall@10"), "bed") if each.severity == "error"
    ]

    documents = {**ANSWERS, **FILLING}
    every = [(query, document, 1) for query in QUERIES for document in documents]
    assert summary(written(tmp_path / "every", QUERIES, documents, every))["ndcg@10 of own"] == ("error", 4, 4)
    graded = [*every[1:], ("q0", "d0", 2)]
    measure = written(tmp_path / "graded", QUERIES, documents, graded, figure="ndcg-graded@10")
    assert summary(measure)["queries of own that tell no models apart"] == ("warning", 3, 4)


def test_the_document_that_a_query_is_itself_counts_as_none(tmp_path: Path) -> None:
    """Eleven documents less the query's own are ten, all of which recall@10 finds."""
    documents = {**ANSWERS, **QUERIES, **dict(list(FILLING.items())[:3])}
    itself = written(tmp_path / "itself", QUERIES, documents, RIGHT, figure="recall@10")
    assert summary(itself)["recall@10 of own"] == ("error", 4, 4)
