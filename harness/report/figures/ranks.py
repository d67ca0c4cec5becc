"""Figure of the rank of each study on several testbeds; crossing lines mean that the orders differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from harness.report.figures.canvas import COLOURS, GREY, new
from harness.text import labels
from harness.verdicts.transfer import Side


def ranks(sides: Sequence[Side]) -> Figure | None:
    """Draw the ranks of the studies that have a score on every testbed; None for fewer than two."""
    names = [f.study for f in sides[0].finals if not f.constant and all(s.of(f.study).complete for s in sides)]
    if len(names) < 2:
        return None
    means = [[float(np.mean(list(side.of(name).scores.values()))) for name in names] for side in sides]
    # a line for each place: those of equal scores stand side by side in the order of the study file
    places = [
        np.argsort(np.argsort([-round(100 * m, 2) for m in of_side], kind="stable"), kind="stable") + 1
        for of_side in means
    ]
    short = labels(names)
    figure = new(1.2 + 0.28 * len(names), width=3.0 + 2.5 * len(sides))
    axes = figure.subplots()
    for index, name in enumerate(names):
        line = [int(place[index]) for place in places]
        moved = max(line) - min(line)
        colour = COLOURS[index % len(COLOURS)] if moved else GREY
        axes.plot(range(len(sides)), line, marker="o", color=colour, linewidth=2.2 if moved > 2 else 1.2)
        axes.text(-0.06, line[0], f"{short[name]} {100 * means[0][index]:.1f}", ha="right", va="center", fontsize=9)
        axes.text(
            len(sides) - 0.94,
            line[-1],
            f"{100 * means[-1][index]:.1f} {short[name]}",
            ha="left",
            va="center",
            fontsize=9,
        )
    axes.set_xticks(range(len(sides)), [side.testbed for side in sides])
    axes.set_xlim(-0.9, len(sides) - 0.1)
    axes.set_ylim(len(names) + 0.6, 0.4)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title("Rank and mean test score × 100")
    return figure
