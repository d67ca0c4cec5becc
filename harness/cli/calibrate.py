"""harness calibrate: reproduce published scores with the evaluator that judges every run."""

from __future__ import annotations

import argparse

from harness.cli import arguments as of_several
from harness.cli import output

HELP = "reproduce published scores with the evaluator that judges every run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--testbed", metavar="NAME", default="book", help="testbed with the tasks and the test set (default book)"
    )
    parser.add_argument(
        "--models",
        metavar="A,B",
        help="published models to measure: hub ids, or ID=FOLDER for weights in a local folder",
    )
    parser.add_argument(
        "--tasks", metavar="A,B", help="only these mteb tasks ('' for none); STSB test is always measured"
    )
    of_several.json(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from rich.console import Console

    from harness.cli.tables import calibration_as_dicts, calibration_table
    from harness.evaluation.calibrate import calibrate as measure
    from harness.evaluation.published import SOURCE, TOLERANCE, exit_code, rows, subjects
    from harness.testbeds import by_name

    models, testbed = subjects(options.models), by_name(options.testbed)
    tasks = None if options.tasks is None else [task.strip() for task in options.tasks.split(",") if task.strip()]
    measured = measure(models, rows(models, testbed, tasks), testbed, Console(stderr=True))
    if options.json:
        output.print_json({"source": SOURCE, "tolerance": TOLERANCE, "rows": calibration_as_dicts(measured)})
    else:
        output.print_table(calibration_table(measured))
    return exit_code(measured)
