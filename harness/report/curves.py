"""Tuning curves: the best dev score against trials and minutes, and what the best of k points is expected to be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from harness.planning.plan import START_UP
from harness.report.facts import Facts, Row
from harness.report.tables import NONE, Table, escape, score
from harness.scores import OBJECTIVE
from harness.stats.expected_best import expected_best


def best_against_minutes(row: Row) -> list[tuple[float, float]]:
    """Return (minutes of all trials so far, best dev Spearman so far) after each ended trial from the first success on.

    Minutes are those of training and scoring, one trial after another, whatever ran side by side; trials without a
    score cost theirs.
    """
    curve: list[tuple[float, float]] = []
    minutes = 0.0
    for record in (run.record for run in row.trials if run.record is not None):
        minutes += (record.train_seconds + record.eval_seconds) / 60
        known = [record.scores[OBJECTIVE]] if record.outcome == "ok" and OBJECTIVE in record.scores else []
        known += [curve[-1][1]] if curve else []
        if known:
            curve.append((minutes, max(known)))
    return curve


def expected(row: Row) -> tuple[float | None, ...]:
    """Return the expected best dev score of k of the points fixed in advance, for k from 1; empty until all have ended.

    The default point is left out: it was not drawn from the space but chosen for what is known of it, and no search
    meets it at a random place. Later trials are left out because the sampler chose them by the earlier scores.
    """
    fixed = [run.record for run in row.trials if run.trial is not None and 1 <= run.trial < START_UP]
    records = [record for record in fixed if record is not None]
    if len(records) < len(fixed):
        return ()
    return expected_best([r.scores.get(OBJECTIVE) if r.outcome == "ok" else None for r in records])


def section(facts: Facts, figure: str) -> Iterable[str]:
    """Yield the report's section on tuning curves; `figure` is the markdown that shows theirs."""
    yield "## Tuning curves"
    yield figure
    yield (
        "Each trial's best dev score so far, against trials and against the minutes that they took one after another: "
        "what this search found, in its own order."
    )
    all_curves = {row.name: expected(row) for row in facts.studies}
    curves = {name: curve for name, curve in all_curves.items() if any(mean is not None for mean in curve)}
    most = max(map(len, curves.values()), default=0)
    if most < 2:
        yield "No expected best: fewer than two points that were fixed in advance have ended."
        return
    yield f"**{_answer(curves, most)}**"
    yield _table(facts, curves, most).markdown()
    yield (
        f"*Best of k points*: the mean, over all choices of k of the {most} points fixed in advance, of the best dev "
        "score among them: the luck of their order is averaged out (Tang et al., 2020). The default point, which is "
        "always tried first, stands apart, and the sampler's later points are not in it. These points are spread "
        "evenly and not drawn at random, and each was trained once: other points or seeds give other numbers, and no "
        "verdict rests on these."
        + (
            " –: a choice of so many points may hold no score."
            if any(None in curve for curve in curves.values())
            else ""
        )
    )


def _table(facts: Facts, curves: dict[str, tuple[float | None, ...]], most: int) -> Table:
    shown = sorted({1, 2, 4, most} & set(range(1, most + 1)))
    rows = []
    for row in facts.studies:
        curve = curves.get(row.name, ())
        first = row.trials[0].record if row.trials else None
        default = first.scores.get(OBJECTIVE) if first is not None and first.outcome == "ok" else None
        cells = (score(curve[k - 1]) if k <= len(curve) else NONE for k in shown)
        rows.append((escape(row.name), score(default), *cells))
    header = ("STSB dev Spearman", "default point", *(f"best of {k} point{'s' * (k > 1)}" for k in shown))
    return Table(header, tuple(rows))


def _answer(curves: dict[str, tuple[float | None, ...]], most: int) -> str:
    """Say which study is best at which number of points, and which pairs of studies change places."""
    ranked: list[tuple[int, tuple[str, ...]]] = []
    for k in range(1, most + 1):
        known = {name: mean for name, curve in curves.items() if k <= len(curve) and (mean := curve[k - 1]) is not None}
        if len(known) == len(curves):
            ranked.append((k, tuple(sorted(known, key=lambda name: -known[name]))))
    if len(curves) < 2 or not ranked:
        return "There are no two studies to be compared at an equal number of points."
    leads = []
    for name, group in groupby(ranked, key=lambda item: item[1][0]):
        numbers = [k for k, _ in group]
        leads.append(f"{escape(name)} at {_span(numbers[0], numbers[-1])}")
    first, last = ranked[0], ranked[-1]
    flips = [(a, b) for i, a in enumerate(first[1]) for b in first[1][i + 1 :] if last[1].index(a) > last[1].index(b)]
    text = f"Best on dev with an equal number of points: {', '.join(leads)}."
    if first == last:
        return f"{text} At other numbers some study may have no score."
    if not flips:
        return f"{text} The ranking of the studies is the same at each."
    named = "; ".join(f"{escape(b)} overtakes {escape(a)}" for a, b in flips[:3])
    more = f"; and {len(flips) - 3} more pairs change places" if len(flips) > 3 else ""
    return f"{text} The ranking depends on the budget, from {first[0]} to {last[0]}: {named}{more}."


def _span(first: int, last: int) -> str:
    return f"{first} point{'s' * (first > 1)}" if first == last else f"{first} to {last} points"


def edges(facts: Facts) -> str:
    """Return which best points lie at an edge of the space or of what was tried, in markdown; empty before any."""
    if not any(row.winner for row in facts.studies):
        return ""
    if not facts.edges:
        return "No best point lies at an edge of the space or of what was tried."
    return "\n".join(
        ["Best points at an edge, beyond which a better one may lie:", ""]
        + [f"- {escape(e.study)}: {escape(e.dimension)} {e.value:.4g} is {e.why}" for e in facts.edges]
    )
