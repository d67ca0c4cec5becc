"""harness check: judge the claims of a study file, and scores against a baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import ablation_and_store, from_store
from harness.errors import UsageError

HELP = "judge the expectations from the store, without training"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_and_store(parser, trains=False)
    of_several.allow_mixed(parser)
    of_several.json(parser)
    of_several.strict(parser)
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="also judge each study against the scores.csv of an earlier report",
    )
    parser.add_argument(
        "--tolerance",
        metavar="X",
        type=float,
        help="tolerated loss against the baseline, on a 0 to 1 scale (default 0.005: 0.5 points)",
    )
    parser.add_argument(
        "--figures",
        metavar="A,B",
        help="scores to compare with the baseline, e.g. mteb/STS12,mteb/STS13; or: all (default: the headline)",
    )
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write the verdicts as JUnit XML for CI systems")


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from dataclasses import asdict

    from harness.audit import cache
    from harness.files import write_atomically
    from harness.verdicts import hindsight, words
    from harness.verdicts.baseline import TOLERANCE, against, read_baseline
    from harness.verdicts.judge import exit_code, judge, unfinished
    from harness.verdicts.junit import junit_xml
    from harness.verdicts.order import orders
    from harness.verdicts.results import results

    for name in ("tolerance", "figures"):
        if options.baseline is None and getattr(options, name) is not None:
            raise UsageError(f"--{name} is used only with a baseline; give --baseline FILE.csv as well")
    if options.junit is not None and not options.junit.parent.is_dir():
        raise UsageError(
            f"--junit {options.junit}: there is no folder {options.junit.parent}; create it, or name another file"
        )
    baseline = None if options.baseline is None else read_baseline(options.baseline)
    ablation, folder = ablation_and_store(options)
    plan = from_store(ablation, folder, options)
    verdicts, regressions = judge(plan), []
    if baseline is not None:
        named = ablation.testbed.headline if options.figures is None else options.figures
        figures = baseline.figures if named == "all" else [name.strip() for name in named.split(",") if name.strip()]
        tolerance = TOLERANCE if options.tolerance is None else options.tolerance
        regressions = against(plan, baseline, figures, tolerance)
    if options.json:
        audited = cache.of_plan(plan)
        document = {
            "audit": None if audited is None else [asdict(finding) for finding in audited.findings],
            "results": [asdict(line) for line in results(plan)],
            "verdicts": [asdict(verdict) | {"outcome": words.outcome(verdict)} for verdict in verdicts],
            "unfinished": unfinished(plan),
            "orders": [asdict(order) for order in orders(plan)],
            "looks": plan.looks,
            "notes": hindsight.notes(plan),
            "changed_data": plan.changed_data,
        }
        output.print_json(document | ({"baseline": [asdict(v) for v in regressions]} if baseline is not None else {}))
    else:
        output.print_verdicts(verdicts, plan)
        if baseline is not None:
            output.say(f"against {options.baseline}:")
        for regression in regressions:
            output.print_verdict(regression)
    if options.junit is not None:
        write_atomically(options.junit, junit_xml(plan, [*verdicts, *regressions], options.strict))
    return exit_code([*verdicts, *regressions], plan, options.strict)
