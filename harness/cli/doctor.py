"""harness doctor: check what the installed versions of the libraries do, before any score rests on them."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.cli import arguments as of_several
from harness.cli import output
from harness.text import counted

if TYPE_CHECKING:
    from harness.doctor.examine import Checked

HELP = "check that the installed libraries train, embed and score as they should, e.g. after an upgrade"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--only", metavar="A,B", help="only these checks, by the names that it prints")
    of_several.json(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import provenance
    from harness.executors.start import ENVIRONMENT

    for name, value in (ENVIRONMENT | {"OMP_NUM_THREADS": "1"}).items():  # before a library reads them
        os.environ.setdefault(name, value)
    from harness.doctor.examine import examine

    only = [] if options.only is None else [name.strip() for name in options.only.split(",")]
    versions = provenance.versions()
    libraries = {name: version for name, version in versions.items() if name in ("python", *provenance.DECIDING)}
    if not options.json:
        output.say(", ".join(f"{name} {version}" for name, version in libraries.items()))
    results = []
    for checked in examine(only):
        results.append(checked)
        if not options.json:
            outcome, seconds = checked.outcome, f"({checked.seconds:.1f} s)"
            output.say(f"{outcome.state:<7}  {checked.check}: {outcome.detail} {seconds}")
            sys.stdout.flush()  # also in a pipe, because checks take seconds
    failed = [checked.check for checked in results if checked.outcome.state == "FAILED"]
    if options.json:
        output.print_json(
            {
                "versions": versions,
                "hardware": provenance.hardware(),
                "failed": failed,
                "checks": [_as_json(checked) for checked in results],
            }
        )
    elif failed:
        output.say(f"{counted(len(failed), 'check')} of {len(results)} failed: {', '.join(failed)}")
    return 1 if failed else 0


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "check": checked.check,
        "proves": checked.proves,
        **asdict(checked.outcome),
        "seconds": checked.seconds,
    }
