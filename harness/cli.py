"""The command line: plan | run | report | check | show | compare | fetch."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.study import Ablation

EPILOG = """exit codes: 0 all well; 1 a check is violated; 2 a usage or study-file error;
3 incomplete (runs failed or missing), or inconclusive under --strict; 130 interrupted"""

OVERRIDES = ("testbed", "rows", "epochs", "trials", "seeds", "tasks", "precision")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors that a user can mend are one paragraph on stderr."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        return code
    except HarnessError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted: finished runs are stored; give the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare losses and data for training sentence embeddings: equal budgets, fresh seeds, intervals.",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=help, description=help, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.set_defaults(command=function)
        return made

    plan = command("plan", _plan, "show every run with its state and what is left to pay")
    run = command("run", _run, "tune, do the final runs, write the report, check; given again, it resumes")
    report = command("report", _report, "write the report from the store alone")
    check = command("check", _check, "judge the expectations from the store alone")
    show = command("show", _show, "print the records")
    fetch = command("fetch", _fetch, "fetch what FILE needs into the hub's cache, for machines without a network")
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
        each.add_argument("--precision", choices=("auto", "fp32"), help="auto: bf16 or fp16 where the device has it")
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
            "--workers", metavar="N", type=int, help="worker processes (default: one a GPU, or one a core)"
        )
    run.add_argument("--only", metavar="STUDY", action="append", default=[], help="run only this study (repeatable)")
    run.add_argument(
        "--executor", choices=("local", "inline"), default="local", help="worker processes, or this process (to debug)"
    )
    run.add_argument("--retry-failed", action="store_true", help="do failed runs again")
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
        "--storage", metavar="URL", help="where optuna-dashboard's mirror goes (default: SQLite in the store)"
    )
    run.add_argument("--no-mteb", action="store_true", help="evaluate no mteb task: --tasks ''")
    run.add_argument("--dry-run", action="store_true", help="show the plan and do nothing")
    compare = command("compare", _compare, "put two stores side by side: upgrades, machines, commits")
    compare.add_argument("stores", metavar="STORE", type=Path, nargs=2)
    compare.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _declared(options: argparse.Namespace) -> Ablation:
    """Load the study file and put the options in the place of what it says."""
    from harness.study import restrict
    from harness.study_file import load_study_file
    from harness.testbeds import by_name

    ablation = load_study_file(options.file)
    tasks = getattr(options, "tasks", None)
    given = {name: getattr(options, name, None) for name in ("rows", "epochs", "trials", "seeds", "precision")}
    if given["rows"] is not None and given["rows"] < 1:
        raise UsageError(f"--rows {given['rows']}: training needs at least 1 row")
    return restrict(
        ablation,
        testbed=by_name(options.testbed) if options.testbed else None,
        tasks=None if tasks is None else tuple(task.strip() for task in tasks.split(",") if task.strip()),
        **given,
    )


def _ablation(options: argparse.Namespace) -> tuple[Ablation, Path]:
    """Return the ablation and its store; options not given are those of the store's last run."""
    from harness.api import default_store

    folder: Path = options.store or default_store(_declared(options))
    last = folder / "last_run.json"
    if last.is_file():
        try:
            remembered = dict(json.loads(last.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as problem:
            raise UsageError(
                f"{last}: cannot be read ({problem}); delete it and give the run's options again"
            ) from problem
        for name in OVERRIDES:
            if getattr(options, name, None) is None:
                setattr(options, name, remembered.get(name))
    return _declared(options), folder


def _plan(options: argparse.Namespace) -> int:
    from harness import api
    from harness.listing import plan_as_dict

    ablation, folder = _ablation(options)
    plan = api.plan(ablation, folder)
    return _print_json(plan_as_dict(plan)) if options.json else _print_plan(plan, options.workers)


def _print_plan(plan: Plan, workers: int | None) -> int:
    from harness import provenance
    from harness.listing import plan_summary, plan_table

    _print_table(plan_table(plan))
    print("\n".join(plan_summary(plan, workers or provenance.default_workers())))
    return 0


def _run(options: argparse.Namespace) -> int:
    from harness import api
    from harness.check import check, exit_code
    from harness.records import as_json
    from harness.report import write_report
    from harness.store import create, write_atomically

    if options.no_mteb:
        options.tasks = ""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: give at least 1, or leave it out")
    for name in options.report_to:
        if find_spec(name) is None:
            raise UsageError(f"--report-to {name}: the package is not installed; pip install {name}")
    ablation = _declared(options)
    for name in options.only:
        if name not in (study.name for study in ablation.studies):
            raise UsageError(
                f"--only {name}: no such study; there are {', '.join(study.name for study in ablation.studies)}"
            )
    folder = options.store or api.default_store(ablation)
    if options.dry_run:
        return _print_plan(api.plan(ablation, folder), options.workers)
    from harness.driver import Options  # after all that can be wrong with the call: it imports optuna

    with create(folder, ablation.name, ablation.testbed.name).locked():  # a driver that is refused changes nothing
        write_atomically(folder / "last_run.json", as_json({name: getattr(options, name) for name in OVERRIDES}) + "\n")
    plan = api.run(
        ablation,
        folder,
        Options(
            only=tuple(options.only),
            retry_failed=options.retry_failed,
            fail_fast=options.fail_fast,
            prune=options.prune,
            keep_models=options.keep_models,
            report_to=tuple(options.report_to),
            storage=options.storage,
        ),
        workers=options.workers,
        executor=options.executor,
        study_file=options.file,
    )
    page = write_report(plan, options.report or api.default_report(ablation), _command(options))
    verdicts = check(plan)
    _print_verdicts(verdicts, plan)
    print(f"report: {page}")
    return exit_code(verdicts, plan, options.strict)


def _report(options: argparse.Namespace) -> int:
    from harness import api
    from harness.report import write_report

    ablation, folder = _ablation(options)
    plan = api.plan(ablation, api.load(folder).folder)
    print(write_report(plan, options.report or api.default_report(ablation), _command(options)))
    return 0


def _check(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from harness import api
    from harness.check import check, exit_code

    ablation, folder = _ablation(options)
    plan = api.plan(ablation, api.load(folder).folder)
    verdicts = check(plan)
    if options.json:
        _print_json(
            {"verdicts": [{**asdict(verdict), "expectation": str(verdict.expectation)} for verdict in verdicts]}
        )
    else:
        _print_verdicts(verdicts, plan)
    return exit_code(verdicts, plan, options.strict)


def _show(options: argparse.Namespace) -> int:
    from harness import api
    from harness.listing import records_as_dict, records_table

    _, folder = _ablation(options)
    records = api.load(folder).records()
    if options.json:
        return _print_json(records_as_dict(records))
    _print_table(records_table(records))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from harness import compare
    from harness.store import load

    left, right = (load(folder) for folder in options.stores)
    if options.json:
        return _print_json({"rows": json.loads(compare.compare(left, right).to_json(orient="records"))})
    print(compare.as_text(left, right))
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from harness import api

    missing = api.fetch(_declared(options))
    for task, reason in missing.items():
        print(f"missing: task {task}: {reason}", file=sys.stderr)
    return 3 if missing else 0


def _command(options: argparse.Namespace) -> str:
    """Write the command that makes the same runs again, from the options that decide results."""
    parts = ["harness run", str(options.file)]
    for name in OVERRIDES:
        value = getattr(options, name, None)
        if value is not None:
            parts.append(f"--{name} {value!r}" if value == "" else f"--{name} {value}")
    return " ".join(parts)


def _print_verdicts(verdicts: Sequence[Any], plan: Plan) -> None:
    for verdict in verdicts:
        print(verdict)
    for run in plan.runs:
        if run.state == "failed" and run.record is not None:
            last = (run.record.error or "").strip().splitlines()[-1:] or [""]
            print(f"failed: {run.study} {run.stage} {run.id}: {last[0]}")


def _print_json(document: Any) -> int:
    print(json.dumps(document, indent=1, ensure_ascii=False))
    return 0


def _print_table(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # piped: do not fold to the 80 columns of an unknown terminal
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
