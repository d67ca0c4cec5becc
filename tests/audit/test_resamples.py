"""Intervals over items: sets whose gold answers leave them undefined, and items that form too few groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audited import MNR, examined, make

from harness import Study, measures, sources
from harness.audit.resamples import of_measure
from harness.data.findings import Finding
from harness.spec.views import VIEWS
from harness.testbeds.measure_kinds import Measure

RNG = np.random.default_rng(5)
TEXTS = ["".join(RNG.choice(list("abcdefghijklmnop"), 30)) for _ in range(400)]
"""Texts that have nothing in common."""


def source(columns: str, rows: list[tuple[Any, ...]]) -> sources.Source:
    return sources.frame(pd.DataFrame(rows, columns=columns.split()))


def of_gold(kind: str, gold: list[int]) -> Measure:
    """Return a measure of pairs with these labels, or gold scores from 0 to 5."""
    rows = source("a b s", [(TEXTS[place], TEXTS[-place - 1], score) for place, score in enumerate(gold)])
    if kind == "pairs":
        return measures.pairs(rows, "own", columns=("a", "b", "s"))
    return measures.sts(rows, "own", columns=("a", "b", "s"), range=(0, 5))


def found(measure: Measure) -> Finding | None:
    findings = of_measure(measure, "testbed own")
    assert len(findings) <= 1
    return findings[0] if findings else None


@pytest.mark.parametrize("kind", ["pairs", "sts"])
@pytest.mark.parametrize(("ones", "rare"), [(3, True), (20, False)])
def test_gold_answers_that_some_resamples_lack_are_told(kind: str, ones: int, rare: bool) -> None:
    finding = found(of_gold(kind, [1] * ones + [0] * (120 - ones)))
    assert (finding is not None) == rare
    if finding is not None:
        expected = (3, "Only 3 of 120 pairs") if kind == "pairs" else (117, "117 of 120 pairs")
        assert (finding.severity, finding.count, finding.of) == ("warning", expected[0], 120)
        assert expected[1] in finding.explain
        assert "can be judged" in finding.explain


def test_average_precision_does_without_pairs_that_are_not_alike() -> None:
    assert found(of_gold("pairs", [1] * 117 + [0] * 3)) is None


def test_copies_are_drawn_together_and_count_once() -> None:
    """Two pairs, twenty times each, that are alike, among eighty that are not."""
    rows = [(TEXTS[n % 2], TEXTS[n % 2 + 2], 1) for n in range(40)]
    rows += [(TEXTS[n], TEXTS[-n], 0) for n in range(10, 90)]
    finding = found(measures.pairs(source("a b s", rows), "own", columns=("a", "b", "s")))
    assert finding is not None
    assert finding.what == "rare label 1 in own"


def retrieval(documents: list[str]) -> Measure:
    rows = [(TEXTS[place], document) for place, document in enumerate(documents)]
    return measures.retrieval(source("q d", rows), "own", query="q", document="d")


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (1, "form only 1 group (the same relevant documents, or questions of one template), too few to draw"),
        (2, "a claim is about further queries of these groups only"),
        (5, "fewer than 6 that differ decide no comparison"),
        (6, None),
    ],
)
def test_queries_that_form_few_groups_are_told(groups: int, words: str | None) -> None:
    finding = found(retrieval([TEXTS[100 + place % groups] for place in range(20)]))
    assert (finding is None) == (words is None)
    if finding is not None and words is not None:
        assert (finding.severity, finding.count, finding.of) == ("warning", groups, 20)
        assert words in finding.explain


def test_triplets_with_few_anchors_are_told() -> None:
    rows = [(TEXTS[place % 2], TEXTS[100 + place], TEXTS[200 + place]) for place in range(20)]
    finding = found(measures.triplets(source("anchor positive negative", rows), "own"))
    assert finding is not None
    assert "The 20 triplets of own form only 2 groups (the same anchor, or anchors of one template)" in finding.explain


def test_too_few_queries_are_said_to_be_elsewhere() -> None:
    assert found(retrieval(TEXTS[100:105])) is None


def test_the_audit_of_an_ablation_looks_at_every_measure(cache: Path) -> None:
    ablation = make([Study("mnr", loss=MNR, view=VIEWS["pair"])])
    bed = replace(ablation.testbed, also=[of_gold("pairs", [1, 1] + [0] * 100)])
    findings = examined(replace(ablation, testbed=bed)).findings
    assert [each.where for each in findings if each.what == "rare label 1 in own"] == ["testbed book"]
