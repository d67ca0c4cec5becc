"""Figure of gain and forgetting: the change of the headline against that of each further measure."""

from __future__ import annotations

from matplotlib.figure import Figure

from harness.report import titles
from harness.report.facts import Facts
from harness.report.figures.canvas import GREY, legend, legend_height, look, named, new

MOST = 3
"""Maximum number of panels: one for each of the first further measures."""


def forgetting(facts: Facts) -> Figure | None:
    """Draw each study's gain over the untrained model against what it loses or gains elsewhere."""
    before = facts.untrained.mean(facts.headline)
    names = [*facts.besides, *(f"mteb/{task}" for task in facts.tasks if facts.besides)]
    names = [name for name in names if facts.untrained.mean(name) is not None][:MOST]
    rows = [(index, row) for index, row in enumerate(facts.studies) if row.mean(facts.headline) is not None]
    if before is None or not names or not rows:
        return None
    figure = new(3.6 + legend_height([named(facts, row.name) for _, row in rows]))
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        untrained = facts.untrained.mean(name) or 0.0
        for index, row in rows:
            elsewhere = row.mean(name)
            if elsewhere is not None:
                gain = 100 * ((row.mean(facts.headline) or 0.0) - before)
                marked = look(index) | {"linestyle": "none", "markersize": 9}
                axes.plot(gain, 100 * (elsewhere - untrained), label=named(facts, row.name), **marked)
        axes.axhline(0, color=GREY, linewidth=1)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_xlabel(f"{titles.of_score(facts.headline)}: points gained")
        axes.set_ylabel(f"{titles.of_score(name)}: points gained")
    figure.suptitle("Gain on the test measure, and what it costs elsewhere (untrained at 0, 0)", fontsize=11)
    legend(figure, *panels[0].get_legend_handles_labels())
    return figure
