"""Sweeps: test score against a swept parameter, as a table and as data for a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.facts import Facts, Row
from harness.report.tables import Table, mean_over_seeds
from harness.text import NONE, escape


@dataclass(frozen=True)
class At:
    """One study of a sweep."""

    value: float
    """The value of the swept parameter; infinity for all rows."""
    place: float
    """The position on the axis: the value, or for all rows how many these are."""
    row: Row
    """The study's row."""


@dataclass(frozen=True)
class Sweep:
    """The studies that `Study.sweep` makes of one study over one parameter."""

    study: str
    """Name of the base study."""
    what: str
    """The swept parameter."""
    points: tuple[At, ...]
    """The studies, in ascending order of the value."""


def sweeps(facts: Facts) -> list[Sweep]:
    """Return the sweeps that have scores for two values or more.

    In a sweep over `rows` the base study is the last value: all rows. The axis shows the rows requested, as the table
    does; a view may use only a part of them.
    """
    points_by_sweep: dict[tuple[str, str], list[At]] = {}
    by_name = {row.name: row for row in facts.studies}
    for row in facts.studies:
        swept = facts.plan.ablation.study(row.name).swept
        if swept is not None and row.finals.scores:
            points_by_sweep.setdefault((swept.study, swept.what), []).append(At(swept.value, swept.value, row))
    for (study, what), points in points_by_sweep.items():
        whole = by_name.get(study)
        if what == "rows" and whole is not None and whole.finals.scores:
            trained_on = facts.plan.ablation.testbed.max_rows or whole.typical("rows") or 0
            points.append(At(math.inf, max(trained_on, *(1.25 * point.place for point in points)), whole))
    return [
        Sweep(study, what, tuple(sorted(points, key=lambda point: point.value)))
        for (study, what), points in points_by_sweep.items()
        if len(points) > 1
    ]


def section(facts: Facts, figure: str) -> Iterable[str]:
    """Yield the section on sweeps, nothing if there are none."""
    all_sweeps = sweeps(facts)
    if not all_sweeps:
        return
    yield "## Sweeps"
    yield figure
    yield (
        "Each value was tuned like any other study, with the same budget. Scores are means over final seeds with 95 "
        "percent t intervals. The dashed line is the untrained model."
    )
    for what in dict.fromkeys(sweep.what for sweep in all_sweeps):
        columns = [sweep for sweep in all_sweeps if sweep.what == what]
        values = sorted({point.value for sweep in columns for point in sweep.points})
        cells = [{point.value: mean_over_seeds(point.row) for point in sweep.points} for sweep in columns]
        rows = tuple((in_words(value), *(column.get(value, NONE) for column in cells)) for value in values)
        yield Table((escape(what), *(escape(sweep.study) for sweep in columns)), rows).markdown()


def in_words(value: float) -> str:
    """Return a swept value as the table and the figure's axis show it."""
    return "all" if math.isinf(value) else f"{value:,.10g}"
