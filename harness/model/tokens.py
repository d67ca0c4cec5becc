"""Cache of token ids: the trials of an ablation tokenise the same rows repeatedly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

LIMIT = 2**20
"""Maximum number of sentences in the cache, which then takes a few hundred megabytes."""

Preprocess = Callable[[Sequence[str]], dict[str, Any]]


def state_of(transformer: Any) -> Hashable | None:
    """Return the settings that decide the tokens of a sentence, except for the words of the vocabulary.

    The cache is valid only as long as they are equal, so callers compare them before each use. None if they cannot be
    determined or tokenisation is random; then nothing may be cached.
    """
    tokenizer = getattr(transformer, "tokenizer", None)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if tokenizer is None or backend is None or getattr(backend.model, "dropout", None):
        return None
    parts = (backend.normalizer, backend.pre_tokenizer, backend.post_processor, tokenizer.added_tokens_decoder)
    sides = (tokenizer.padding_side, tokenizer.truncation_side, tokenizer.pad_token_id, tokenizer.model_max_length)
    # before sentence-transformers 5.4, the transformer has the maximum length, and may turn texts into lower case
    own = [getattr(transformer, name, None) for name in ("max_seq_length", "do_lower_case", "processing_kwargs")]
    return *map(repr, parts), *sides, backend.get_vocab_size(), *map(repr, own)


class TokenMemory:
    """Cache of a model's features: equal to those of its own preprocessing, with each sentence tokenised once.

    The features of new sentences come from the model's preprocessing. They are cut into rows, assembled again from the
    cache and compared. If the tensors differ (padding on the left, position-dependent features, images), the cache
    disables itself, and every call goes to the model's preprocessing.
    """

    def __init__(self) -> None:
        self.replays = True
        self._rows: dict[str, np.ndarray] = {}
        self._keys: dict[str, Any] = {}
        self._padding = 0

    def __deepcopy__(self, memo: Mapping[int, Any]) -> TokenMemory:
        return self  # a model's copies share its tokenizer, and therefore its cache

    def features(self, sentences: Sequence[str], preprocess: Preprocess) -> dict[str, Any]:
        """Return `preprocess(sentences)`, mostly from the cache."""
        if not self.replays:
            return preprocess(sentences)
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._rows]
        if new and (len(self._rows) + len(new) > LIMIT or not self._add(new, preprocess(new))):
            return preprocess(sentences)
        return self._assembled(sentences)

    def _add(self, sentences: Sequence[str], features: dict[str, Any]) -> bool:
        """Cache features of new sentences; return False and disable the cache if they cannot be assembled again."""
        ids, mask = features.get("input_ids"), features.get("attention_mask")
        if ids is None or mask is None or ids.ndim != 2 or ids.shape != mask.shape or len(ids) != len(sentences):
            self.replays = False
            return False
        if (mask == 0).any():
            self._padding = int(ids[mask == 0][0])
        self._keys = {name: None if isinstance(value, torch.Tensor) else value for name, value in features.items()}
        rows = ids.numpy().astype(np.int32)
        for sentence, row, length in zip(sentences, rows, mask.sum(dim=1).tolist(), strict=True):
            self._rows[sentence] = row[:length].copy()
        again = self._assembled(sentences)
        self.replays = all(
            torch.equal(value, again[name]) and value.dtype == again[name].dtype
            if isinstance(value, torch.Tensor)
            else again[name] == value
            for name, value in features.items()
        )
        return self.replays

    def _assembled(self, sentences: Sequence[str]) -> dict[str, Any]:
        """Pad cached rows to the longest of them; tensors other than ids and mask are assumed to be zero."""
        rows = [self._rows[sentence] for sentence in sentences]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        real = np.arange(lengths.max()) < lengths[:, None]  # (sentences, tokens): False where padded
        ids = np.full(real.shape, self._padding, np.int64)
        ids[real] = np.concatenate(rows)
        tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(real.astype(np.int64))}
        return {
            name: value if value is not None else tensors.get(name, torch.zeros(real.shape, dtype=torch.int64))
            for name, value in self._keys.items()
        }
