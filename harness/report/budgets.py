"""The report's table of tuning budgets: trials planned and scored in each study, and examples seen per trial."""

from __future__ import annotations

from collections import Counter

from harness.report.facts import Facts, Row, succeeded
from harness.report.tables import Table
from harness.text import NONE, count, escape


def given(facts: Facts) -> Table:
    """Return one row per study: trials by outcome, distinct points, and examples and steps of the scored trials."""
    header = (
        *("study", "trials", "scored", "not scored", "distinct points", "first point", "examples per trial", "steps"),
        "trials from other searches",
    )
    rows = tuple(
        (
            escape(row.name),
            str(len(row.trials)),
            str(len(succeeded(row.trials))),
            _others(row) or NONE,
            str(len(row.scored_points)),
            next((escape(run.point) for run in row.trials if run.point is not None), NONE),
            _range([record.examples_seen for record in succeeded(row.trials)]),
            _range([record.steps for record in succeeded(row.trials)]),
            str(facts.plan.strays.get(row.name) or NONE),
        )
        for row in facts.studies
    )
    return Table(header, rows)


def _others(row: Row) -> str:
    outcomes = Counter(
        "not done" if run.record is None else run.record.outcome
        for run in row.trials
        if run.record is None or run.record.outcome != "ok"
    )
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))


def _range(numbers: list[int]) -> str:
    if not numbers:
        return NONE
    low, high = min(numbers), max(numbers)
    return count(low) if low == high else f"{count(low)} to {count(high)}"
