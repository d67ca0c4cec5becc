"""Compare the forward paths of a copy of a model on small batches: embeddings, loss and gradients.

`certificate.py` decides from these comparisons which path a run trains by; `batches.py` makes the batches, and
`agreement.py` defines how far two paths may differ.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from transformers import set_seed

from harness.model.agreement import GRADIENT, LOSS, ROUNDING, Gap, Outcome, beside_float64, in_float32, rounded
from harness.model.batches import CUT, ROWS, Batch, batches_of, lengths_of
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.packing import Features


class PlainPathFailed(Exception):
    """The plain path raised what is this error's cause."""


class Trial:
    """A copy of a model with a loss of its own, and the batches to compare on.

    Some batches are taken together: their gradients add up, and are compared at once, as that costs a large model more
    than to make them. What is wrong in one of them is of the size of the gradient itself.
    """

    def __init__(
        self,
        model: FastSentenceTransformer,
        make_loss: Callable[[SentenceTransformer], nn.Module],
        rows: Dataset,
        precision: str,
    ) -> None:
        self.model = copy.deepcopy(model)
        self.loss = make_loss(self.model).to(model.device)
        self.parameters = _parameters(self.model, self.loss)
        for module in self.loss.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
            for name, most in (("mini_batch_size", ROWS - 1), ("mini_batch_num_tokens", 2 * CUT)):
                if (getattr(module, name, None) or 0) > most:
                    setattr(module, name, most)  # so that a cached loss has pieces, the last of them odd
        for module in self.model:
            module.eval()
        self.model.training = True  # dropout is off, but fast ways are taken
        *batches, by_loss = batches_of(self.model, rows)
        both = ("fp32",) if precision == "fp32" else ("fp32", precision)
        self.groups = [(batches[:3], both), (batches[3:], ("fp32",)), ([by_loss], ("fp32",))]

    def farthest(self, way: Way) -> Gap | None:
        """Return the tensor that is nearest to its bound, or farthest beyond it; None if the batches go no fast way.

        CUDA's graphs are recorded for the batches that are announced, but the loss's: they have the kernels of the
        packed way, which the others try, and each graph that is recorded later is compared with that by itself.
        """
        worst = Gap("", "", -1.0, 1.0)
        self.model.ran.clear()
        for batches, precisions in self.groups:
            before = self._fast_passes()
            exact = self._plain(batches, "fp32")
            for precision in precisions:
                if way == "captured" and not batches[0].by_loss:
                    for _ in range(2):  # a shape is recorded when it is met again
                        self._outcome(batches, way, precision)
                fast = self._outcome(batches, way, precision)
                worst = max(worst, *self._compared(batches, exact, fast, precision), key=lambda gap: gap.share)
                if worst.share > 1:
                    return worst
            if self._fast_passes() == before:
                return None  # an unsupported model, or a loss that reads the layers
        return worst if self.model.ran[way] else None

    def _fast_passes(self) -> int:
        return self.model.ran.total() - self.model.ran["plain"]

    def _compared(self, batches: Sequence[Batch], plain: Outcome, fast: Outcome, precision: str) -> list[Gap]:
        name = ", ".join(batch.name for batch in batches)
        if precision != "fp32":
            return rounded(name, plain, self._plain(batches, precision), fast, ROUNDING[precision][1])
        found = in_float32(name, plain, fast)
        if max(gap.share for gap in found) <= 1 or next(self.model.parameters()).dtype != torch.float32:
            return found
        try:
            self.model.double(), self.loss.double()
            exact = self._plain(batches, "fp32")
        except PlainPathFailed:  # a loss that supports only float32
            return found
        finally:
            self.model.float(), self.loss.float()
        return beside_float64(name, exact, plain, fast)

    def _plain(self, batches: Sequence[Batch], precision: str) -> Outcome:
        try:
            return self._outcome(batches, "plain", precision)
        except Exception as problem:  # whatever a loss may raise
            raise PlainPathFailed from problem

    def _outcome(self, batches: Sequence[Batch], way: Way, precision: str) -> Outcome:
        """Return what batches give, one way, in one precision: embeddings or the loss of each, and their gradients."""
        model, values = self.model, {}
        for parameter in self.parameters.values():
            parameter.grad = None
        model.way = way
        set_seed(0)  # for losses that draw
        for batch in batches:
            features = [self._features(column, batch) for column in batch.columns]
            announced = features if batch.announced else []
            model.expect(announced, lengths_of(announced))
            with autocast_forward(model, precision):
                if batch.by_loss:
                    with nullcontext() if way == "plain" else column_merging_disabled():
                        value = self.loss(features, batch.labels)
                    value = torch.stack(list(value.values())).sum() if isinstance(value, Mapping) else value
                    torch.autograd.backward(value)
                else:
                    value = torch.cat([model(column)["sentence_embedding"] for column in features])
                    torch.autograd.backward(value, _weights(value))
            values[LOSS if batch.by_loss else f"embeddings of {batch.name}"] = value.detach().clone()
        model.expect(())
        gradients = {
            f"{GRADIENT}{name}": torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in self.parameters.items()
        }
        return values | gradients

    def _features(self, sentences: Sequence[str], batch: Batch) -> Features:
        model = self.model
        usual = model.max_seq_length
        if batch.longest is not None and (usual is None or batch.longest < usual):
            model.max_seq_length = batch.longest
        try:
            features = model.preprocess(sentences)
        finally:
            model.max_seq_length = usual
        if batch.piece:
            count = len(sentences)
            features = {
                name: value[-2:] if isinstance(value, Tensor) and len(value) == count else value
                for name, value in features.items()
            }
        moved: Features = batch_to_device(dict(features), model.device)
        return moved


def _weights(embeddings: Tensor) -> Tensor:
    """Return a fixed gradient of embeddings, in which no two rows and no two numbers of a row are alike."""
    numbers = torch.arange(1, embeddings.numel() + 1, dtype=torch.float64, device=embeddings.device)
    return (numbers * math.sqrt(2)).sin().view(embeddings.shape).to(embeddings.dtype)


def _parameters(model: nn.Module, loss: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that learn, of a model and of a loss, each once."""
    named = {**dict(model.named_parameters()), **{f"loss.{n}": p for n, p in loss.named_parameters()}}
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        if parameter.requires_grad:
            found.setdefault(id(parameter), (name, parameter))
    return dict(found.values())


@contextmanager
def autocast_forward(model: nn.Module, precision: str) -> Iterator[None]:
    """Let a model's forward compute in a precision as it does in a trainer, giving float32."""
    if precision == "fp32":
        yield
        return
    usual, kind, dtype = model.forward, next(model.parameters()).device.type, ROUNDING[precision][0]

    def forward(features: Features, **options: Any) -> Features:
        with torch.autocast(kind, dtype):
            output: Features = usual(features, **options)
        for name, value in output.items():
            if isinstance(value, Tensor) and value.dtype == dtype:
                output[name] = value.float()
        return output

    model.forward = forward
    try:
        yield
    finally:
        del model.forward
