"""What each command does: takes the parsed options, prints to stdout, returns the exit code.

Heavy imports stand inside the functions, so that `harness --help` and a mistyped option answer at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.overrides import OVERRIDES, ablation_and_store, command, declared
from harness.engine.options import Options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.spec.ablation import Ablation
    from harness.verdicts.power import Detection


def plan(options: argparse.Namespace) -> int:
    from harness import api
    from harness.cli.tables import plan_as_dict

    ablation, folder = ablation_and_store(options)
    plan = api.plan(ablation, folder, study_file=options.file, allow_mixed=options.allow_mixed)
    found = _detections(plan, options)
    if options.json:
        return _print_json(plan_as_dict(plan) | ({"detect": [asdict(one) for one in found]} if found else {}))
    _print_plan(plan, options.workers, options.threads)
    for detection in found:
        print(detection)
    return 0


def _detections(plan: Plan, options: argparse.Namespace) -> list[Detection]:
    """Return how many final seeds each claim needs for the difference that --detect gives; nothing without it."""
    if options.detect is None:
        if options.sd is not None:
            raise UsageError("--sd is the spread that --detect reckons with; give --detect, too")
        return []
    from harness.verdicts.power import detections

    return detections(plan, options.detect, options.sd)


def _print_plan(plan: Plan, workers: int | None, threads: int | None) -> int:
    from harness import provenance
    from harness.cli.tables import plan_summary, plan_table
    from harness.planning.mixing import made_otherwise

    _print_table(plan_table(plan))
    print("\n".join(plan_summary(plan, workers or provenance.default_workers(threads or 1))))
    for note in made_otherwise(plan):
        print(f"note: {note}")
    return 0


def run(options: argparse.Namespace) -> int:
    from harness import api
    from harness.executors.signals import end_on_sigterm_too
    from harness.files import as_json, write_atomically
    from harness.store.folder import create
    from harness.verdicts.judge import exit_code, judge

    if options.no_mteb:
        options.tasks = ""
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
        raise UsageError(
            "--until-decided and --max-seeds go together: add final seeds until decided, at most N a study"
        )
    ablation = declared(options)
    if ablation.budget.max_seeds is not None and options.only:
        raise UsageError("--until-decided needs every study's runs to look at; leave out --only")
    for name in options.only:
        if name not in (study.name for study in ablation.studies):
            raise UsageError(
                f"--only {name}: no such study; there are {', '.join(study.name for study in ablation.studies)}"
            )
    folder = options.store or api.default_store(ablation)
    if options.audit_only:
        return _audit_only(ablation, folder, options.only)
    if options.dry_run:
        return _print_plan(api.plan(ablation, folder), options.workers, options.threads)
    end_on_sigterm_too()
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
        threads=options.threads,
        executor=options.executor,
        runs_per_gpu=options.runs_per_gpu,
        time_limit=60 * options.time_limit if options.time_limit else None,
        study_file=options.file,
        allow_mixed=options.allow_mixed,
    )
    from harness.report import write_report  # matplotlib: loaded while the workers loaded torch, if any run was left

    page = write_report(plan, options.report or api.default_report(ablation), command(options))
    verdicts = judge(plan)
    _print_verdicts(verdicts, plan)
    print(f"report: {page}")
    return exit_code(verdicts, plan, options.strict)


def _audit_only(ablation: Ablation, folder: Path, only: Sequence[str]) -> int:
    from harness import api
    from harness.audit import cache
    from harness.cli.tables import audit_table

    found = api.audit(ablation, folder, only=only)
    _print_table(audit_table(found, ablation.testbed.name))
    for finding in found.findings:
        if finding.severity != "note":
            print(f"{finding.severity}: {finding.where}: {finding.explain}")
    return cache.exit_code(found)


def report(options: argparse.Namespace) -> int:
    from harness import api
    from harness.report import write_report

    ablation, folder = ablation_and_store(options)
    plan = _from_store(ablation, folder, options)
    print(write_report(plan, options.report or api.default_report(ablation), command(options)))
    return 0


def check(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from harness.audit import cache
    from harness.files import write_atomically
    from harness.scores import HEADLINE
    from harness.verdicts import hindsight
    from harness.verdicts.baseline import TOLERANCE, against, read_baseline
    from harness.verdicts.judge import exit_code, judge, unfinished
    from harness.verdicts.junit import junit_xml
    from harness.verdicts.order import orders

    for name in ("tolerance", "figures"):
        if options.baseline is None and getattr(options, name) is not None:
            raise UsageError(f"--{name} is about a baseline; give --baseline FILE.csv, too")
    baseline = None if options.baseline is None else read_baseline(options.baseline)
    ablation, folder = ablation_and_store(options)
    plan = _from_store(ablation, folder, options)
    verdicts, regressions = judge(plan), []
    if baseline is not None:
        named = HEADLINE if options.figures is None else options.figures
        figures = baseline.figures if named == "all" else [name.strip() for name in named.split(",") if name.strip()]
        tolerance = TOLERANCE if options.tolerance is None else options.tolerance
        regressions = against(plan, baseline, figures, tolerance)
    if options.json:
        audited = cache.of_plan(plan)
        document = {
            "audit": None if audited is None else [asdict(finding) for finding in audited.findings],
            "verdicts": [asdict(verdict) for verdict in verdicts],
            "unfinished": unfinished(plan),
            "orders": [asdict(order) for order in orders(plan)],
            "looks": plan.looks,
            "notes": hindsight.notes(plan),
        }
        _print_json(document | ({"baseline": [asdict(v) for v in regressions]} if baseline is not None else {}))
    else:
        _print_verdicts(verdicts, plan)
        if baseline is not None:
            print(f"against {options.baseline}:")
        for regression in regressions:
            print(regression)
    if options.junit is not None:
        write_atomically(options.junit, junit_xml(plan, [*verdicts, *regressions], options.strict))
    return exit_code([*verdicts, *regressions], plan, options.strict)


def _from_store(ablation: Ablation, folder: Path, options: argparse.Namespace) -> Plan:
    """Return the plan of a store that must exist."""
    from harness import api

    existing = api.load(folder).folder
    return api.plan(ablation, existing, study_file=options.file, allow_mixed=options.allow_mixed)


def show(options: argparse.Namespace) -> int:
    from harness import api
    from harness.cli.tables import records_as_dict, records_table

    _, folder = ablation_and_store(options)
    records = api.load(folder).records()
    if options.json:
        return _print_json(records_as_dict(records))
    _print_table(records_table(records))
    return 0


def compare(options: argparse.Namespace) -> int:
    from harness.store.folder import load
    from harness.verdicts import compare

    left, right = (load(folder) for folder in options.stores)
    if options.json:
        rows = json.loads(compare.compare(left, right).to_json(orient="records"))
        differing = [dict(zip(("what", "left", "right"), one, strict=True)) for one in compare.differences(left, right)]
        return _print_json({"differs": compare.what_differs(left, right), "differences": differing, "rows": rows})
    print(compare.as_text(left, right))
    return 0


def transfer(options: argparse.Namespace) -> int:
    from harness import api
    from harness.report.transfer import write_transfer
    from harness.spec.loading import load_study_file
    from harness.store.folder import load
    from harness.verdicts.judge import exit_code
    from harness.verdicts.transfer import agreements, side

    if len(options.stores) < 2:
        raise UsageError("transfer compares testbeds: give the stores of at least two")
    own, plans = load_study_file(options.file).testbed.name, []
    for folder in options.stores:
        store = load(folder)
        given = argparse.Namespace(
            file=options.file, store=folder, testbed=None if store.testbed == own else store.testbed
        )
        ablation, _ = ablation_and_store(given)
        plans.append(api.plan(ablation, folder))
    names = [plan.ablation.testbed.name for plan in plans]
    if len(set(names)) < len(names):
        raise UsageError(
            f"the stores are of testbeds {', '.join(names)}; `harness compare` puts two of one side by side"
        )
    sides = [side(plan) for plan in plans]
    found = agreements(sides)
    page = write_transfer(sides, found, options.report or Path("reports") / f"{plans[0].ablation.name}-transfer")
    for agreement in found:
        print(agreement)
    print(f"report: {page}")
    return max(exit_code([], plan, False) for plan in plans)


def calibrate(options: argparse.Namespace) -> int:
    from rich.console import Console

    from harness.cli.tables import calibration_as_dicts, calibration_table
    from harness.evaluation.calibrate import calibrate as measure
    from harness.evaluation.published import SOURCE, TOLERANCE, exit_code, rows, subjects
    from harness.testbeds import by_name

    models, testbed = subjects(options.models), by_name(options.testbed)
    tasks = None if options.tasks is None else [task.strip() for task in options.tasks.split(",") if task.strip()]
    found = measure(models, rows(models, testbed, tasks), testbed, Console(stderr=True))
    if options.json:
        _print_json({"source": SOURCE, "tolerance": TOLERANCE, "rows": calibration_as_dicts(found)})
    else:
        _print_table(calibration_table(found))
    return exit_code(found)


def fetch(options: argparse.Namespace) -> int:
    from harness import api

    missing = api.fetch(declared(options))
    for task, reason in missing.items():
        print(f"missing: task {task}: {reason}", file=sys.stderr)
    return 3 if missing else 0


def _print_verdicts(verdicts: Sequence[Any], plan: Plan) -> None:
    from harness.planning.mixing import made_otherwise
    from harness.verdicts import hindsight
    from harness.verdicts.order import orders
    from harness.verdicts.until_decided import saved

    economy = saved(plan)
    notes = [*hindsight.notes(plan), *made_otherwise(plan), *([f"until decided: {economy}"] if economy else [])]
    for line in (*verdicts, *orders(plan), *(f"note: {note}" for note in notes)):
        print(line)
    for run in plan.runs:
        if run.state == "failed" and run.record is not None:
            last = (run.record.error or "").strip().splitlines()[-1:] or [""]
            print(f"failed: {run.study} {run.stage} {run.id}: {last[0]}")


def _print_json(document: Any) -> int:
    from harness.files import finite

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(finite(document), indent=1, ensure_ascii=not unicode, allow_nan=False))
    return 0


def _print_table(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # piped: do not fold to the 80 columns of an unknown terminal
    console.print(table)
