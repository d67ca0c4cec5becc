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

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from harness.model import capture, chunks
from harness.model.attention import packed_attention
from harness.model.packing import Features, Lengths, inverse, packed, padded_on_the_right
from harness.model.sentence_features import stamps, with_embedding
from harness.model.tokens import TokenMemory, state_of

PROBE = ("a", "a man and a woman walk along the river", "nobody")
"""Sentences of unequal length on which packing must agree with the plain forward before it is used."""

GRID = 32
"""Tokens to a multiple of which a packed batch is filled in bf16 on a CPU: oneDNN compiles a kernel for each shape."""

UNSUPPORTED = (NotImplementedError, TypeError, ValueError, KeyError, IndexError, RuntimeError, AttributeError)
"""Exceptions raised by models that cannot be packed."""

Way = Literal["captured", "packed", "chunks", "plain"]
"""How a batch is embedded: packed, by CUDA graphs or by the modules; in chunks; or padded."""

AGREEMENT = 1e-5
"""How far float32's results may be from the plain path's, as a share of a tensor's largest value."""

TOKENS_A_PASS = (4096, 32768)
"""About how many tokens are embedded at once without gradients, on a CPU and on a GPU."""


@contextmanager
def _products(precision: str) -> Iterator[None]:
    """Multiply float32 matrices at one of torch's precisions: "highest" is float32, "high" TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class FastSentenceTransformer(SentenceTransformer):
    """A SentenceTransformer that tokenises a sentence once and leaves padding out, in training and in `embed`.

    `way` is how it runs in training, "plain" until somebody sets it; `ran` counts the passes of each way.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
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
        self._first_position = self._position_when_packed()

    @property
    def ways(self) -> tuple[Way, ...]:
        """The fast ways that may suit this model on its device, fastest first: none has been certified."""
        if not isinstance(self[0], Transformer) or (self.device.type != "cpu" and self._first_position is None):
            return ()
        captured: tuple[Way, ...] = ("captured",) if self.passes is not None else ()
        if self.device.type != "cpu":
            return (*captured, "packed") if self.device.type == "cuda" else ()
        if self._first_position is None:
            return ("chunks",)
        return (*captured, "packed", "chunks")

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the inherited features; in a fast way those of plain sentences come from memory."""
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
        """Return the inherited features, which nothing remembers."""
        found: Features = super().preprocess(inputs, **kwargs)
        return found

    def embed(self, sentences: Sequence[str], tf32: bool = False) -> np.ndarray:
        """Return what `encode` returns for sentences without a prompt, float32 of shape (sentences, dimension), sooner.

        It is made in eval mode from batches of about as many tokens, past whatever a trainer has put around `forward`:
        equal to float32's precision, or, with `tf32` on a GPU, to that of its matrix units' 19-bit numbers. A fast way
        is taken if it gives the plain embeddings of some of the first call's sentences.
        """
        self.eval()
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        order = lengths.argsort(kind="stable")
        tokens = np.minimum(lengths[order] // 4 + 2, self.max_seq_length or 512)  # about so many
        full = tokens.cumsum() // TOKENS_A_PASS[self.device.type != "cpu"]
        parts = []
        with torch.no_grad():
            if self._embeds is None and len(sentences):
                self._embeds = self._way_to_embed([sentences[row] for row in order])
            with _products("high" if tf32 and self.device.type == "cuda" else "highest"):
                for rows in np.split(order, np.flatnonzero(np.diff(full)) + 1):
                    features = self.preprocess([sentences[row] for row in rows])
                    known = [features["attention_mask"].sum(dim=1).tolist()] if self.packs else None  # no GPU is asked
                    parts.append(self._alone(batch_to_device(features, self.device), known)["sentence_embedding"])
            together: np.ndarray = torch.cat(parts)[torch.from_numpy(inverse(order))].float().cpu().numpy()
        return together

    def _way_to_embed(self, by_length: Sequence[str]) -> Way:
        """Return the first way that gives the plain embeddings of some sentences, long and short, and of equal ones."""
        some = [by_length[place] for place in np.linspace(0, len(by_length) - 1, 4).astype(int)]
        batches = [some, some[1:2] * 2]
        with _products("highest"):
            wanted = [self._plain(self._on_device(self.features(batch)))["sentence_embedding"] for batch in batches]
            for way in self.ways:
                self._embeds = way
                try:
                    found = [self._alone(self._on_device(self.preprocess(batch))) for batch in batches]
                except UNSUPPORTED:  # out of memory is one of them
                    continue
                if all(
                    (got["sentence_embedding"] - plain).abs().max() <= AGREEMENT * plain.abs().max()
                    for got, plain in zip(found, wanted, strict=True)
                ):
                    return way
        return "plain"

    def _on_device(self, features: Features) -> Features:
        moved: Features = batch_to_device(features, self.device)
        return moved

    def expect(self, columns: Sequence[Features], lengths: Lengths | None = None) -> None:
        """Announce a batch: the first of its columns that is embedded takes the others along.

        `lengths` are each column's in tokens, if it is known that they are padded on the right.
        """
        self._columns, self._lengths, self._embedded = columns, lengths, {}
        self._announced = [stamps(column) for column in columns]
        self._together = True

    def forget(self) -> None:
        """Let go of the batch announced last, and of the memory of captured passes: training has ended."""
        self.expect(())
        if self.passes is not None:
            self.passes.forget()

    def forward(self, input: Features, **kwargs: Any) -> Features:
        """Return the features with "sentence_embedding", shape (batch, dimension), added.

        By the inherited forward where `way` is "plain", outside training, for features that are not of text padded on
        the right, and where a loss has put a function of its own in the place of a module's forward.
        """
        if not self.training or self.way == "plain" or any("forward" in vars(module) for module in self):
            return self._plain(input, **kwargs)
        column = next((i for i, announced in enumerate(self._columns) if announced is input), None)
        if column is None or not torch.is_grad_enabled() or kwargs or stamps(input) != self._announced[column]:
            return self._alone(input, **kwargs)  # a loss may have changed a batch, also since it was embedded
        if self._together:
            self._together = False
            if any(stamps(c) != then for c, then in zip(self._columns, self._announced, strict=True)):
                return self._alone(input)
            together = self._without_padding(self._columns, self._lengths, self.passes)
            self._embedded = dict(enumerate(together.chunk(len(self._columns)))) if together is not None else {}
        known = self._embedded.pop(column, None)
        if known is None:  # a second pass draws new dropout masks, as the inherited one would
            return self._alone(input)
        return with_embedding(input, known)

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
        """Embed columns, one under the other, by captured passes if given; None if padding cannot be left out."""
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
        in_bf16_on_a_cpu = masks[0].device.type == "cpu" and torch.is_autocast_enabled("cpu")
        grid = capture.GRID if passes is not None else GRID if in_bf16_on_a_cpu else 1
        pack = None if self._first_position is None else packed(columns, lengths, self._first_position, grid)
        if pack is None:
            return None
        features, back = pack
        if passes is None:
            return self._pass(features)[back]
        used = passes.used
        embedded = passes.embed(self, features, self._pass)
        if passes.used > used:  # else `_pass` has counted itself
            self._count("captured")
        return embedded[back]

    def _pass(self, features: Features) -> Tensor:
        """Embed a packed batch, its sentences in the order in which they were packed."""
        transformer = self[0]
        assert isinstance(transformer, Transformer)
        with packed_attention(transformer.config):
            embedded: Tensor = super().forward(features)["sentence_embedding"]
        self._count("packed")
        return embedded

    def _in_chunks(self, features: Features) -> Tensor:
        mask = features["attention_mask"]
        lengths, order = mask.sum(dim=1).sort(stable=True)
        cost = chunks.CHUNK_WORK // (self.get_embedding_dimension() or 1) ** 2
        embeddings = []
        for begin, end in pairwise(chunks.cheapest_chunks(lengths.tolist(), cost)):
            rows, width = order[begin:end], int(lengths[end - 1])
            chunk = {name: chunks.part(value, mask, rows, width) for name, value in features.items()}
            embeddings.append(super().forward(chunk)["sentence_embedding"])
        self._count("chunks")
        return torch.cat(embeddings)[torch.argsort(order)]

    @property
    def packs(self) -> bool:
        """Whether batches are packed, in training or in `embed`; else they run in chunks, or padded."""
        return (self.way if self.training else self._embeds) in ("captured", "packed")

    def _position_when_packed(self) -> int | None:
        """Return the position of a sentence's first token with which packing may give what the plain forward gives.

        BERT counts from 0, RoBERTa from the number after its padding token's. None if the two forwards do not agree on
        a few sentences: then packing is not worth a try.
        """
        first, *others = self
        if not isinstance(first, Transformer) or not all(isinstance(m, Pooling | Dense | Normalize) for m in others):
            return None
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with torch.no_grad():
                features = self._on_device(self.features(list(PROBE)))
                wanted = super().forward(dict(features))["sentence_embedding"]
                for position in (0, (first.config.pad_token_id or 0) + 1):
                    if self._agrees(features, position, wanted):
                        return position
        except UNSUPPORTED:
            pass
        finally:
            for module, mode in modes.items():
                module.training = mode
        return None

    def _agrees(self, features: Features, position: int, wanted: Tensor) -> bool:
        try:
            pack = packed([features], [features["attention_mask"].sum(dim=1).tolist()], position)
            return pack is not None and torch.allclose(self._pass(pack[0])[pack[1]], wanted, rtol=1e-4, atol=1e-5)
        except UNSUPPORTED:
            return False
