"""What a random order of the documents scores in a retrieval figure, exactly, and figures that no order changes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def of_random_order(figure: str, documents: int, grades: Sequence[float]) -> float:
    """Return the mean of one query's figure over all orders of the documents.

    Each rank holds a relevant document with the probability that a document is relevant. The figures are those of
    `harness.evaluation.retrieval`, so relevance is binary except for "ndcg-graded@10".

    Args:
        figure: name of the figure, one of `RETRIEVAL_FIGURES`.
        documents: number of documents that are ranked, at least as many as `grades`.
        grades: the grades above 0 of the query's relevant documents.

    Returns:
        The mean, from 0 to 1.
    """
    kind, depth = _parts(figure)
    relevant = len(grades)
    ranks, share = range(1, min(depth, documents) + 1), relevant / documents
    if kind == "accuracy":
        return 1 - _without(documents, relevant, len(ranks))
    if kind == "precision":
        return share * len(ranks) / depth
    if kind == "recall":
        return len(ranks) / documents
    if kind == "mrr":  # the first relevant document is at one rank, and none is before it
        first = (_without(documents, relevant, rank - 1) * relevant / (documents - rank + 1) / rank for rank in ranks)
        return sum(first)
    if kind == "map":  # the precision at the rank of a relevant document counts itself and those before it
        others = (relevant - 1) / max(1, documents - 1)
        return share * sum((1 + (rank - 1) * others) / rank for rank in ranks) / min(relevant, depth)
    gains = [1.0] * relevant if kind == "ndcg" else sorted(grades, reverse=True)
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:depth], 1))
    return sum(gains) / documents * sum(1 / math.log2(rank + 1) for rank in ranks) / ideal


def is_fixed(figure: str, documents: int, grades: Sequence[float]) -> bool:
    """Return whether every order of the documents gives a query the same figure; arguments as of `of_random_order`."""
    kind, depth = _parts(figure)
    irrelevant = documents - len(grades)
    if irrelevant == 0 and (kind != "ndcg-graded" or len(set(grades)) == 1):
        return True
    if kind in ("recall", "precision"):
        return depth >= documents
    return kind == "accuracy" and depth > irrelevant


def _parts(figure: str) -> tuple[str, int]:
    """Return the kind of a figure and the number of ranks that it looks at: "ndcg" and 10 of "ndcg@10"."""
    kind, _, depth = figure.partition("@")
    return kind, int(depth)


def _without(documents: int, relevant: int, ranks: int) -> float:
    """Return the probability that a random order has no relevant document in its first ranks."""
    irrelevant = documents - relevant
    return math.prod((irrelevant - rank) / (documents - rank) for rank in range(min(ranks, irrelevant + 1)))
