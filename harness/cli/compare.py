"""harness compare: compare two stores."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.cli import arguments as of_several
from harness.cli import output

HELP = "compare two stores, e.g. of two library versions, machines or commits"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("stores", metavar="STORE", type=Path, nargs=2)
    of_several.json(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness.store.folder import load
    from harness.verdicts import compare

    left, right = (load(folder) for folder in options.stores)
    if options.json:
        rows = json.loads(compare.compare(left, right).to_json(orient="records"))
        differing = [dict(zip(("what", "left", "right"), one, strict=True)) for one in compare.differences(left, right)]
        document = {
            "differs": compare.what_differs(left, right),
            "differences": differing,
            "lost": {"left": compare.lost(left), "right": compare.lost(right)},
            "rows": rows,
        }
        return output.print_json(document)
    output.say(*compare.as_text(left, right).splitlines())
    return 0
