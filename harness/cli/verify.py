"""harness verify: recompute the numbers of a report from its records."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import output

HELP = "recompute the numbers of a report's README.md from its scores.csv and records.json, without its study file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "report", metavar="REPORT", type=Path, nargs="+", help="folder of a report, e.g. reports/book-embedded"
    )
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="also compare scores.csv with the records of this store"
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness.report.verification.verify import differs_from_store, verify
    from harness.store.folder import load

    records = None if options.store is None else load(options.store).records()
    disagree = False
    for folder in options.report:
        found = verify(folder)
        problem = found.problem or (None if records is None else differs_from_store(folder, records))
        disagree = disagree or problem is not None
        output.say(
            f"agrees: {folder}: {found.checked:,} numbers are those of the records; {found.unchecked:,} in its tables "
            "were not checked (most need predictions, which a report does not have)"
            if problem is None
            else f"disagrees: {folder}: {problem}"
        )
    return 1 if disagree else 0
