"""harness report: write the report from the store."""

from __future__ import annotations

import argparse
import sys

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import ablation_and_store, command_line, from_store

HELP = "write the report from the store, without training"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_and_store(parser, trains=False)
    of_several.allow_mixed(parser)
    of_several.report(parser)
    parser.add_argument(
        "--format",
        choices=("page", "comment"),
        default="page",
        help="page: write the report's files; comment: print a comment for a pull request and write nothing",
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api
    from harness.report import write_report
    from harness.report.comment import comment

    ablation, folder = ablation_and_store(options)
    plan = from_store(ablation, folder, options)
    for change in plan.changed_data:
        output.say(f"note: {change} than at the last `harness run`, whose scores these are", to=sys.stderr)
    command = command_line(options, plan.ablation.precision)
    if options.format == "comment":
        print(comment(plan, command), end="")
        return 0
    output.say(write_report(plan, options.report or api.default_report(ablation), command))
    return 0
