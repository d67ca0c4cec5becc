"""harness fetch: download what a study file needs into the hub's cache."""

from __future__ import annotations

import argparse
import sys

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import declared

HELP = "download everything that FILE needs into the hub's cache, for machines without a network"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_file(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api

    missing = api.fetch(declared(options))
    for task, reason in missing.items():
        output.say(f"missing: task {task}: {reason}", to=sys.stderr)
    return 3 if missing else 0
