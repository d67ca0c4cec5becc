"""The report's figures, and the only home of matplotlib.

canvas     palette, style, legends; draws a figure into a file
scores     differences between studies, every task, score against cost
tuning     best score against budget, dev score against learning rate
spaces     dev score during training, and what the embeddings look like
sweeps     test score against a number that studies differ in
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.report.facts import Facts
from harness.report.figures.canvas import COLOURS, GREY, MARKERS, draw
from harness.report.figures.scores import cost, differences, tasks
from harness.report.figures.spaces import explain
from harness.report.figures.sweeps import sweeps
from harness.report.figures.tuning import learning_rates, tuning

__all__ = [
    "ALL",
    "COLOURS",
    "GREY",
    "MARKERS",
    "Drawing",
    "cost",
    "differences",
    "draw",
    "explain",
    "learning_rates",
    "sweeps",
    "tasks",
    "tuning",
]


@dataclass(frozen=True)
class Drawing:
    """A figure of the report with the words that stand for it where it cannot be seen."""

    name: str
    figure: Callable[[Facts], Figure | None]
    alt: str


ALL = (
    Drawing("differences", differences, "Differences between studies with intervals over test pairs and over seeds"),
    Drawing("sweeps", sweeps, "Test score against the number that is swept, with intervals over seeds"),
    Drawing("tuning", tuning, "Best dev score against trials, against minutes, and expected at a number of trials"),
    Drawing(
        "explain", explain, "Dev score during training, alignment against uniformity, and what the cosines tell apart"
    ),
    Drawing("tasks", tasks, "Heat map of the scores of every task in each study"),
    Drawing("learning_rates", learning_rates, "Dev score against learning rate by batch size, a panel a study"),
    Drawing("cost", cost, "Test score against training minutes"),
)
