"""What in the cells that a draft uses may not be meant as it stands: each is a warning, and a comment in the draft."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pandas as pd

from harness.drafting.columns import Column
from harness.drafting.labels import example, hints_at_pairs
from harness.drafting.names import meaning
from harness.drafting.python import literal
from harness.drafting.recognise import Recognised
from harness.drafting.scales import suspicious
from harness.text import counted

MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "<na>", "-", "--", "–", "?", "."}
"""Cells, in lower case, that programs and people write where a value is missing."""

SIDES = {"train", "training", "dev", "devel", "development", "val", "valid", "validation", "eval", "test", "testing"}
"""Names, in lower case, of the parts of a division."""

SHOWN = 3
"""Values or groups of values that a warning shows."""


def doubts(rows: pd.DataFrame, recognised: Recognised) -> list[str]:
    """Return what may not be meant as it stands, a sentence or two each.

    Args:
        rows: the rows.
        recognised: what they are.
    """
    used = (*recognised.texts, *([recognised.label] if recognised.label else []))
    found = [column.doubt for column in recognised.columns if column.name in used and column.doubt]
    found += [line for name in recognised.texts for line in _missing(rows[name], "are texts like any other")]
    if recognised.label is not None and recognised.form == "labelled texts":
        classes = rows[recognised.label]
        found += _missing(classes, "are classes like any other") + _spellings(classes)
    if recognised.label is not None and recognised.form == "scored pairs":
        found += _scores(rows[recognised.label])
    found += [line for name in map(str, rows) if name not in recognised.texts for line in _division(rows[name])]
    if recognised.form == "pairs":
        rest = [name for name in map(str, rows) if name not in used]
        found += [line for name in rest for line in hints_at_pairs(rows[name])]
    return found


def why_not_used(column: Column, recognised: Recognised) -> str:
    """Return what is said of a column that is not used, and why; nothing of one that is used.

    Args:
        column: the column.
        recognised: what the rows are.
    """
    if column.name in (*recognised.texts, recognised.label):
        return ""
    if recognised.form != "pairs" or column.kind == "unused":
        return "; not used"
    if column.kind == "text":
        return "; a pair has two texts; not used"
    if meaning(column.name) == "harmless":
        return "; by its name it says nothing of pairs; not used"
    return "; it has too many different values to say which pairs are alike; not used"


def _missing(values: pd.Series[Any], what: str) -> list[str]:
    marks = [value for value in values.dropna() if isinstance(value, str) and value.strip().lower() in MISSING]
    if not marks:
        return []
    shown = ", ".join(map(example, list(dict.fromkeys(marks))[:SHOWN]))
    return [
        f"{counted(len(marks), 'cell')} of column {values.name!r} {'is' if len(marks) == 1 else 'are'} {shown}, which "
        f"{what}. If values are missing there, empty these cells"
    ]


def _division(values: pd.Series[Any]) -> list[str]:
    """Return a warning if a column says which rows are for training, dev and test, because the draft divides anew."""
    counts = {str(side): int(number) for side, number in values.dropna().map(str).value_counts().items()}
    sides = [side for side in counts if side.strip().lower() in SIDES]
    if len(sides) < max(2, len(counts)):
        return []
    name = str(values.name)
    shown = ", ".join(f"{counts[side]:,} {side}" for side in sides)
    return [
        f"column {name!r} looks like a division of the rows ({shown}) and is not used as one: the draft trains on rows "
        "of all of these, or divides them anew so that nothing leaks. To use it, write into the draft "
        f"`train = rows.where(lambda rows: rows[{literal(name)}] == {literal(sides[0])})` with the value for training, "
        "and dev and test likewise; the audit then looks for leaks between them"
    ]


def _spellings(classes: pd.Series[Any]) -> list[str]:
    """Return a warning if classes differ only in case, spaces, hyphens, forms of a letter or leading zeros."""
    alike: dict[str, list[str]] = {}
    for value in dict.fromkeys(value for value in classes.dropna() if isinstance(value, str)):
        alike.setdefault(_plain(value), []).append(value)
    groups = [" and ".join(map(example, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    listed = "; ".join(groups[:SHOWN]) + ("; ..." if len(groups) > SHOWN else "")
    return [
        f"column {classes.name!r} has classes that differ only in case, spaces, hyphens or leading zeros, and they are "
        f"learned as different ones: {listed}. Write each class in one way if that is not meant"
    ]


def _plain(value: str) -> str:
    text = " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", value).casefold().strip()))
    return re.sub(r"(?<![\d.])0+(?=\d)", "", text)


def _scores(scores: pd.Series[Any]) -> list[str]:
    mark = suspicious(scores)
    if mark is None:
        return []
    number = int((scores == mark).sum())
    return [
        f"{number:,} of {len(scores):,} scores {'is' if number == 1 else 'are'} {mark:g}, apart from all others. If "
        f"that marks rows without a score, leave them out, .where(lambda rows: rows[{str(scores.name)!r}] != "
        f"{mark:g}), and correct each range="
    ]
