"""harness bisect: find the release of a package in which a study's number moved."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import comparing, output
from harness.errors import UsageError
from harness.spec.study import UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.upgrading.bisecting import Bisection

HELP = "find the release of a package in which a study's number moved, by comparing releases with a good one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--package", metavar="NAME", required=True, help="the package, e.g. sentence-transformers")
    parser.add_argument("--good", metavar="VERSION", required=True, help="a release with the number as it should be")
    parser.add_argument("--bad", metavar="VERSION", required=True, help="a release in which it has moved")
    parser.add_argument("--study", metavar="STUDY", help="the study (default: the one that moved most)")
    parser.add_argument("--releases", metavar="A,B,C", help="all releases in order (default: those that pip finds)")
    parser.add_argument(
        "--max-seeds",
        metavar="N",
        type=int,
        help="add seeds up to N to an undecided step (default: four times --seeds)",
    )
    comparing.arguments(parser)
    of_several.json(parser)


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness.executors.signals import treat_sigterm_as_interrupt
    from harness.upgrading.bisecting import Step, bisect, releases
    from harness.upgrading.sides import Side
    from harness.upgrading.telling import bisection_as_dict, verdict

    if options.study is not None and options.only:
        raise UsageError("--study and --only: give one of the two")
    if options.study not in (None, UNTRAINED):
        options.only = [options.study]
    question = comparing.question(options)
    seeds = question.protocol.seeds
    if options.max_seeds is not None and options.max_seeds < seeds:
        raise UsageError(f"--max-seeds {options.max_seeds}: give at least the {seeds} seeds of a comparison")
    between = releases(options.package, options.good, options.bad, options.find_links, options.releases)
    treat_sigterm_as_interrupt()

    def side(release: str) -> Side:
        text = f"{options.package}=={release}"
        environment = comparing.environment(options, question.folder, [text])
        return Side(text, environment, options.file, str(options.file.resolve()))

    def tell(step: Step) -> None:
        told = step.problem if step.change is None else f"{step.change.study} {verdict(step.change)}"
        seeds = "" if step.change is None else f" ({step.change.seeds} seeds)"
        output.say(f"{options.package} {step.release}: {told}{seeds}", to=sys.stderr if options.json else None)
        sys.stdout.flush()  # a file would otherwise show the steps only at the end

    done = bisect(question, between, side, options.max_seeds or 4 * seeds, options.study, tell)
    if options.json:
        output.print_json(bisection_as_dict(done))
    else:
        comparing.print_comparison(done.last)
        output.say(*sentences(options.package, between, done))
    return 0 if done.found is not None and not done.found.between else 3


def sentences(package: str, releases: Sequence[str], done: Bisection) -> list[str]:
    """Return what a bisection found, in sentences."""
    if done.found is None:
        return [
            f"no study is shown to move from {package} {releases[0]} to {releases[-1]}, so there is nothing to find"
        ]
    inside = done.found.between
    rest = f"; {', '.join(inside)} between them could not be judged" if inside else ""
    return [f"{done.study} moved from {package} {done.found.good} to {done.found.bad}{rest}"]
