"""Options that several commands share, each added to a command's parser by a function."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.spec.ablation import Ablation


def study_file(parser: argparse.ArgumentParser, *, trains: bool = True) -> None:
    """Add the study file, and the testbed and tasks that replace its own.

    Args:
        parser: the command's parser.
        trains: whether the command starts or plans runs, instead of reading those of a store.
    """
    parser.add_argument("file", metavar="FILE", type=Path, help="a study file, e.g. studies/all_losses.py")
    testbed = "run on this testbed instead of the file's" if trains else "use the runs on this testbed"
    tasks = "mteb tasks to evaluate instead of the testbed's" if trains else "use the runs with these mteb tasks"
    parser.add_argument("--testbed", metavar="NAME", help=testbed)
    parser.add_argument("--tasks", metavar="A,B", help=f"{tasks}, e.g. STS12,SICK-R ('' for none)")


def study_and_store(parser: argparse.ArgumentParser, *, trains: bool = True) -> None:
    """Add the study file, its store, and the options that a store remembers.

    Args:
        parser: the command's parser.
        trains: whether the command starts or plans runs, instead of reading those of a store; the options then say
            which runs are meant, by default those of the store's last `harness run`.
    """
    study_file(parser, trains=trains)
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="folder of the records (default runs/<ablation>-<testbed>)"
    )
    of_runs = "" if trains else "use the runs with "
    rows = "train on the first N rows of the testbed" if trains else "use the runs with --rows N"
    parser.add_argument("--trials", metavar="N", type=int, help=f"{of_runs}N tuning trials per study")
    parser.add_argument("--seeds", metavar="N", type=int, help=f"{of_runs}N final seeds of each study")
    parser.add_argument(
        "--tunings",
        metavar="N",
        type=int,
        help=f"{of_runs}N tunings per study, each followed by its own final runs: claims are then about tuning itself",
    )
    parser.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        help=f"{of_runs}N further seeds of each study's three best trials, before one is chosen (default: 2 if there "
        "are at least 12 trials, else 0)",
    )
    parser.add_argument("--rows", metavar="N", type=int, help=rows)
    parser.add_argument("--epochs", metavar="X", type=float, help=f"{of_runs}X epochs per run, e.g. 0.5")
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        help=f"{of_runs}this training precision (default: the file's, which is auto unless it names another); "
        "auto: bf16 or fp16 on devices where it is faster, else fp32; fp32: no mixed precision",
    )


def allow_mixed(parser: argparse.ArgumentParser) -> None:
    """Add the option to judge runs of several versions together."""
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="also judge runs that were made with different library versions or precisions",
    )


def json(parser: argparse.ArgumentParser) -> None:
    """Add the option to print JSON."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def report(parser: argparse.ArgumentParser) -> None:
    """Add the report's folder."""
    parser.add_argument(
        "--report", metavar="DIR", type=Path, help="folder of the report (default reports/<ablation>-<testbed>)"
    )


def strict(parser: argparse.ArgumentParser) -> None:
    """Add the option that makes undecided claims fail."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 3 if a verdict is inconclusive, or rests on choices made after test scores were known",
    )


def workers(parser: argparse.ArgumentParser) -> None:
    """Add the number of workers and of their threads."""
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="worker processes (default: one per GPU; without a GPU, cores divided by --threads, at most 8)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="threads per worker (default: 1, or a GPU's share of the cores); more than one change scores by "
        "about 5e-5 compared with one thread",
    )


def no_mteb(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out mteb's tasks; it stands for --tasks '', and the last of the two counts."""
    parser.add_argument(
        "--no-mteb", dest="tasks", action="store_const", const="", help="evaluate no mteb task, like --tasks ''"
    )


def only(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option that selects studies; `what` it does with one begins its help."""
    parser.add_argument("--only", metavar="STUDY", action="append", default=[], help=f"{what} (repeatable)")


def check_only(names: Sequence[str], ablation: Ablation) -> None:
    """Check the names that --only gives.

    Raises:
        UsageError: a name is no study of the ablation, or the ablation's seeds depend on every study.
    """
    if names and ablation.budget.max_seeds is not None:
        raise UsageError("--until-decided needs every study's final runs; leave out --only")
    studies = [study.name for study in ablation.studies]
    for name in names:
        if name not in studies:
            raise UsageError(f"--only {name}: no such study; there are {', '.join(studies)}")
