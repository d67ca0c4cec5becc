"""Certify that a fast forward path is exact for a run, on its own rows, model and loss, before training.

The plain path is the forward pass of sentence-transformers itself. On a few small batches of the run's rows
(`batches.py`), the embeddings and the gradient of every parameter are compared with those of the plain path; then the
value of the loss and the gradients of its own parameters are compared as well (`trial.py`). Dropout is off. The first
fast path that agrees (`agreement.py`) is used, and the plain path if none agrees.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import nn

from harness.compat import UNPACKED
from harness.executors import library_output
from harness.identity import digest
from harness.model.batches import SAMPLE, spread
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.prompts import prompts_are_text
from harness.model.trial import PlainPathFailed, Trial

_CERTIFICATES: dict[Hashable, Certificate] = {}


@dataclass(frozen=True)
class Certificate:
    """The forward path that a run trains by, and how far its results were from the plain path's."""

    path: Way
    """The path that the run trains by."""
    difference: float = 0.0
    """Relative difference of the tensor that came nearest to its bound."""
    bound: float = 0.0
    """Relative difference that was allowed for that tensor."""
    seconds: float = 0.0
    """Time that the comparison cost the run."""
    refused: tuple[str, ...] = ()
    """For each faster path that was refused, the reason."""

    @classmethod
    def plain(cls, reason: str) -> Certificate:
        """Return the certificate of a run that uses the plain path, and report the reason as a warning."""
        library_output.notify_listeners([f"a fast forward is not taken: {reason}"])
        return cls("plain", refused=(reason,))

    @classmethod
    def of_all(cls, certificates: Mapping[str, Certificate]) -> Certificate:
        """Return the certificate of a run that trains several parts, from that of each, by name.

        It takes a fast path only if it is the path of each part; the differences are those of the part that came
        nearest to its bound.
        """
        each = certificates.values()
        seconds = sum(certificate.seconds for certificate in each)
        refused = tuple(dict.fromkeys(reason for certificate in each for reason in certificate.refused))
        paths = list(dict.fromkeys(certificate.path for certificate in each))
        if len(paths) > 1:
            listed = ", ".join(f"{name} by {certificate.path!r}" for name, certificate in certificates.items())
            refused = (*refused, f"the parts differ in the path that is exact for them: {listed}")
            library_output.notify_listeners([f"a fast forward is not taken: {refused[-1]}"])
            return cls("plain", seconds=seconds, refused=refused)
        worst = max(each, key=lambda certificate: certificate.difference / (certificate.bound or 1.0))
        return replace(worst, seconds=seconds, refused=refused)

    def as_record(self) -> dict[str, Any]:
        """Return the certificate as JSON's types, for `Record.forward`."""
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
    prompts: Mapping[str, str] = MappingProxyType({}),
) -> Certificate:
    """Return the fastest forward path by which `model` may train on `rows`.

    A process certifies each combination of model, loss, options, columns, prompts and precision once and remembers the
    result. Only a copy of the model is compared, so the model and the state of the random generators do not change.

    Args:
        model: the model that the run will train.
        loss: function that builds the loss from a model and `options`, as in `Study.loss`.
        options: options of the loss.
        rows: training rows, with the columns in the loss's order.
        precision: "bf16", "fp16" or "fp32", in which the run trains.
        prompts: prompts by column, with which the run trains.

    Returns:
        The certificate. Its path is "plain" for a model that is not a FastSentenceTransformer.
    """
    if not isinstance(model, FastSentenceTransformer) or not model.ways:
        return Certificate.plain(UNPACKED) if UNPACKED else Certificate("plain")
    if prompts and not prompts_are_text(model):
        return Certificate.plain("prompts are given, and the model's pooling leaves their tokens out")
    began = time.perf_counter()
    kinds = tuple(sorted((name, repr(value)) for name, value in options.items()))  # an option may turn off a term
    columns = (tuple(rows.column_names), tuple(sorted(prompts.items())))
    key = (_content(model), digest(loss), kinds, columns, precision, str(model.device))
    certificate = _CERTIFICATES.get(key)
    if certificate is None:
        with _random_state_restored(model.device):
            certificate = _CERTIFICATES[key] = _certify(
                model, partial(loss, **options), _prompted(rows, prompts), precision
            )
    library_output.notify_listeners(f"a fast forward is not taken: {reason}" for reason in certificate.refused)
    return replace(certificate, seconds=time.perf_counter() - began)


def _certify(
    model: FastSentenceTransformer,
    make_loss: Callable[[SentenceTransformer], nn.Module],
    rows: Dataset,
    precision: str,
) -> Certificate:
    refused = [f"packed: {UNPACKED}"] if UNPACKED else []
    try:
        trial = Trial(model, make_loss, rows, precision)
    except Exception as problem:  # a loss may raise anything; the run itself will report it
        return _plain_path_failed(problem)
    for way in model.ways:
        try:
            worst = trial.worst_gap(way)
        except PlainPathFailed as problem:
            return _plain_path_failed(problem.__cause__ or problem)
        except Exception as problem:  # out of memory, or an unsupported model
            refused.append(f"{way}: {_first_line(problem)}")
            continue
        if worst is None:
            capture_problem = trial.model.passes.problem if trial.model.passes is not None else None
            usual = "it does not serve this model's batches, or not with this loss"
            refused.append(f"{way}: {capture_problem if way == 'captured' and capture_problem else usual}")
        elif worst.share <= 1:
            return Certificate(way, worst.difference, worst.bound, refused=tuple(refused))
        else:
            refused.append(f"{way}: {worst}")
    return Certificate("plain", refused=tuple(refused))


def _prompted(rows: Dataset, prompts: Mapping[str, str]) -> Dataset:
    """Return the rows, or a sample of them with the prompts before their texts."""
    if not prompts:
        return rows
    sample = rows.select(spread(len(rows), SAMPLE))
    return Dataset.from_dict(
        {
            name: [prompts.get(name, "") + text for text in texts] if name in prompts else texts
            for name, texts in sample.to_dict().items()
        }
    )


def _plain_path_failed(problem: BaseException) -> Certificate:
    return Certificate("plain", refused=(f"the plain path failed on a small batch ({_first_line(problem)})",))


def _content(model: FastSentenceTransformer) -> str:
    """Return a hash of a model: its modules, its settings and the sum of each of its tensors."""
    sums = torch.stack([tensor.detach().double().sum() for tensor in model.state_dict().values()])
    settings = f"{model!r} {getattr(model[0], 'config', None)} {model.max_seq_length} {model.ways}"
    return hashlib.sha256(settings.encode() + sums.cpu().numpy().tobytes()).hexdigest()


def _first_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]


@contextmanager
def _random_state_restored(device: torch.device) -> Iterator[None]:
    """Restore the state of every global random generator when the block ends."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
