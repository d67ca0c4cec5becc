"""Options that several commands share, each added to a command's parser by a function."""

from __future__ import annotations

import argparse
from pathlib import Path


def study_file(parser: argparse.ArgumentParser) -> None:
    """Add the study file, and the testbed and tasks that replace its own."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a study file, e.g. studies/all_losses.py")
    parser.add_argument("--testbed", metavar="NAME", help="run on this testbed instead of the file's")
    parser.add_argument("--tasks", metavar="A,B", help="evaluate only these mteb tasks ('' for none)")


def study_and_store(parser: argparse.ArgumentParser) -> None:
    """Add the study file, its store, and the options that a store remembers."""
    study_file(parser)
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="folder of the records (default runs/<ablation>-<testbed>)"
    )
    parser.add_argument("--trials", metavar="N", type=int, help="tuning trials per study")
    parser.add_argument("--seeds", metavar="N", type=int, help="seeds of the final runs")
    parser.add_argument("--rows", metavar="N", type=int, help="train on the first N rows of the testbed")
    parser.add_argument("--epochs", metavar="X", type=float, help="epochs per run")
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        help="training precision; auto: bf16 or fp16 on devices where it is faster",
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
        "--workers", metavar="N", type=int, help="worker processes (default: one per GPU, or one per --threads cores)"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="threads per worker (default: 1, or a GPU's share of the cores); other values change scores by about 5e-5",
    )
