"""Certify that a fast forward path is exact for a run, on its own rows, model and loss, before training.

Embeddings, and the gradient of every parameter, are compared with those of the plain path, which is the forward of
sentence-transformers itself, on a few small batches of the run's rows: some as they come, one row, sentences of one
length, sentences cut at the maximum, the last odd piece of a batch that a cached loss cuts, and long beside short. Then
the loss itself, its value and the gradients of its own parameters, too. Dropout is off. The first path that agrees is
used, and the plain path if none does. `agreement.py` defines agreement.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import nn

from harness.executors import library_output
from harness.identity import digest
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.trial import PlainPathFailed, Trial

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
        trial = Trial(model, make_loss, rows, precision)
    except Exception as problem:  # whatever a loss may raise; its run will tell
        return _without(problem)
    for way in model.ways:
        try:
            worst = trial.farthest(way)
        except PlainPathFailed as problem:
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
