"""The report's figures; no other package imports matplotlib.

canvas     palette, style, legends; draws a figure into a file
scores     differences between studies, every task, score against cost
tuning     best score against budget, dev score against learning rate
spaces     dev score during training, and what the embeddings look like
ranks      rank of each study on several testbeds
forgetting change of the test score against that of further measures
sweeps     test score against a swept parameter
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.report.facts import Facts
from harness.report.figures.canvas import COLOURS, GREY, MARKERS, by_number, draw
from harness.report.figures.forgetting import forgetting
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
    "by_number",
    "cost",
    "differences",
    "draw",
    "explain",
    "forgetting",
    "learning_rates",
    "sweeps",
    "tasks",
    "tuning",
]


@dataclass(frozen=True)
class Drawing:
    """A figure of the report with its alternative text."""

    name: str
    """Name of the file, without extension."""
    figure: Callable[[Facts], Figure | None]
    """Function that draws it; None if there is nothing to draw yet."""
    alt: str
    """Alternative text."""


ALL = (
    Drawing("differences", differences, "Differences between studies with intervals over test items and over seeds"),
    Drawing("sweeps", sweeps, "Test score against the swept parameter, with intervals over seeds"),
    Drawing("tuning", tuning, "Best dev score against trials and against minutes, and expected best score of k points"),
    Drawing(
        "explain", explain, "Dev score during training, alignment against uniformity, and mean cosine by gold score"
    ),
    Drawing("forgetting", forgetting, "Points gained on the test measure against points gained on further measures"),
    Drawing("tasks", tasks, "Heat map of the scores of every task in each study"),
    Drawing("learning_rates", learning_rates, "Dev score against learning rate by batch size, one panel per study"),
    Drawing("cost", cost, "Test score against training minutes"),
)
