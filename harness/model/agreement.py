"""Tolerances for comparing two forward paths: embeddings, loss, and the gradient of every parameter.

**float32.** No number may be further from the plain path's than 1e-5 of the largest of its kind: of the embeddings, or
of the gradients of one module. (Of a module's, as a key's bias has a gradient of exactly zero, and what is computed for
it is rounding. A module whose gradients are all under a thousandth of the model's largest is held to that thousandth.)
Some gradients are small sums of large numbers, in which either path's rounding is more than 1e-5: the last bias of a
model that is trained by distances, which no common shift changes, has one of exactly zero. So where a tensor fails, the
plain path's are computed in float64 too, and the fast path's may be ten times as far from those as the plain path's
farthest is: rounding on the way reaches all of them, in which it shows most is chance, and so is its size where it
comes from one or two numbers, such as the slope of a loss of two rows.

**bf16.** Two right results differ, so both are held against float32's plain one, R. Let P be the plain path's in bf16,
F the fast one's, and all norms be Euclidean, of one tensor. A product in bf16 rounds what it reads and what it gives,
each by a factor of at most 1 + u, u = 2^-8. To first order the error of a tensor is a sum of such roundings, thousands,
of mean zero and independent, carried through the same derivatives on either path; F rounds nothing that P does not. So
F - R and P - R are like two draws from one distribution, and the ratio of their norms is near 1: for a tensor whose
error has n independent directions its square has the F distribution with (n, n) degrees of freedom, which exceeds 16
with probability 0.01 at n = 4, 4e-4 at 8 and 6e-7 at 16. Tensors with fewer directions can be lucky in P, but not
beyond the rounding of what their gradient is summed from, u of its norm each. The bound is

    |F - R| <= 4 |P - R| + 4 u |R|,

|R| again being that of its module. What is wrong by less than that is seen in float32: a way that runs in bf16 has to
agree in float32, too. The argument needs derivatives, which a loss may lack (|u - v|, hinges, the hardest of a batch):
a rounded embedding may lie on the other side. So in bf16 a fixed linear function of the embeddings takes the place of
the loss, which is compared in float32. fp16 is judged alike, its u being 2^-11.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.model.fast import AGREEMENT

ROUNDING = {"bf16": (torch.bfloat16, 2.0**-8), "fp16": (torch.float16, 2.0**-11)}
"""The type of each short precision, and by what share one rounding moves a number at most."""

RATIO, FLOOR = 4, 4
"""How many times the plain path's own error in 16 bits, and how many roundings besides, a fast path's may be."""

RATIO_IN_FLOAT32 = 10
"""How many times the plain path's farthest from float64's result a fast path's may be."""

SMALLEST = 1e-3
"""Gradients of a module are held to this share of the model's largest at least."""

SMALLEST_LOSS = 0.1
"""A loss's value is held to this at least: it may be a difference of larger numbers."""

LOSS, GRADIENT = "the loss", "gradient of "

Outcome = Mapping[str, Tensor]
"""Embeddings, or a loss's value, and gradients by parameter."""


@dataclass(frozen=True)
class Gap:
    """How far a tensor of one batch is from what it should be, and how far it may be: shares of its module's size."""

    batch: str
    tensor: str
    difference: float
    bound: float

    @property
    def share(self) -> float:
        """The difference as a share of the bound; infinite where it is no number."""
        return self.difference / self.bound if math.isfinite(self.difference) else math.inf

    def __str__(self) -> str:
        return f"{self.tensor} ({self.batch}) is {self.difference:.1e} from the plain path's, bound {self.bound:.1e}"


def in_float32(batch: str, plain: Outcome, fast: Outcome) -> list[Gap]:
    """Compare two paths' results in float32, by the largest difference."""
    return [Gap(batch, name, off, AGREEMENT) for name, off in _errors(plain, fast, math.inf)]


def beside_float64(batch: str, exact: Outcome, plain: Outcome, fast: Outcome) -> list[Gap]:
    """Compare them by how far each is from float64's result."""
    usual = max(error for _, error in _errors(exact, plain, math.inf))
    return [
        Gap(batch, name, off, max(AGREEMENT, RATIO_IN_FLOAT32 * usual)) for name, off in _errors(exact, fast, math.inf)
    ]


def rounded(batch: str, exact: Outcome, plain: Outcome, fast: Outcome, rounding: float) -> list[Gap]:
    """Compare two paths' results in a short precision by how far each is from float32's."""
    errors = zip(_errors(exact, fast, 2), _errors(exact, plain, 2), strict=True)
    return [Gap(batch, name, off, RATIO * usual + FLOOR * rounding) for (name, off), (_, usual) in errors]


def _errors(wanted: Outcome, got: Outcome, order: Literal[2] | float) -> Iterator[tuple[str, float]]:
    """Give the norm of each tensor's error, divided by its module's; one after another, to save memory."""
    sizes = {name: _norm(tensor, order) for name, tensor in wanted.items() if tensor.numel()}
    for name, scale in _of_modules(sizes, order).items():
        yield name, _norm(got[name].to(wanted[name].dtype) - wanted[name], order) / scale


def _norm(tensor: Tensor, order: float) -> float:
    return float(torch.linalg.vector_norm(tensor, order))


def _of_modules(sizes: Mapping[str, float], order: float) -> dict[str, float]:
    """Return by what each tensor's error is divided: its module's size, or a share of the model's largest."""
    modules: dict[str, float] = {}
    for name, size in sizes.items():
        module = name.rpartition(".")[0] or name
        before = modules.get(module, 0.0)
        modules[module] = max(before, size) if order == math.inf else math.hypot(before, size)
    largest = max((size for name, size in modules.items() if name.startswith(GRADIENT)), default=0.0)
    least = {LOSS: SMALLEST_LOSS}
    return {
        name: max(
            modules[name.rpartition(".")[0] or name],
            SMALLEST * largest if name.startswith(GRADIENT) else least.get(name, 0.0),
        )
        or 1.0
        for name in sizes
    }
