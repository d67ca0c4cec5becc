"""Common parts of all figures: palette, style, legends, and rendering to a file.

Text is drawn as paths, because a page that shows an SVG as an image cannot provide its fonts. Global matplotlib state
is not changed and the user's matplotlib settings are not used, so the same facts give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from harness.report.facts import Facts
from harness.text import labels

# Okabe and Ito's palette (2008), safe for the common kinds of colour blindness; yellow is left out, too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
GREY = "#666666"

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
    "text.parse_math": False,  # a name may hold "$"
    "svg.hashsalt": "harness",
    "figure.constrained_layout.h_pad": 0.08,
    "lines.markersize": 6,
}
Shown = TypeVar("Shown")
"""The data that a figure shows: a report's facts, or other data for figures of the docs."""

WIDTH = 10.0  # inches; a page of GitHub shows about nine at full size
UNTRAINED_LABEL = "untrained"
LEGEND_LINE = 0.22  # inches
_LETTER, _HANDLE = 0.075, 0.75  # inches: one character of a legend's label, and the space around the label


def draw(figure: Callable[[Shown], Figure | None], facts: Shown, form: str = "svg") -> bytes | None:
    """Render a figure in the given file format; None if there is nothing to draw yet."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        rendered = figure(facts)
        if rendered is None:
            return None
        file = io.BytesIO()
        rendered.savefig(file, format=form, metadata={"Date": None, "Creator": "harness"} if form == "svg" else None)
        return file.getvalue()


def new(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure, its size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def look(index: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the study at an index; all 21 can be distinguished without colour, too."""
    colours = len(COLOURS)
    return {
        "color": COLOURS[index % colours],
        "marker": MARKERS[index % colours],
        "linestyle": DASHES[index // colours % len(DASHES)],
        "fillstyle": "full" if index < colours else "none",
    }


def named(facts: Facts, name: str) -> str:
    """Return the label of a study in all figures, distinct from the others' labels."""
    rows = [row.name for row in facts.rows]
    return f"study {rows.index(name)}" if name in by_number(facts) else labels(rows)[name]


def by_number(facts: Facts) -> list[str]:
    """Return the names that the figures' font cannot draw: figures give these studies' numbers instead."""
    font = get_font(findfont("DejaVu Sans"))
    return [row.name for row in facts.studies if not all(font.get_char_index(ord(letter)) for letter in row.name)]


def untrained_line(axes: Axes, facts: Facts, metric: str) -> None:
    value = facts.untrained.mean(metric)
    if value is not None:
        axes.axhline(100 * value, color=GREY, linestyle="--", linewidth=1.2, label=UNTRAINED_LABEL)


def nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def legend_columns(labels: Sequence[str], width: float = WIDTH) -> int:
    """Return the number of columns that gives a legend the fewest lines, all about equally full."""
    room = max(1, int(width / (_HANDLE + _LETTER * max(map(len, labels)))))
    return math.ceil(len(labels) / math.ceil(len(labels) / room))


def legend_height(labels: Sequence[str], width: float = WIDTH) -> float:
    """Return the height in inches of a legend below a figure."""
    return LEGEND_LINE * math.ceil(len(labels) / legend_columns(labels, width)) if labels else 0.0


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Put a legend below a figure, ordered line by line; the untrained model comes last."""
    if not labels:
        return
    pairs = sorted(zip(handles, labels, strict=True), key=lambda pair: pair[1] == UNTRAINED_LABEL)
    columns = legend_columns(labels, figure.get_figwidth())
    # matplotlib fills column by column; a reader goes line by line
    ordered = [pair for first in range(columns) for pair in pairs[first::columns]]
    figure.legend(
        [handle for handle, _ in ordered],
        [label for _, label in ordered],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
    )
