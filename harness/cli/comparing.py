"""Options that `harness upgrade` and `harness bisect` share, and the question that they ask."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import declared, file_argument
from harness.errors import UsageError
from harness.provenance import without_secrets
from harness.text import command, score, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.ablation import Ablation
    from harness.upgrading.comparison import Comparison, Question
    from harness.upgrading.environments import Environment


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    of_several.study_file(parser)
    of_several.only(parser, "only this study")
    parser.add_argument("--seeds", metavar="N", type=int, help="seeds of each study on each side (default: the file's)")
    parser.add_argument("--rows", metavar="N", type=int, help="train on the first N rows of the testbed")
    parser.add_argument("--epochs", metavar="X", type=float, help="X epochs per run, e.g. 0.5")
    parser.add_argument(
        "--precision", choices=("auto", "bf16", "fp16", "fp32"), help="training precision of both sides"
    )
    parser.add_argument("--figure", metavar="NAME", help="judge this score instead of the testbed's, e.g. mteb/STS12")
    parser.add_argument(
        "--within",
        metavar="X",
        type=float,
        default=0.1,
        help="differences of up to X points count as none (default .1)",
    )
    parser.add_argument(
        "--with",
        dest="both",
        metavar="REQUIREMENT",
        action="append",
        default=[],
        help="also install this on both sides, e.g. to hold a dependency at one version (repeatable)",
    )
    parser.add_argument(
        "--find-links",
        metavar="PLACE",
        action="append",
        default=[],
        help="folder or page with wheels (repeatable); pip's own variables count as well, e.g. PIP_NO_INDEX=1",
    )
    parser.add_argument(
        "--fast", action="store_true", help="allow the harness's fast forward passes, if both sides take the same one"
    )
    parser.add_argument("--retry-failed", action="store_true", help="repeat failed runs")
    of_several.workers(parser)
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="folder of the environments and of both sides' records (default runs/<ablation>-<testbed>-upgrade)",
    )


def question(options: argparse.Namespace) -> Question:
    """Return what is compared and how it is judged.

    Raises:
        UsageError: an option is out of range.
        StudyFileError: the study file is wrong.
    """
    from harness.testbeds.measure_kinds import names_of_scores
    from harness.upgrading.comparison import Question
    from harness.upgrading.sides import Protocol

    options.tasks = options.tasks or ""
    ablation = declared(argparse.Namespace(**vars(options) | {"store": None, "trials": None}))
    names = [study.name for study in ablation.studies]
    of_several.check_only(options.only, ablation)
    for name in ("workers", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)}: give at least 1, or leave it out")
    if not 0 <= options.within < 100:
        raise UsageError(f"--within {options.within:g}: give points between 0 and 100")
    figures = [name for measure in ablation.testbed.measures for name in names_of_scores(measure)]
    figures += [f"mteb/{task}" for task in ablation.testbed.tasks]
    if options.figure is not None and not {options.figure, options.figure.partition(":")[0]} & {*figures}:
        raise UsageError(f"--figure {options.figure}: no run will have this score; choose from {', '.join(figures)}")
    protocol = Protocol(
        tuple(name for name in names if name in options.only or not options.only),
        ablation.budget.seeds,
        **{name: getattr(options, name) for name in ("testbed", "rows", "epochs", "precision", "tasks")},
        **{name: getattr(options, name) for name in ("workers", "threads", "fast", "retry_failed")},
    )
    return Question(options.store or default_store(ablation), protocol, options.within / 100, options.figure)


def default_store(ablation: Ablation) -> Path:
    return Path("runs") / f"{ablation.name}-{ablation.testbed.name}-upgrade"


def environment(options: argparse.Namespace, folder: Path, texts: Sequence[str]) -> Environment:
    """Return the environment in which requirements are installed, and what --with names; this one if there are none."""
    from harness.upgrading.environments import Source, here, overlay
    from harness.upgrading.wanted import wanted

    wants = [wanted(text) for text in (*texts, *options.both)]
    return overlay(Source(folder / "environments", tuple(options.find_links)), wants) if wants else here()


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison: the table of verdicts, where studies begin to differ, and how it was made."""
    from rich.table import Table
    from rich.text import Text

    from harness.upgrading.telling import difference, method, where

    table = Table(title=f"{shown(comparison.figure)} × 100", title_justify="left")
    table.add_column("study", overflow="fold")
    for column in ("from", "to", "difference", "seeds"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for change in comparison.changes:
        numbers = (score(change.old), score(change.new), difference(change), str(change.seeds))
        table.add_row(*map(Text, (shown(change.study), *numbers, change.verdict)))
    output.print_table(table)
    output.say(*(f"{change.verdict} {change.study}: {change.reason}" for change in comparison.changes))
    output.say(*(f"where: {line}" for line in where(comparison)), *method(comparison))


def again(options: argparse.Namespace, name: str) -> str:
    """Return the shell command that repeats a comparison, without its folder."""
    parts = ["harness", name, file_argument(options.file)]
    for option, values in vars(options).items():
        if option in REPEATED and values not in (None, False, [], ""):
            each = values if isinstance(values, list) else [values]
            flag = f"--{REPEATED[option]}"
            parts += [flag] if values is True else [f"{flag}={without_secrets(str(value))}" for value in each]
    return command(parts)


REPEATED = {
    **{"old": "from", "new": "to", "from_ref": "from-ref", "to_ref": "to-ref", "both": "with"},
    **{name: name for name in ("testbed", "tasks", "only", "seeds", "rows", "epochs", "precision", "figure", "within")},
    **{"threads": "threads", "find_links": "find-links", "fast": "fast"},
}
"""Options that decide what a comparison gives, by their names in the parser, with those on the command line."""
