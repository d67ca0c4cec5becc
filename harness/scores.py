"""The names of scores in records, reports and claims."""

from __future__ import annotations

DEV, TEST = "stsb-dev", "stsb-test"
"""The roles of the two STS sets: the first chooses points, the second is looked at once."""

OBJECTIVE = f"{DEV}/spearman_cosine"
HEADLINE = f"{TEST}/spearman_cosine"
"""What the search maximises, and what claims are about unless they name another score."""

STS_FIGURES = ("spearman_cosine", "pearson_cosine", "spearman_half", "spearman_quarter", "spearman_eighth")
"""Figures of each of the two STS sets; the last three are of the first part of an embedding's dimensions."""

UNFIT = "unfit: "
"""What the reason begins with where a task's score is missing because of the model: no later run would have one."""
