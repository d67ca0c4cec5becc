"""Recognise what the columns of a practitioner's rows are: texts and their roles, scores and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd
from pandas.api.types import is_list_like

from harness.drafting import labels
from harness.drafting.columns import ANCHORS, POSITIVES, Column, may_be_class, named, recognise_column
from harness.drafting.names import is_negative, looks_like_data, meaning
from harness.drafting.python import literal
from harness.drafting.scales import scale
from harness.errors import AuditFailed, UsageError

Form: TypeAlias = Literal["triplets", "nli", "scored pairs", "labelled pairs", "pairs", "labelled texts", "texts"]

FEWEST = 10
"""Smallest number of rows of which a part can be kept for dev and another for test."""


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
    _refuse_lists(rows, where)
    columns = tuple(recognise_column(rows[name]) for name in rows)
    texts = [column.name for column in columns if column.kind == "text"]
    if not texts:
        _refuse_doubtful(columns, where)
        seen = ", ".join(f"{column.name} ({column.why})" for column in columns) or "no columns"
        raise AuditFailed(f"{where}: no column of texts was recognised; it has {seen}. Write the study file by hand")
    negatives = [name for name in texts if is_negative(name)]
    others = [name for name in texts if name not in negatives]
    content = [name for name in others if _is_content(rows[name])]
    pair = _in_roles(content if len(content) > 1 else others)  # source and target are both texts
    if len(pair) < 2:
        return _of_texts(rows, columns, pair, where)
    rest = [column.name for column in columns if column.name not in (*pair, *negatives)]
    if negatives:
        labels.none_of_triplets(rows, rest, where)
        return Recognised("triplets", columns, (*pair, *negatives))
    classes = _classes(columns)
    kind = next((name for name in classes if len(classes) == 1 or meaning(name) == "label"), None)
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
    return Recognised("scored pairs", columns, pair, label.name, *scale(rows[label.name]))


def _is_content(texts: pd.Series[Any]) -> bool:
    """Return whether texts are rather those of a pair than instructions, verdicts or metadata, by name and values."""
    if named(str(texts.name), (*ANCHORS, *POSITIVES)):
        return True
    distinct = texts.nunique()
    return meaning(str(texts.name)) != "harmless" and (distinct > labels.FEW or 2 * distinct > len(texts))


def _in_roles(texts: list[str]) -> tuple[str, ...]:
    """Return anchor and positive by name, else by position; one text if there is no second."""
    anchor = next((name for name in texts if named(name, ANCHORS)), None)
    positive = next((name for name in texts if named(name, POSITIVES)), None)
    rest = [name for name in texts if name not in (anchor, positive)]
    first = anchor or (rest.pop(0) if rest else None)
    second = positive or (rest.pop(0) if rest else None)
    return tuple(name for name in (first, second) if name is not None)


def _of_texts(rows: pd.DataFrame, columns: tuple[Column, ...], texts: tuple[str, ...], where: str) -> Recognised:
    """Return what rows are that have a single column of texts."""
    classes = _classes(columns)
    if any(not _one_to_one(rows[classes[0]], rows[other]) for other in classes[1:]):
        raise UsageError(
            f"{where}: columns {' and '.join(map(repr, classes))} may all be the classes of {texts[0]!r}. Keep the one "
            "that is meant, named 'label', and remove the others"
        )
    if not (classes and may_be_class(classes[0])):
        _refuse_doubtful(columns, where)
    return Recognised("labelled texts" if classes else "texts", columns, texts, next(iter(classes), None))


def _one_to_one(left: pd.Series[Any], right: pd.Series[Any]) -> bool:
    """Return whether two columns say the same, as label and label_text do."""
    both = pd.DataFrame({"left": left, "right": right}).drop_duplicates()
    return len(both) == left.nunique(dropna=False) == right.nunique(dropna=False)


def _classes(columns: tuple[Column, ...]) -> list[str]:
    """Return the columns of classes: those whose names say so, else all."""
    fitting = [column.name for column in columns if column.kind == "class"]
    return [name for name in fitting if may_be_class(name)] or fitting


def _refuse_lists(rows: pd.DataFrame, where: str) -> None:
    """Refuse lists of texts under the name of an anchor, a positive or a negative: a cell holds one text."""
    lists = [
        name
        for name in map(str, rows)
        if (named(name, (*ANCHORS, *POSITIVES, "positives")) or is_negative(name))
        and (there := rows[name].dropna()).map(_is_list).any()
        and all(isinstance(text, str) for value in there if _is_list(value) for text in value)
    ]
    if lists:
        exploded = "".join(f".explode({literal(name)})" for name in lists)
        read = f"pd.read_json({literal(where)}, lines=True)" if ".jsonl" in where else "rows"
        raise UsageError(
            f"{where}: column{'s' * (len(lists) > 1)} {' and '.join(map(repr, lists))} "
            f"{'hold' if len(lists) > 1 else 'holds'} lists of texts, and a cell holds one text. Write a row for each "
            "anchor with one positive and one negative, e.g. with pandas: "
            f'{read}{exploded}.to_json("ROWS.jsonl", orient="records", lines=True)'
        )


def _is_list(value: object) -> bool:
    return is_list_like(value) and not isinstance(value, dict)


def _refuse_doubtful(columns: tuple[Column, ...], where: str) -> None:
    for column in columns:
        if column.kind == "doubtful":
            raise UsageError(f"{where}: {column.doubt}")
