"""A model whose embeddings are given by text, to test what is computed from embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

QUERY = "query: "

Similarity: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]


class Fixed(SentenceTransformer):
    """Looks texts up. It embeds them alike in every role, unless there is an entry "query: TEXT" for a query."""

    def __init__(self, embeddings: Mapping[str, np.ndarray], similarity: Similarity = "cosine") -> None:
        super().__init__(modules=[nn.Linear(1, 1)], similarity_fn_name=similarity, device="cpu")
        self.given = {text: np.asarray(embedding, np.float32) for text, embedding in embeddings.items()}
        self.asked: list[str] = []
        if any(text.startswith(QUERY) for text in embeddings):
            self.prompts = {"query": QUERY, "document": ""}

    def encode(self, inputs: Any, *args: Any, convert_to_tensor: bool = False, **kwargs: Any) -> Any:
        if isinstance(inputs, str):
            return self.encode([inputs], convert_to_tensor=convert_to_tensor)[0]
        self.asked += list(inputs)
        found = np.stack([self.given[text] for text in inputs])
        return torch.from_numpy(found) if convert_to_tensor else found

    def encode_query(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return self.encode([QUERY + text if QUERY + text in self.given else text for text in inputs], **kwargs)

    def encode_document(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return self.encode(inputs, **kwargs)
