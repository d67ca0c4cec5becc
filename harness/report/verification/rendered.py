"""A report rendered again from its study file and store, by the code that wrote it, and compared line by line."""

from __future__ import annotations

import itertools
import re
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from harness.errors import UsageError
from harness.planning.plan import Plan
from harness.report import data, facts, figures, markdown, result
from harness.store import reading
from harness.store.contents import OTHER, names
from harness.text import shown

_COMMAND = re.compile(r"^`{3,}sh\n(.*)\n`{3,}$", re.M)
_LONGEST = 80
"""Maximum number of characters of a line that are quoted."""


def differs(folder: Path, plan: Plan, command: str) -> str | None:
    """Describe the first line of a report's README.md, scores.csv or records.json that is rendered otherwise.

    Not compared are the content of the figures, which depends on the version of matplotlib, and which data had changed
    when the report was written.

    Args:
        folder: the report's folder.
        plan: the plan of the report's study file with the records of its store.
        command: the shell command that the page should have.

    Returns:
        The difference; None if there is none.

    Raises:
        UsageError: a file of the report is missing or cannot be read.
    """
    try:
        there = {name: reading.text(folder, name) for name in ("README.md", "scores.csv", "records.json")}
    except (OSError, reading.Unreadable) as problem:
        raise UsageError(f"{folder}: cannot be read as a report ({problem}); write the report again") from problem
    gathered = facts.gather(replace(plan, changed_data=_stated(there["README.md"], plan)))
    drawable = facts.drawable(gathered)
    drawn = [each.name for each in figures.ALL if figures.draw(each.figure, drawable) is not None]
    again = {
        "README.md": markdown.page(gathered, drawn, _as_printed(command, there["README.md"])),
        "scores.csv": data.scores_csv(gathered),
        "records.json": data.records_json(gathered),
    }
    for name, text in again.items():
        lines = itertools.zip_longest(there[name].split("\n"), text.split("\n"), fillvalue="")
        for number, (printed, expected) in enumerate(lines, 1):
            if printed != expected:
                said, should = _quoted(printed, expected)
                return (
                    f"{name}, line {number}: {said} is printed, study file and store give {should}; if another version "
                    "of the harness wrote the report, write it again"
                )
    return None


def _stated(page: str, plan: Plan) -> tuple[str, ...]:
    """Return which of the data a page says to have changed: those of its machine then, which no store knows."""
    possible = [f"{name}{OTHER}" for name in (*names(plan.ablation).values(), *plan.ablation.files)]
    by_line = {result.warning(change): change for change in possible}
    return tuple(by_line[line] for line in page.split("\n") if line in by_line)


def _as_printed(command: str, page: str) -> str:
    """Return the page's own command if it differs only in the study file's folder and in the number of threads."""
    found = _COMMAND.search(page)
    with suppress(ValueError):  # it has a quotation that is not closed
        printed, expected = (shlex.split(text) for text in (found.group(1) if found else "", command))
        if "--threads" in printed:
            number = printed.index("--threads")
            del printed[number : number + 2]
        for arguments in (printed, expected):
            arguments[2:3] = [PurePath(name).name for name in arguments[2:3]]
        if found is not None and printed == expected:
            return found.group(1)
    return command


def _quoted(*lines: str) -> list[str]:
    """Return the parts of two lines in which they differ."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*lines, strict=False))
    start = max(0, sum(1 for _ in same) - _LONGEST // 4)
    return [repr(shown(line[start : start + _LONGEST])) for line in lines]
