"""Recognise what the columns of a practitioner's rows are: texts and their roles, scores and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from harness.drafting import labels
from harness.drafting.names import is_negative, looks_like_data, meaning
from harness.errors import AuditFailed, UsageError

Kind: TypeAlias = Literal["text", "class", "number", "unused"]
Form: TypeAlias = Literal["triplets", "nli", "scored pairs", "labelled pairs", "pairs", "labelled texts", "texts"]

ANCHORS = ("anchor", "query", "question", "premise", "sentence1", "text1", "sentence_a", "title", "prompt", "input")
POSITIVES = (
    *("positive", "answer", "document", "passage", "hypothesis", "sentence2", "text2", "sentence_b", "body"),
    *("response", "context", "abstract", "description", "output", "pos", "chosen", "entailment"),
)
CLASSES = ("category", "intent", "topic", "tag")
"""Names of classes of texts, beside those that also say of pairs whether they are alike."""

FEWEST = 10
"""Smallest number of rows of which a part can be kept for dev and another for test."""

MOST_CLASSES = 0.05
"""Texts are names of classes if they have at most this share of distinct values, or at most 20 of them."""


@dataclass(frozen=True)
class Column:
    """A column and what it was recognised as."""

    name: str
    """Its name."""
    kind: Kind
    """What its values are."""
    why: str
    """What the values look like, for the user."""


@dataclass(frozen=True)
class Recognised:
    """What the rows of a source are."""

    form: Form
    """Which losses they can feed depends on it."""
    columns: tuple[Column, ...]
    """All columns."""
    texts: tuple[str, ...]
    """The text columns that are used: anchors and positives first, then negatives."""
    label: str | None = None
    """The column of scores or classes that is used."""
    low: float = 0.0
    """Lowest score."""
    high: float = 1.0
    """Highest score."""


def recognise(rows: pd.DataFrame, where: str) -> Recognised:
    """Say what rows are, from their columns' values first and names second.

    Args:
        rows: the rows.
        where: the file, for messages.

    Raises:
        AuditFailed: there are too few rows, or no column of texts.
        UsageError: a name looks like data, or a column may say which texts belong together but cannot be used.
    """
    row = next((str(name) for name in rows if looks_like_data(str(name))), None)
    if row is not None:
        raise UsageError(
            f"{where}: {row[:80]!r} stands where the name of a column should be, and looks like a part of a row. Write "
            "a first line of names above the rows, such as question,answer or sentence1,sentence2,score (in JSON and "
            "parquet, rename the column)"
        )
    if len(rows) < FEWEST:
        raise AuditFailed(
            f"{where}: only {len(rows)} row{'s' * (len(rows) != 1)}; give at least {FEWEST}, to divide them"
        )
    columns = tuple(_column(rows[name]) for name in rows)
    texts = [column.name for column in columns if column.kind == "text"]
    if not texts:
        seen = ", ".join(f"{column.name} ({column.why})" for column in columns) or "no columns"
        raise AuditFailed(f"{where}: no column of texts was recognised; it has {seen}. Write the study file by hand")
    negatives = [name for name in texts if is_negative(name)]
    others = [name for name in texts if name not in negatives]
    content = [name for name in others if _is_content(rows[name])]
    pair = _in_roles(content if len(content) > 1 else others)  # source and target are both texts
    kind = _class(columns)
    if len(pair) < 2:
        return Recognised("labelled texts" if kind else "texts", columns, pair, kind)
    rest = [column.name for column in columns if column.name not in (*pair, *negatives)]
    if negatives:
        labels.none_of_triplets(rows, rest, where)
        return Recognised("triplets", columns, (*pair, *negatives))
    if {"premise", "hypothesis"} == {*pair} and kind:
        if set(rows[kind].dropna().unique()) <= {0, 1, -1}:
            raise UsageError(
                f"{where}: column {kind!r} has two labels, of which either may mean that the premise entails the "
                "hypothesis. Write the words entailment, neutral and contradiction into it"
            )
        return Recognised("nli", columns, ("premise", "hypothesis"), kind)
    label = labels.of_pairs(rows, rest, where)
    if label is None:
        return Recognised("pairs", columns, pair)
    if not label.scored:
        return Recognised("labelled pairs", columns, pair, label.name)
    low, high = _scale(float(rows[label.name].min()), float(rows[label.name].max()))
    return Recognised("scored pairs", columns, pair, label.name, low, high)


def _is_content(texts: pd.Series[Any]) -> bool:
    """Return whether texts are rather those of a pair than instructions, verdicts or metadata, by name and values."""
    if _named(str(texts.name), (*ANCHORS, *POSITIVES)):
        return True
    distinct = texts.nunique()
    return meaning(str(texts.name)) != "harmless" and (distinct > labels.FEW or 2 * distinct > len(texts))


def _scale(low: float, high: float) -> tuple[float, float]:
    """Return the lowest and highest possible score: the narrowest usual scale that holds those that occur."""
    ends = next((end for end in (1.0, 5.0, 10.0, 100.0) if high <= end), high)
    return (0.0 if low >= 0 else -1.0 if low >= -1 and ends == 1 else low), ends


def _column(values: pd.Series[Any]) -> Column:
    """Recognise one column by its values; its name decides only between a score and a class of whole numbers."""
    name, there = str(values.name), values.dropna()
    if there.empty:
        return Column(name, "unused", "empty")
    distinct = there.map(repr).nunique()
    empty = f", {1 - len(there) / len(values):.0%} empty" if len(there) < len(values) else ""
    if is_bool_dtype(there) or (is_numeric_dtype(there) and set(there.unique()) <= {0, 1}):
        return Column(name, "number" if meaning(name) == "score" else "class", "0 or 1")
    if is_numeric_dtype(there):
        span = f"{there.min():g} to {there.max():g}"
        if (is_float_dtype(there) and (there % 1 != 0).any()) or meaning(name) == "score":
            return Column(name, "number", f"numbers from {span}")
        if _named_class(name):
            few = distinct <= max(20, MOST_CLASSES * len(there))
            return Column(name, "class" if few else "unused", f"{distinct:,} different whole numbers from {span}")
        return Column(name, "unused", f"whole numbers from {span}, and its name says neither score nor label")
    if not there.map(lambda value: isinstance(value, str)).all():
        other = next(value for value in there if not isinstance(value, str))
        return Column(name, "unused", f"no column of texts, because of values such as {labels.example(other)}")
    words = there.map(lambda text: len(text.split()))
    if distinct <= max(20, MOST_CLASSES * len(there)) and words.max() <= 5 and distinct < len(there):
        return Column(name, "class", f"{distinct} different short texts")
    if words.max() == 1 and there.map(str.isascii).all():  # Chinese has no spaces
        if distinct == len(there):
            return Column(name, "unused", "a different single word in each row, as ids are")
        if meaning(name) == "harmless":
            return Column(name, "unused", f"{distinct:,} different single words, and by its name no texts")
    if labels.mostly_numbers(there) and not _named(name, (*ANCHORS, *POSITIVES)):
        return Column(name, "unused", f"numbers written as texts, such as {labels.example(there.iloc[0])}")
    what = f"texts of {words.median():g} words in the median, {distinct / len(there):.0%} distinct{empty}"
    return Column(name, "text", what)


def _named(name: str, names: tuple[str, ...]) -> bool:
    return name.lower().strip() in names


def _named_class(name: str) -> bool:
    return _named(name, CLASSES) or meaning(name) == "label"


def _in_roles(texts: list[str]) -> tuple[str, ...]:
    """Return anchor and positive by name, else by position; one text if there is no second."""
    anchor = next((name for name in texts if _named(name, ANCHORS)), None)
    positive = next((name for name in texts if _named(name, POSITIVES)), None)
    rest = [name for name in texts if name not in (anchor, positive)]
    first = anchor or (rest.pop(0) if rest else None)
    second = positive or (rest.pop(0) if rest else None)
    return tuple(name for name in (first, second) if name is not None)


def _class(columns: tuple[Column, ...]) -> str | None:
    """Return the column of classes: the one whose name says so, else the only one."""
    fitting = [column.name for column in columns if column.kind == "class"]
    named = [name for name in fitting if _named_class(name)]
    return next(iter(named or (fitting if len(fitting) == 1 else [])), None)
