"""Standard streams that never raise: output may be a closed pipe, a full disk or no terminal."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TextIO


class Unfailing(io.FileIO):
    """A file whose writes never fail: unwritable data are dropped, and `problem` keeps the first error."""

    problem: OSError | None = None

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        try:
            while (written := super().write(view)) is None:  # another program has made it non-blocking, and it is full
                select.select([], [self], [])
            return written
        except OSError as problem:
            self.problem = self.problem or problem
            return view.nbytes


def open_missing() -> None:
    """Open the null device for each closed standard stream, so that the next opened file does not take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def guard() -> tuple[Unfailing, Unfailing]:
    """Replace stdout and stderr so that printing never fails; return their underlying files.

    A character that the stream's encoding lacks is written as its escape, e.g. \\xe9.
    """
    open_missing()
    sys.stdout, out = _guarded(sys.stdout, 1)
    sys.stderr, err = _guarded(sys.stderr, 2)
    return out, err


def _guarded(stream: TextIO | None, number: int) -> tuple[TextIO, Unfailing]:
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
    raw = Unfailing(number, "w", closefd=False)
    encoding = (stream and stream.encoding) or "utf-8"
    lines = number == 2 or raw.isatty()
    text = io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines)
    return text, raw
