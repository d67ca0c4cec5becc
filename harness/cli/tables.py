"""Terminal tables and JSON documents of plans, records, audits and calibrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.data.findings import SEVERITIES, Audit
from harness.engine.progress import spell
from harness.evaluation.published import Row
from harness.planning.default_point import outside_notes
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.stats.intervals import Interval
from harness.store.records import STAGES, Record
from harness.text import counted, failure, shown
from harness.verdicts.results import Result
from harness.verdicts.words import bounds


def _table(title: str) -> Table:
    """Return an empty table; neither its title nor its cells are read as rich's markup."""
    return Table(title=Text(shown(title)), title_justify="left")


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(shown(cell)) for cell in cells))


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON's types: the ablation's budget and every run with its state.

    A run has no id before the first `harness run` has read the data, whose content is part of it.
    """
    ablation = plan.ablation
    has_ids = bool(ablation.testbed.contents)
    return {
        "ablation": ablation.name,
        "testbed": ablation.testbed.name,
        "rows": ablation.testbed.max_rows,
        "tasks": list(ablation.testbed.tasks),
        "precision": ablation.precision,
        "contents": ablation.testbed.hashes(),
        "seconds_left": plan.seconds_left(),
        "trials_of_other_searches": dict(plan.strays),
        "runs": [
            {
                "id": run.id if has_ids else None,
                "study": run.study,
                "stage": run.stage,
                "trial": run.trial,
                "seed": run.seed,
                "roles": list(run.roles),
                "state": run.state,
                "point": run.point.as_dict() if run.point else None,
            }
            for run in plan.runs
        ],
    }


LONG = 400
"""A plan with more runs is shown without the points of its trials, because rich would take seconds."""


def plan_table(plan: Plan) -> Table:
    """Return a table of the runs by study, stage, point and state; without the trials' points if there are many."""
    table = _table(f"{plan.ablation.name} on {plan.ablation.testbed.name}: {counted(len(plan.runs), 'run')}")
    for column in ("study", "stage", "point", "seeds", "runs", "state"):
        table.add_column(column, overflow="fold")
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for run in plan.runs:
        point = str(run.point) if run.point else "" if run.stage == "untrained" else "chosen by the search"
        if run.stage == "tune" and len(plan.runs) > LONG:
            point = "one per trial"
        what = run.stage if not run.roles else f"{run.stage} ({' and '.join(run.roles)})"
        groups.setdefault((run.study, what, point), []).append(run)
    for (study, what, point), runs in groups.items():
        seeds = sorted({run.seed for run in runs})
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        states = Counter(run.state for run in runs)
        _add(
            table,
            study,
            what,
            point,
            span,
            str(len(runs)),
            ", ".join(f"{n} {s}" if len(states) > 1 else s for s, n in states.items()),
        )
    return table


def plan_summary(plan: Plan, workers: int) -> list[str]:
    """Return the lines below a plan: states, estimated remaining time, and shortfalls of trials or rows."""
    counts = Counter(run.state for run in plan.runs)
    lines = [", ".join(f"{counts[state]} {state}" for state in ("done", "to do", "waiting", "failed") if counts[state])]
    seconds = plan.seconds_left()
    if plan.unfinished():
        lines.append(
            "no time estimate: this store has no comparable runs yet"
            if seconds is None
            else f"about {spell(seconds / workers)} with {counted(workers, 'worker')}"
        )
    planned = {run.study for run in plan.runs}
    for study in plan.ablation.studies:
        if study.name in planned and (trials := plan.ablation.trials(study)) < plan.ablation.budget.trials:
            lines.append(
                f"{study.name}: {counted(trials, 'trial')} instead of {plan.ablation.budget.trials}: "
                "its space has no more points"
            )
    lines += outside_notes(plan.ablation, planned)
    budget = plan.ablation.budget
    if max(budget.seeds, budget.max_seeds or 0) == 1:
        lines.append(
            "1 final seed: the spread over seeds will be unknown, so claims about trained studies stay inconclusive; "
            "--seeds 2 or more would show it"
        )
    lines += plan.stray_trials()
    requested = plan.ablation.testbed.max_rows
    trained = [r for r in plan.runs if r.stage != "untrained"]
    used = [r.record.rows for r in plan.runs if r.record and r.record.rows]
    pair_class = [
        r.record for r in trained if r.record and r.record.rows and plan.ablation.study(r.study).reads == "pair-class"
    ]
    if requested is None:
        return lines
    if pair_class and pair_class[0].rows < requested:
        lines.append(f"the testbed has {pair_class[0].rows} labelled rows, {requested} were requested")
    elif used and max(used) > requested:
        lines.append(f"runs used more rows than the {requested} requested")
    return lines


def records_as_dict(records: Sequence[Record]) -> dict[str, Any]:
    """Return records as one JSON document, without predictions."""
    plain = []
    for record in records:
        fields = record.as_dict()
        del fields["items"]
        plain.append(fields)
    return {"records": plain}


ROOM = 120
"""Columns of characters that the full table of records needs; narrower ones have only what a reader looks for."""


def records_table(records: Sequence[Record], width: int) -> Table:
    """Return a table with one row per record; whatever the width, the scores x 100 and outcomes are never cut.

    Args:
        records: the records.
        width: the number of characters that a line has.
    """
    table = _table(f"{counted(len(records), 'record')}; scores x 100")
    full = width >= ROOM
    if not full:
        table.box, table.caption = SIMPLE_HEAD, "--wide or --json shows ids, points, steps and time"
    for column in ("id", "study", "stage", "trial", "seed", "point", "outcome") if full else ("study", "run"):
        table.add_column(column, overflow="fold", no_wrap=column in ("id", "stage", "run", "outcome"))
    if not full:
        table.add_column("outcome", no_wrap=True)
    for column in ("dev", "test", "steps", "time") if full else ("dev", "test"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in sorted(records, key=lambda r: (r.study, STAGES.index(r.stage), r.trial or 0, str(r.point), r.seed)):
        scores = [f"{100 * r.scores[name]:.2f}" if name in r.scores else "" for name in (r.objective, r.headline)]
        if full:
            trial, cost = "" if r.trial is None else str(r.trial), spell(r.train_seconds + r.eval_seconds)
            cells = [r.id, r.study, r.stage, trial, str(r.seed), str(r.point or ""), r.outcome, *scores]
            _add(table, *cells, str(r.steps), cost)
        else:
            _add(table, r.study, _run(r), r.outcome, *scores)
    return table


def result_table(lines: Sequence[Result], plan: Plan, width: int) -> Table:
    """Return the result table, best study first; scores multiplied by 100, 95 percent intervals in brackets.

    Args:
        lines: the studies.
        plan: their plan.
        width: the number of characters that a line has; if it is small, less important columns are left out.
    """
    headline = plan.ablation.testbed.headline
    table = _table(f"{headline} × 100, final runs at each study's best point")
    full = width >= ROOM
    if not full:
        table.box = SIMPLE_HEAD
    table.add_column("study", overflow="fold")
    for column in ("mean", "to the best"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", overflow="fold")
    for column in ("at default", "minutes") if full else ():
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        seeds = "" if line.study == UNTRAINED else str(line.seeds)
        if line.seeds < line.planned:
            seeds = f"{line.seeds} of {line.planned}"
        if line.diverged:
            seeds += f", {line.diverged} diverged"
        table.add_row(
            Text(shown(line.study), style="bold" if line.rank == 1 else ""),
            _with_bounds(line.mean, line.interval, ".1f"),
            _with_bounds(line.to_best, line.to_best_interval, "+.1f"),
            seeds,
            *(["" if line.default is None else f"{100 * line.default:.1f}", f"{line.minutes:.1f}"] if full else []),
        )
    return table


def _with_bounds(value: float | None, interval: Interval | None, form: str) -> str:
    if value is None:
        return ""
    return f"{100 * value:{form}}" + (f" {bounds(interval)}" if interval is not None else "")


def _run(record: Record) -> str:
    if record.trial is not None:
        return f"trial {record.trial}"
    if record.stage == "untrained":
        return ""
    return f"repeat, seed {record.seed}" if record.stage == "repeat" else f"seed {record.seed}"


def failures(records: Sequence[Record]) -> list[str]:
    """Return a line for each record without scores: which run it is, and why it has none."""
    return [
        f"{r.outcome}: {' '.join(part for part in (r.study, _run(r), f'({r.id})') if part)}: {failure(r.error)}"
        for r in sorted(records, key=lambda r: (r.study, STAGES.index(r.stage), r.trial or 0, r.seed))
        if r.outcome != "ok" and r.error
    ]


def audit_table(audit: Audit, testbed: str) -> Table:
    """Return a table with one row per finding, errors first, and the number of each severity."""
    numbers = ", ".join(counted(len(audit.of(severity)), severity) for severity in SEVERITIES)
    table = _table(f"audit of testbed {testbed}: {numbers}")
    for column in ("severity", "where", "what"):
        table.add_column(column, overflow="fold")
    for column in ("count", "of"):
        table.add_column(column, justify="right")
    for finding in audit.findings:
        _add(
            table,
            finding.severity,
            finding.where,
            finding.what,
            *(f"{n:,.4g}" if n % 1 else f"{n:,.0f}" for n in (finding.count, finding.of)),
        )
    return table


def calibration_as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a calibration's rows as JSON's types; scores on a 0 to 1 scale."""
    return [
        {
            "model": row.model,
            "figure": row.figure,
            "published": row.published,
            "measured": row.measured,
            "outcome": row.outcome,
            "reason": row.reason,
        }
        for row in rows
    ]


def calibration_table(rows: Sequence[Row]) -> Table:
    """Return a table of published and measured scores, multiplied by 100."""
    table = Table()
    for column in ("model", "figure", "published", "measured", "difference", "outcome"):
        table.add_column(column, overflow="fold", justify="right" if column in _NUMBERS else "left")
    for row in rows:
        comparable = row.published is not None and row.measured is not None
        _add(
            table,
            row.model,
            row.figure,
            "" if row.published is None else f"{100 * row.published:.2f}",
            "" if row.measured is None else f"{100 * row.measured:.2f}",
            f"{100 * ((row.measured or 0) - (row.published or 0)):+.3f}" if comparable else "",
            row.outcome + (f": {row.reason}" if row.reason else ""),
        )
    return table


_NUMBERS = ("published", "measured", "difference")
