"""Tolerances for comparing two forward paths: embeddings, loss, and the gradient of every parameter.

**float32.** No number may differ from the plain path's by more than 1e-5 of a scale. For embeddings the scale is their
largest number. For a gradient it is the largest number among the gradients of its module: the bias of an attention key
has a gradient of exactly zero, so that what is computed for it alone is rounding. If all gradients of a module are
below a thousandth of the model's largest, the scale is that thousandth.

Some gradients are small sums of large numbers, and then the rounding of either path exceeds 1e-5. An example is the
last bias of a model that is trained by distances: a common shift changes no distance, so its gradient is exactly zero.
So where a tensor fails, the plain path is also computed in float64. The fast path's distance from float64 may then be
ten times the plain path's largest distance. The largest is used because rounding in the forward pass reaches all
tensors, and which of them it affects most is chance; so is its size if it comes from one or two numbers, such as the
slope of a loss of two rows.

**bf16.** Two correct results differ, so both are compared with the plain path in float32, R. Let P be the result of the
plain path in bf16, F that of the fast path, and all norms Euclidean norms of one tensor. A product in bf16 rounds its
inputs and its output, each by a factor of at most 1 + u with u = 2^-8. To first order the error of a tensor is a sum of
thousands of such roundings, independent and of mean zero, which both paths propagate through the same derivatives; F
rounds nothing that P does not round. So F - R and P - R are like two draws from one distribution, and the ratio of
their norms is near 1. For a tensor whose error has n independent directions, the squared ratio has the F distribution
with (n, n) degrees of freedom, which exceeds 16 with probability 0.01 at n = 4, 4e-4 at n = 8 and 6e-7 at n = 16. For
tensors with fewer directions |P - R| can be small by chance, but every term of their gradient is also rounded by u of
its norm. The bound is

    |F - R| <= 4 |P - R| + 4 u |R|,

where |R| is again that of the module. Smaller errors are detected in float32, because a path that runs in bf16 has to
agree in float32 as well. The argument needs derivatives, which a loss may lack (|u - v|, hinges, the hardest negative
of a batch): a rounded embedding may lie on the other side of a kink. So in bf16 a fixed linear function of the
embeddings replaces the loss, and the loss itself is compared in float32. fp16 is treated in the same way, with
u = 2^-11.
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
"""The torch type of each 16-bit precision, and the largest relative error of one rounding."""

RATIO, FLOOR = 4, 4
"""In 16 bits, a fast path's error may be RATIO times the plain path's error plus FLOOR roundings."""

RATIO_IN_FLOAT32 = 10
"""A fast path's distance from float64 may be this many times the plain path's largest distance."""

SMALLEST = 1e-3
"""Smallest scale for the gradients of a module, as a share of the model's largest gradient."""

SMALLEST_LOSS = 0.1
"""Smallest scale for the value of a loss, because it may be a difference of larger numbers."""

LOSS, GRADIENT = "the loss", "gradient of "

Outcome = Mapping[str, Tensor]
"""Embeddings, or a loss's value, and gradients by parameter."""


@dataclass(frozen=True)
class Gap:
    """How far a tensor differs from its reference, and how far it may differ, both relative to its module's scale."""

    batch: str
    tensor: str
    difference: float
    bound: float

    @property
    def share(self) -> float:
        """The difference as a share of the bound; infinite if the difference is NaN or infinite."""
        return self.difference / self.bound if math.isfinite(self.difference) else math.inf

    def __str__(self) -> str:
        return f"{self.tensor} ({self.batch}) is {self.difference:.1e} from the plain path's, bound {self.bound:.1e}"


def in_float32(batch: str, plain: Outcome, fast: Outcome) -> list[Gap]:
    """Compare the results of two paths in float32 by their largest difference.

    Args:
        batch: name of the batch or batches.
        plain: the plain path's result in float32.
        fast: the fast path's result in float32.

    Returns:
        The gap of each tensor of `plain`.
    """
    return [Gap(batch, name, error, AGREEMENT) for name, error in _errors(plain, fast, math.inf)]


def beside_float64(batch: str, exact: Outcome, plain: Outcome, fast: Outcome) -> list[Gap]:
    """Compare the results of two paths in float32 by their distances from the result in float64.

    Args:
        batch: name of the batch or batches.
        exact: the plain path's result in float64.
        plain: the plain path's result in float32.
        fast: the fast path's result in float32.

    Returns:
        The gap of each tensor of `exact`.
    """
    largest_of_plain = max(error for _, error in _errors(exact, plain, math.inf))
    bound = max(AGREEMENT, RATIO_IN_FLOAT32 * largest_of_plain)
    return [Gap(batch, name, error, bound) for name, error in _errors(exact, fast, math.inf)]


def rounded(batch: str, exact: Outcome, plain: Outcome, fast: Outcome, rounding: float) -> list[Gap]:
    """Compare the results of two paths in a 16-bit precision by their distances from the plain result in float32.

    Args:
        batch: name of the batch or batches.
        exact: the plain path's result in float32.
        plain: the plain path's result in 16 bits.
        fast: the fast path's result in 16 bits.
        rounding: largest relative error of one rounding.

    Returns:
        The gap of each tensor of `exact`.
    """
    errors = zip(_errors(exact, fast, 2), _errors(exact, plain, 2), strict=True)
    return [Gap(batch, name, of_fast, RATIO * of_plain + FLOOR * rounding) for (name, of_fast), (_, of_plain) in errors]


def _errors(reference: Outcome, result: Outcome, order: Literal[2] | float) -> Iterator[tuple[str, float]]:
    """Yield the norm of each tensor's error, divided by its module's scale, one at a time to save memory."""
    sizes = {name: _norm(tensor, order) for name, tensor in reference.items() if tensor.numel()}
    for name, scale in _of_modules(sizes, order).items():
        yield name, _norm(result[name].to(reference[name].dtype) - reference[name], order) / scale


def _norm(tensor: Tensor, order: float) -> float:
    return float(torch.linalg.vector_norm(tensor, order))


def _of_modules(sizes: Mapping[str, float], order: float) -> dict[str, float]:
    """Return the scale of each tensor: the norm of its module, but at least a share of the model's largest."""
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
