"""Figure of embedding-space diagnostics: dev score during training, alignment and uniformity, cosine by gold score."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.report import titles
from harness.report.explain import BINS, Space, spaces
from harness.report.facts import Facts
from harness.report.figures.canvas import GREY, legend, legend_height, look, named, new


def explain(facts: Facts) -> Figure | None:
    """Draw dev score during training, alignment against uniformity, and the cosines of each fifth of gold scores."""
    with_diagnostics = [space for space in spaces(facts) if space.row.ended[0].diagnostics]
    if len(with_diagnostics) < 2:
        return None
    looks = {row.name: look(index) for index, row in enumerate(facts.studies)}
    looks[facts.untrained.name] = {"color": GREY, "marker": "x", "linestyle": "--", "fillstyle": "full"}
    names = [named(facts, space.row.name) for space in with_diagnostics]
    figure = new(3.4 + legend_height(names))
    course, plane, profile = figure.subplots(1, 3)
    untrained = facts.untrained.mean(facts.objective)
    for space in with_diagnostics:
        style = looks[space.row.name] | {"label": named(facts, space.row.name), "markersize": 5}
        _course(course, space, untrained, style)
        _place(plane, space, with_diagnostics[0], style)
        if space.profile is not None:
            profile.plot(range(BINS), space.profile, **style)
    course.set(
        title="Dev score during training",
        xlabel="share of the training",
        ylabel=f"{titles.of_score(facts.objective)} × 100",
    )
    course.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    plane.set(title="Space (lower left is better)", xlabel="uniformity", ylabel="alignment")
    profile.set(title="Mean cosine by gold score", xlabel="gold score, 0 to 5", ylabel="sd above the lowest fifth")
    profile.set_xticks(range(BINS), [f"{low}–{low + 1}" for low in range(BINS)])
    legend(figure, *plane.get_legend_handles_labels())
    return figure


def _course(axes: Axes, space: Space, untrained: float | None, style: dict[str, Any]) -> None:
    """Draw the mean over seeds and the range of the seeds, starting at the untrained model's score."""
    if not space.course:
        if untrained is not None:
            axes.axhline(100 * untrained, color=GREY, linestyle="--", linewidth=1.2)
        return
    shares = [share for share, _ in space.course]
    means = [100 * float(np.mean(scores)) for _, scores in space.course]
    begin = ([0.0], [100 * untrained]) if untrained is not None else ([], [])
    axes.plot(begin[0] + shares, begin[1] + means, **style)
    for share, scores in space.course:
        axes.plot([share] * 2, [100 * min(scores), 100 * max(scores)], color=style["color"], linewidth=1, alpha=0.6)


def _place(axes: Axes, space: Space, start: Space, style: dict[str, Any]) -> None:
    """Draw a space as a point in the plane, joined to the untrained model's point by a line."""
    at, origin = _coordinates(space), _coordinates(start)
    if at is None or origin is None:
        return
    axes.plot(*at, **style | {"linestyle": "none"})
    if space is not start:
        way = {"arrowstyle": "-", "color": style["color"], "linewidth": 0.8, "alpha": 0.6}
        axes.annotate("", xy=at, xytext=origin, arrowprops=way)


def _coordinates(space: Space) -> tuple[float, float] | None:
    uniformity, alignment = space.figure("uniformity"), space.figure("alignment")
    return None if uniformity is None or alignment is None else (uniformity, alignment)
