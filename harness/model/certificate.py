"""Certify that a fast forward path is exact for a run, on its own rows, model and loss, before training.

Embeddings, and the gradient of every parameter, are compared with those of the plain path, which is the forward of
sentence-transformers itself, on a few small batches of the run's rows: some as they come, one row, sentences of one
length, sentences cut at the maximum, the last odd piece of a batch that a cached loss cuts, and long beside short. Then
the loss itself, its value and the gradients of its own parameters, too. Dropout is off. The first path that agrees is
used, and the plain path if none does. `agreement.py` defines agreement.
"""

from __future__ import annotations

import copy
import hashlib
import math
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from transformers import set_seed

from harness.executors import library_output
from harness.identity import digest
from harness.model.agreement import GRADIENT, LOSS, ROUNDING, Gap, Outcome, beside_float64, in_float32, rounded
from harness.model.batches import CUT, ROWS, Batch, batches_of, lengths_of
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.packing import Features

_KEPT: dict[Hashable, Certificate] = {}


@dataclass(frozen=True)
class Certificate:
    """Which way a run takes, and how far it was from the plain one.

    `difference` and `bound` are of the tensor that came nearest to its bound, relative to the plain path's; `refused`
    says of each faster way why it is not taken; `seconds` is what this cost the run.
    """

    path: Way
    difference: float = 0.0
    bound: float = 0.0
    seconds: float = 0.0
    refused: tuple[str, ...] = ()

    @classmethod
    def plain(cls, reason: str) -> Certificate:
        """Return that of a run that goes the plain way, and tell listeners why."""
        library_output.repeat([f"a fast forward is not taken: {reason}"])
        return cls("plain", refused=(reason,))

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON's types, for `Record.forward`."""
        plain: dict[str, Any] = {
            "path": self.path,
            "difference": self.difference,
            "bound": self.bound,
            "seconds": round(self.seconds, 4),
        }
        return plain | ({"reason": "; ".join(self.refused)} if self.refused else {})


def certify(
    model: SentenceTransformer,
    loss: Callable[..., nn.Module],
    options: Mapping[str, Any],
    rows: Dataset,
    precision: str,
) -> Certificate:
    """Return the fastest way in which `model` may train on `rows`; kept by model, loss and precision in this process.

    The model is left as it was, and so is every random number to come: a copy is tried, with a loss of its own.

    Args:
        loss: what builds the loss from a model and `options`, as in `Study.loss`.
        rows: columns in the loss's order.
        precision: "bf16", "fp16" or "fp32", in which the run trains.
    """
    if not isinstance(model, FastSentenceTransformer) or not model.ways:
        return Certificate("plain")
    began = time.perf_counter()
    kinds = tuple(sorted((name, repr(value)) for name, value in options.items()))  # a weight of 0 leaves a term out
    key = (_content(model), digest(loss), kinds, precision, str(model.device))
    known = _KEPT.get(key)
    if known is None:
        with _dice_restored(model.device):
            known = _KEPT[key] = _certify(model, partial(loss, **options), rows, precision)
    library_output.repeat(f"a fast forward is not taken: {reason}" for reason in known.refused)
    return replace(known, seconds=time.perf_counter() - began)


def _certify(
    model: FastSentenceTransformer,
    make_loss: Callable[[SentenceTransformer], nn.Module],
    rows: Dataset,
    precision: str,
) -> Certificate:
    refused: list[str] = []
    try:
        trial = _Trial(model, make_loss, rows, precision)
    except Exception as problem:  # whatever a loss may raise; its run will tell
        return _without(problem)
    for way in model.ways:
        try:
            worst = trial.farthest(way)
        except _PlainPathFailed as problem:
            return _without(problem.__cause__ or problem)
        except Exception as problem:  # out of memory, or an unsupported model
            refused.append(f"{way}: {_line(problem)}")
            continue
        if worst is None:
            problem_met = trial.model.passes.problem if trial.model.passes is not None else None
            usual = "it does not serve this model's batches, or not with this loss"
            refused.append(f"{way}: {problem_met if way == 'captured' and problem_met else usual}")
        elif worst.share <= 1:
            return Certificate(way, worst.difference, worst.bound, refused=tuple(refused))
        else:
            refused.append(f"{way}: {worst}")
    return Certificate("plain", refused=tuple(refused))


def _without(problem: BaseException) -> Certificate:
    return Certificate("plain", refused=(f"the plain path failed on a small batch ({_line(problem)})",))


class _PlainPathFailed(Exception):
    """The plain path raised what is this error's cause."""


class _Trial:
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
        except _PlainPathFailed:  # a loss that supports only float32
            return found
        finally:
            self.model.float(), self.loss.float()
        return beside_float64(name, exact, plain, fast)

    def _plain(self, batches: Sequence[Batch], precision: str) -> Outcome:
        try:
            return self._outcome(batches, "plain", precision)
        except Exception as problem:  # whatever a loss may raise
            raise _PlainPathFailed from problem

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
            with _autocast(model, precision):
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
def _autocast(model: nn.Module, precision: str) -> Iterator[None]:
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


def _content(model: FastSentenceTransformer) -> str:
    """Return a hash of a model: its make, its settings and the sum of each of its tensors."""
    sums = torch.stack([tensor.detach().double().sum() for tensor in model.state_dict().values()])
    settings = f"{model!r} {getattr(model[0], 'config', None)} {model.max_seq_length} {model.ways}"
    return hashlib.sha256(settings.encode() + sums.cpu().numpy().tobytes()).hexdigest()


def _line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]


@contextmanager
def _dice_restored(device: torch.device) -> Iterator[None]:
    """Put every global source of random numbers back to where it was."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
