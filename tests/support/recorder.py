"""A stand-in for CUDA's graphs, on a CPU."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from harness.compat import UNPACKED, Pooling

needs_capturing = pytest.mark.skipif(
    bool(UNPACKED) or "num_seqs = int(" in inspect.getsource(Pooling),
    reason="sentence-transformers before 6.2 asks the device for a number within a pass, so no graph can record it",
)

TOLD: list[int] = []
"""How many tokens a sentence may have at most, as the kernel was told at each call."""


def by_borders(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, *more: Any, scale: float) -> tuple[Tensor]:
    """Attend as the flash kernel does, which no CPU has: from the borders' values, without asking for them."""
    TOLD.append(more[2])
    sentence = torch.bucketize(torch.arange(len(q)), offsets[1:].contiguous(), right=True)
    scores = torch.einsum("ihd,jhd->hij", q, k) * scale
    weights = scores.masked_fill(sentence[:, None] != sentence, -torch.inf).softmax(-1)
    return (torch.einsum("hij,jhd->ihd", weights, v),)


class Recorder:
    """Stands in for `graphs.record`: records the operations once, does them again on the same memory.

    With a fault: "stale" and "borders" do them on what was recorded, "scale" and "gradients" give something else,
    "raises" nothing.
    """

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self._made: list[weakref.ref[Callable[..., Tensor]]] = []

    def __call__(self, module: nn.Module, samples: tuple[Tensor, ...], pool: Any) -> Callable[..., Tensor]:
        assert pool is None
        if self.fault == "raises":
            raise RuntimeError("operation not permitted when stream is capturing")
        operations = make_fx(module)(*samples)

        def replay(*tensors: Tensor) -> Tensor:
            for sample, tensor in zip(samples, tensors, strict=True):
                if not (self.fault == "stale" or (self.fault == "borders" and sample.ndim == 1)):
                    sample.copy_(tensor)
            output: Tensor = operations(*samples)
            if self.fault == "gradients":
                output = 2 * output - output.detach()
            return output * 1.1 if self.fault == "scale" else output

        self._made.append(weakref.ref(replay))
        return replay

    @property
    def alive(self) -> int:
        """How many of the recordings are still in memory."""
        return sum(replay() is not None for replay in self._made)
