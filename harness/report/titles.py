"""Titles of scores: how the name of a score in records is printed."""

from __future__ import annotations

from harness.scores import HEADLINE, OBJECTIVE

MEASURES = {HEADLINE.partition("/")[0]: "STS test", OBJECTIVE.partition("/")[0]: "STS dev"}
"""Titles of the measures of the package's own testbeds, one of which is of generated sentences and not STSB."""

FIGURES = {
    "spearman_cosine": "Spearman",
    "pearson_cosine": "Pearson",
    "average_precision": "average precision",
    "f1": "F1",
}
"""Titles of figures; those of retrieval are written as in the literature."""


def of_measure(name: str) -> str:
    """Return the title of a measure."""
    return MEASURES.get(name, name)


def of_figure(name: str) -> str:
    """Return the title of a figure without its measure, e.g. "Spearman" or "nDCG@10"."""
    for start, title in (("ndcg", "nDCG"), ("mrr", "MRR"), ("map", "MAP")):
        if name.startswith(start):
            return title + name.removeprefix(start)
    return FIGURES.get(name, name.removesuffix("_cosine").replace("_", " "))


def of_score(name: str) -> str:
    """Return the title of a score, e.g. "STS test Spearman" or "medquad-test nDCG@10"."""
    measure, _, figure = name.partition("/")
    return figure if measure == "mteb" else f"{of_measure(measure)} {of_figure(figure)}".strip()
