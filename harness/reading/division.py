"""Division of rows into train, dev and test, so that equal and nearly equal texts are on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import AuditFailed
from harness.testbeds.sources import Side
from harness.texts.groups import Groups
from harness.texts.near import join_near_duplicates
from harness.texts.normal import normalise

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def divide(rows: DataFrame, by: Sequence[str], dev: float, test: float, seed: int, where: str) -> list[Side]:
    """Return each row's side.

    Rows are one group if a text of one equals a text of the other after normalising, or is its near-duplicate
    (`harness.texts.near`), in any of the columns `by`, or if other rows link them. Numbers link rows where they are
    equal. An empty text links nothing, except that rows without any text are one group.

    Groups come in the order of a hash of the seed and of the first, in alphabetical order, of their texts. Test takes
    each in turn that fits into what it still lacks of its share of the rows, rounded and at least one row; then dev
    does so from the rest; train gets what remains. So neither side exceeds its share, a group larger than a share is
    trained on, and the order of the rows does not count. If rows are added, a group moves only where its texts change
    or where it is near the end of a side in that order. Another share for dev gives the same test side.

    Args:
        rows: all rows.
        by: the columns.
        dev: share of the rows for dev.
        test: share of the rows for test.
        seed: another seed gives another order of the groups.
        where: the source, for messages.

    Raises:
        AuditFailed: a column of `by` is missing, or holds neither texts nor numbers.
    """
    lacks = [name for name in by if name not in rows]
    if lacks:
        raise AuditFailed(
            f"{where}: no column {', '.join(lacks)} to divide by; there are {', '.join(map(str, rows))}. Name one"
        )
    groups, names = _groups([_keys(rows[name], where) for name in by])
    number: dict[int, int] = {}
    for group in groups:
        number[group] = number.get(group, 0) + 1
    order = sorted(number, key=lambda group: _place(seed, names[group]))
    of: dict[int, Side] = dict.fromkeys(order, "train")
    shares: tuple[tuple[Side, float], ...] = (("test", test), ("dev", dev))
    for side, share in shares:
        left = max(1, round(share * len(rows))) if share else 0
        for group in order:
            if of[group] == "train" and number[group] <= left:
                of[group], left = side, left - number[group]
    return [of[group] for group in groups]


def _keys(column: Series[Any], where: str) -> list[tuple[bool, str]]:
    """Return for each value whether it is a number, and the text that it is compared by; empty where it is null."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(column) and not is_bool_dtype(column):
        values = [None if null else value for value, null in zip(column.tolist(), column.isna(), strict=True)]
        return [(False, "") if value is None else (True, str(value).removesuffix(".0")) for value in values]
    other = next((value for value in column[column.notna()] if not isinstance(value, str)), None)
    if other is not None:
        raise AuditFailed(
            f"{where}: column {column.name!r} holds {other!r} ({type(other).__name__}); divide by a column of texts or "
            "numbers"
        )
    return [(False, normalise(value)) for value in column]


def _groups(columns: Sequence[Sequence[tuple[bool, str]]]) -> tuple[list[int], dict[int, str]]:
    """Return the group of each row, and the first text of each group in alphabetical order."""
    keys = sorted({key for column in columns for key in column})  # texts first
    places = {key: place for place, key in enumerate(keys)}
    groups = Groups(len(keys))
    empty = places.get((False, ""), -1)  # asked for only where a row has no text, and so has this one
    of_rows = [_linked(groups, [places[key] for key in row if key[1]], empty) for row in zip(*columns, strict=True)]
    join_near_duplicates(groups, [text for is_number, text in keys if not is_number])
    found = [groups.of(place) for place in of_rows]
    return found, {group: repr(keys[group]) for group in set(found)}


def _linked(groups: Groups, texts: Sequence[int], empty: int) -> int:
    """Join all texts of a row, and return one of them: the empty one if there is no other."""
    for text in texts[1:]:
        groups.join(texts[0], text)
    return texts[0] if texts else empty


def _place(seed: int, name: str) -> str:
    """Return what orders the groups: the same in every process."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()
