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
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from transformers import set_seed

from harness.compat import column_merging_disabled
from harness.model.agreement import GRADIENT, LOSS, ROUNDING, Gap, Outcome, beside_float64, in_float32, rounded
from harness.model.batches import CUT, ROWS, Batch, batches_of, lengths_of
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.packing import Features


class PlainPathFailed(Exception):
    """The plain path raised an exception, which is this error's cause."""


class Trial:
    """A copy of a model with its own loss, and the batches on which forward paths are compared.

    The gradients of a group of batches are summed and compared once, because for a large model the comparison costs
    more than the gradients. An error in one batch is about as large as the gradient itself, so the sum shows it.
    """

    def __init__(
        self,
        model: FastSentenceTransformer,
        make_loss: Callable[[SentenceTransformer], nn.Module],
        rows: Dataset,
        precision: str,
    ) -> None:
        """Copy the model and make the batches.

        Args:
            model: the model that a run will train; it is not changed.
            make_loss: builds the loss from a model.
            rows: training rows, with the columns in the loss's order.
            precision: "bf16", "fp16" or "fp32". All batches are also compared in fp32.
        """
        self.model = copy.deepcopy(model)
        self.loss = make_loss(self.model).to(model.device)
        self.parameters = _parameters(self.model, self.loss)
        for module in self.loss.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
            for name, most in (("mini_batch_size", ROWS - 1), ("mini_batch_num_tokens", 2 * CUT)):
                if (getattr(module, name, None) or 0) > most:
                    setattr(module, name, most)  # so that a cached loss splits the batch, and the last part is smaller
        for module in self.model:
            module.eval()
        self.model.training = True  # only the modules are in eval mode: dropout is off, but fast paths are used
        *batches, by_loss = batches_of(self.model, rows)
        both = ("fp32",) if precision == "fp32" else ("fp32", precision)
        self.groups = [(batches[:3], both), (batches[3:], ("fp32",)), ([by_loss], ("fp32",))]

    def worst_gap(self, way: Way) -> Gap | None:
        """Return the gap of the tensor that is nearest to its bound, or farthest beyond it.

        For "captured", CUDA graphs are recorded only for announced batches, and not for the batch of the loss. The
        graphs run the kernels of the packed path, which the other batches cover, and each graph that is recorded later
        in training is compared with the packed path on its own.

        Returns:
            The largest gap relative to its bound; None if some group of batches did not use a fast path.
        """
        worst = Gap("", "", -1.0, 1.0)
        self.model.ran.clear()
        for batches, precisions in self.groups:
            before = self._fast_passes()
            exact = self._plain(batches, "fp32")
            for precision in precisions:
                if way == "captured" and not batches[0].by_loss:
                    for _ in range(2):  # a graph is recorded when its shape occurs for the second time
                        self._outcome(batches, way, precision)
                fast = self._outcome(batches, way, precision)
                worst = max(worst, *self._compared(batches, exact, fast, precision), key=lambda gap: gap.share)
                if worst.share > 1:
                    return worst
            if self._fast_passes() == before:
                return None  # an unsupported model, or a loss that reads the layers
        return worst if self.model.ran[way] else None

    def plain_outcomes(self) -> list[Outcome]:
        """Return what the plain path computes in float32 for each group of batches; that of the loss comes last.

        Raises:
            PlainPathFailed: the loss or the model raised an exception.
        """
        return [self._plain(batches, "fp32") for batches, _ in self.groups]

    def _fast_passes(self) -> int:
        return self.model.ran.total() - self.model.ran["plain"]

    def _compared(self, batches: Sequence[Batch], plain: Outcome, fast: Outcome, precision: str) -> list[Gap]:
        name = ", ".join(batch.name for batch in batches)
        if precision != "fp32":
            return rounded(name, plain, self._plain(batches, precision), fast, ROUNDING[precision][1])
        gaps = in_float32(name, plain, fast)
        if max(gap.share for gap in gaps) <= 1 or next(self.model.parameters()).dtype != torch.float32:
            return gaps
        try:
            self.model.double(), self.loss.double()
            exact = self._plain(batches, "fp32")
        except PlainPathFailed:  # a loss that supports only float32
            return gaps
        finally:
            self.model.float(), self.loss.float()
        return beside_float64(name, exact, plain, fast)

    def _plain(self, batches: Sequence[Batch], precision: str) -> Outcome:
        try:
            return self._outcome(batches, "plain", precision)
        except Exception as problem:  # a loss may raise anything
            raise PlainPathFailed from problem

    def _outcome(self, batches: Sequence[Batch], way: Way, precision: str) -> Outcome:
        """Run batches forward and backward by one path in one precision.

        Args:
            batches: the batches; their gradients are summed.
            way: the forward path.
            precision: "bf16", "fp16" or "fp32".

        Returns:
            The embeddings of each batch, shape (sentences, dimension), or the value of the loss, and the summed
            gradient of each parameter.
        """
        model, values = self.model, {}
        for parameter in self.parameters.values():
            parameter.grad = None
        model.way = way
        set_seed(0)  # for losses that use random numbers
        for batch in batches:
            features = [self._features(column, batch) for column in batch.columns]
            announced = features if batch.announced else []
            model.announce_batch(announced, lengths_of(announced))
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
        model.announce_batch(())
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
    """Return a fixed gradient of the embeddings, shape (sentences, dimension), all of whose numbers differ."""
    numbers = torch.arange(1, embeddings.numel() + 1, dtype=torch.float64, device=embeddings.device)
    return (numbers * math.sqrt(2)).sin().view(embeddings.shape).to(embeddings.dtype)


def _parameters(model: nn.Module, loss: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of a model and of a loss by name; a shared parameter appears once."""
    named = {**dict(model.named_parameters()), **{f"loss.{n}": p for n, p in loss.named_parameters()}}
    by_id: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        if parameter.requires_grad:
            by_id.setdefault(id(parameter), (name, parameter))
    return dict(by_id.values())


@contextmanager
def autocast_forward(model: nn.Module, precision: str) -> Iterator[None]:
    """Run a model's forward under autocast and return float32, as the trainer does."""
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
