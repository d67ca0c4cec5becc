"""The report's tables of tuning budgets: trials of each study, and the further seeds of its best trials."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from harness.planning.choice import rivals
from harness.report.facts import Facts, Row, succeeded
from harness.report.tables import Table
from harness.spec.space import Point
from harness.store.records import Record
from harness.text import NONE, count, escape, score


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


def choice(facts: Facts) -> str:
    """Return, in markdown, how each study's best point was chosen among its best trials; empty without repeats."""
    rows = []
    for row in facts.studies:
        again: dict[Point | None, list[Record]] = {}
        for run in row.repeats:
            if run.record is not None and not run.tuning:
                again.setdefault(run.point, []).append(run.record)
        for trial in rivals(run.record for run in row.trials if run.record is not None) if again else ():
            repeats = again.get(trial.point, [])
            scores = [r.dev_score for r in (trial, *repeats) if r.outcome == "ok" and r.dev_score is not None]
            lost = sorted({r.outcome for r in repeats if r.outcome != "ok"})
            words = ", ".join([f"{len(scores)} runs", *lost])
            chosen = "yes" if row.winner is not None and trial.id == row.winner.id else "no"
            cells = (escape(trial.point), str(trial.trial), score(trial.dev_score), score(fmean(scores)), words, chosen)
            rows.append((escape(row.name), *cells))
    if not rows:
        return ""
    header = ("study", "point", "trial", "dev in its trial", "dev, mean", "of", "chosen")
    return f"How the best point was chosen (the first tuning):\n\n{Table(header, tuple(rows)).markdown()}"


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
