"""Matrix products in float32: their precision on a GPU, and a faster library on AMD's processors.

torch multiplies float32 matrices by Intel's MKL, whose kernels for AMD's processors use vectors of 256 bits. oneDNN,
which torch has as well, uses the 512 bits that recent ones have, and takes 0.45 of the time on a Zen 5. Both compute
the same products; only the order of their sums differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

import torch
from torch import Tensor, nn

from harness import provenance

GRID = 128
"""Packed batches are filled to a multiple of this many tokens, because oneDNN compiles a kernel for each shape."""

HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore  # has no types
"""Whether torch was built with oneDNN."""


@contextmanager
def at_precision(precision: str) -> Iterator[None]:
    """Multiply float32 matrices at one of torch's precisions: "highest" is float32, "high" is TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def faster() -> Iterator[None]:
    """Let every `nn.Linear` multiply by oneDNN where that is faster; without gradients only."""
    if not onednn_is_faster():
        yield
        return
    with patch.object(nn.Linear, "forward", _forward):
        yield


@cache
def onednn_is_faster() -> bool:
    """Return whether oneDNN multiplies float32 faster than torch's usual library on this processor.

    The processor's kind decides, and not a measurement, so that all workers of a machine compute the same scores.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512" and "AMD" in provenance.hardware()["cpu"]
    return wide and HAS_ONEDNN and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _forward(module: nn.Linear, input: Tensor) -> Tensor:
    tensors = (input, module.weight) if module.bias is None else (input, module.weight, module.bias)
    usual = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not input.numel()
    if usual or any(x.dtype != torch.float32 or x.device.type != "cpu" or type(x.data) is not Tensor for x in tensors):
        return nn.functional.linear(input, module.weight, module.bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(input, module.weight, module.bias, "none", [], "")
    return product
