"""The report's tables as plain data and as markdown. Scores are multiplied by 100, differences have a sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.report import titles
from harness.report.facts import Facts, Row, Step, without_paths
from harness.report.ranking import LOST, has_lost, over, places, rank, seeds_of
from harness.stats import intervals
from harness.store.records import Record
from harness.text import NONE, count, counted, escape, failure, score, signed
from harness.verdicts.results import spread


@dataclass(frozen=True)
class Table:
    """A table of markdown cells."""

    header: tuple[str, ...]
    """Titles of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """The cells, row by row."""
    left: int = 1
    """Number of first columns that are aligned left; the others are aligned right."""
    words: bool = False
    """True if the last column holds sentences and is aligned left."""

    def markdown(self) -> str:
        """Return the table in GitHub's markdown."""
        rule = ["---" if column < self.left else "--:" for column in range(len(self.header))]
        rule[-1] = "---" if self.words else rule[-1]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))


def interval(bounds: intervals.Interval | None, signs: bool = True) -> str:
    show = signed if signs else score
    return NONE if bounds is None else f"{show(bounds.low)} to {show(bounds.high)}"


LESS = " †"
"""Marks a study whose best point was selected from fewer scored points than another study's."""


def headline(facts: Facts) -> Table:
    """Return the main results table: one row per study, the untrained model first."""
    tasks, declared = len(facts.common_tasks), len(facts.tasks)
    others, figure = _others(facts), titles.of_figure(facts.headline.partition("/")[2])
    mean, repetitions = "mean", "tunings" if facts.plan.ablation.budget.tunings > 1 else "seeds"
    if tasks:
        mean += f" of {tasks} task{'s' * (tasks != 1)}" + (f" (of {declared})" if tasks < declared else "")
    header = (
        "study",
        "loss",
        "view",
        f"{titles.of_score(facts.headline)}<br>(95 % over {repetitions})",
        *map(titles.of_score, others),
        *([mean] if facts.tasks else []),
        f"{figure} minus the row above<br>(95 % over {facts.items}; 95 % over {repetitions})",
        "best point",
        "minutes",
        "runs done",
    )
    steps = {step.after.name: step for step in facts.steps}
    rows = []
    for row in facts.rows:
        rows.append(
            (
                named(row) + (LESS if row.name in facts.fewer_points else ""),
                escape(row.loss),
                escape(row.view),
                mean_over_seeds(row),
                *(score(row.mean(name)) for name in others),
                *([score(facts.task_mean(row))] if facts.tasks else []),
                _difference(steps.get(row.name), facts.items),
                _best_points(row),
                f"{row.minutes:.1f}",
                f"{row.done} of {len(row.runs)}",
            )
        )
    return Table(header, tuple(rows), left=3)


def _best_points(row: Row) -> str:
    """Format the best point of the first tuning, and how many others further tunings found."""
    others = {run.point for run in row.best} - {row.point}
    more = f"<br>and {counted(len(others), 'other point')}" if others else ""
    return NONE if row.point is None else escape(row.point) + more


def _others(facts: Facts) -> tuple[str, ...]:
    """Return the scores beside the headline: Pearson of an STS set, and what each measure of `also` stands for."""
    test, _, figure = facts.headline.partition("/")
    return (*([f"{test}/pearson_cosine"] if figure == "spearman_cosine" else []), *facts.besides)


def mean_over_seeds(row: Row) -> str:
    """Format a study's mean test score with its interval over seeds (or tunings) as a table cell."""
    scores = list(row.finals.scores.values())
    if not scores:
        return NONE
    text = score(float(np.mean(scores)))
    if (bounds := spread(row.finals)) is not None:
        text += f"<br>({interval(bounds, signs=False)})"
    elif row.finals.planned == 1 and not row.finals.constant:
        text += "<br>(one seed)"
    if len(scores) < row.finals.planned:
        text += f"<br>{seeds_of(row)}"
    return text


def _difference(step: Step | None, items: str) -> str:
    if step is None or step.difference is None:
        return NONE
    difference = step.difference
    seeds = difference.over_seeds()
    over_seeds = f"{seeds.over} {interval(seeds)}" if seeds else "one seed: no interval over seeds"
    return f"{_partly(step)}<br>({items} {interval(difference.over_items())};<br>{over_seeds})"


def _partly(step: Step) -> str:
    """Return a step's difference, and the seeds that it is over if some have no score."""
    return signed(step.difference.mean if step.difference else None) + (f"<br>{of}" if (of := over(step)) else "")


def rows_used(facts: Facts) -> Table:
    """Return the number of rows each study trained on, after its view dropped those that it cannot use."""
    header = ("study", "view", "rows used", "rows requested")
    rows = []
    for row in facts.studies:
        used = sorted({record.rows for record in row.records if record.rows})
        asked = sorted(
            {int(r.provenance["rows_asked"]) for r in row.records if r.provenance.get("rows_asked") is not None}
        )
        planned: list[int | None] = [*asked] or [facts.plan.ablation.testbed.max_rows]
        rows.append(
            (
                escape(row.name),
                escape(row.view),
                ", ".join(map(count, used)) or NONE,
                ", ".join("all" if rows is None else count(rows) for rows in planned),
            )
        )
    return Table(header, tuple(rows), left=2)


def steps(facts: Facts) -> Table:
    """Return the intended and the accompanying changes from each study to the next, at the best points."""
    header = ("step", "loss", "view", "rows", "steps", "examples seen", "training seconds", "best point", "difference")
    rows = []
    for step in facts.steps[1:]:
        a, b = step.before, step.after
        rows.append(
            (
                f"{escape(a.name)} → {escape(b.name)}",
                _change(escape(a.loss), escape(b.loss)),
                _change(escape(a.view), escape(b.view)),
                *(
                    _growth(a.typical(field), b.typical(field))
                    for field in ("rows", "steps", "examples_seen", "train_seconds")
                ),
                NONE if None in (a.point, b.point) else _change(escape(a.point), escape(b.point)),
                NONE if step.difference is None else _partly(step),
            )
        )
    return Table(header, tuple(rows), left=3)


def _change(before: str, after: str) -> str:
    return "same" if before == after else f"{before} → {after}"


def _growth(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return NONE
    factor = f"<br>(× {after / before:.2f})" if before and before != after else ""
    return "same" if before == after else f"{count(before)} → {count(after)}{factor}"


@dataclass(frozen=True)
class Ranking:
    """Studies ranked by mean test score at the best and at the default point; only those that have both."""

    tuned: Mapping[str, int]
    """Ranks at the best point by study, the best study first; without studies that lost a seed there."""
    untuned: Mapping[str, int]
    """The same at the default point."""
    table: Table
    """Both ranks and scores of each study."""


def ranking(facts: Facts) -> Ranking:
    """Rank the studies with and without tuning, by their means and regardless of the intervals."""
    rows = {row.name: row for row in facts.studies if row.finals.scores and row.untuned.scores}
    means = {
        name: tuple(float(np.mean(list(side.scores.values()))) for side in (row.finals, row.untuned))
        for name, row in rows.items()
    }
    tuned = places({name: means[name][0] for name, row in rows.items() if row.finals.complete})
    untuned = places({name: means[name][1] for name, row in rows.items() if row.untuned.complete})
    figure = titles.of_figure(facts.headline.partition("/")[2])
    header = (
        "study",
        "rank tuned",
        "rank at default point",
        f"{figure} tuned",
        f"{figure} at default point",
        "gain from tuning",
    )
    lines = [(escape(facts.untrained.name), NONE, NONE, score(facts.untrained.mean(facts.headline)), NONE, NONE)]
    lines += [
        (
            named(rows[name]) if rows[name].untuned.complete else escape(name) + LOST,
            rank(tuned, name),
            rank(untuned, name),
            score(means[name][0]),
            score(means[name][1]),
            signed(means[name][0] - means[name][1]),
        )
        for name in (*tuned, *(name for name in rows if name not in tuned))
    ]
    return Ranking(tuned, untuned, Table(header, tuple(lines)))


def named(row: Row) -> str:
    """Return a study's name as a cell, marked if not all of its planned seeds have a score."""
    return escape(row.name) + (LOST if has_lost(row) else "")


def all_scores(facts: Facts) -> Table:
    """Return the mean of every score at the best point, one row per score and one column per study."""
    names = sorted({name for row in facts.rows for record in row.ended for name in record.scores})
    ordered = [n for n in names if not n.startswith("mteb/")] + [f"mteb/{task}" for task in facts.tasks]
    ordered += [name for name in names if name not in ordered]
    lines = tuple((escape(name), *(score(row.mean(name)) for row in facts.rows)) for name in ordered)
    return Table(("score", *map(named, facts.rows)), lines)


def cost(facts: Facts) -> Table:
    """Return the cost of each study."""
    header = (
        *("study", "steps per run", "examples per run", "training seconds per run", "peak memory MB"),
        "minutes in total",
    )
    rows = tuple(
        (
            escape(row.name),
            *(count(row.typical(f)) for f in ("steps", "examples_seen", "train_seconds", "peak_memory_mb")),
            f"{row.minutes:.1f}",
        )
        for row in facts.rows
    )
    return Table(header, rows)


def unsuccessful(facts: Facts) -> Table:
    """Return the runs that ended without scores, grouped by study, stage, outcome and reason."""
    alike: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in (r for row in facts.rows for r in row.records if r.outcome != "ok"):
        alike.setdefault((record.study, record.stage, record.outcome, _why(record)), []).append(record)
    rows = []
    for (study, stage, outcome, why), records in alike.items():
        points = list(dict.fromkeys(NONE if r.point is None else escape(str(r.point)) for r in records))
        more = f"<br>and {len(points) - 3} more" if len(points) > 3 else ""
        seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in records}))
        rows.append((escape(study), stage, outcome, why, "<br>".join(points[:3]) + more, seeds, str(len(records))))
    return Table(("study", "stage", "outcome", "reason", "points", "seeds", "runs"), tuple(rows), left=6)


def _why(record: Record) -> str:
    if record.outcome == "pruned" and not record.error:
        share = record.curve[-1][0] if record.curve else 0.0
        return f"stopped after {share:.0%} of its training"
    return escape(without_paths(failure(record.error))) or NONE
