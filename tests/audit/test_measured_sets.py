"""Sets of measures: items that are repeated, contradict each other or are too few, and labels that cannot be scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from audited import MNR, examined, make

from harness import Study, measures, sources
from harness.data.measured_sets import of_measure
from harness.data.repeated import MUCH
from harness.spec.views import VIEWS
from harness.testbeds.measure_kinds import Measure

Rows = list[tuple[Any, ...]]


def source(columns: str, rows: Rows) -> sources.Source:
    return sources.frame(pd.DataFrame(rows, columns=columns.split()))


def sts(rows: Rows) -> Measure:
    return measures.sts(source("a b s", rows), "sts", columns=("a", "b", "s"), range=(0, 5))


def pairs(rows: Rows, name: str = "pairs") -> Measure:
    return measures.pairs(source("a b s", rows), name, columns=("a", "b", "s"))


def triplets(rows: Rows) -> Measure:
    return measures.triplets(source("anchor positive negative", rows), "triplets")


def classes(test: Rows, train: Rows | None = None) -> Measure:
    fitted = source("text label", train or [("one", 0), ("two", 1)])
    return measures.classification(fitted, source("text label", test), "classes")


def asked(queries: int, each: int = 1) -> Rows:
    """Return rows of that many queries and, of each, so many documents."""
    return [(f"query {n}", f"document {n} {m}") for n in range(queries) for m in range(each)]


def retrieval(rows: Rows) -> Measure:
    return measures.retrieval(source("q d", rows), "retrieval", query="q", document="d")


def every(measure: Measure) -> dict[str, tuple[str, float, float]]:
    return {each.what: (each.severity, each.count, each.of) for each in of_measure(measure, "bed")}


def told(measure: Measure) -> dict[str, tuple[str, float, float]]:
    """Return the findings but for that on the number of items, which is small in most of these sets."""
    return {what: numbers for what, numbers in every(measure).items() if not what.startswith("too few")}


def in_explanation(measure: Measure, what: str) -> str:
    (found,) = (each.explain for each in of_measure(measure, "bed") if each.what == what)
    return found


CLEAN: dict[str, Measure] = {
    "sts": sts([("a b", "c", 0), ("d", "e", 5), ("a b", "e", 3), ("d", "c", 1)]),
    "pairs": pairs([("a b", "c", 0), ("d", "e", 1), ("a b", "e", 1)]),
    "equal texts that are alike": sts([("a b", "A b.", 5), ("d", "e", 0), ("f", "f", 2.5)]),
    "equal texts with label 1": pairs([("a b", "A b.", 1), ("d", "e", 0), ("f", "F", "1")]),
    "triplets": triplets([("a b", "c", "d"), ("a b", "c", "e"), ("a b", "e", "f")]),
    "classes": classes([("a b", 0), ("c", 1), ("d", 0)]),
    "retrieval": retrieval(asked(201)),
}

AGAIN: dict[str, Measure] = {
    "sts": sts([("a b", "c", 0), ("d", "e", 5), ("f", "g", 2), ("C!", "A  B", 0), ("D", "e", 5)]),
    "pairs": pairs([("a b", "c", 0), ("d", "e", 1), ("f", "g", 0), ("c", "A-b", 0), ("d", "E.", 1)]),
    "triplets": triplets([("a b", "c", "d"), ("e", "f", "g"), ("a", "c", "d"), ("A B", "c", "d"), ("a b.", "C", "d")]),
    "classes": classes([("a b", 0), ("c", 1), ("d", 0), ("A b!", 0), ("C", 1)]),
    "retrieval": retrieval([("a b", "x"), ("c", "y"), ("d", "z"), ("A b!", "x"), ("C", "Y.")]),
}

AGAINST: dict[str, tuple[Measure, str]] = {
    "sts": (sts([("a", "b", 0), ("c", "d", 5), ("e", "f", 3), ("B", "a", 4)]), "gold score"),
    "pairs": (pairs([("a", "b", 0), ("c", "d", 1), ("e", "f", 0), ("B", "a", 1)]), "label"),
    "triplets": (triplets([("a", "b", "c"), ("d", "e", "f"), ("a", "e", "f"), ("A", "c", "b")]), "positive"),
    "classes": (classes([("a", 0), ("b", 1), ("c", 0), ("A!", 1)]), "label"),
    "retrieval": (retrieval([("a", "x"), ("b", "y"), ("c", "z"), ("A!", "y")]), "set of relevant documents"),
}


@pytest.mark.parametrize("kind", CLEAN)
def test_different_items_are_no_finding(kind: str) -> None:
    assert told(CLEAN[kind]) == {}


@pytest.mark.parametrize("kind", AGAIN)
def test_items_that_repeat_an_earlier_one_are_counted(kind: str) -> None:
    measure = AGAIN[kind]
    what = f"repeated {measure.items} of {measure.name}"
    assert told(measure)[what] == ("warning", 2, 5)
    assert not any("contradictions" in each for each in told(measure))
    assert "only 3 are different" in in_explanation(measure, what)


def test_a_few_repeated_items_are_a_note() -> None:
    many: Rows = [(f"text {number}", number % 2) for number in range(round(1 / MUCH) - 1)]
    assert told(classes([*many, many[5]]))["repeated texts of classes"] == ("note", 1, 100)
    assert told(classes([*many, many[5], many[6]]))["repeated texts of classes"] == ("warning", 2, 101)


@pytest.mark.parametrize("kind", AGAINST)
def test_equal_items_with_another_answer_are_a_warning(kind: str) -> None:
    measure, answer = AGAINST[kind]
    found = told(measure)
    assert found[f"contradictions in {kind}"] == ("warning", 2, 4)
    assert found[f"repeated {measure.items} of {kind}"] == ("warning", 1, 4)
    assert f"another {answer}," in in_explanation(measure, f"contradictions in {kind}")


FEW: dict[str, tuple[Measure, tuple[str, float, float]]] = {
    "one query": (retrieval(asked(1)), ("warning", 1, 1)),
    "copies of three pairs": (sts([("a", "b", 0), ("c", "d", 5), ("e", "f", 1)] * 20), ("warning", 3, 60)),
    "two pairs": (sts([("a", "b", 0), ("c", "d", 5)]), ("warning", 2, 2)),
    "copies of two pairs": (sts([("a", "b", 0), ("c", "d", 5)] * 20), ("error", 2, 40)),
    "copies of two queries": (retrieval([("a", "c"), ("b", "d"), ("A!", "c")]), ("error", 2, 3)),
    "copies of two texts": (classes([("a", 0), ("b", 1), ("a.", 0)]), ("error", 2, 3)),
}


@pytest.mark.parametrize("case", FEW)
def test_too_few_different_items_are_told_and_an_error_if_copies_hide_it(case: str) -> None:
    measure, expected = FEW[case]
    assert every(measure)[f"too few {measure.items} in {measure.name}"] == expected


@pytest.mark.parametrize(("number", "few"), [(5, True), (6, False)])
def test_five_items_are_too_few_to_decide_and_six_are_not(number: int, few: bool) -> None:
    distinct: Rows = [(f"text {n}", f"other {n}", n % 2) for n in range(number)]
    assert ("too few pairs in pairs" in every(pairs(distinct))) == few


UNFIT: dict[str, tuple[Measure, str]] = {
    "one label of pairs": (pairs([("a", "b", 1), ("c", "d", 1), ("e", "f", 1)]), "are all the same"),
    "another label of pairs": (pairs([("a", "b", 1), ("c", "d", 0), ("e", "f", 2)]), "have the value 2"),
    "a label that train lacks": (
        classes([("a", "x"), ("b", "y"), ("c", "z")], [("d", "x"), ("e", "y")]),
        "test labels that train lacks: ['z']",
    ),
    "one label in train": (classes([("a", 1), ("b", 1), ("c", 1)], [("d", 1), ("e", 1)]), "only one label in train"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_labels_that_no_model_can_be_scored_by_are_an_error(case: str) -> None:
    measure, words = UNFIT[case]
    what = f"labels of {measure.name}"
    assert told(measure) == {what: ("error", 3, 3)}
    assert words in in_explanation(measure, what)


SELF: dict[str, tuple[Measure, dict[str, tuple[str, float, float]]]] = {
    "STS": (
        sts([("a b", "A b.", 2.4), ("c", "d", 5), ("e", "f", 0)]),
        {"equal texts that count as different in sts": ("warning", 1, 3)},
    ),
    "pairs": (
        pairs([("a b", "A b.", 0), ("c", "d", 1), ("e", "e", 1)]),
        {"equal texts that count as different in pairs": ("warning", 1, 3)},
    ),
    "triplets": (
        triplets([("a", "A.", "c"), ("d", "e", "D"), ("f", "g", "g."), ("h", "h", "h"), ("i", "j", "k")]),
        {
            "triplets of triplets that no model is right about": ("warning", 3, 5),
            "triplets of triplets that every model is right about": ("warning", 1, 5),
        },
    ),
    "fitted texts": (
        classes([("a", 0), ("b", 1), ("c", 0)], [("d", 0), ("D.", 1), ("e", 1)]),
        {"contradictions in the training texts of classes": ("warning", 2, 3)},
    ),
}


@pytest.mark.parametrize("case", SELF)
def test_items_that_no_or_every_model_is_right_about_are_counted(case: str) -> None:
    measure, expected = SELF[case]
    assert told(measure) == expected


def alike(number: int, of: int) -> Measure:
    """Return a measure of pairs of which so many are alike."""
    return pairs([(f"text {n}", f"other {n}", int(n < number)) for n in range(of)])


def labelled(*counts: int, fitted: tuple[int, ...] = ()) -> Measure:
    """Return a classification with so many texts of each label, and fitted on so many; as many if none are given."""

    def texts(of: tuple[int, ...], kind: str) -> Rows:
        return [(f"{kind} {label} {n}", label) for label, number in enumerate(of) for n in range(number)]

    return classes(texts(counts, "test"), texts(fitted or counts, "train"))


CHANCE: dict[str, tuple[Measure, tuple[str, float, float] | None, str]] = {
    "most pairs alike": (
        alike(192, 200),
        ("warning", 96.0, 100),
        "average_precision of 96.00, accuracy of 96.00, f1 of 97.96",
    ),
    "few pairs alike": (alike(8, 200), ("note", 96.0, 100), "has accuracy of 96.00"),
    "seven in ten alike": (alike(140, 200), None, ""),
    "one label": (labelled(294, 6), ("warning", 98.0, 100), "has accuracy of 98.00"),
    "two labels": (labelled(150, 50), None, ""),
    "ten labels, one of more than half": (labelled(60, *[5] * 9), ("warning", 57.14, 100), "60 of its 105 texts"),
    "ten even labels": (labelled(*[10] * 10), None, ""),
    "a label in test of two in train": (labelled(40, fitted=(9, 9)), ("warning", 100.0, 100), "f1 of 100.00"),
}


@pytest.mark.parametrize("case", CHANCE)
def test_a_high_score_of_a_model_that_knows_nothing_is_told(case: str) -> None:
    measure, expected, words = CHANCE[case]
    what = f"score of a model that knows nothing in {measure.name}"
    assert told(measure) == ({what: expected} if expected else {})
    assert expected is None or words in in_explanation(measure, what)


def test_of_uneven_classes_the_other_figure_is_the_advice() -> None:
    uneven, what = labelled(294, 6), "score of a model that knows nothing in classes"
    assert "or take the figure f1." in in_explanation(uneven, what)
    assert told(replace(uneven, figure="f1"))[what][0] == "note"


def test_the_audit_of_an_ablation_looks_at_every_measure(cache: Path) -> None:
    ablation = make([Study("mnr", loss=MNR, view=VIEWS["pair"])])
    copies = pairs([("a b", "c", 0), ("d", "e", 1), ("f", "g", 0), ("a b", "c", 0)], "also")
    bed = replace(ablation.testbed, dev=AGAIN["sts"], test=UNFIT["one label in train"][0], also=[copies])
    found = {each.what for each in examined(replace(ablation, testbed=bed)).findings}
    assert {"repeated pairs of sts", "labels of classes", "repeated pairs of also"} <= found
