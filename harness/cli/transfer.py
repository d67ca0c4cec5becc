"""harness transfer: compare the order of studies on several testbeds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from harness.cli import output
from harness.cli.overrides import ablation_and_store
from harness.errors import UsageError

HELP = "compare the order of studies of one ablation on several testbeds"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a study file")
    parser.add_argument("stores", metavar="STORE", type=Path, nargs="+", help="two or more stores, one per testbed")
    parser.add_argument(
        "--report", metavar="DIR", type=Path, help="folder of the report (default reports/<ablation>-transfer)"
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api
    from harness.engine.resolve import edited
    from harness.report.transfer import write_transfer
    from harness.spec.loading import load_study_file
    from harness.store.folder import load
    from harness.verdicts.judge import exit_code
    from harness.verdicts.transfer import agreements, side

    if len(options.stores) < 2:
        raise UsageError("transfer compares testbeds: give the stores of at least two")
    own, plans = load_study_file(options.file).testbed.name, []
    for folder in options.stores:
        store = load(folder)
        of_store = argparse.Namespace(
            file=options.file, store=folder, testbed=None if store.testbed == own else store.testbed
        )
        ablation, _ = ablation_and_store(of_store)
        plans.append(replace(api.plan(ablation, folder), changed_data=tuple(edited(ablation, folder))))
    names = [plan.ablation.testbed.name for plan in plans]
    if len(set(names)) < len(names):
        raise UsageError(
            f"the stores are of testbeds {', '.join(names)}; give one store per testbed; `harness compare` compares "
            "two stores of one testbed"
        )
    sides = [side(plan) for plan in plans]
    agreed = agreements(sides)
    page = write_transfer(sides, agreed, options.report or Path("reports") / f"{plans[0].ablation.name}-transfer")
    for agreement in agreed:
        output.say(agreement)
    output.say(f"report: {page}")
    return max(exit_code([], plan, False) for plan in plans)
