"""Read JSON files: a list of objects, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableSequence
from typing import TYPE_CHECKING, Any, TextIO

from harness.reading.columns import Malformed, from_objects

if TYPE_CHECKING:
    from pandas import DataFrame

CHUNK = 1 << 20
"""Characters of a list that are read at a time."""


def read_lines(stream: TextIO, lines: MutableSequence[int]) -> DataFrame:
    """Return the rows of a file with an object a line; empty lines are no rows.

    Args:
        stream: the file.
        lines: gets the line at which each row starts.

    Raises:
        Malformed: a line is no JSON object, or names a key twice.
    """
    values = ((line, _decoded(line, text)) for line, text in enumerate(stream, 1) if not text.isspace())
    return from_objects(_rows(values, lines))


def _rows(values: Iterator[tuple[int, Any]], lines: MutableSequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield values that are objects, and append their lines."""
    for line, value in values:
        row = _row(line, value)
        lines.append(line)
        yield line, row


def _decoded(line: int, text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        raise Malformed(line, _told(problem)) from None


def read_list(stream: TextIO, lines: MutableSequence[int]) -> DataFrame:
    """Return the rows of a file that is a list of objects, of which CHUNK characters or one object are held at a time.

    Args:
        stream: the file.
        lines: gets the line at which each row starts.

    Raises:
        Malformed: it is none; the message names the line.
    """
    return from_objects(_rows(_values(stream), lines))


def _values(stream: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield the values of a list, each with the line at which it starts."""
    rest = _Rest(stream)
    if rest.next() != "[":
        raise Malformed(
            rest.line,
            'this is no list of objects, [{"question": "...", "answer": "..."}, ...]. Write one; if each line is an '
            'object, say sources.file(..., format="jsonl")',
        )
    rest.skip()
    while rest.next() != "]":
        line = rest.line
        yield line, rest.value()
        if rest.next() == ",":
            rest.skip()
            if rest.next() != "]":
                continue
        elif rest.next() == "]":
            continue
        raise Malformed(rest.line, "expected are a comma and a further object, or ] at the end of the list")
    rest.skip()
    if rest.next():
        raise Malformed(rest.line, "something stands behind the end of the list. Remove it")


class _Rest:
    """What of a stream was not read yet."""

    def __init__(self, stream: TextIO) -> None:
        self.line = 1
        self._stream, self._text, self._at = stream, "", 0
        self._before = 0  # characters of the line before the text

    def next(self) -> str:
        """Return the next character that is no space, without going beyond it; empty at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self.skip()
            if not self._more():
                return ""

    def skip(self) -> None:
        """Go beyond one character."""
        self._go(self._at + 1)

    def value(self) -> Any:
        """Go beyond a JSON value and return it."""
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as problem:
                refused = self._refused(problem)
                if isinstance(problem, _Twice) or not self._more():
                    raise refused from None
            else:
                self._go(end)
                return found

    def _refused(self, problem: Exception) -> Malformed:
        if not isinstance(problem, json.JSONDecodeError):
            return Malformed(self.line, _told(problem))
        first = problem.lineno == 1
        line = self.line + self._text.count("\n", self._at, problem.pos)
        return Malformed(line, _told(problem, self._before if first else 0))

    def _go(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Read as much again as is left, so that long values are decoded a few times only."""
        left, line_end = self._text[self._at :], self._text.rfind("\n", 0, self._at)
        self._before = self._at - line_end - 1 if line_end >= 0 else self._before + self._at
        read = self._stream.read(max(CHUNK, len(left)))
        self._text, self._at = left + read, 0
        return bool(read)


class _Twice(ValueError):
    """An object has two values for one key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Twice(f"an object has the key {twice!r} twice. Remove one")
    return found


def _constant(name: str) -> None:
    """Return null for NaN, which Python writes for a missing number."""
    if name != "NaN":
        raise ValueError(f"{name} is no number that can be used. Write a finite number or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _row(line: int, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(
            line, f'{json.dumps(value)[:40]} is no object. Write each row as {{"question": "...", "answer": "..."}}'
        )
    return value


def _told(problem: Exception, before: int = 0) -> str:
    if isinstance(problem, json.JSONDecodeError):
        return f"column {before + problem.colno}: {problem.msg}. Correct it there: JSON cannot be read beyond"
    return "values are nested too deeply" if isinstance(problem, RecursionError) else str(problem)
