"""The names of scores in records, reports and claims."""

from __future__ import annotations

DEV, TEST = "stsb-dev", "stsb-test"
"""The two STS sets: points are chosen by the first, and final runs are scored on the second."""

OBJECTIVE = f"{DEV}/spearman_cosine"
"""The score that the search maximises."""
HEADLINE = f"{TEST}/spearman_cosine"
"""The score that claims are about unless they name another one."""

STS_FIGURES = ("spearman_cosine", "pearson_cosine", "spearman_half", "spearman_quarter", "spearman_eighth")
"""Figures of each of the two STS sets; the last three are of the first part of an embedding's dimensions."""

UNFIT = "unfit: "
"""Start of the reason why a task has no score if the model is the cause, so that repeating the run would not help."""
