"""Audit rules for labels and gold scores that are out of range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.data.clean import numbered
from harness.data.findings import Finding
from harness.spec.losses import Regularized, Wrapped
from harness.spec.views import View

if TYPE_CHECKING:
    from pandas import Series

CLASSES = 3
"""Number of NLI classes, as in `losses.softmax`."""

NARROW = 0.5
"""Smallest share of the declared range that a set's scores should span; less suggests that the range is wrong."""

SLACK = 1e-6
"""Tolerance for scores outside their range by float32 rounding."""


@dataclass(frozen=True)
class Reads:
    """The label values that a loss reads, as text and as a predicate."""

    words: str
    value: Callable[[float], bool]
    classes: int | None = None
    """Number of classes of a classifier."""


_TWO = Reads("0 (not alike) or 1 (alike), nothing between", lambda value: value in (0, 1))
_COSINE = Reads("a cosine from -1 to 1", lambda value: -1 <= value <= 1)


def reads(loss: Callable[..., Any]) -> Reads | None:
    """Return the label values that a loss of sentence-transformers reads; None if it reads any number.

    CoSENTLoss and AnglELoss read only the order of scores. For losses that a study file defines, the answer is None.
    """
    loss, arguments = innermost(loss)
    name = getattr(loss, "name", None) or getattr(loss, "__name__", "")
    if name in ("ContrastiveLoss", "OnlineContrastiveLoss", "ContrastiveTensionLoss"):
        return _TWO
    if name == "CosineSimilarityLoss":
        return _COSINE
    if name in ("softmax", "SoftmaxLoss"):
        classes = int(arguments.get("num_labels", CLASSES))
        return Reads(f"whole numbers from 0 to {classes - 1}", lambda value: value in range(classes), classes)
    return None


def innermost(loss: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the loss that reads the labels, without the losses around it, and the arguments that it has."""
    arguments: dict[str, Any] = {}
    while True:
        if hasattr(loss, "func"):  # functools.partial
            arguments = {**loss.keywords, **arguments}  # type: ignore[attr-defined]
            loss = loss.func
        elif isinstance(loss, Wrapped | Regularized):
            loss = loss.loss
        else:
            return loss, {**dict(getattr(loss, "options", ())), **arguments}


def of_labels(view: View, labels: Series[Any], study: str, loss: Callable[..., Any]) -> list[Finding]:
    """Return a finding if a view has label values that a loss ignores or misinterprets, or lacks classes of the loss.

    Args:
        view: the view.
        labels: labels of its rows.
        study: name of the study.
        loss: the study's loss.
    """
    readable = reads(loss)
    if readable is None or not len(labels):
        return []
    counts = labels.value_counts().sort_index()
    where, what, number = f"study {study}", "labels that the loss does not read", len(labels)
    unread = [float(value) for value in counts.index if not readable.value(float(value))]
    if unread:
        message = (
            f"View {view.name!r} gives the loss of study {study!r} the {view.columns[-1]} {_listed(unread)}; it reads "
            f"{readable.words}, and silently ignores or misinterprets other values. {_advice(readable, counts.index)}"
        )
        return [Finding("error", where, what, int(counts.loc[unread].sum()), number, message)]
    absent = sorted(set(range(readable.classes or 0)) - {int(value) for value in counts.index})
    if absent:
        message = (
            f"No row of view {view.name!r} has the {view.columns[-1]} {_listed(absent)}, for which the loss of study "
            f"{study!r} has a class: it only learns to exclude it. {_advice(readable, counts.index)}"
        )
        return [Finding("warning", where, "classes without rows", 0, number, message)]
    return []


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:10]) + ", ..." * (len(values) > 10)


def _advice(readable: Reads, values: Iterable[Any]) -> str:
    """Say which declaration in the study file makes a loss and the labels of its view agree."""
    largest = max(float(value) for value in values)
    if readable.classes is not None:
        if min(values) < 0 or not all(float(value).is_integer() for value in values):
            return "Classes are whole numbers from 0; view=columns(..., label=...) numbers them."
        return f"Give the loss as many classes as there are: loss=partial(losses.softmax, num_labels={largest + 1:g})."
    if readable is _COSINE:
        return (
            f"Bring the scores to 0 to 1: view=columns(..., score=..., range=(LOWEST, {largest:g})) with their range."
        )
    return 'Use a view of 0 and 1, e.g. "pair-score-no-neutral", or a loss that reads graded scores, e.g. CoSENTLoss.'


def of_scores(
    name: str,
    texts: tuple[Sequence[object], Sequence[object]],
    gold: Sequence[float],
    score_range: tuple[float, float],
    testbed: str,
) -> list[Finding]:
    """Return findings on the texts and gold scores of a dev or test set.

    Args:
        name: name of the set.
        texts: its two text columns.
        gold: its scores, rescaled from `score_range` to 0 to 1.
        score_range: lowest and highest possible score.
        testbed: name of the testbed.
    """
    low, high = score_range
    where, findings = f"testbed {testbed}", []
    nulls = [
        row for row, both in enumerate(zip(*texts, strict=True)) if not all(isinstance(text, str) for text in both)
    ]
    if nulls:
        findings.append(_error(where, name, "null texts", nulls, f"{len(nulls):,} of its pairs lack a text", len(gold)))
    unscored = [row for row, score in enumerate(gold) if not math.isfinite(score)]
    if unscored:
        message = f"{len(unscored):,} of its gold scores are null or not finite"
        findings.append(_error(where, name, "scores that are no numbers", unscored, message, len(gold)))
        return findings
    outside = [row for row, score in enumerate(gold) if not -SLACK <= score <= 1 + SLACK]
    least, most = (low + (high - low) * edge(gold, default=math.nan) for edge in (min, max))
    span = f"its gold scores run from {least:g} to {most:g}"
    if len(set(gold)) < 2:
        message = f"all its gold scores are {least:g}, as in test sets whose scores are withheld: there is no ranking"
        findings.append(_error(where, name, "constant scores", range(len(gold)), message, len(gold)))
    elif outside:
        message = f"{span}, but its declared range is {low:g} to {high:g}; set range=(LOWEST, HIGHEST) in measures.sts"
        findings.append(_error(where, name, "scores outside their range", outside, message, len(gold)))
    elif max(gold) - min(gold) < NARROW:
        message = f"{span}, a small part of their range, {low:g} to {high:g}. Is its range right?"
        findings.append(Finding("warning", where, f"narrow scores of {name}", 0, len(gold), f"Of {name} {message}"))
    return findings


def _error(where: str, name: str, what: str, rows: Sequence[int], problem: str, of: int) -> Finding:
    message = f"Of {name} {problem} ({numbered(rows)}). Fix the set, or use another one in the testbed."
    return Finding("error", where, f"{what} of {name}", len(rows), of, message)
