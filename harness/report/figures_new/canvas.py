"""The report's figures, and the only home of matplotlib.

Text is drawn as paths: a page that shows an SVG as an image has no say in which fonts are there. Nothing global is
touched and nothing of the user's matplotlib settings is used, so the same facts give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from harness import stats
from harness.records import HEADLINE, OBJECTIVE, Record
from harness.report.facts import Facts, Row, best_so_far, succeeded
from harness.space import Choice

# Okabe and Ito's palette (2008), safe for the common kinds of colour blindness; yellow is left out, too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
GREY = "#666666"
_PAIRS: dict[str, Any] = {"color": "#000000", "marker": "o", "linewidth": 2.2, "solid_capstyle": "butt"}
_SEEDS: dict[str, Any] = {"color": "#8c8c8c", "marker": "s", "linewidth": 2.2, "solid_capstyle": "butt"}

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "harness",
    "figure.constrained_layout.h_pad": 0.08,
    "lines.markersize": 6,
}
Shown = TypeVar("Shown")
"""What a figure is drawn from: a report's facts; docs draw others in the same style."""

_WIDTH = 10.0  # inches; a page of GitHub shows about nine at full size


def draw(figure: Callable[[Shown], Figure | None], facts: Shown, form: str = "svg") -> bytes | None:
    """Return a figure's file in the given form, None if there is nothing to draw yet."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        drawn = figure(facts)
        if drawn is None:
            return None
        file = io.BytesIO()
        drawn.savefig(file, format=form, metadata={"Date": None, "Creator": "harness"} if form == "svg" else None)
        return file.getvalue()


def differences(facts: Facts) -> Figure | None:
    """Draw each study less the one before it with both intervals, beside the best dev score found after each trial."""
    steps = [step for step in facts.steps if step.difference is not None]
    curves = [(index, row, best_so_far(row)) for index, row in enumerate(facts.studies)]
    curves = [found for found in curves if found[2]]
    if not steps and not curves:
        return None
    figure = _figure(max(3.4, 1.5 + 0.55 * max(len(steps), 4)) + 0.22 * math.ceil(len(curves) / 4))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _forest(left, facts)
    for index, row, curve in curves:
        trials, scores = zip(*curve, strict=True)
        right.step(
            trials,
            [100 * s for s in scores],
            where="post",
            label=_short(row.name),
            **_look(index),
            markevery=1,
            markersize=4,
        )
    _untrained_line(right, facts, "stsb-dev/spearman_cosine")
    right.set(title="Tuning: best dev score so far", xlabel="trials", ylabel="STSB dev Spearman × 100")
    right.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if not curves:
        _nothing(right, "no trial is done")
    _legend(figure, right)
    return figure


def _forest(axes: Axes, facts: Facts) -> None:
    steps = [(step, step.difference) for step in facts.steps if step.difference is not None]
    axes.set_title("Difference to the study before")
    if not steps:
        _nothing(axes, "no two studies in a row have final runs")
        axes.set(xticks=[], yticks=[])
        return
    for place, (_, found) in enumerate(steps):
        for shift, look, interval in (
            (-0.13, _PAIRS, found.over_pairs()),
            (0.13, _SEEDS, found.over_seeds()),
        ):
            if interval is not None:
                axes.plot([100 * interval.low, 100 * interval.high], [place + shift] * 2, **look | {"marker": ""})
            axes.plot(100 * found.mean, place + shift, **look, fillstyle="full" if interval else "none")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(steps)), [f"{_short(s.after.name)}\nless {_short(s.before.name)}" for s, _ in steps])
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("STSB test Spearman × 100, 95 % intervals")
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.legend(
        handles=[Line2D([], [], **_PAIRS, label="over test pairs"), Line2D([], [], **_SEEDS, label="over seeds")],
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=2,
        frameon=False,
        bbox_transform=axes.transAxes + ScaledTranslation(0, -0.5, figure.dpi_scale_trans),
    )


def tasks(facts: Facts) -> Figure | None:
    """Draw every task's mean score in each study, coloured by its difference to the first row that has any."""
    rows = [row for row in facts.rows if row.ended]
    names = [HEADLINE, *(f"mteb/{task}" for task in facts.tasks)]
    names = [name for name in names if any(row.mean(name) is not None for row in rows)]
    if not rows or not names:
        return None
    values = np.array(
        [[math.nan if (mean := row.mean(name)) is None else 100 * mean for row in rows] for name in names]
    )
    change = values - values[:, :1]
    reach = max(1.0, float(np.nanmax(np.abs(change)))) if np.isfinite(change).any() else 1.0
    tilted = len(rows) > 6 or max(len(row.name) for row in rows) > 14
    figure = _figure(1.6 + 0.34 * len(names) + (0.8 if tilted else 0), width=min(_WIDTH, 4.6 + 1.05 * len(rows)))
    axes = figure.subplots()
    image = axes.imshow(change, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_xticks(range(len(rows)), [_short(row.name) for row in rows])
    if tilted:
        axes.tick_params(axis="x", rotation=35)
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), ["STSB test" if n == HEADLINE else n.removeprefix("mteb/") for n in names])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for (line, column), value in np.ndenumerate(values):
        dark = abs(change[line, column]) > 0.6 * reach
        text = "–" if math.isnan(value) else f"{value:.1f}"
        axes.text(column, line, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(f"difference to {_short(rows[0].name)}")
    bar.outline.set_visible(False)
    axes.set_title("Mean score × 100 at the best point")
    return figure


def learning_rates(facts: Facts) -> Figure | None:
    """Draw dev score against learning rate, a panel a study, a line a batch size; the best trial is ringed."""
    rows = [row for row in facts.studies if any(run.record is not None for run in row.trials)]
    if not any(succeeded(row.trials) for row in rows):
        return None
    columns = min(4, len(rows)) if len(rows) != 5 else 3
    lines = math.ceil(len(rows) / columns)
    figure = _figure(0.9 + 2.6 * lines, width=_WIDTH if columns > 2 else 3.6 * columns + 1.4)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    sizes = sorted({run.point.batch_size for row in rows for run in row.trials if run.point is not None})
    looks = {size: _look(index) for index, size in enumerate(sizes)}
    for axes, row in zip(grid.flat, rows, strict=False):
        _slices(axes, row, looks)
        _untrained_line(axes, facts, OBJECTIVE)
        axes.set_title(_short(row.name))
        _rate_axis(axes, facts, row)
        if axes in grid[:, 0]:
            axes.set_ylabel("STSB dev Spearman × 100")
    for place, axes in enumerate(grid.flat):
        if place >= len(rows):
            axes.set_visible(False)
        elif place + columns >= len(rows):
            axes.set_xlabel("peak learning rate")
            axes.tick_params(labelbottom=True)
    handles = [Line2D([], [], label=f"batch {size}", **looks[size]) for size in sizes]
    handles.append(
        Line2D([], [], linestyle="none", marker="o", markersize=12, fillstyle="none", color="black", label="best")
    )
    if any(r.outcome != "ok" for row in rows for r in row.records if r.stage == "tune"):
        handles.append(Line2D([], [], linestyle="none", marker="x", color="black", label="no score (at the bottom)"))
    if facts.untrained.ended:
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="untrained"))
    figure.legend(handles=handles, loc="outside lower center", ncols=int(figure.get_figwidth() / 1.7), frameon=False)
    return figure


def _rate_axis(axes: Axes, facts: Facts, row: Row) -> None:
    """Show all learning rates that a study could take, on a logarithmic scale with enough labels for its span."""
    ablation = facts.plan.ablation
    dimension = ablation.dimensions(ablation.study(row.name))["lr"]
    bounds = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    tried = [run.point.lr for run in row.trials if run.point is not None]
    low, high = (pick([*tried, *map(float, bounds)]) for pick in (min, max))
    axes.set_xscale("log")
    axes.set_xlim(low / 1.4, high * 1.4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+"))
    )


def _slices(axes: Axes, row: Row, looks: Mapping[int, dict[str, Any]]) -> None:
    records = [run.record for run in row.trials if run.record is not None and run.record.point is not None]
    for size, look in looks.items():
        slice_ = sorted(
            (lr, score) for lr, score in map(_lr_and_score, records, [size] * len(records)) if score is not None
        )
        if slice_:
            axes.plot([lr for lr, _ in slice_], [100 * score for _, score in slice_], **look)
    for record in records:
        if record.outcome != "ok" and record.point is not None:
            look = looks[record.point.batch_size]
            axes.plot(record.point.lr, 0.03, "x", color=look["color"], transform=axes.get_xaxis_transform())
    if row.winner is not None and row.winner.point is not None:
        axes.plot(
            row.winner.point.lr, 100 * row.winner.scores[OBJECTIVE], "o", markersize=12, fillstyle="none", color="black"
        )


def _lr_and_score(record: Record, batch_size: int) -> tuple[float, float | None]:
    point = record.point
    if point is None or point.batch_size != batch_size or record.outcome != "ok":
        return 0.0, None
    return point.lr, record.scores.get(OBJECTIVE)


def cost(facts: Facts) -> Figure | None:
    """Draw STSB test score against the minutes of one final run, and against those of the whole study."""
    rows = [(index, row) for index, row in enumerate(facts.studies) if row.finals.scores]
    if not rows:
        return None
    figure = _figure(3.4 + 0.22 * math.ceil(len(rows) / 4))
    panels = figure.subplots(1, 2, sharey=True)
    for index, row in rows:
        scores = list(row.finals.scores.values())
        interval = stats.t_interval(scores)
        mean = 100 * float(np.mean(scores))
        error = None if interval is None else [[mean - 100 * interval.low], [100 * interval.high - mean]]
        look = _look(index) | {"linestyle": "none"}
        for axes, minutes in zip(panels, ((row.typical("train_seconds") or 0) / 60, row.minutes), strict=True):
            axes.errorbar(minutes, mean, yerr=error, label=_short(row.name), capsize=3, **look)
            axes.set_xlim(0, max(1.1 * minutes, axes.get_xlim()[1] if index else 0))
    for axes, what in zip(panels, ("training one final run", "all runs of the study"), strict=True):
        _untrained_line(axes, facts, HEADLINE)
        axes.set_xlabel(f"minutes: {what}")
    panels[0].set_ylabel("STSB test Spearman × 100")
    figure.suptitle("Score against cost, 95 % intervals over seeds", fontsize=11)
    _legend(figure, panels[0])
    return figure


@dataclass(frozen=True)
class Drawing:
    """A figure of the report with the words that stand for it where it cannot be seen."""

    name: str
    figure: Callable[[Facts], Figure | None]
    alt: str


ALL = (
    Drawing(
        "differences", differences, "Differences between studies with intervals, and best dev score against trials"
    ),
    Drawing("tasks", tasks, "Heat map of the scores of every task in each study"),
    Drawing("learning_rates", learning_rates, "Dev score against learning rate by batch size, a panel a study"),
    Drawing("cost", cost, "Test score against training minutes"),
)


def _figure(height: float, width: float = _WIDTH) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _look(index: int) -> dict[str, Any]:
    colours = len(COLOURS)
    return {
        "color": COLOURS[index % colours],
        "marker": MARKERS[index % colours],
        "linestyle": DASHES[index // colours % len(DASHES)],
        "fillstyle": "full" if index < colours else "none",
    }


def _short(name: str) -> str:
    """Shorten a long name in its middle: variants of one thing tend to differ at the end."""
    return name if len(name) <= 24 else f"{name[:12]}…{name[-11:]}"


def _untrained_line(axes: Axes, facts: Facts, metric: str) -> None:
    value = facts.untrained.mean(metric)
    if value is not None:
        axes.axhline(100 * value, color=GREY, linestyle="--", linewidth=1.2, label="untrained")


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
