"""Figures of test scores: differences between studies, scores of every task, score against cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import titles
from harness.report.facts import Facts
from harness.report.figures.canvas import WIDTH, legend, legend_height, look, named, new, untrained_line
from harness.text import MINUS
from harness.verdicts.results import spread

_PAIRS: dict[str, Any] = {"color": "#000000", "marker": "o", "linewidth": 2.2, "solid_capstyle": "butt"}
_SEEDS: dict[str, Any] = {"color": "#8c8c8c", "marker": "s", "linewidth": 2.2, "solid_capstyle": "butt"}

_NOTE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "backgroundcolor": "white"}


def differences(facts: Facts) -> Figure | None:
    """Draw the difference of each study to the one before it, with intervals over test items and over seeds."""
    steps = [(step, step.difference) for step in facts.steps if step.difference is not None]
    if not steps:
        return None
    handles = [Line2D([], [], **_PAIRS, label=f"over test {facts.items}"), Line2D([], [], **_SEEDS, label="over seeds")]
    figure = new(1.5 + 0.55 * len(steps))
    axes = figure.subplots()
    axes.set_title("Difference to the study before")
    for place, (step, difference) in enumerate(steps):
        if any(row.finals.diverged for row in (step.before, step.after)):
            # a seed that counts as 0 gives an interval beside which no other can be seen; the tables have it
            axes.text(0.5, place, "a seed diverged: see Scores", transform=axes.get_yaxis_transform(), **_NOTE)
            continue
        for shift, style, interval in (
            (-0.13, _PAIRS, difference.over_items()),
            (0.13, _SEEDS, difference.over_seeds()),
        ):
            if interval is not None:
                axes.plot([100 * interval.low, 100 * interval.high], [place + shift] * 2, **style | {"marker": ""})
            axes.plot(100 * difference.mean, place + shift, **style, fillstyle="full" if interval else "none")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(
        range(len(steps)), [f"{named(facts, s.after.name)}\nminus {named(facts, s.before.name)}" for s, _ in steps]
    )
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{titles.of_score(facts.headline)} × 100, 95 % intervals")
    legend(figure, handles, [str(handle.get_label()) for handle in handles])
    return figure


def tasks(facts: Facts) -> Figure | None:
    """Draw every task's mean score in each study, coloured by its difference to the first row that has any."""
    rows = [row for row in facts.rows if row.ended]
    names = [facts.headline, *facts.besides, *(f"mteb/{task}" for task in facts.tasks)]
    names = [name for name in names if any(row.mean(name) is not None for row in rows)]
    if not rows or not names:
        return None
    values = np.array(
        [[math.nan if (mean := row.mean(name)) is None else 100 * mean for row in rows] for name in names]
    )
    change = values - values[:, :1]
    reach = max(1.0, float(np.nanmax(np.abs(change)))) if np.isfinite(change).any() else 1.0
    tilted = len(rows) > 6 or max(len(row.name) for row in rows) > 14
    figure = new(1.6 + 0.34 * len(names) + (0.8 if tilted else 0), width=min(WIDTH, 4.6 + 1.05 * len(rows)))
    axes = figure.subplots()
    image = axes.imshow(change, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_xticks(range(len(rows)), [named(facts, row.name) for row in rows])
    if tilted:
        axes.tick_params(axis="x", rotation=35)
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [titles.of_score(name) for name in names])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for (line, column), value in np.ndenumerate(values):
        red, green, blue, _ = image.to_rgba(change[line, column])
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        text = "–" if math.isnan(value) else f"{value:.1f}".replace("-", MINUS)
        axes.text(column, line, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(f"difference to {named(facts, rows[0].name)}")
    bar.outline.set_visible(False)
    axes.set_title("Mean score × 100 at the best point")
    return figure


def cost(facts: Facts) -> Figure | None:
    """Draw the test score against the minutes of one final run, and against those of the whole study."""
    rows = [(index, row) for index, row in enumerate(facts.studies) if row.finals.scores]
    if not rows:
        return None
    figure = new(3.4 + legend_height([named(facts, row.name) for _, row in rows]))
    panels = figure.subplots(1, 2, sharey=True)
    for index, row in rows:
        scores = list(row.finals.scores.values())
        interval = spread(row.finals)
        mean = 100 * float(np.mean(scores))
        error = None if interval is None else [[mean - 100 * interval.low], [100 * interval.high - mean]]
        marked = look(index) | {"linestyle": "none"}
        for axes, minutes in zip(panels, ((row.typical("train_seconds") or 0) / 60, row.minutes), strict=True):
            axes.errorbar(minutes, mean, yerr=error, label=named(facts, row.name), capsize=3, **marked)
            axes.set_xlim(0, max(1.1 * minutes, axes.get_xlim()[1] if index else 0))
    for axes, what in zip(panels, ("training one final run", "all runs of the study"), strict=True):
        untrained_line(axes, facts, facts.headline)
        axes.set_xlabel(f"minutes: {what}")
    panels[0].set_ylabel(f"{titles.of_score(facts.headline)} × 100")
    figure.suptitle("Score against cost, 95 % intervals over seeds", fontsize=11)
    legend(figure, *panels[0].get_legend_handles_labels())
    return figure
