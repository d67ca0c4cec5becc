"""Recognise what a column of a practitioner's rows is: texts, classes of texts, numbers, or none of these.

Classes repeat: a classifier is fitted on some texts of each and scored on others. Documents may repeat, too, when
several questions have one answer. So a column is taken for classes if its values repeat and either its name says so or
they are few and short; if they are many and short and the name says neither, the column is doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from harness.drafting import labels
from harness.drafting.names import is_class, is_negative, meaning
from harness.text import counted

Kind: TypeAlias = Literal["text", "class", "number", "doubtful", "unused"]

ANCHORS = ("anchor", "query", "question", "premise", "sentence1", "text1", "sentence_a", "title", "prompt", "input")
POSITIVES = (
    *("positive", "answer", "document", "passage", "hypothesis", "sentence2", "text2", "sentence_b", "body"),
    *("response", "context", "abstract", "description", "output", "pos", "chosen", "entailment"),
)

REPEATS = 3
"""Rows that a class has at least on average: some to be learned from, and one to be tested on."""

ALL_BUT_UNIQUE = 0.9
"""With more than this share of distinct values, texts are no classes, whatever the column's name."""

FEW_CLASSES, FEW_SHARE = 20, 0.05
"""Short texts are classes without a name that says so if there are at most so many, or at most this share of rows."""

SHORT = 5
"""Words of a short text, at most."""


@dataclass(frozen=True)
class Column:
    """A column and what it was recognised as."""

    name: str
    """Its name."""
    kind: Kind
    """What its values are."""
    why: str
    """What the values look like, for the user."""
    doubt: str = ""
    """Why its kind may be another, and how to say so; empty if it is clear."""


def recognise_column(values: pd.Series[Any]) -> Column:
    """Recognise one column, from its values first and its name second."""
    name, there = str(values.name), values.dropna()
    if there.empty:
        return Column(name, "unused", "empty")
    if is_numeric_dtype(there):
        return _numbers(name, there)
    if not there.map(lambda value: isinstance(value, str)).all():
        other = next(value for value in there if not isinstance(value, str))
        return Column(name, "unused", f"no column of texts, because of values such as {labels.example(other)}")
    return _texts(name, there, f", {1 - len(there) / len(values):.0%} empty" if len(there) < len(values) else "")


def named(name: str, names: tuple[str, ...]) -> bool:
    """Return whether a column has one of some names."""
    return name.lower().strip() in names


def may_be_class(name: str) -> bool:
    """Return whether whole numbers under a name may be classes."""
    return is_class(name) or meaning(name) == "label"


def _numbers(name: str, there: pd.Series[Any]) -> Column:
    """Recognise a column of numbers; its name decides between a score and a class of whole numbers."""
    if is_bool_dtype(there) or set(there.unique()) <= {0, 1}:
        return Column(name, "number" if meaning(name) == "score" else "class", "0 or 1")
    span = f"{there.min():g} to {there.max():g}"
    if (is_float_dtype(there) and (there % 1 != 0).any()) or meaning(name) == "score":
        return Column(name, "number", f"numbers from {span}")
    if not may_be_class(name):
        return Column(name, "unused", f"whole numbers from {span}, and its name says neither score nor label")
    why = f"{there.nunique():,} different whole numbers from {span}"
    if _repeat(there):
        return Column(name, "class", why)
    return Column(name, "unused", f"{why}, too many to be classes of {len(there):,} rows")


def _texts(name: str, there: pd.Series[Any], empty: str) -> Column:
    """Recognise a column of texts."""
    words = there.map(lambda text: len(text.split()))
    distinct, has_role = there.nunique(), named(name, (*ANCHORS, *POSITIVES)) or is_negative(name)
    why = f"texts of {words.median():g} words in the median, {distinct / len(there):.0%} distinct{empty}"
    if distinct == 1:
        return Column(name, "unused", f"the same text in all rows{empty}")
    if is_class(name) and distinct <= ALL_BUT_UNIQUE * len(there):
        if _repeat(there) and words.median() <= SHORT:
            return Column(name, "class", f"{distinct:,} different short texts{empty}")
        return Column(name, "doubtful", why, _unlike_classes(name, there))
    if _repeat(there) and words.max() <= SHORT:
        if distinct <= max(FEW_CLASSES, FEW_SHARE * len(there)):
            doubt = f"{_often(name, there)}, and is taken for classes of the other column's texts in spite of its name"
            return Column(
                name,
                "class",
                f"{distinct:,} different short texts{empty}",
                f"{doubt}. If they are documents, write the study file by hand" if has_role else "",
            )
        if not has_role:
            return Column(name, "doubtful", why, _classes_or_documents(name, there))
        doubt = f"{_often(name, there)}, and is taken for documents that several texts share because of its name"
        return Column(name, "text", why, f"{doubt}. If they are classes, rename it to 'label'")
    if words.max() == 1 and there.map(str.isascii).all():  # Chinese has no spaces
        if distinct == len(there):
            return Column(name, "unused", "a different single word in each row, as ids are")
        if meaning(name) == "harmless":
            return Column(name, "unused", f"{distinct:,} different single words, and by its name no texts")
    if labels.mostly_numbers(there) and not named(name, (*ANCHORS, *POSITIVES)):
        return Column(name, "unused", f"numbers written as texts, such as {labels.example(there.iloc[0])}")
    return Column(name, "text", why)


def _repeat(there: pd.Series[Any]) -> bool:
    return REPEATS * there.nunique() <= len(there)


def _often(name: str, there: pd.Series[Any]) -> str:
    distinct = there.nunique()
    return (
        f"column {name!r} holds {counted(distinct, 'different short text')} in {len(there):,} rows, each in "
        f"{len(there) / distinct:,.0f} rows on average"
    )


def _classes_or_documents(name: str, there: pd.Series[Any]) -> str:
    return (
        f"{_often(name, there)}. They may be classes of the other column's texts, or documents that several of these "
        "texts share, and the column's name does not say which. Rename it: to 'label' if they are classes, or to "
        "'document' if each is a text that belongs to the other one"
    )


def _unlike_classes(name: str, there: pd.Series[Any]) -> str:
    return (
        f"column {name!r} has the name of a class, but {there.nunique():,} different texts in {len(there):,} rows, of "
        f"{there.map(lambda text: len(text.split())).median():g} words in the median. Classes are short and repeat: "
        f"each needs {REPEATS} rows or more on average, to be learned and tested. Unite or shorten its values, or "
        "give more rows; or rename the column to 'document' if each value is a text that belongs to the other column's"
    )
