"""harness verify: recompute the numbers of a report from its records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import ablation_and_store, command_line, from_store
from harness.errors import HarnessError
from harness.provenance import without_secrets

if TYPE_CHECKING:
    from harness.planning.plan import Plan

HELP = "recompute the numbers of a report's README.md from its scores.csv and records.json, without its study file"

PREDICTIONS = (
    "intervals over test items, outcomes that rest on them, and which items decide, because the folder has no "
    "predictions (--store DIR recomputes them); "
)
REST = (
    "losses, views, reasons, what would decide an undecided claim, diagnostics of predictions, best points at an edge "
    "of the space, trials of other searches, rows requested where no run states them, orders as a whole, the "
    "audit, the log of designs, threats and other sentences, and the figures (--study FILE renders all of it again)"
)
"""Parts of a page that a folder's own files do not decide."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "report", metavar="REPORT", type=Path, nargs="+", help="folder of a report, e.g. reports/all_losses-embedded"
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="also compare with the records of this store, and recompute the intervals over items from its predictions",
    )
    parser.add_argument(
        "--study",
        metavar="FILE",
        type=Path,
        help="also render the report again from this study file and its store (default runs/<ablation>-<testbed>), "
        "and compare it line by line",
    )
    of_several.allow_mixed(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code: 1 if any report disagrees, else the highest."""
    from harness.report.verification.rendered import differs
    from harness.report.verification.verify import verify
    from harness.store.folder import load

    rendering = None if options.study is None else _rendering(options)
    store = None if options.store is None else load(options.store)
    codes = {0}
    for folder in options.report:
        try:
            found = verify(folder, store)
            problem = found.problem or (None if rendering is None else differs(folder, *rendering))
        except HarnessError as error:  # the others are verified all the same
            output.say(f"error: {without_secrets(str(error))}", to=sys.stderr)
            codes.add(error.exit_code)
            continue
        codes.add(int(problem is not None))
        agrees = f"agrees: {folder}: {found.checked:,} numbers are those of the records. {_limits(options)}"
        output.say(agrees if problem is None else f"disagrees: {folder}: {problem}")
    return 1 if 1 in codes else max(codes)


def _limits(options: argparse.Namespace) -> str:
    """Say what was not checked, and which option would check it."""
    if options.study is not None:
        return (
            "Each line is what study file and store give; only the drawings in the figures were not checked, and "
            "whether data had changed when the report was written"
        )
    without = "" if options.store is not None else PREDICTIONS
    return f"Not checked: {without}{REST}"


def _rendering(options: argparse.Namespace) -> tuple[Plan, str]:
    """Return the plan of the study file and its store, and the command of its report; `options` gets the store."""
    parser = argparse.ArgumentParser()
    of_several.study_and_store(parser, trains=False)
    given = parser.parse_args([f"--store={options.store}"] * (options.store is not None) + ["--", str(options.study)])
    given.allow_mixed = options.allow_mixed
    ablation, options.store = ablation_and_store(given)
    plan = from_store(ablation, options.store, given)
    for change in plan.changed_data:
        output.say(f"note: {change} than at the last `harness run`, whose scores the report has", to=sys.stderr)
    return plan, command_line(given, plan.ablation.precision)
