"""harness run: tune, train, evaluate, report and judge; the same command resumes after an interruption."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.cli import arguments as of_several
from harness.cli import output
from harness.cli.overrides import command_line, declared, remembering
from harness.engine.options import Options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.findings import Audit
    from harness.spec.ablation import Ablation

HELP = "tune, do the final runs, write the report, judge the expectations; the same command resumes it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_several.study_and_store(parser)
    of_several.allow_mixed(parser)
    of_several.report(parser)
    of_several.strict(parser)
    of_several.workers(parser)
    parser.add_argument(
        "--until-decided",
        action="store_true",
        help="with --max-seeds N: add final seeds, one at a time, while a verdict is inconclusive",
    )
    parser.add_argument(
        "--max-seeds", metavar="N", type=int, help="with --until-decided: maximum number of final seeds per study"
    )
    of_several.only(parser, "run only this study")
    parser.add_argument(
        "--executor",
        choices=("local", "ray", "inline"),
        default="local",
        help="where runs are executed: worker processes, a Ray cluster (RAY_ADDRESS), or this process (for debugging)",
    )
    parser.add_argument(
        "--runs-per-gpu", metavar="N", type=int, default=1, help="number of runs that share a GPU (default 1)"
    )
    parser.add_argument(
        "--time-limit", metavar="MIN", type=float, help="stop a run after this many minutes and count it as failed"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="repeat failed runs and those that ran out of memory"
    )
    parser.add_argument("--fail-fast", action="store_true", help="start no more runs after one has failed")
    parser.add_argument(
        "--prune", action="store_true", help="stop trials with low dev scores early (budgets are then unequal)"
    )
    parser.add_argument(
        "--keep-models",
        choices=("best", "all", "none"),
        default="best",
        help="which models of final runs to save: those at each study's best point, all, or none (default best)",
    )
    parser.add_argument(
        "--report-to",
        metavar="NAME",
        action="append",
        default=[],
        choices=("tensorboard", "wandb", "mlflow"),
        help="also send the trainer's log to tensorboard, wandb or mlflow (repeatable)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database for optuna-dashboard (default: SQLite in the store; none: no database)",
    )
    of_several.no_mteb(parser)
    parser.add_argument(
        "--audit-only", action="store_true", help="audit the data, print the findings and train nothing"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan and do nothing, as `harness plan` does")


def command(options: argparse.Namespace) -> int:
    """Run the command, print to stdout, and return the exit code."""
    from harness import api
    from harness.engine.resolve import edited
    from harness.executors.signals import treat_sigterm_as_interrupt
    from harness.store.folder import create
    from harness.verdicts.judge import exit_code, judge

    ablation = _checked(options)
    folder = options.store or api.default_store(ablation)
    time_limit = 60 * options.time_limit if options.time_limit else None
    if options.audit_only:
        return _audit_only(api.audit(ablation, folder, only=options.only, time_limit=time_limit), ablation)
    asked = Options(
        only=tuple(options.only),
        retry_failed=options.retry_failed,
        fail_fast=options.fail_fast,
        prune=options.prune,
        keep_models=options.keep_models,
        report_to=tuple(options.report_to),
        storage=options.storage,
    )
    if options.dry_run:
        plan = api.plan(ablation, folder, asked)
        return output.print_plan(plan, options.workers, options.threads, edited(ablation, folder))
    treat_sigterm_as_interrupt()
    with remembering(create(folder, ablation.name, ablation.testbed.name), options):
        plan = api.run(
            ablation,
            folder,
            asked,
            workers=options.workers,
            threads=options.threads,
            executor=options.executor,
            runs_per_gpu=options.runs_per_gpu,
            time_limit=time_limit,
            study_file=options.file,
            allow_mixed=options.allow_mixed,
        )
    from harness.report import write_report  # matplotlib: loaded while the workers loaded torch, if any run was left

    again = command_line(options, plan.ablation.precision)
    page = write_report(plan, options.report or api.default_report(ablation), again)
    verdicts = judge(plan)
    output.print_verdicts(verdicts, plan)
    output.say(f"report: {page}")
    return exit_code(verdicts, plan, options.strict)


def _checked(options: argparse.Namespace) -> Ablation:
    """Return the ablation with the options applied.

    Raises:
        UsageError: an option, or a combination of options, is out of range.
    """
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: give at least 1, or leave it out")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads {options.threads}: give at least 1, or leave it out")
    if options.runs_per_gpu < 1:
        raise UsageError(f"--runs-per-gpu {options.runs_per_gpu}: give at least 1, or leave it out")
    if options.time_limit is not None and not options.time_limit > 0:
        raise UsageError(f"--time-limit {options.time_limit:g}: give more than 0 minutes, or leave it out")
    for name in options.report_to:
        if find_spec(name) is None:
            raise UsageError(f"--report-to {name}: the package is not installed; pip install {name}")
    if options.until_decided != (options.max_seeds is not None):
        raise UsageError("--until-decided and --max-seeds N go together: give both, or neither")
    ablation = declared(options)
    of_several.check_only(options.only, ablation)
    return ablation


def _audit_only(audit: Audit, ablation: Ablation) -> int:
    """Print an audit and return its exit code."""
    from harness.audit.outcome import exit_code
    from harness.cli.tables import audit_table

    output.print_table(audit_table(audit, ablation.testbed.name))
    for finding in audit.findings:
        if finding.severity != "note":
            output.say(f"{finding.severity}: {finding.where}: {finding.explain}")
    return exit_code(audit)
