"""Near copies within the set of a measure: counted where intervals over items draw them apart."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audited import MNR, examined, make

from harness import Study, measures, sources
from harness.audit.near_copies import of_measure
from harness.data.findings import Finding
from harness.spec.views import VIEWS
from harness.testbeds.measure_kinds import Measure

RNG = np.random.default_rng(3)
WORDS = ["".join(RNG.choice(list("abcdefghijklmnoprstuvw"), 6)) for _ in range(200)]
TEXTS = [" ".join(WORDS[place] for place in RNG.integers(0, 200, 12)) for _ in range(40)]
"""Texts that are no near copies of each other."""


def source(columns: str, rows: list[tuple[Any, ...]]) -> sources.Source:
    return sources.frame(pd.DataFrame(rows, columns=columns.split()))


def of_kind(kind: str, asked: list[str], answers: list[str]) -> Measure:
    """Return a measure whose items ask these texts; answers are second texts, documents, positives or fitted texts."""
    rows, labels = [*zip(asked, answers, strict=True)], [place % 2 for place in range(len(asked))]
    if kind == "sts":
        return measures.sts(
            source("a b s", [(*row, place % 5) for place, row in enumerate(rows)]),
            "own",
            columns=("a", "b", "s"),
            range=(0, 5),
        )
    if kind == "pairs":
        return measures.pairs(
            source("a b s", [(*row, label) for row, label in zip(rows, labels, strict=True)]),
            "own",
            columns=("a", "b", "s"),
        )
    if kind == "retrieval":
        return measures.retrieval(source("q d", rows), "own", query="q", document="d")
    if kind == "triplets":
        return measures.triplets(source("anchor positive negative", [(*row, "another text") for row in rows]), "own")
    fitted = source("text label", [*zip(answers, labels, strict=True)])
    return measures.classification(fitted, source("text label", [*zip(asked, labels, strict=True)]), "own")


def found(measure: Measure) -> Finding | None:
    findings = of_measure(measure, "testbed own")
    assert len(findings) <= 1
    return findings[0] if findings else None


KINDS = ("sts", "pairs", "retrieval", "triplets", "classification")


@pytest.mark.parametrize("kind", KINDS)
def test_items_with_a_near_copy_are_counted_with_what_they_are_worth(kind: str) -> None:
    """Four of twenty items differ from one item each by a letter at the end: 20^2 / (12 + 4 * 4) = 14.3 items."""
    asked, answers = (
        [*TEXTS[:16], *(f"{text}x" for text in TEXTS[:4])],
        [*TEXTS[20:36], *(f"{text} y" for text in TEXTS[20:24])],
    )
    measure = of_kind(kind, asked, answers)
    near = found(measure)
    assert near is not None
    assert (near.severity, near.what, near.count, near.of) == ("warning", "near copies in own", 8, 20)
    assert f"8 of 20 {measure.items} of own" in near.explain
    assert "as much as 14 " in near.explain
    assert "not as 20" in near.explain
    assert f"up to about {math.sqrt(20 / (400 / 28)):.1f}." in near.explain


@pytest.mark.parametrize("kind", KINDS)
def test_exact_copies_that_are_drawn_together_are_no_near_copies(kind: str) -> None:
    assert (
        found(of_kind(kind, [*TEXTS[:16], *(f"{text.upper()}!" for text in TEXTS[:4])], [*TEXTS[20:36], *TEXTS[20:24]]))
        is None
    )


@pytest.mark.parametrize("kind", ["sts", "pairs"])
def test_pairs_are_near_copies_only_if_both_texts_are(kind: str) -> None:
    asked = [*TEXTS[:4], *(f"{text} x" for text in TEXTS[:4])]
    assert found(of_kind(kind, asked, TEXTS[20:28])) is None
    lower, higher = zip(*map(sorted, zip(TEXTS[:4], TEXTS[20:24], strict=True)), strict=True)
    turned = [f"zz {text}" for text in lower]  # now the higher one of its pair
    near = found(of_kind(kind, [*lower, *higher], [*higher, *turned]))
    assert near is not None
    assert near.count == 8


def test_few_near_copies_are_a_note() -> None:
    near = found(of_kind("sts", [*TEXTS[:20], f"{TEXTS[0]} x"], [*TEXTS[20:], f"{TEXTS[20]} x"]))
    assert near is not None
    assert (near.severity, near.count) == ("note", 2)
    assert "less than 5%" in near.explain


def test_all_queries_that_are_drawn_with_a_near_copy_are_counted() -> None:
    """Four queries have the same document, so that they are drawn together; one of another document is a near copy."""
    asked, documents = [*TEXTS[:8], f"{TEXTS[0]} x"], [*["the same document"] * 4, *TEXTS[24:29]]
    near = found(of_kind("retrieval", asked, documents))
    assert near is not None
    assert near.count == 5
    assert "as much as 3 " in near.explain  # 9^2 / (5^2 + 4)
    assert "not as 4," in near.explain  # 9^2 / (4^2 + 5)


def test_questions_of_one_template_are_drawn_together_already() -> None:
    asked = [f"Which are the usual symptoms and causes of the disease {name}" for name in WORDS[:20]]
    assert found(of_kind("retrieval", asked, TEXTS[:20])) is None
    assert found(of_kind("classification", asked, TEXTS[:20])) is not None  # whose texts are not drawn by template


def test_the_audit_of_an_ablation_looks_at_every_measure(cache: Path) -> None:
    ablation = make([Study("mnr", loss=MNR, view=VIEWS["pair"])])
    copies = of_kind("sts", [f"{TEXTS[0]} {number}" for number in range(30)], [f"{TEXTS[1]} {n}" for n in range(30)])
    bed = replace(ablation.testbed, also=[copies])
    (near,) = (each for each in examined(replace(ablation, testbed=bed)).findings if each.what == "near copies in own")
    assert (near.where, near.count) == ("testbed book", 30)
    assert "as much as 1 pairs" in near.explain
