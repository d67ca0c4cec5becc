"""Scores of retrieval sets: the figures of sentence-transformers' InformationRetrievalEvaluator, and graded nDCG.

Relevance is binary (a grade above 0) in all figures but "ndcg-graded@10", which mteb calls ndcg_at_10: there a
document's gain is its grade, as in trec_eval. All are means over queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import Diverged
from harness.evaluation.encoder import Encoder, collapsed
from harness.evaluation.ranking import rank
from harness.reading.beir import RetrievalSet
from harness.testbeds.measure_kinds import RETRIEVAL_FIGURES
from harness.texts.normal import normalise

Floats = NDArray[np.float64]

DEEPEST = 100
"""Documents of a ranking that figures look at."""

PIECE = 16_384
"""Documents that are embedded and ranked at once."""

ROWS_A_LOOK = 256
"""Embeddings that are looked at together for whether the model has collapsed; mostly the first ones decide."""


def score_retrieval(encoder: Encoder, found: RetrievalSet, piece: int = PIECE) -> dict[str, Floats]:
    """Rank all documents for each query and compute each query's figures.

    Args:
        encoder: embeds the queries and the documents in their roles.
        found: the set.
        piece: documents that are embedded and ranked at once. It bounds the memory. Other numbers give the same
            ranking if the embeddings are the same; those of a text differ between batches by rounding, less than what
            similarities are rounded by.

    Returns:
        The values of the queries, by figure.

    Raises:
        Diverged: an embedding is not finite, or all documents, or all queries, have the same.
    """
    (queries,) = _sound([encoder(found.queries, role="query")], found.queries, "queries")
    documents = _sound(encoder.pieces(found.documents, "document", piece), found.documents, "documents")
    places = rank(
        encoder.model,
        queries,
        documents,
        query_ids=found.query_ids,
        document_ids=found.document_ids,
        k=DEEPEST,
        exclude=found.exclude,
    )
    return figures(_grades(places, found), [list(found.relevant[id].values()) for id in found.query_ids])


def _sound(pieces: Iterable[np.ndarray], texts: Sequence[str], plural: str) -> Iterator[np.ndarray]:
    """Give embeddings on; raise Diverged if one is not finite or, at the end, if all have the same direction."""
    first, same = None, True
    for piece in pieces:
        if not np.isfinite(piece).all():
            raise Diverged(f"the model's embeddings of {plural} are not finite")
        first = piece[0] if first is None else first
        parts = (piece[start : start + ROWS_A_LOOK] for start in range(0, len(piece), ROWS_A_LOOK))
        same = same and all(collapsed([first, *part]) for part in parts)
        yield piece
    if same and len({normalise(text) for text in texts}) > 1:
        raise Diverged(f"the model gives all {plural} the same embedding (it collapsed)")


def _grades(places: np.ndarray, found: RetrievalSet) -> Floats:
    """Return the grades of the ranked documents, shape (queries, ranks); 0 for those that are not relevant."""
    grades = np.zeros(places.shape)
    for row, query in enumerate(found.query_ids):
        relevant = found.relevant[query]
        for column, place in enumerate(places[row]):
            if place >= 0:
                grades[row, column] = relevant.get(found.document_ids[place], 0.0)
    return grades


def figures(grades: Floats, relevant: Sequence[Sequence[float]]) -> dict[str, Floats]:
    """Return each query's figures.

    Args:
        grades: grades of the ranked documents, 0 for those that are not relevant, shape (queries, at least 100).
        relevant: the grades above 0 of all documents, for each query.

    Returns:
        The values of the queries by figure, in the order of `RETRIEVAL_FIGURES`.
    """
    hits = (grades > 0).astype(float)
    number = np.array([len(each) for each in relevant], float)
    ideal = np.array([(sorted(each, reverse=True) + [0.0] * 10)[:10] for each in map(list, relevant)])
    ranks = np.arange(1, grades.shape[1] + 1)
    precision = hits.cumsum(axis=1) / ranks
    values = {
        "ndcg@10": _dcg(hits) / _dcg((ideal > 0).astype(float)),
        "ndcg-graded@10": _dcg(grades) / _dcg(ideal),
        "mrr@10": (hits / ranks)[:, :10].max(axis=1),
        "map@100": (precision * hits)[:, :100].sum(axis=1) / np.minimum(number, 100),
        "precision@10": precision[:, 9],
    }
    values |= {f"accuracy@{k}": hits[:, :k].max(axis=1) for k in (1, 3, 5, 10)}
    values |= {f"recall@{k}": hits[:, :k].sum(axis=1) / number for k in (1, 3, 5, 10, 100)}
    return {figure: values[figure] for figure in RETRIEVAL_FIGURES}


def _dcg(gains: Floats) -> Floats:
    """Return the discounted cumulative gain of the first ten ranks."""
    discounted: Floats = gains[:, :10] @ (1 / np.log2(np.arange(2, 12)))
    return discounted
