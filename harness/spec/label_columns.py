"""Label columns: classes, scores and embeddings as a loss reads them, made from the columns of any source.

A missing label stays missing, and its row is left out and counted by the audit. A label that is no label of its kind is
an error that names the row, because a guess would change what is learnt without a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import AuditFailed
from harness.spec.loss_inputs import Label

if TYPE_CHECKING:
    from pandas import DataFrame, Series

NAMES: dict[Label, str] = {"class": "label", "score": "score", "scores": "scores", "embedding": "label"}
"""Name of the label column, by its kind; sentence-transformers takes only these names for labels."""


def numbered(values: Series[Any], where: str) -> Series[Any]:
    """Return classes as integers from 0, by the sorted order of the distinct values.

    Args:
        values: integers, booleans or texts.
        where: the view and the column, for messages.

    Raises:
        AuditFailed: the values are of several types, or are no classes.
    """
    kinds: set[str] = set()
    for row, value in enumerate(values):
        kinds.add(_kind(value))
        if "other" in kinds or kinds >= {"number", "text"}:
            raise AuditFailed(
                f"{where}: row {row} (counted from 0) is no class like those before it; classes are integers, booleans "
                "or texts, all of one type; numbers with a fraction are given by score="
            )
    number = {value: index for index, value in enumerate(sorted(set(values.dropna())))}
    codes = values.map(number, na_action="ignore")
    return codes.astype("Int64" if "missing" in kinds else "int64")


def _kind(value: object) -> Literal["text", "number", "missing", "other"]:
    """Return the kind of a class."""
    if isinstance(value, str):
        return "text"
    if value is None or value != value or type(value).__name__ == "NAType":
        return "missing"
    return "number" if isinstance(value, Real) and float(value).is_integer() else "other"


def scaled(values: Series[Any], where: str, bounds: tuple[float, float] | None) -> Series[Any]:
    """Return numbers, brought from their range to 0 to 1 if it is given.

    Args:
        values: numbers, booleans, or texts of numbers.
        where: the view and the column, for messages.
        bounds: lowest and highest possible value; None to keep the numbers.

    Raises:
        AuditFailed: a value is not a finite number, or it is outside its range.
    """
    import pandas as pd  # a third of a second that study files do not need

    if any(map(_is_list, values)):
        raise AuditFailed(f"{where} holds lists; a list of numbers for each row is given by scores= or embedding=")
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    for row, (number, value) in enumerate(zip(numbers, values, strict=True)):
        if math.isinf(number) or (math.isnan(number) and not pd.isna(value)):
            raise AuditFailed(
                f"{where}: row {row} (counted from 0) holds no finite number; correct or leave out the row"
            )
        if bounds is not None and not math.isnan(number) and not bounds[0] <= number <= bounds[1]:
            raise AuditFailed(
                f"{where}: row {row} (counted from 0) holds {number:g}, outside range=({bounds[0]:g}, {bounds[1]:g}); "
                "correct the range, or leave out the row by source.where(...)"
            )
    return numbers if bounds is None else (numbers - bounds[0]) / (bounds[1] - bounds[0])


def several(rows: DataFrame, columns: Sequence[str], where: str, lengths: Sequence[int]) -> list[Any]:
    """Return several numbers for each row, as tuples, so that rows can be grouped by them.

    Args:
        rows: the rows.
        columns: columns of numbers, or one column of lists.
        where: the view, for messages.
        lengths: how many numbers a row may have.

    Returns:
        Tuples of floats of one length; None for a row that lacks a number.

    Raises:
        AuditFailed: a value is not a number, or the rows have another length.
    """
    if len(columns) > 1 or not any(_is_list(value) for value in rows[columns[0]]):
        parts = [scaled(rows[column], f"{where}, column {column!r}", None) for column in columns]
        values = [None if any(map(math.isnan, row)) else row for row in zip(*parts, strict=True)]
    else:
        values = [_floats(value, row, f"{where}, column {columns[0]!r}") for row, value in enumerate(rows[columns[0]])]
    _check_lengths(values, f"{where}, {', '.join(columns)}", lengths)
    return values


def embeddings(rows: DataFrame, columns: Sequence[str], where: str) -> list[Any]:
    """Return a teacher's embeddings for each row.

    Args:
        rows: the rows.
        columns: a column of lists, or one for each text.
        where: the view, for messages.

    Returns:
        float32 arrays of one length, shape (dimension,), or a list of such an array for each text; None for a row that
        lacks an embedding.

    Raises:
        AuditFailed: a value is not a list of numbers, or the rows have different lengths.
    """
    import numpy as np

    parts = []
    for column in columns:
        name = f"{where}, column {column!r}"
        lists = [_floats(value, row, name) for row, value in enumerate(rows[column])]
        _check_lengths(lists, name, ())
        parts.append([None if each is None else np.asarray(each, dtype=np.float32) for each in lists])
    if len(columns) == 1:
        return parts[0]
    rowwise = [None if any(each is None for each in row) else list(row) for row in zip(*parts, strict=True)]
    _check_lengths([each for row in rowwise if row is not None for each in row], f"{where}, {', '.join(columns)}", ())
    return rowwise


def _is_list(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _floats(value: Any, row: int, where: str) -> tuple[float, ...] | None:
    """Return a list of numbers as a tuple; None for a missing list or one that lacks a number."""
    if not _is_list(value):
        if value is None or value != value:
            return None
        raise AuditFailed(
            f"{where}: row {row} (counted from 0) holds no list of numbers; a json, jsonl or parquet file holds lists"
        )
    try:
        numbers = tuple(math.nan if each is None else float(each) for each in value)
    except (TypeError, ValueError):
        raise AuditFailed(f"{where}: row {row} (counted from 0) holds a list of other things than numbers") from None
    if any(map(math.isinf, numbers)):
        raise AuditFailed(f"{where}: row {row} (counted from 0) holds an infinite number")
    return None if any(map(math.isnan, numbers)) else numbers


def _check_lengths(values: Sequence[Any], where: str, allowed: Sequence[int]) -> None:
    """Check that all rows have equally many numbers, and an allowed number of them if there is a choice."""
    lengths = {len(value): row for row, value in reversed([*enumerate(values)]) if value is not None}
    if len(lengths) > 1:
        (first, _), (other, row), *_ = sorted(lengths.items(), key=lambda item: item[1])
        raise AuditFailed(f"{where}: row {row} (counted from 0) has {other} numbers, and earlier rows have {first}")
    if allowed and lengths and not set(lengths) <= set(allowed):
        raise AuditFailed(
            f"{where}: the rows have {next(iter(lengths))} numbers; a teacher gives one for each text but the first "
            f"({allowed[0]}), or the margin of each negative ({allowed[-1]})"
        )
