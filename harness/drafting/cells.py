"""Rows that a draft leaves out, because a cell that it uses is empty or a class has too few rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.drafting.python import literal
from harness.drafting.recognise import Recognised
from harness.reading import local
from harness.testbeds.sources import Source


@dataclass(frozen=True)
class LeftOut:
    """Rows that a draft leaves out for one reason."""

    condition: str
    """Python expression of `rows` that is true for the rows that stay."""
    places: tuple[int, ...]
    """The rows, from 0, that are left out for this reason and no earlier one."""
    why: str
    """What is the matter with them, after "with": "an empty or blank cell in 'answer'"."""
    where: str
    """The first of them: "lines 2, 17, ..."."""


def left_out(rows: pd.DataFrame, recognised: Recognised, source: Source, fewest: int) -> tuple[LeftOut, ...]:
    """Return which rows a draft leaves out, by reason.

    Args:
        rows: all rows.
        recognised: what they are.
        source: where the rows were read, for their lines.
        fewest: rows that a class needs.
    """
    label, masks = recognised.label, [_filled(rows[name]) for name in recognised.texts]
    if label is not None:
        masks.append(_filled(rows[label]))
    if label is not None and recognised.form == "labelled texts":
        masks.append(_common(rows[label], fewest))
    stay, found = pd.Series(True, index=rows.index), []
    for condition, keeps, why in masks:
        places = tuple((~keeps & stay).to_numpy().nonzero()[0].tolist())
        if places:
            found.append(LeftOut(condition, places, why, local.places(source, places)))
        stay &= keeps
    return tuple(found)


def _filled(values: pd.Series[Any]) -> tuple[str, pd.Series[bool], str]:
    """Return the expression that is true for cells that are neither null nor blank, its values, and what others are."""
    column, why = f"rows[{literal(str(values.name))}]", f"an empty or blank cell in {str(values.name)!r}"
    if not values.map(lambda value: isinstance(value, str)).any():
        return f"{column}.notna()", values.notna(), why
    return f"{column}.str.strip().str.len() > 0", values.str.strip().str.len().fillna(0) > 0, why


def _common(classes: pd.Series[Any], fewest: int) -> tuple[str, pd.Series[bool], str]:
    column, name = f"rows[{literal(str(classes.name))}]", str(classes.name)
    keeps = classes.map(classes.value_counts()).fillna(0) >= fewest
    why = f"a class in {name!r} that has fewer than {fewest} rows"
    return f"{column}.map({column}.value_counts()) >= {fewest}", keeps, why
