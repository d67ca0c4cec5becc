"""The fast exact forward pass: the same embeddings, computed from a batch without padding in one pass.

Sentences of a batch differ in length, and a batch is padded to its longest: of NLI's padded tokens only four in ten
are real. Except for attention, a transformer processes tokens independently, and attention needs only those of the same
sentence. So a batch's sentences are concatenated into one sequence without padding, and each attends to itself
(`attention.py`). This computes the same function of the same parameters; the embeddings are returned in the batch's
order, so the loss, its in-batch negatives and all gradients are those of the plain forward pass (dropout draws other
masks, as with another seed). All columns of a batch share one pass. It replaces the model's `forward`, so it works with
every loss.

Models whose attention depends on positions in the batch (position biases, windows) run in chunks of sentences of
similar length instead, each padded to its own longest (`chunks.py`), on a CPU; on a GPU they run unchanged.

A model uses its inherited forward until `certificate.py` sets `way`: a fast path is used only if its results were
checked against the inherited forward.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from harness.compat import Transformer
from harness.model import capture, chunks, products
from harness.model.attention import packed_attention
from harness.model.first_position import UNSUPPORTED, first_position
from harness.model.packing import Features, Lengths, inverse, packed, padded_on_the_right
from harness.model.sentence_features import object_versions, with_embedding
from harness.model.tokens import TokenMemory, state_of

GRID = 32
"""In bf16 on a CPU, packed batches are filled to a multiple of this many tokens: oneDNN compiles a kernel per shape."""

Way = Literal["captured", "packed", "chunks", "plain"]
"""The forward path: packed, run from CUDA graphs or by the modules; in chunks; or padded ("plain")."""

FORWARD = "HARNESS_FORWARD"
"""Environment variable: "plain" allows the library's own forward pass only, e.g. to compare two of its versions."""

AGREEMENT = 1e-5
"""Largest difference from the plain path in float32, relative to a tensor's largest value."""

TOKENS_A_PASS = (4096, 32768)
"""Approximate number of tokens that are embedded at once without gradients, on a CPU and on a GPU."""


class FastSentenceTransformer(SentenceTransformer):
    """A SentenceTransformer that tokenises each sentence once and omits padding, in training and in `embed`.

    Attributes:
        way: the forward path in training; "plain" until a caller sets it.
        ran: number of forward passes in training, by path.
        passes: the captured CUDA graphs; None if the model is not on a GPU.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # what is saved names its type, by which others load it; some versions would write the name of this class
        self.model_type = "SentenceTransformer"
        self.way: Way = "plain"
        self.ran: Counter[Way] = Counter()
        self.passes = capture.CapturedPasses() if self.device.type == "cuda" else None
        self._embeds: Way | None = None
        self._columns: Sequence[Features] = ()
        self._lengths: Lengths | None = None
        self._announced: Sequence[tuple[tuple[str, int, int], ...]] = ()
        self._together = False
        self._embedded: dict[int, Tensor] = {}
        self._memory, self._tokenizer, self._state = TokenMemory(), self.tokenizer, state_of(self[0])
        self._first_position = first_position(self, super().forward, self._pass)

    @property
    def ways(self) -> tuple[Way, ...]:
        """The fast paths that may support this model on its device, fastest first; none of them is certified yet."""
        if os.environ.get(FORWARD) == "plain":
            return ()
        if not isinstance(self[0], Transformer) or (self.device.type != "cpu" and self._first_position is None):
            return ()
        captured: tuple[Way, ...] = ("captured",) if self.passes is not None else ()
        if self.device.type != "cpu":
            return (*captured, "packed") if self.device.type == "cuda" else ()
        if self._first_position is None:
            return ("chunks",)
        return (*captured, "packed", "chunks")

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the inherited features; on a fast path, those of sentences without a prompt come from the cache."""
        way = self.way if self.training else self._embeds
        plain = not prompt and all(value is None for value in kwargs.values())
        if way in (None, "plain") or not plain or not inputs or not all(isinstance(text, str) for text in inputs):
            return self.features(inputs, prompt=prompt, **kwargs)
        state = state_of(self[0])
        if state is None:
            return self.features(inputs)
        if self._tokenizer is not self.tokenizer or self._state != state:
            self._memory, self._tokenizer, self._state = TokenMemory(), self.tokenizer, state
        return self._memory.features(inputs, self.features)

    def features(self, inputs: Sequence[Any], **kwargs: Any) -> Features:
        """Return the inherited features without using the cache of tokens."""
        output: Features = super().preprocess(inputs, **kwargs)
        return output

    def tokenize(self, texts: Sequence[Any], **kwargs: Any) -> Features:
        """Return `preprocess`, under the name by which sentence-transformers before 5.4 calls it."""
        return self.preprocess(texts, **kwargs)

    def embed(self, sentences: Sequence[str], tf32: bool = False) -> np.ndarray:
        """Return the embeddings that `encode` returns for sentences without a prompt, but faster.

        Batches have about equal numbers of tokens. The model runs in eval mode and without the autocast that a trainer
        may have put around `forward`. In the first call, the plain path embeds a few of the sentences; a fast path is
        used if it gives the same embeddings.

        Args:
            sentences: the sentences.
            tf32: allow TF32 on a GPU: less exact than float32, and faster.

        Returns:
            Embeddings in float32, shape (sentences, dimension).
        """
        self.eval()
        limit = TOKENS_A_PASS[self.device.type != "cpu"]
        order, batches = chunks.by_length(sentences, self.max_seq_length or 512, limit)
        parts = []
        with torch.no_grad():
            if self._embeds is None and len(sentences):
                self._embeds = self._way_to_embed([sentences[row] for row in order])
            with products.at_precision("high" if tf32 and self.device.type == "cuda" else "highest"):
                for rows in batches:
                    features = self.preprocess([sentences[row] for row in rows])
                    # summed before the mask moves to the GPU, which would have to be waited for
                    in_tokens = [features["attention_mask"].sum(dim=1).tolist()] if self.packs else None
                    parts.append(self._embedding(features, in_tokens))
            together: np.ndarray = torch.cat(parts)[torch.from_numpy(inverse(order))].float().cpu().numpy()
        return together

    def _way_to_embed(self, by_length: Sequence[str]) -> Way:
        """Return the first path that gives the plain embeddings of sentences of different and of equal lengths."""
        some = [by_length[place] for place in np.linspace(0, len(by_length) - 1, 4).astype(int)]
        batches = [some, some[1:2] * 2]
        with products.at_precision("highest"):
            references = [self._plain(self._on_device(self.features(batch)))["sentence_embedding"] for batch in batches]
            for way in self.ways:
                self._embeds = way
                try:
                    results = [self._embedding(self.preprocess(batch)) for batch in batches]
                except UNSUPPORTED:  # includes running out of memory
                    continue
                if all(
                    (result - reference).abs().max() <= AGREEMENT * reference.abs().max()
                    for result, reference in zip(results, references, strict=True)
                ):
                    return way
        return "plain"

    def _embedding(self, features: Features, lengths: Lengths | None = None) -> Tensor:
        """Embed a batch without gradients; only packed batches come in few enough shapes for faster products."""
        with products.faster() if self.packs and self.device.type == "cpu" else nullcontext():
            embedded: Tensor = self._alone(self._on_device(features), lengths)["sentence_embedding"]
        return embedded

    def _on_device(self, features: Features) -> Features:
        moved: Features = batch_to_device(features, self.device)
        return moved

    def announce_batch(self, columns: Sequence[Features], lengths: Lengths | None = None) -> None:
        """Announce a batch: when `forward` is called with its first column, all columns are embedded in one pass.

        Args:
            columns: the features of each column.
            lengths: the sentences' lengths in tokens, by column, if all columns are padded on the right.
        """
        self._columns, self._lengths, self._embedded = columns, lengths, {}
        self._announced = [object_versions(column) for column in columns]
        self._together = True

    def end_training(self) -> None:
        """Release the last announced batch and the memory of the captured passes."""
        self.announce_batch(())
        if self.passes is not None:
            self.passes.clear()

    def forward(self, input: Features, **kwargs: Any) -> Features:
        """Add "sentence_embedding", shape (sentences, dimension), to the features and return them.

        The inherited forward is used if `way` is "plain", outside training, for features that are not text padded on
        the right, and if a loss has replaced the forward of a module.
        """
        if not self.training or self.way == "plain" or any("forward" in vars(module) for module in self):
            return self._plain(input, **kwargs)
        column = next((i for i, announced in enumerate(self._columns) if announced is input), None)
        if column is None or not torch.is_grad_enabled() or kwargs or object_versions(input) != self._announced[column]:
            return self._alone(input, **kwargs)  # a loss may have changed the batch, even after it was embedded
        if self._together:
            self._together = False
            if any(object_versions(c) != then for c, then in zip(self._columns, self._announced, strict=True)):
                return self._alone(input)
            together = self._without_padding(self._columns, self._lengths, self.passes)
            self._embedded = dict(enumerate(together.chunk(len(self._columns)))) if together is not None else {}
        embedding = self._embedded.pop(column, None)
        if embedding is None:  # a second pass draws new dropout masks, as the inherited one would
            return self._alone(input)
        return with_embedding(input, embedding)

    def _alone(self, input: Features, lengths: Lengths | None = None, **kwargs: Any) -> Features:
        embedded = None if kwargs else self._without_padding([input], lengths)
        if embedded is None:
            return self._plain(input, **kwargs)
        return with_embedding(input, embedded)

    def _plain(self, input: Features, **kwargs: Any) -> Features:
        self._count("plain")
        output: Features = super().forward(input, **kwargs)
        return output

    def _count(self, way: Way) -> None:
        if self.training:
            self.ran[way] += 1

    def _without_padding(
        self, columns: Sequence[Features], lengths: Lengths | None, passes: capture.CapturedPasses | None = None
    ) -> Tensor | None:
        """Embed columns in one pass without padding.

        Args:
            columns: the features of each column.
            lengths: the sentences' lengths in tokens, by column; computed from the masks if None.
            passes: captured passes to use on the path "captured"; None to run the modules.

        Returns:
            The embeddings, the columns one after another, shape (sentences, dimension); None if this path cannot omit
            the padding.
        """
        way = self.way if self.training else self._embeds
        masks = [column["attention_mask"] for column in columns if "attention_mask" in column]
        if way in (None, "plain") or len(masks) < len(columns) or any(mask.ndim != 2 for mask in masks):
            return None
        if lengths is None:
            if not all(map(padded_on_the_right, masks)):
                return None
            lengths = [mask.sum(dim=1).tolist() for mask in masks]
        if way == "chunks":
            merged = chunks.merged(columns)
            return None if merged is None else self._in_chunks(merged)
        if way != "captured" or sum(int(np.sum(part)) for part in lengths) > capture.TOKENS:
            passes = None
        grid = capture.GRID if passes is not None else self._grid()
        pack = None if self._first_position is None else packed(columns, lengths, self._first_position, grid)
        if pack is None:
            return None
        features, back = pack  # back: each sentence's place in the packed order, shape (sentences,)
        if passes is None:
            return self._pass(features)[back]
        used = passes.used
        embedded = passes.embed(self, features, self._pass)
        if passes.used > used:  # otherwise `_pass` has counted the pass
            self._count("captured")
        return embedded[back]

    def _grid(self) -> int:
        """Return the number of tokens to whose multiple a packed batch is filled, so that kernels can be reused."""
        if self.device.type != "cpu":
            return 1
        if torch.is_autocast_enabled("cpu"):
            return GRID
        # not in training: a cached loss embeds without gradients first, and has to find the same dropout masks again
        return products.GRID if not self.training and products.onednn_is_faster() else 1

    def _pass(self, features: Features) -> Tensor:
        """Embed a packed batch; the embeddings, shape (sentences, dimension), are in the packed order."""
        transformer = self[0]
        assert isinstance(transformer, Transformer)
        with packed_attention(transformer.config):
            embedded: Tensor = super().forward(features)["sentence_embedding"]
        self._count("packed")
        return embedded

    def _in_chunks(self, features: Features) -> Tensor:
        embedded = chunks.embedded(features, super().forward, self.get_embedding_dimension() or 1)
        self._count("chunks")
        return embedded

    @property
    def packs(self) -> bool:
        """Whether batches are packed in the present mode (training or `embed`), and not run in chunks or padded."""
        return (self.way if self.training else self._embeds) in ("captured", "packed")
