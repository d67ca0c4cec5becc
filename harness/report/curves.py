"""Tuning curves: best dev score against trials and minutes, and the expected best score of k points."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from harness.planning.plan import START_UP
from harness.report import titles
from harness.report.facts import Facts, Row
from harness.report.tables import Table
from harness.stats.expected_best import expected_best
from harness.text import NONE, escape, score


def best_so_far(row: Row) -> list[tuple[int, float]]:
    """Return (number of trials, best dev score so far) after each finished trial that follows a first success."""
    curve: list[tuple[int, float]] = []
    for run in row.trials:
        if run.record is not None and run.trial is not None:
            score = run.record.dev_score if run.record.outcome == "ok" else None
            scores = [score] if score is not None else []
            scores += [curve[-1][1]] if curve else []
            if scores:
                curve.append((run.trial + 1, max(scores)))
    return curve


def best_against_minutes(row: Row) -> list[tuple[float, float]]:
    """Return (minutes of all trials so far, best dev score so far) after each ended trial from the first success on.

    Minutes add up training and scoring of the trials as if they had run one after another. Trials without a score
    count, too.
    """
    curve: list[tuple[float, float]] = []
    minutes = 0.0
    for record in (run.record for run in row.trials if run.record is not None):
        minutes += (record.train_seconds + record.eval_seconds) / 60
        scores = [record.dev_score] if record.outcome == "ok" and record.dev_score is not None else []
        scores += [curve[-1][1]] if curve else []
        if scores:
            curve.append((minutes, max(scores)))
    return curve


def expected(row: Row) -> tuple[float | None, ...]:
    """Return the expected best dev score of k of the points fixed in advance, for k from 1; empty until all have ended.

    The default point is left out because it was chosen by prior knowledge and not drawn from the space. Later trials
    are left out because the sampler chose them by the earlier scores.
    """
    fixed = [run.record for run in row.trials if run.trial is not None and 1 <= run.trial < START_UP]
    records = [record for record in fixed if record is not None]
    if len(records) < len(fixed):
        return ()
    return expected_best([r.dev_score if r.outcome == "ok" else None for r in records])


def section(facts: Facts, figure: str) -> Iterable[str]:
    """Yield the report's section on tuning curves; `figure` is the markdown of its figure."""
    yield "## Tuning curves"
    yield figure
    yield (
        "Best dev score so far after each trial, against the number of trials and against their cumulative minutes, "
        "in the order in which this search ran them."
    )
    all_curves = {row.name: expected(row) for row in facts.studies}
    curves = {name: curve for name, curve in all_curves.items() if any(mean is not None for mean in curve)}
    most = max(map(len, curves.values()), default=0)
    if most < 2:
        yield "There is no expected best score: fewer than two trials at the points fixed in advance have ended."
        return
    yield f"**{_answer(curves, most)}**"
    yield _table(facts, curves, most).markdown()
    yield (
        f"*Best of k points*: the best dev score among k of the {most} points fixed in advance, averaged over all "
        "choices of k points, so that their order does not matter (Tang et al., 2020). The default point, which is "
        "always tried first, and the points chosen later by the sampler are excluded. The points are spread evenly "
        "rather than drawn at random, and each was trained once: other points or seeds would give other numbers, and "
        "no verdict rests on these."
        + (
            " –: some choices of that many points contain no scored point."
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
        default = first.dev_score if first is not None and first.outcome == "ok" else None
        cells = (score(curve[k - 1]) if k <= len(curve) else NONE for k in shown)
        rows.append((escape(row.name), score(default), *cells))
    header = (titles.of_score(facts.objective), "default point", *(f"best of {k} point{'s' * (k > 1)}" for k in shown))
    return Table(header, tuple(rows))


def _answer(curves: dict[str, tuple[float | None, ...]], most: int) -> str:
    """Say which study is best at which number of points, and which pairs of studies swap ranks."""
    ranked: list[tuple[int, tuple[str, ...]]] = []
    for k in range(1, most + 1):
        means = {name: mean for name, curve in curves.items() if k <= len(curve) and (mean := curve[k - 1]) is not None}
        if len(means) == len(curves):
            ranked.append((k, tuple(sorted(means, key=lambda name: -means[name]))))
    if len(curves) < 2 or not ranked:
        return "There are no two studies to compare at an equal number of points."
    leads = []
    for name, group in groupby(ranked, key=lambda item: item[1][0]):
        numbers = [k for k, _ in group]
        leads.append(f"{escape(name)} at {_span(numbers[0], numbers[-1])}")
    first, last = ranked[0], ranked[-1]
    flips = [(a, b) for i, a in enumerate(first[1]) for b in first[1][i + 1 :] if last[1].index(a) > last[1].index(b)]
    text = f"Best on dev with an equal number of points: {', '.join(leads)}."
    if first == last:
        return f"{text} At other numbers of points some study may have no score."
    if not flips:
        return f"{text} The ranking of the studies is the same at each number of points."
    named = "; ".join(f"{escape(b)} overtakes {escape(a)}" for a, b in flips[:3])
    more = f"; and {len(flips) - 3} more pairs swap ranks" if len(flips) > 3 else ""
    return f"{text} The ranking depends on the budget, from {first[0]} to {last[0]}: {named}{more}."


def _span(first: int, last: int) -> str:
    return f"{first} point{'s' * (first > 1)}" if first == last else f"{first} to {last} points"


def edges(facts: Facts) -> str:
    """Return, in markdown, which best points are at an edge of the space or of the tried values; empty before any."""
    searched = [row for row in facts.studies if row.winner and len(row.scored_points) > 1]
    if not facts.edges:
        return "No best point is at an edge of the space or of the values that were tried." if searched else ""
    return "\n".join(
        ["These best points are at an edge or outside the space, so a better point may exist beyond:", ""]
        + [f"- {escape(e.study)}: {escape(e.dimension)} {e.value:.4g} is {e.why}" for e in facts.edges]
    )
