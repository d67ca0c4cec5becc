"""harness plan: show the runs of an ablation, their states and the remaining cost."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import ablation_and_store
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.verdicts.power import Detection

HELP = "show every run with its state and the remaining cost"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_and_store(parser)
    of_several.allow_mixed(parser)
    of_several.json(parser)
    of_several.workers(parser)
    of_several.no_mteb(parser)
    of_several.only(parser, "show only this study")
    parser.add_argument(
        "--detect",
        metavar="X",
        type=float,
        help="show how many final seeds are needed to detect a difference of X (0.005: 0.5 points)",
    )
    parser.add_argument(
        "--sd",
        metavar="X",
        type=float,
        help="with --detect: standard deviation of the differences over seeds (default: estimated from the store)",
    )


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api
    from harness.cli.tables import plan_as_dict
    from harness.engine.planned import PRUNED_COUNT
    from harness.engine.resolve import edited

    ablation, folder = ablation_and_store(options)
    of_several.check_only(options.only, ablation)
    if options.only and options.detect is not None:
        raise UsageError("--detect needs every study's final runs; leave out --only")
    asked = replace(PRUNED_COUNT, only=tuple(options.only))
    plan = api.plan(ablation, folder, asked, study_file=options.file, allow_mixed=options.allow_mixed)
    needed, changed = _detections(plan, options), edited(ablation, folder)
    if options.json:
        detect = {"detect": [asdict(one) for one in needed]} if needed else {}
        return output.print_json(plan_as_dict(plan) | {"changed_data": changed} | detect)
    output.print_plan(plan, options.workers, options.threads, changed)
    for detection in needed:
        output.say(detection)
    return 0


def _detections(plan: Plan, options: argparse.Namespace) -> list[Detection]:
    """Return how many final seeds each claim needs for the difference that --detect gives; nothing without it."""
    if options.detect is None:
        if options.sd is not None:
            raise UsageError("--sd is used only by --detect; give --detect as well")
        return []
    from harness.verdicts.power import detections

    return detections(plan, options.detect, options.sd)
