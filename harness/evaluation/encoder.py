"""Encoders for evaluation: embed each text once per prompt and role, and cache the embeddings.

mteb passes each task's prompt to a model, and whether texts are queries or documents. Its own wrapper for models of
sentence-transformers handles both and is used unchanged; only the model below it is replaced by one with a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from mteb.models.search_wrappers import SearchEncoderWrapper
from sentence_transformers import SentenceTransformer

from harness.errors import Diverged
from harness.model.fast import FastSentenceTransformer
from harness.texts.normal import normalise

BATCH_SIZE = 128
"""Number of sentences encoded at once."""

DECIMALS = 7
"""Decimals of stored cosines: float32 has no more, and records stay small."""

JITTER = 1e-10
"""Largest random number added to a similarity, so that the data set does not decide the order of equal ones."""

Embed: TypeAlias = Callable[[Sequence[str]], np.ndarray]
"""Embeds sentences: an Encoder, or one with a prompt and a role."""

Role: TypeAlias = Literal["query", "document"]


class Encoder:
    """Embeds with one model, each distinct sentence once per role, because sets and tasks repeat many sentences.

    `ignores_roles` is whether all roles have the same embedding: the model has no prompts, and no module that depends
    on the role.
    """

    def __init__(self, model: SentenceTransformer, tf32: bool = False) -> None:
        """Store the model; `tf32` allows a GPU to embed in TF32, which is faster and less exact."""
        self.model, self._tf32 = model, tf32
        self.ignores_roles = not any(model.prompts.values()) and "task" not in model.get_model_kwargs()
        self._embeddings: dict[tuple[Role | None, str | None], dict[str, np.ndarray]] = {}

    def __call__(self, sentences: Sequence[str], prompt: str | None = None, role: Role | None = None) -> np.ndarray:
        """Return the embeddings that the model's `encode` returns.

        Args:
            sentences: the sentences.
            prompt: text before each sentence; if None, the model's own prompt for the role, if it has one.
            role: "query" for `encode_query`, "document" for `encode_document`, None for `encode`.

        Returns:
            Embeddings in float32, shape (sentences, dimension).
        """
        if self.ignores_roles and not prompt:
            prompt = role = None
        cache = self._embeddings.setdefault((role, prompt), {})
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in cache]
        if new:
            cache |= zip(new, self._embed(new, prompt, role), strict=True)
        return np.stack([cache[sentence] for sentence in sentences])

    def pieces(self, texts: Sequence[str], role: Role | None, size: int) -> Iterator[np.ndarray]:
        """Give the embeddings of many texts, a piece at a time, without caching them.

        Args:
            texts: the texts, in any number.
            role: as in a call of the encoder.
            size: texts in a piece.

        Yields:
            Embeddings of the next texts in float32, shape (at most size, dimension).
        """
        for start in range(0, len(texts), size):
            place = {text: number for number, text in enumerate(dict.fromkeys(texts[start : start + size]))}
            embeddings = self._embed(list(place), None, None if self.ignores_roles else role)
            yield embeddings[[place[text] for text in texts[start : start + size]]].astype(np.float32, copy=False)

    def _embed(self, sentences: list[str], prompt: str | None, role: Role | None) -> np.ndarray:
        model = self.model
        plain = self.ignores_roles and not prompt and model.truncate_dim is None
        if plain and isinstance(model, FastSentenceTransformer):
            return model.embed(sentences, self._tf32)
        encode: Callable[..., Any] = getattr(model, f"encode_{role}") if role else model.encode
        return np.asarray(encode(sentences, prompt=prompt, batch_size=BATCH_SIZE, show_progress_bar=False))


class _CachedModel:
    """The model that mteb's wrapper uses: it embeds with an encoder and delegates everything else to the model.

    `seen` holds the embeddings of each subset of a task, by role and text.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.subset = ""
        self.seen: dict[tuple[str, Role | None], dict[str, np.ndarray]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder.model, name)

    def encode(self, sentences: Sequence[str], prompt: str | None = None, **kwargs: Any) -> np.ndarray:
        return self._embedded(sentences, prompt, None)

    def encode_query(self, sentences: Sequence[str], prompt: str | None = None, **kwargs: Any) -> np.ndarray:
        return self._embedded(sentences, prompt, "query")

    def encode_document(self, sentences: Sequence[str], prompt: str | None = None, **kwargs: Any) -> np.ndarray:
        return self._embedded(sentences, prompt, "document")

    def _embedded(self, sentences: Sequence[str], prompt: str | None, role: Role | None) -> np.ndarray:
        embeddings = self._encoder(sentences, prompt, role)
        if not np.isfinite(embeddings).all():
            raise Diverged("the model's embeddings are not finite")
        self.seen.setdefault((self.subset, role), {}).update(zip(sentences, embeddings, strict=True))
        return embeddings


class EvaluatedModel(SentenceTransformerEncoderWrapper):
    """An encoder with the interface that mteb requires, for one evaluation of one task."""

    def __init__(self, encoder: Encoder, name: str, revision: str) -> None:
        """Wrap an encoder.

        Args:
            encoder: the encoder.
            name: the model's name in mteb's results, "organisation/name".
            revision: the model's revision in mteb's results.
        """
        super().__init__(encoder.model)
        meta = ModelMeta.from_sentence_transformer_model(encoder.model)
        self.mteb_model_meta = meta.model_copy(update={"name": name, "revision": revision})
        self._cached_model = _CachedModel(encoder)
        self.model = cast(SentenceTransformer, self._cached_model)
        self._random = np.random.default_rng(0)

    def encode(self, inputs: Any, *, hf_subset: str, **kwargs: Any) -> Any:
        """Return what mteb's own wrapper returns.

        Raises:
            Diverged: an embedding is not finite.
        """
        self._cached_model.subset = hf_subset
        return super().encode(inputs, hf_subset=hf_subset, **kwargs)

    def collapse(self, subset: str) -> str | None:
        """Describe a collapse: all queries, all documents or all texts of a subset have one embedding; else None.

        Such a model gets no score, because mteb would rank by the documents' names, which may be the correct order.
        """
        for role, plural in (("query", "queries"), ("document", "documents"), (None, "texts")):
            embeddings = self._cached_model.seen.get((subset, cast("Role | None", role)), {})
            if len({normalise(text) for text in embeddings}) > 1 and collapsed(embeddings.values()):
                return f"the model gives all its {plural} the same embedding (it collapsed)"
        return None

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the model's similarities in float64; equal ones get a random but reproducible order."""
        similarities = torch.as_tensor(super().similarity(embeddings1, embeddings2)).double()
        jitter = torch.from_numpy(self._random.random(similarities.shape[-1]) * JITTER)  # (documents,)
        return similarities + jitter.to(similarities.device)

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Store the documents to search."""
        self._search = SearchEncoderWrapper(self)
        self._search.index(corpus, **kwargs)

    def search(self, queries: Any, **kwargs: Any) -> dict[str, dict[str, float]]:
        """Return mteb's search results, with similarities that stay distinct in float32, in which mteb ranks them."""
        rankings = self._search.search(queries, **kwargs)
        return {query: _distinct(similarities) for query, similarities in rankings.items()}


def collapsed(embeddings: Iterable[np.ndarray]) -> bool:
    """Return whether all embeddings have the same direction: their rounded cosines are all 1."""
    unit = normalised(np.stack(list(embeddings)).astype(np.float64))
    return bool((np.square(unit - unit[0]).sum(axis=1) / 2 < 0.5 * 10.0**-DECIMALS).all())


def normalised(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings, shape (sentences, dimension), scaled to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: np.ndarray = embeddings / np.maximum(lengths, 1e-12)
    return unit


def _distinct(similarities: Mapping[str, float]) -> dict[str, float]:
    """Raise similarities that would be equal in float32 to the next lower one by one float32 step; the order stays."""
    names = sorted(similarities, key=similarities.__getitem__)
    bits = np.array([similarities[name] for name in names], np.float32).view(np.int32).astype(np.int64)
    # numbers that count float32's steps from 0, shape (documents,); the sign is float32's highest bit
    steps = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    places = np.arange(len(steps))
    steps = np.maximum.accumulate(steps - places) + places
    separated = np.where(steps < 0, -steps | 0x80000000, steps).astype(np.uint32).view(np.float32)
    return dict(zip(names, separated.tolist(), strict=True))
