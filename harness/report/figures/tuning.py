"""Figures of tuning: best dev score against budget, and dev score against learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from harness.report import titles
from harness.report.curves import best_against_minutes, best_so_far, expected
from harness.report.facts import Facts, Row, succeeded
from harness.report.figures.canvas import GREY, WIDTH, legend, legend_height, look, named, new, untrained_line
from harness.spec.space import Choice
from harness.store.records import Record


def tuning(facts: Facts) -> Figure | None:
    """Draw the best dev score so far against trials and minutes, and the expected best score of k fixed points."""
    curves = [(index, row, best_so_far(row)) for index, row in enumerate(facts.studies)]
    curves = [curve for curve in curves if curve[2]]
    if not curves:
        return None
    means = {row.name: [(k, m) for k, m in enumerate(expected(row), start=1) if m is not None] for _, row, _ in curves}
    points = max((k for points_of in means.values() for k, _ in points_of), default=0)
    figure = new(3.6 + legend_height([named(facts, row.name) for _, row, _ in curves]))
    panels = figure.subplots(1, 3 if points > 1 else 2, sharey=True)
    for index, row, curve in curves:
        marked = look(index) | {"markersize": 4}
        scores = [100 * score for _, score in curve]
        panels[0].step([trials for trials, _ in curve], scores, where="post", label=named(facts, row.name), **marked)
        panels[1].step([minutes for minutes, _ in best_against_minutes(row)], scores, where="post", **marked)
        if points > 1:
            panels[2].plot([k for k, _ in means[row.name]], [100 * m for _, m in means[row.name]], **marked)
    for axes, title, label in zip(
        panels,
        ("Best so far, by trial", "Best so far, by minute", "Expected best of k points"),
        ("trials", "minutes of all trials so far", "k of the points fixed in advance"),
        strict=False,
    ):
        untrained_line(axes, facts, facts.objective)
        axes.set_title(title)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    panels[1].xaxis.set_major_locator(MaxNLocator(nbins=6))
    panels[1].set_xlim(left=0)
    panels[0].set_ylabel(f"{titles.of_score(facts.objective)} × 100")
    legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def learning_rates(facts: Facts) -> Figure | None:
    """Draw dev score against learning rate: one panel per study, one line per batch size, a ring at the best trial."""
    rows = [row for row in facts.studies if any(run.record is not None for run in row.trials)]
    if not any(succeeded(row.trials) for row in rows):
        return None
    columns = min(4, len(rows)) if len(rows) != 5 else 3
    lines = math.ceil(len(rows) / columns)
    sizes = sorted({run.point.batch_size for row in rows for run in row.trials if run.point is not None})
    looks = {size: look(index) for index, size in enumerate(sizes)}
    handles = [Line2D([], [], label=f"batch {size}", **looks[size]) for size in sizes]
    handles.append(
        Line2D([], [], linestyle="none", marker="o", markersize=12, fillstyle="none", color="black", label="best")
    )
    if any(r.outcome != "ok" for row in rows for r in row.records if r.stage == "tune"):
        handles.append(Line2D([], [], linestyle="none", marker="x", color="black", label="no score (at the bottom)"))
    if facts.untrained.ended:
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="untrained"))
    labels = [str(handle.get_label()) for handle in handles]
    width = WIDTH if columns > 2 else 3.6 * columns + 1.4
    figure = new(0.7 + 2.6 * lines + legend_height(labels, width), width)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        _slices(axes, row, looks)
        untrained_line(axes, facts, facts.objective)
        axes.set_title(named(facts, row.name))
        _rate_axis(axes, facts, row)
        if axes in grid[:, 0]:
            axes.set_ylabel(f"{titles.of_score(facts.objective)} × 100")
    for place, axes in enumerate(grid.flat):
        if place >= len(rows):
            axes.set_visible(False)
        elif place + columns >= len(rows):
            axes.set_xlabel("peak learning rate")
            axes.tick_params(labelbottom=True)
    legend(figure, handles, labels)
    return figure


def _rate_axis(axes: Axes, facts: Facts, row: Row) -> None:
    """Show all learning rates of a study's space on a logarithmic scale, with enough labels for its span."""
    ablation = facts.plan.ablation
    dimension = ablation.dimensions(ablation.study(row.name))["lr"]
    bounds = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    rates = [run.point.lr for run in row.trials if run.point is not None]
    low, high = (pick([*rates, *map(float, bounds)]) for pick in (min, max))
    axes.set_xscale("log")
    axes.set_xlim(low / 1.4, high * 1.4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())  # they have no labels and take a third of the drawing time
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+"))
    )


def _slices(axes: Axes, row: Row, looks: Mapping[int, dict[str, Any]]) -> None:
    records = [run.record for run in row.trials if run.record is not None and run.record.point is not None]
    for size, marked in looks.items():
        slice_ = sorted(
            (lr, score) for lr, score in map(_lr_and_score, records, [size] * len(records)) if score is not None
        )
        if slice_:
            axes.plot([lr for lr, _ in slice_], [100 * score for _, score in slice_], **marked)
    for record in records:
        if record.outcome != "ok" and record.point is not None:
            marked = looks[record.point.batch_size]
            axes.plot(record.point.lr, 0.03, "x", color=marked["color"], transform=axes.get_xaxis_transform())
    if row.winner is not None and row.winner.point is not None:
        axes.plot(
            row.winner.point.lr,
            100 * (row.winner.dev_score or 0.0),
            "o",
            markersize=12,
            fillstyle="none",
            color="black",
        )


def _lr_and_score(record: Record, batch_size: int) -> tuple[float, float | None]:
    point = record.point
    if point is None or point.batch_size != batch_size or record.outcome != "ok":
        return 0.0, None
    return point.lr, record.dev_score
