"""Labelled texts in the training rows: a text that is trained on with a label leaks, one in a pair of texts does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from audited import MNR, examined, make

from harness import Study, columns, measures, sources
from harness.data.findings import Finding, Overlap
from harness.data.overlap import ROWS
from harness.spec import losses
from harness.spec.views import View

TEXTS = [f"this film number {number} is {word}" for number in range(20) for word in ("dull", "a joy")]
LABELS = ["bad", "good"] * 20
OTHERS = [f"a text about nothing, {word}" for word in ("one", "two", "three", "four")]
ROWS_OF_TEXTS = pd.DataFrame(
    {
        "text": [text.upper() for text in TEXTS[:6]] + OTHERS,
        "label": [*LABELS[:4], "good", "bad", "bad", "good", "bad", "good"],
        "other": [text.upper() for text in TEXTS[:6]] + OTHERS[::-1],
        "teacher": [[0.1, 0.2]] * 10,
    }
)
"""Six texts of the test set, the last two with the wrong label, and four others."""

GROUPED = Study("all", losses.BatchAllTripletLoss, columns("text", label="label"), sampler="group_by_label")


def shared(cache: Path, study: Study, rows: pd.DataFrame = ROWS_OF_TEXTS) -> tuple[Overlap, dict[str, Finding]]:
    """Return the overlap of a set of labelled texts with the rows of a study, and the findings on it."""
    fitted = sources.frame(pd.DataFrame({"text": OTHERS, "label": ["bad", "good"] * 2}))
    tested = sources.frame(pd.DataFrame({"text": TEXTS, "label": LABELS}))
    ablation = make([study], sources.frame(rows))
    bed = replace(ablation.testbed, also=[measures.classification(fitted, tested, "films")])
    found = examined(replace(ablation, testbed=bed))
    (overlap,) = (each for each in found.overlaps if (each.name, each.held_by) == ("films", ROWS))
    return overlap, {each.what: each for each in found.findings if " of films in the training rows" in each.what}


def test_texts_that_are_trained_on_with_a_label_leak(cache: Path) -> None:
    overlap, findings = shared(cache, GROUPED)
    assert (overlap.labelled, overlap.pairs, overlap.shared_pairs, overlap.shared_sentences) == (True, 40, 6, 6)
    leak = findings["labelled texts of films in the training rows"]
    assert (leak.severity, leak.count, leak.of) == ("warning", 6, 40)
    assert leak.explain.startswith("6 of 40 texts of films are also in the training rows, with a label")
    assert "pair" not in leak.explain
    assert "with a label or without" in findings["sentences of films in the training rows"].explain


@pytest.mark.parametrize(
    ("view", "loss"),
    [(columns("text", "other"), MNR), (columns("text", embedding="teacher"), losses.MSELoss)],
    ids=["pairs of equal texts", "texts with a teacher's embedding"],
)
def test_texts_that_are_trained_on_without_a_label_are_said_to_be_seen(view: View, loss: Any, cache: Path) -> None:
    overlap, findings = shared(cache, Study("study", loss, view))
    assert (overlap.shared_pairs, overlap.shared_sentences) == (0, 6)
    assert set(findings) == {"sentences of films in the training rows"}


def test_a_text_in_a_pair_with_its_labels_name_leaks_and_one_with_another_label_does_not(cache: Path) -> None:
    overlap, findings = shared(cache, Study("mnr", MNR, columns("label", "text")))
    assert (overlap.shared_pairs, overlap.shared_sentences) == (4, 6)
    assert findings["labelled texts of films in the training rows"].count == 4
