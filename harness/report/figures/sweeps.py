"""Figure of sweeps: test score against the swept parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.report import titles
from harness.report.facts import Facts
from harness.report.figures.canvas import legend, legend_height, look, new, untrained_line
from harness.report.sweeps import in_words
from harness.report.sweeps import sweeps as found_sweeps
from harness.text import labels
from harness.verdicts.results import spread

_LABELS = {"rows": "rows requested", "lr": "peak learning rate", "batch_size": "batch size"}


def sweeps(facts: Facts) -> Figure | None:
    """Draw each sweep as a line with 95 percent intervals over seeds, one panel per swept parameter."""
    shown = found_sweeps(facts)
    if not shown:
        return None
    numbers = list(dict.fromkeys(sweep.what for sweep in shown))
    names = labels([sweep.study for sweep in shown])
    looks = {name: look(index) | {"label": label} for index, (name, label) in enumerate(names.items())}
    figure = new(3.4 + legend_height(list(names.values())))
    panels = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for axes, what in zip(panels, numbers, strict=True):
        places: list[float] = []
        names_by_place: dict[float, str] = {}
        for sweep in (sweep for sweep in shown if sweep.what == what):
            xs = [point.place for point in sweep.points]
            scores = [list(point.row.finals.scores.values()) for point in sweep.points]
            means = [100 * float(np.mean(values)) for values in scores]
            over_seeds = [spread(point.row.finals) for point in sweep.points]
            reach = [0.0 if bounds is None else 50 * (bounds.high - bounds.low) for bounds in over_seeds]
            axes.errorbar(xs, means, yerr=reach, capsize=3, **looks[sweep.study])
            places += xs
            names_by_place |= {point.place: in_words(point.value) for point in sweep.points}
        if log := min(places) > 0 and max(places) >= 8 * min(places):
            axes.set_xscale("log")
        ticks = _apart(sorted(names_by_place), len(numbers), log)
        axes.set_xticks(ticks, [names_by_place[place] for place in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        untrained_line(axes, facts, facts.headline)
        axes.set_xlabel(_LABELS.get(what, what))
    panels[0].set_ylabel(f"{titles.of_score(facts.headline)} × 100")
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    legend(figure, list(handles.values()), list(handles))
    return figure


def _apart(places: Sequence[float], panels: int, log: bool) -> list[float]:
    """Return those places whose labels do not overlap in one of several panels; the last one is always among them."""
    on_axis = [math.log(place) if log else place for place in places]
    room = 0.06 * panels * (on_axis[-1] - on_axis[0])
    kept: list[int] = []
    for number in reversed(range(len(places))):
        if not kept or on_axis[kept[-1]] - on_axis[number] >= room:
            kept.append(number)
    return [places[number] for number in reversed(kept)]
