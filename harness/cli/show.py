"""harness show: print the records."""

from __future__ import annotations

import argparse
import sys

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import ablation_and_store

HELP = "print the records"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_and_store(parser, trains=False)
    of_several.json(parser)
    parser.add_argument("--wide", action="store_true", help="show all columns, whatever the width of the terminal")


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api
    from harness.cli.tables import ROOM, failures, records_as_dict, records_table

    _, folder = ablation_and_store(options)
    records, damaged = api.load(folder).readable()
    if options.json:
        output.print_json(records_as_dict(records))
    else:
        width = max(ROOM, output.width()) if options.wide else output.width()
        output.print_table(records_table(records, width), options.wide)
        output.say(*failures(records))
    output.say(*(f"error: {problem}" for problem in damaged), to=sys.stderr)
    return damaged[0].exit_code if damaged else 0
