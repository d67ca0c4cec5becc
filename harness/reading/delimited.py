"""Read csv and tsv files: every row has the header's columns, or the line that has not is named."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

from harness.reading.columns import Malformed, from_cells

if TYPE_CHECKING:
    from pandas import DataFrame

Open: TypeAlias = Callable[[], TextIO]

SEPARATORS = (",", ";", "\t")
"""Separators of csv files, of which the second is Excel's where the comma is the decimal sign."""

SHOWN = 5
"""Names of columns that a message shows."""


class Ragged(Malformed):
    """A row has another number of columns."""


def read_csv(open_text: Open, names: Sequence[str], lines: MutableSequence[int]) -> DataFrame:
    """Return the rows of a csv file in the form of RFC 4180; empty lines are no rows.

    The separator is the first of SEPARATORS that finds as many columns as there are names, or several if the first row
    has the names, or a comma if none does.

    Args:
        open_text: opens the file, with its line ends as they are.
        names: names of the columns if the first row has none.
        lines: gets the line at which each row starts.

    Raises:
        Malformed: it has no such form; the message names the line.
    """
    with _long_fields():
        found = {separator: _columns_of_first(open_text, separator) for separator in SEPARATORS}
        fit = [each for each in SEPARATORS if (found[each] == len(names) if names else found[each] > 1)]
        return _read(open_text, names, (fit or SEPARATORS)[0], lines, quoted=True)


def read_tsv(open_text: Open, names: Sequence[str], lines: MutableSequence[int]) -> DataFrame:
    """Return the rows of a tsv file, whether or not it writes texts with quotes in quotes, as csv files do.

    If every cell that starts with a quote is written in this way, and none joins lines that are rows by themselves, the
    file is read so. Otherwise quotes are characters like others, and each line is a row. Other parameters and errors
    are those of `read_csv`.
    """
    with _long_fields():
        try:
            return _read(open_text, names, "\t", lines, quoted=True)
        except Malformed as problem:
            try:
                return _read(open_text, names, "\t", lines, quoted=False)
            except Malformed:
                if isinstance(problem, Ragged):
                    raise problem from None
                raise


def _read(
    open_text: Open, names: Sequence[str], separator: str, lines: MutableSequence[int], *, quoted: bool
) -> DataFrame:
    lines.clear()
    with open_text() as stream:
        records = _records(stream, separator, quoted=quoted)
        first = next(records, None)
        if first is None:
            raise Malformed(1, "the file is empty. Write the names of the columns and the rows into it")
        if any("\0" in cell for cell in first[1]):
            raise Malformed(first[0], "it holds zero bytes, as files in UTF-16 do. Save it in UTF-8 (Excel: CSV UTF-8)")
        if not names:
            names = _header(*first)
        elif list(names) == first[1]:
            raise Malformed(first[0], "the file has a header with these names. Leave names= out, or it would be a row")
        else:
            records = chain([first], records)
        return from_cells(names, _checked(records, names, separator, lines))


def _records(stream: TextIO, separator: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line at which it starts."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(stream, delimiter=separator, quoting=quoting, strict=True)
    start = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as problem:
            raise Malformed(
                start,
                f"in the row that starts here, quotes are not in pairs ({problem}). Put a text with quotes, separators "
                'or line breaks in double quotes, and write each quote in it twice: "so ""called"""',
            ) from None
        if record is None:
            return
        if record:
            yield start, record
        start = reader.line_num + 1


def _header(line: int, header: Sequence[str]) -> list[str]:
    names = [name.strip() for name in header]
    if "" in names:
        raise Malformed(
            line,
            f"column {names.index('') + 1} of the header has no name. Name it, or write the file without it (pandas: "
            "to_csv(..., index=False))",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Malformed(
            line,
            f"two columns of the header are named {twice[:80]!r}. Rename one; if the file has no header, name its "
            "columns: sources.file(..., names=[...])",
        )
    return names


def _checked(
    records: Iterator[tuple[int, list[str]]], names: Sequence[str], separator: str, lines: MutableSequence[int]
) -> Iterator[list[str]]:
    """Yield rows that have all columns, and append their lines."""
    for line, record in records:
        if len(record) != len(names):
            raise Ragged(line, _ragged(len(record), names, separator))
        if separator == "\t" and any(_joins_lines(cell, len(names)) for cell in record):
            raise Malformed(line, "a cell in quotes holds line breaks and tabs. Write such a file as csv")
        lines.append(line)
        yield record


def _ragged(number: int, names: Sequence[str], separator: str) -> str:
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    lacks = f"; it ends before {names[number]!r}" if number < len(names) else ""
    named = {"\t": "tabs", ",": "commas", ";": "semicolons"}[separator]
    return (
        f"{number} columns, separated by {named}, instead of {len(names)} ({shown}){lacks}. Put a text that holds the "
        "separator in double quotes; names= of sources.file gives the columns of a file without a header"
    )


def _joins_lines(cell: str, columns: int) -> bool:
    """Return whether a cell in quotes may be several rows, with a quote at the start of one and at the end of one."""
    return ("\n" in cell or "\r" in cell) and ("\t" in cell or columns == 1)


def _columns_of_first(open_text: Open, separator: str) -> int:
    with open_text() as stream:
        try:
            return len(next(_records(stream, separator, quoted=True), (1, []))[1])
        except Malformed:
            return 0


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow cells of any length; the library's limit of 131,072 characters is the whole process's."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
