"""Command line: argument parser, exit codes and error output of the `harness` program."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import __version__, provenance
from harness.cli import commands
from harness.errors import HarnessError
from harness.executors import streams

UNEXPECTED = 70
"""EX_SOFTWARE of <sysexits.h>; 1, Python's code for an uncaught exception, means a violated check here."""

EPILOG = """exit codes of all commands:
  0    success
  1    violated: an expectation, a comparison with a baseline, or a published score (only run, check and calibrate)
  2    an error in the arguments, the study file or the data, or the store is locked; nothing was trained
  3    incomplete: runs failed or are missing, or a store, model or data set cannot be read or written; with --strict
       also: a verdict is inconclusive
  70   an unexpected error, i.e. a bug in the harness; the message says where its traceback is
  130  interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; without `arguments`, use those of the program and guard its output."""
    if arguments is not None:
        return _code(arguments)
    if sys.getfilesystemencoding() != "utf-8":  # otherwise a study named "größer" could not name a folder
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    out, _ = streams.guard()
    code = _code(sys.argv[1:])
    sys.stdout.flush()
    if out.problem is None or isinstance(out.problem, BrokenPipeError):  # the reader closed the pipe on purpose
        return code
    print(f"error: stdout cannot be written ({out.problem.strerror}): output is lost", file=sys.stderr)
    return code or UNEXPECTED


def _code(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; print errors that the user can fix to stderr, without traceback."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.command(options)
        return code
    except HarnessError as problem:
        print(f"error: {provenance.without_secrets(str(problem))}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished runs are stored; repeat the command to resume", file=sys.stderr)
        return 130
    except Exception as problem:
        print(_unexpected(problem), file=sys.stderr)
        return UNEXPECTED


def _unexpected(problem: Exception) -> str:
    """Return one line with the error and the file of its traceback; the traceback itself if no file can be written."""
    trace = provenance.without_secrets("".join(traceback.format_exception(problem)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return trace
    first = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return (
        f"error: unexpected {provenance.without_secrets(first)}; this is a bug in the harness: please report it "
        f"with the traceback in {file.name}; finished runs are stored"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare losses and data for training sentence embeddings, with equal budgets and new seeds.",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made = subcommands.add_parser(
            name, help=help, description=help, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.set_defaults(command=function)
        return made

    plan = command("plan", commands.plan, "show every run with its state and the remaining cost")
    run = command("run", commands.run, "tune, do the final runs, write the report, judge the expectations; resumes when repeated")
    report = command("report", commands.report, "write the report from the store, without training")
    check = command("check", commands.check, "judge the expectations from the store, without training")
    show = command("show", commands.show, "print the records")
    fetch = command(
        "fetch",
        commands.fetch,
        "download everything that FILE needs into the hub's cache, for machines without a network",
    )
    for each in (plan, run, report, check, show, fetch):
        each.add_argument("file", metavar="FILE", type=Path, help="a study file, e.g. studies/all_losses.py")
        each.add_argument("--testbed", metavar="NAME", help="run on this testbed instead of the file's")
        each.add_argument("--tasks", metavar="A,B", help="evaluate only these mteb tasks ('' for none)")
        if each is fetch:
            continue
        each.add_argument(
            "--store", metavar="DIR", type=Path, help="folder of the records (default runs/<ablation>-<testbed>)"
        )
        each.add_argument("--trials", metavar="N", type=int, help="tuning trials per study")
        each.add_argument("--seeds", metavar="N", type=int, help="seeds of the final runs")
        each.add_argument("--rows", metavar="N", type=int, help="train on the first N rows")
        each.add_argument("--epochs", metavar="X", type=float, help="epochs per run")
        each.add_argument(
            "--precision",
            choices=("auto", "bf16", "fp16", "fp32"),
            help="training precision; auto: bf16 or fp16 on devices where it is faster",
        )
    for each in (plan, run, report, check):
        each.add_argument(
            "--allow-mixed",
            action="store_true",
            help="also judge runs that were made with different library versions or precisions",
        )
    for each in (plan, show, check):
        each.add_argument("--json", action="store_true", help="print one JSON document")
    for each in (run, report):
        each.add_argument(
            "--report", metavar="DIR", type=Path, help="folder of the report (default reports/<ablation>-<testbed>)"
        )
    for each in (run, check):
        each.add_argument("--strict", action="store_true", help="exit with 3 if a verdict is inconclusive")
    for each in (plan, run):
        each.add_argument(
            "--workers",
            metavar="N",
            type=int,
            help="worker processes (default: one per GPU, or one per --threads cores)",
        )
        each.add_argument(
            "--threads",
            metavar="N",
            type=int,
            help="threads per worker (default: 1, or a GPU's share of the cores); others change scores by about 5e-5",
        )
    check.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="also judge each study against the scores.csv of an earlier report",
    )
    check.add_argument(
        "--tolerance",
        metavar="X",
        type=float,
        help="tolerated loss against the baseline, on a 0 to 1 scale (default 0.005: 0.5 points)",
    )
    check.add_argument(
        "--figures",
        metavar="A,B",
        help="scores to compare with the baseline, e.g. stsb-test/spearman_cosine (the default),mteb/STS12; or: all",
    )
    check.add_argument("--junit", metavar="FILE", type=Path, help="write the verdicts as JUnit XML for CI systems")
    plan.add_argument(
        "--detect",
        metavar="X",
        type=float,
        help="show how many final seeds are needed to detect a difference of X (0.005: 0.5 points)",
    )
    plan.add_argument(
        "--sd",
        metavar="X",
        type=float,
        help="with --detect: standard deviation of the differences over seeds (default: estimated from the store)",
    )
    run.add_argument(
        "--until-decided", action="store_true", help="add final seeds, one at a time, while a verdict is inconclusive"
    )
    run.add_argument(
        "--max-seeds", metavar="N", type=int, help="with --until-decided: maximum number of final seeds per study"
    )
    run.add_argument("--only", metavar="STUDY", action="append", default=[], help="run only this study (repeatable)")
    run.add_argument(
        "--executor",
        choices=("local", "ray", "inline"),
        default="local",
        help="where runs are executed: worker processes, a Ray cluster (RAY_ADDRESS), or this process (for debugging)",
    )
    run.add_argument(
        "--runs-per-gpu", metavar="N", type=int, default=1, help="number of runs that share a GPU (default 1)"
    )
    run.add_argument(
        "--time-limit", metavar="MIN", type=float, help="stop a run after this many minutes and count it as failed"
    )
    run.add_argument("--retry-failed", action="store_true", help="repeat failed runs and those that ran out of memory")
    run.add_argument("--fail-fast", action="store_true", help="start no more runs after one has failed")
    run.add_argument(
        "--prune", action="store_true", help="stop trials with a poor dev curve early (budgets are then unequal)"
    )
    run.add_argument(
        "--keep-models", choices=("best", "all", "none"), default="best", help="which final models to save"
    )
    run.add_argument(
        "--report-to",
        metavar="NAME",
        action="append",
        default=[],
        choices=("tensorboard", "wandb", "mlflow"),
        help="trackers for the trainer (repeatable)",
    )
    run.add_argument(
        "--storage",
        metavar="URL",
        help="database for optuna-dashboard (default: SQLite in the store; none: no database)",
    )
    run.add_argument("--no-mteb", action="store_true", help="evaluate no mteb task, like --tasks ''")
    run.add_argument("--audit-only", action="store_true", help="audit the data, print the findings and train nothing")
    run.add_argument("--dry-run", action="store_true", help="show the plan and do nothing")
    calibrate = command(
        "calibrate", commands.calibrate, "reproduce published scores with the evaluator that judges every run"
    )
    calibrate.add_argument(
        "--testbed", metavar="NAME", default="book", help="testbed with the tasks and the test set (default book)"
    )
    calibrate.add_argument(
        "--models",
        metavar="A,B",
        help="published models to measure: hub ids, or ID=FOLDER for weights in a local folder",
    )
    calibrate.add_argument(
        "--tasks", metavar="A,B", help="only these mteb tasks ('' for none); STSB test is always measured"
    )
    calibrate.add_argument("--json", action="store_true", help="print one JSON document")
    compare = command(
        "compare", commands.compare, "compare two stores, e.g. of two library versions, machines or commits"
    )
    compare.add_argument("stores", metavar="STORE", type=Path, nargs=2)
    compare.add_argument("--json", action="store_true", help="print one JSON document")
    transfer = command(
        "transfer", commands.transfer, "compare the order of studies of one ablation on several testbeds"
    )
    transfer.add_argument("file", metavar="FILE", type=Path, help="a study file")
    transfer.add_argument("stores", metavar="STORE", type=Path, nargs="+", help="two or more stores, one per testbed")
    transfer.add_argument(
        "--report", metavar="DIR", type=Path, help="folder of the report (default reports/<ablation>-transfer)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
