"""The exit codes of all commands: one table, for `--help` and for README.md."""

from __future__ import annotations

from dataclasses import dataclass

COMMANDS = (
    *("new", "plan", "run", "report", "check", "show", "fetch", "doctor", "calibrate", "compare", "upgrade", "bisect"),
    *("transfer", "verify"),
)
"""All commands, in the order of `harness --help`."""

UNEXPECTED = 70
"""EX_SOFTWARE of <sysexits.h>; 1, Python's code for an uncaught exception, means a violated check here."""


@dataclass(frozen=True)
class Exit:
    """What one exit code means for some commands."""

    code: int
    """The exit code."""
    meaning: str
    """What it means."""
    commands: tuple[str, ...] = COMMANDS
    """The commands that it is about."""


EXITS = (
    Exit(0, "success: all was done; of run and check also: no run is missing and no claim is violated"),
    Exit(1, "violated: an expectation of the study file, or with --baseline a comparison", ("run", "check")),
    Exit(1, "moved: a study's score is not what it was on the other side", ("upgrade",)),
    Exit(1, "a number of a report is not that of its records", ("verify",)),
    Exit(1, "a check of the installed libraries failed", ("doctor",)),
    Exit(1, "a measured score differs from the published one", ("calibrate",)),
    Exit(2, "an error in the arguments, the study file or the data, or the store is locked; nothing was trained"),
    Exit(
        3,
        "incomplete: runs failed or are missing, or a claim lacks what it needs (a final run that diverged counts as "
        "a score of 0); with --strict also: a verdict is inconclusive, or rests on choices made after test scores "
        "were known",
        ("run", "check"),
    ),
    Exit(3, "incomplete: runs of a store failed or are missing", ("transfer",)),
    Exit(3, "undecided or incomplete: a study neither moved nor stayed the same, or lacks runs", ("upgrade",)),
    Exit(3, "no release was found: nothing moved, or a release between could not be judged", ("bisect",)),
    Exit(3, "the data of a task are not available", ("fetch",)),
    Exit(3, "no score could be compared", ("calibrate",)),
    Exit(3, "a store, report, file, model or data set cannot be read or written, or the hub cannot be reached"),
    Exit(UNEXPECTED, "an unexpected error, i.e. a bug in the harness; the message says where its traceback is"),
    Exit(130, "interrupted"),
)


def codes(command: str) -> tuple[int, ...]:
    """Return the exit codes of a command."""
    return tuple(sorted({each.code for each in EXITS if command in each.commands}))


def epilog(command: str | None = None) -> str:
    """Return the table as the end of a command's `--help`; of the program's own if it is None."""
    lines = ["exit codes:" if command else "exit codes of all commands:"]
    for each in EXITS:
        if command is None or command in each.commands:
            lines += _folded(each, named=command is None)
    return "\n".join(lines)


def _folded(each: Exit, named: bool) -> list[str]:
    import textwrap

    of = f" ({_of(each)})" if named and each.commands != COMMANDS else ""
    return textwrap.wrap(f"{each.code:<3}  {each.meaning}{of}", 118, initial_indent="  ", subsequent_indent=" " * 7)


def as_markdown() -> str:
    """Return the table as it stands in README.md."""
    rows = [f"| {each.code} | {_of(each)} | {each.meaning} |" for each in EXITS]
    return "\n".join(["| code | commands | meaning |", "|---|---|---|", *rows])


def _of(each: Exit) -> str:
    return "all" if each.commands == COMMANDS else ", ".join(each.commands)
