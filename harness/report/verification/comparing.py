"""How a printed number or text is compared with what it should be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.verification.published import plain

NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?")

Expected = float | str | None
"""A number, a word, or a number that cannot be recomputed."""


@dataclass(frozen=True)
class Compared:
    """One place of a report that was compared."""

    numbers: int
    """How many numbers were recomputed."""
    problem: str | None = None
    """What is wrong; None if nothing is."""


def numbers(where: str, printed: str, expected: Sequence[float | None], slack: float = 0.0) -> Compared:
    """Compare the numbers of a text, in order, with what they should be.

    Args:
        where: where the text stands, for the problem.
        printed: the text as it stands there.
        expected: the numbers that should stand there; None for one that cannot be recomputed.
        slack: by how much a number may differ beyond its rounding, because `expected` is rounded, too.
    """
    found = NUMBER.findall(printed)
    if len(found) != len(expected):
        return Compared(0, f"{where}: {printed!r} has {len(found)} numbers, the records give {len(expected)}")
    for text, number in zip(found, expected, strict=True):
        if number is not None and not equal(text, number, slack):
            return Compared(0, f"{where}: {text} is printed, the records give {number:.6g}")
    return Compared(sum(number is not None for number in expected))


def equal(text: str, number: float, slack: float = 0.0) -> bool:
    """Return whether a printed number is a number, rounded to as many decimals as are printed."""
    return bool(abs(value(text) - number) <= 0.5 * 10 ** -len(text.partition(".")[2]) + 1e-6 + slack)


def value(text: str) -> float:
    """Return a printed number."""
    return float(text.replace(",", "").replace("−", "-"))


def text(where: str, printed: str, expected: str) -> Compared:
    """Compare a text with what should stand there."""
    if printed == expected:
        return Compared(0)
    return Compared(0, f"{where}: {printed!r} is printed, the records give {expected!r}")


def sentence(where: str, page: str, *parts: Expected, slack: float = 0.0) -> Compared:
    """Compare a sentence that must stand somewhere in a text; numbers are compared as `numbers` does."""
    pattern = "".join(re.escape(part) if isinstance(part, str) else f"({NUMBER.pattern})" for part in parts)
    found = re.search(pattern, page)
    if found is None:
        words = "".join(part if isinstance(part, str) else "…" for part in parts)
        return Compared(0, f"{where}: there should be {words!r}, the page has {plain(page)!r}")
    return numbers(where, " ".join(found.groups()), [part for part in parts if not isinstance(part, str)], slack)
