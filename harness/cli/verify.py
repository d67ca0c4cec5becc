"""harness verify: recompute the numbers of a report from its records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli import output
from harness.errors import HarnessError
from harness.provenance import without_secrets

HELP = "recompute the numbers of a report's README.md from its scores.csv and records.json, without its study file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "report", metavar="REPORT", type=Path, nargs="+", help="folder of a report, e.g. reports/all_losses-embedded"
    )
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="also compare scores.csv with the records of this store"
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code: 1 if any report disagrees, else the highest."""
    from harness.report.verification.verify import verify
    from harness.store.folder import load

    store = None if options.store is None else load(options.store)
    codes = {0}
    for folder in options.report:
        try:
            found = verify(folder, store)
        except HarnessError as problem:  # the others are verified all the same
            output.say(f"error: {without_secrets(str(problem))}", to=sys.stderr)
            codes.add(problem.exit_code)
            continue
        codes.add(int(found.problem is not None))
        output.say(
            f"agrees: {folder}: {found.checked:,} numbers are those of the records; {found.unchecked:,} in its tables "
            "were not checked (most need predictions, which a report does not have)"
            if found.problem is None
            else f"disagrees: {folder}: {found.problem}"
        )
    return 1 if 1 in codes else max(codes)
