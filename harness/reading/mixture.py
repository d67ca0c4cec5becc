"""Several tables of rows in one, so that every stretch of it has its share of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import AuditFailed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Part: TypeAlias = "tuple[str, tuple[DataFrame, Mapping[str, tuple[str, ...]]]]"
"""Name of a source for messages, its rows, and the names of its class labels."""


def mixed(parts: Sequence[Part], weights: Sequence[float]) -> tuple[DataFrame, Mapping[str, tuple[str, ...]]]:
    """Return the rows of several sources in one DataFrame, with the names of class labels that all of them have.

    Row k, counted from 0, of a source with weight w stands at place (k + 0.5) / w; rows are in the order of their
    places, and of the sources where places are equal. The rows end where the first source is used up, at place n / w of
    a source with n rows. Without weights each source's weight is its number of rows, so all end together, at place 1.

    Raises:
        AuditFailed: columns, their types or the meaning of their labels differ, or the weights leave a source no row.
    """
    import numpy as np
    import pandas as pd

    (first, (head, names)), *others = parts
    for name, (rows, labels) in others:
        _alike(first, head, name, rows)
        if labels != names:
            raise AuditFailed(
                f"{first} and {name} cannot be mixed: their class labels have the names {dict(names)} and "
                f"{dict(labels)}, so equal integers may mean different things. Mix NLI rows by sources.nli(...)"
            )
    tables = [rows[list(head)] for _, (rows, _) in parts]
    each = list(weights) or [len(rows) for rows in tables]
    places = [(np.arange(len(rows)) + 0.5) / weight for rows, weight in zip(tables, each, strict=True)]
    end = min(len(rows) / weight for rows, weight in zip(tables, each, strict=True))
    for (name, _), of_part in zip(parts, places, strict=True):
        if of_part[0] >= end:
            raise AuditFailed(
                f"the mix with weights {list(weights)} has no row of {name}: another source is used up before. Give it "
                "a larger weight"
            )
    place = np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return pd.concat(tables, ignore_index=True).iloc[order[place[order] < end]].reset_index(drop=True), names


def _alike(first: str, head: DataFrame, name: str, rows: DataFrame) -> None:
    """Raise AuditFailed if two sources have other columns, or texts in a column where the other has numbers."""
    differ = [f"only {first} has {column!r}" for column in head if column not in rows]
    differ += [f"only {name} has {column!r}" for column in rows if column not in head]
    for column in head:
        if column in rows and {_kind(head[column]), _kind(rows[column])} == {"numbers", "others"}:
            differ.append(f"{column!r} holds numbers in one and something else in the other")
    if differ:
        raise AuditFailed(
            f"{first} and {name} cannot be mixed: {'; '.join(differ)}. Give them the same columns, e.g. by names= of "
            "sources.file"
        )


def _kind(column: Series[Any]) -> str:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if column.isna().all():
        return "nulls"
    return "numbers" if is_numeric_dtype(column) and not is_bool_dtype(column) else "others"
