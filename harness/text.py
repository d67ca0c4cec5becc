"""How a name, a number, a failure and a command are printed, wherever the harness prints them.

A name or message may hold anything: it may come from a stranger's store, a library or a data set. It is shown as it is,
in any language, and never interpreted: not as markup of the terminal, of markdown or of HTML, not as a spreadsheet's
formula, not by a shell. Characters that move the cursor, break the line, hide text or turn its direction are shown as
escapes, e.g. \\x1b, \\n and \\u202e.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Sequence

NONE = "–"
"""What a table shows where there is no value."""
MINUS = "\N{MINUS SIGN}"

LONGEST = 300
"""A failure's first line is cut to this number of characters."""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#&])")
_STARTS_BLOCK = re.compile(r"(?:[-+=]|\d+[.)])(?=\s|$|[-+=])")
_STARTS_FORMULA = ("=", "+", "-", "@", "'")
_PLACE = re.compile(r" \(at [^\n]*\)\Z")


def shown(text: object) -> str:
    """Return a text in one line, with everything that is no printable character as an escape."""
    return "".join(character if character.isprintable() else _escaped(character) for character in str(text))


def shown_lines(text: object) -> str:
    """Return a message of several lines as `shown` does, but with its line breaks, and later lines indented.

    So no part of a message can pass for a line of the harness's own output.
    """
    return "\n  ".join(map(shown, str(text).split("\n")))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def escape(text: object) -> str:
    """Return a text that markdown shows literally, also in a table and at the start of a line."""
    plain = re.sub(" +", " ", shown(text).strip())
    start = _STARTS_BLOCK.match(plain)
    escaped = _MARKDOWN.sub(r"\\\1", plain)
    if start is None:
        return escaped
    return f"{escaped[: start.end() - 1]}\\{escaped[start.end() - 1 :]}"


def in_json(document: str) -> str:
    """Return a JSON document with the characters that `shown` escapes as JSON's own escapes; its layout stays."""
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def in_csv(value: object) -> object:
    """Return a cell of a CSV file: a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.startswith(_STARTS_FORMULA) else text


def from_csv(cell: str) -> str:
    """Return the text of a cell that `in_csv` wrote."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_STARTS_FORMULA) else cell


def command(arguments: Iterable[object]) -> str:
    """Return a command line that a shell reads as exactly these arguments, also if they hold control characters."""
    return " ".join(map(_quoted, map(str, arguments)))


def _quoted(argument: str) -> str:
    if argument.isprintable():
        return shlex.quote(argument)
    body = (_in_ansi_quotes(character) for character in argument)
    return f"$'{''.join(body)}'"


def _in_ansi_quotes(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    # three octal digits a byte: what follows a \x could be taken for a further digit
    return character if character.isprintable() else "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 trial", "2 trials", "1,200 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def score(value: float | None) -> str:
    """Return a score times 100 with two decimals."""
    return NONE if value is None else f"{_points(value):.2f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """Return a difference of scores times 100 with two decimals and its sign."""
    return NONE if value is None else f"{_points(value):+.2f}".replace("-", MINUS)


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _points(value: float) -> float:
    return round(100 * value, 2) + 0.0  # what rounds to zero is no negative number


def failure(error: str | None) -> str:
    """Return type and first line of a run's error, and where it happened if the error says so; "" for none.

    The error is a message or a traceback. A library's message may go on for several lines, of which the last is
    seldom the one that says what happened.
    """
    text = (error or "").strip()
    place = _PLACE.search(text)
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    after = lines[starts[-1] + 1 :] if starts else lines
    first = next((line for line in after if line.strip() and not line.startswith(" ")), "")
    first = first or next((line for line in reversed(lines) if line.strip()), "")
    line = shown(first.strip())
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
    where = shown(place.group(0)) if place else ""
    return line if line.endswith(where) else line + where


def labels(names: Sequence[str], width: int = 24) -> dict[str, str]:
    """Return a label of limited width for each name, all of them distinct, so that a figure's lines can be told apart.

    A long name is shortened in its middle, because variants of one thing tend to differ at the end; where that makes
    two names equal, the part in which they differ is shown.
    """
    short = {name: _shortened(name, width) for name in dict.fromkeys(names)}
    for label in set(short.values()):
        alike = [name for name in short if short[name] == label]
        if len(alike) > 1:
            begin = max(0, len(_common_start(alike)) - 4)
            short |= {name: f"…{_shortened(shown(name)[begin:], width - 1)}" for name in alike}
    labels_by_name: dict[str, str] = {}
    for name, label in short.items():
        visible = f" {label}" if label.startswith("_") else label  # matplotlib's legends leave out "_…"
        numbered = (f"{visible} ({number})" for number in itertools.count(2))
        labels_by_name[name] = next(
            each for each in (visible, *itertools.islice(numbered, len(short))) if each not in labels_by_name.values()
        )
    return labels_by_name


def _common_start(names: Sequence[str]) -> str:
    return "".join(
        letters[0] for letters in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False))
    )


def _shortened(name: str, width: int) -> str:
    text = shown(name)
    return text if len(text) <= width else f"{text[: width // 2]}…{text[-(width - width // 2 - 1) :]}"
