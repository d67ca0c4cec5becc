"""Exact search: the k documents most similar to each query, in memory that does not grow with the number of documents.

Documents of equal similarity are in a pseudo-random order, made of a hash of both ids: it depends neither on the
documents' order nor on the alphabet, by which other evaluators break ties, and which may be the order of relevance. So
a model that tells no documents apart is at chance. The order is the same for every model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from harness.errors import Diverged
from harness.model.products import at_precision

QUERIES_AT_ONCE = 512
"""Queries whose similarities to a piece of the documents are in memory together."""

COSINE_STEPS = 2.0**20
"""Cosines are rounded to multiples of 1 / COSINE_STEPS: float32 differs by less between batches of equal texts."""

BITS = 4
"""Last bits of the 24 of a float32 that are rounded away where similarities have another scale than cosines."""

MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
"""Constants of the hash function SplitMix64 (Steele et al., 2014), as signed integers."""


def rank(
    model: SentenceTransformer,
    queries: np.ndarray,
    pieces: Iterable[np.ndarray],
    *,
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    k: int,
    exclude: bool = False,
) -> np.ndarray:
    """Return the most similar documents of each query, by the model's own similarity function.

    Args:
        model: whose similarity function and device are used.
        queries: embeddings of the queries, shape (queries, dimension).
        pieces: embeddings of the documents in their order, each of shape (any number, dimension).
        query_ids: ids of the queries.
        document_ids: ids of the documents.
        k: documents to find for each query.
        exclude: leave out the document with the query's own id.

    Returns:
        Numbers of the documents, the most similar first, shape (queries, k); -1 where there are no more documents.

    Raises:
        Diverged: a similarity is not a finite number.
    """
    device = model.device
    asked = torch.from_numpy(np.ascontiguousarray(queries, np.float32)).to(device)
    query_keys = _keys([f"query {id}" for id in query_ids]).to(device)[:, None]
    document_keys = _keys(document_ids).to(device)
    numbers = {id: number for number, id in enumerate(document_ids)} if exclude else {}
    own = torch.tensor([numbers.get(id, -1) for id in query_ids], device=device)
    blocks = [slice(first, first + QUERIES_AT_ONCE) for first in range(0, len(asked), QUERIES_AT_ONCE)]
    similar = torch.empty((len(asked), 0), device=device)  # of the best so far: similarities, and which documents
    places = torch.empty((len(asked), 0), dtype=torch.long, device=device)
    start = 0
    for piece in pieces:
        documents = torch.from_numpy(np.ascontiguousarray(piece, np.float32)).to(device)
        keys = document_keys[start : start + len(piece)]
        found = [
            _best(_similarities(model, asked[b], documents), own[b] - start, query_keys[b], keys, k) for b in blocks
        ]
        similar = torch.cat([similar, torch.cat([values for values, _ in found])], dim=1)
        places = torch.cat([places, torch.cat([columns for _, columns in found]) + start], dim=1)
        order = _sortable(similar, query_keys, document_keys[places]).topk(min(k, similar.shape[1])).indices
        similar, places = similar.gather(1, order), places.gather(1, order)
        start += len(piece)
    ranked = torch.where(similar > -torch.inf, places, -1).cpu().numpy()
    return np.pad(ranked, ((0, 0), (0, k - ranked.shape[1])), constant_values=-1)


def _keys(ids: Sequence[str]) -> Tensor:
    """Return a 64-bit hash of each id."""
    hashes = b"".join(blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest() for id in ids)
    return torch.from_numpy(np.frombuffer(hashes, np.int64).copy())


def _similarities(model: SentenceTransformer, queries: Tensor, documents: Tensor) -> Tensor:
    """Return similarities in float32, shape (queries, documents), in which rounding errors no longer show."""
    with at_precision("highest"):  # whatever training set: TF32 would change the order
        similarities = model.similarity(queries, documents).float()
    if model.similarity_fn_name == "cosine":
        return similarities.mul_(COSINE_STEPS).round_().div_(COSINE_STEPS)
    bits = similarities.view(torch.int32)  # sign, exponent, mantissa: a carry into the exponent is right
    bits.add_(1 << (BITS - 1)).bitwise_and_(-(1 << BITS))
    return similarities


def _best(
    similarities: Tensor, own: Tensor, query_keys: Tensor, document_keys: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Return the k highest similarities and their columns; ties at the last place are broken by the keys.

    `own` has the column of each query's own document, which gets the lowest similarity if it is in this piece.
    """
    here = ((own >= 0) & (own < similarities.shape[1])).nonzero().squeeze(1)
    similarities[here, own[here]] = -torch.inf
    values, columns = similarities.topk(min(k, similarities.shape[1]))
    if not (values < torch.inf).all():  # NaN, too, is first in topk
        raise Diverged("the model's similarities are not finite")
    tied = ((similarities >= values[:, -1:]).sum(dim=1) > values.shape[1]).nonzero().squeeze(1)
    if len(tied):
        columns[tied] = _sortable(similarities[tied], query_keys[tied], document_keys).topk(values.shape[1]).indices
        values[tied] = similarities[tied].gather(1, columns[tied])
    return values, columns


def _sortable(similarities: Tensor, query_keys: Tensor, document_keys: Tensor) -> Tensor:
    """Return integers in the order of the similarities, and of a hash of both keys where these are equal."""
    bits = (similarities + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as integers, negative floats are in descending order
    return (ascending.long() << 31) + (_mixed(query_keys ^ document_keys) & 0x7FFFFFFF)


def _mixed(keys: Tensor) -> Tensor:
    """Return SplitMix64's hash of 64-bit integers."""
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        keys = (keys ^ ((keys >> shift) & ((1 << (64 - shift)) - 1))) * multiplier
    return keys ^ ((keys >> 31) & ((1 << 33) - 1))
