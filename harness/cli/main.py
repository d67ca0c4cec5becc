"""The command line: plan | run | report | check | show | compare | fetch | calibrate | transfer."""

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
"""EX_SOFTWARE of <sysexits.h>; 1, which Python gives for an error that nobody caught, is a violated check here."""

EPILOG = """exit codes, of every command:
  0    all well
  1    violated: an expectation, a comparison with a baseline, a published score (run, check and calibrate alone)
  2    an error of usage, of the study file or of the data, or another driver has the store; nothing was trained
  3    incomplete: runs failed or are missing, a store, model or data set cannot be read or written; or, where --strict
       is given, a verdict is inconclusive
  70   an unexpected error, a defect of the harness: one line says where its traceback is
  130  interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; as a program (no `arguments`), whatever becomes of its output."""
    if arguments is not None:
        return _code(arguments)
    if sys.getfilesystemencoding() != "utf-8":  # else a study called "größer" could not name a folder
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    out, _ = streams.guard()
    code = _code(sys.argv[1:])
    sys.stdout.flush()
    if out.problem is None or isinstance(out.problem, BrokenPipeError):  # whoever read it has read enough
        return code
    print(f"error: stdout cannot be written ({out.problem.strerror}): what was printed there is lost", file=sys.stderr)
    return code or UNEXPECTED


def _code(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors that a user can fix are one paragraph on stderr."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.command(options)
        return code
    except HarnessError as problem:
        print(f"error: {provenance.without_secrets(str(problem))}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished runs are stored; give the same command again to go on", file=sys.stderr)
        return 130
    except Exception as problem:
        print(_unexpected(problem), file=sys.stderr)
        return UNEXPECTED


def _unexpected(problem: Exception) -> str:
    """Say in a line what nobody foresaw and where its traceback is kept; the traceback itself where it cannot be."""
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
        f"error: unexpected {provenance.without_secrets(first)}; this is a defect of the harness: please report it "
        f"with the traceback in {file.name}; finished runs are stored"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare losses and data for training sentence embeddings: equal budgets, fresh seeds, intervals.",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made = subcommands.add_parser(
            name, help=help, description=help, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.set_defaults(command=function)
        return made

    plan = command("plan", commands.plan, "show every run with its state and what is left to pay")
    run = command("run", commands.run, "tune, do the final runs, write the report, check; given again, it resumes")
    report = command("report", commands.report, "write the report from the store alone")
    check = command("check", commands.check, "judge the expectations from the store alone")
    show = command("show", commands.show, "print the records")
    fetch = command(
        "fetch", commands.fetch, "fetch what FILE needs into the hub's cache, for machines without a network"
    )
    for each in (plan, run, report, check, show, fetch):
        each.add_argument("file", metavar="FILE", type=Path, help="a study file, e.g. studies/all_losses.py")
        each.add_argument("--testbed", metavar="NAME", help="run on this testbed instead of the file's")
        each.add_argument("--tasks", metavar="A,B", help="evaluate only these mteb tasks ('' for none)")
        if each is fetch:
            continue
        each.add_argument(
            "--store", metavar="DIR", type=Path, help="where records are (default runs/<ablation>-<testbed>)"
        )
        each.add_argument("--trials", metavar="N", type=int, help="tuning trials a study")
        each.add_argument("--seeds", metavar="N", type=int, help="seeds of the final runs")
        each.add_argument("--rows", metavar="N", type=int, help="train on the first N rows")
        each.add_argument("--epochs", metavar="X", type=float, help="epochs a run")
        each.add_argument(
            "--precision",
            choices=("auto", "bf16", "fp16", "fp32"),
            help="auto: bf16 or fp16 where the device is faster at it",
        )
    for each in (plan, run, report, check):
        each.add_argument(
            "--allow-mixed",
            action="store_true",
            help="judge runs all the same that other versions of the libraries, or other precisions, made",
        )
    for each in (plan, show, check):
        each.add_argument("--json", action="store_true", help="print one JSON document")
    for each in (run, report):
        each.add_argument(
            "--report", metavar="DIR", type=Path, help="where the report goes (default reports/<ablation>-<testbed>)"
        )
    for each in (run, check):
        each.add_argument("--strict", action="store_true", help="exit with 3 if a verdict is inconclusive")
    for each in (plan, run):
        each.add_argument(
            "--workers", metavar="N", type=int, help="worker processes (default: one a GPU, or one for every --threads)"
        )
        each.add_argument(
            "--threads",
            metavar="N",
            type=int,
            help="threads of each worker (default: 1, or a GPU's share of the cores); others move scores by some 5e-5",
        )
    check.add_argument(
        "--baseline", metavar="FILE", type=Path, help="judge each study against an earlier report's scores.csv, too"
    )
    check.add_argument(
        "--tolerance",
        metavar="X",
        type=float,
        help="the loss against the baseline that is tolerated, in points of 1.0 (default 0.005: half a printed point)",
    )
    check.add_argument(
        "--figures",
        metavar="A,B",
        help="what is compared with the baseline, e.g. stsb-test/spearman_cosine (the default),mteb/STS12; or: all",
    )
    check.add_argument(
        "--junit", metavar="FILE", type=Path, help="write the verdicts as JUnit XML, each a test, for CI systems"
    )
    plan.add_argument(
        "--detect",
        metavar="X",
        type=float,
        help="say how many final seeds a difference of X needs (.005: half a point)",
    )
    plan.add_argument(
        "--sd",
        metavar="X",
        type=float,
        help="with --detect: spread of the differences over seeds (default: the store's)",
    )
    run.add_argument(
        "--until-decided", action="store_true", help="add final seeds, one at a time, where a verdict is still open"
    )
    run.add_argument("--max-seeds", metavar="N", type=int, help="with --until-decided: at most N final seeds a study")
    run.add_argument("--only", metavar="STUDY", action="append", default=[], help="run only this study (repeatable)")
    run.add_argument(
        "--executor",
        choices=("local", "ray", "inline"),
        default="local",
        help="worker processes, a Ray cluster (RAY_ADDRESS), or this process (to debug)",
    )
    run.add_argument("--runs-per-gpu", metavar="N", type=int, default=1, help="runs that share a GPU (default 1)")
    run.add_argument(
        "--time-limit", metavar="MIN", type=float, help="stop a run that takes more minutes; it has failed"
    )
    run.add_argument(
        "--retry-failed", action="store_true", help="do failed runs again, and those that ran out of memory"
    )
    run.add_argument("--fail-fast", action="store_true", help="start no more runs once one failed")
    run.add_argument(
        "--prune", action="store_true", help="stop hopeless trials on their dev curve (budgets are then unequal)"
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
        help="where optuna-dashboard's mirror goes (default: SQLite in the store; none: nowhere)",
    )
    run.add_argument("--no-mteb", action="store_true", help="evaluate no mteb task: --tasks ''")
    run.add_argument("--audit-only", action="store_true", help="audit the data, print what was found and train nothing")
    run.add_argument("--dry-run", action="store_true", help="show the plan and do nothing")
    calibrate = command(
        "calibrate", commands.calibrate, "reproduce published scores with the evaluator that judges every run"
    )
    calibrate.add_argument("--testbed", metavar="NAME", default="book", help="whose tasks and test set (default book)")
    calibrate.add_argument(
        "--models", metavar="A,B", help="which published models: hub ids, or ID=FOLDER for weights in a local folder"
    )
    calibrate.add_argument(
        "--tasks", metavar="A,B", help="only these mteb tasks ('' for none); STSB test is always measured"
    )
    calibrate.add_argument("--json", action="store_true", help="print one JSON document")
    compare = command("compare", commands.compare, "put two stores side by side: upgrades, machines, commits")
    compare.add_argument("stores", metavar="STORE", type=Path, nargs=2)
    compare.add_argument("--json", action="store_true", help="print one JSON document")
    transfer = command(
        "transfer", commands.transfer, "one ablation on several testbeds: does the order of studies hold?"
    )
    transfer.add_argument("file", metavar="FILE", type=Path, help="the study file; its testbed, or one by its name")
    transfer.add_argument("stores", metavar="STORE", type=Path, nargs="+", help="a store of each testbed, two or more")
    transfer.add_argument(
        "--report", metavar="DIR", type=Path, help="where the page goes (default reports/<ablation>-transfer)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
