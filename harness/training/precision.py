"""Training precision: bf16 or fp16 where the hardware is faster."""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import Literal

import torch
from torch.utils import deterministic

from harness.errors import UnsuitableDevice
from harness.spec.ablation import Precision

GAIN = 1.25
"""bf16 is used on a CPU that multiplies it at least this many times as fast as float32, because it is less exact.

Measured speed-ups are far from this threshold: 2.2 for large products on AMD's Zen 4, and 0.5 on an Intel Xeon whose
AMX is not available.
"""


def precision_here(requested: Precision) -> Literal["bf16", "fp16", "fp32"]:
    """Return the training precision on this device: the requested one, or the fastest for "auto".

    "auto" is bf16 or fp16 where the hardware multiplies it faster.

    Raises:
        UnsuitableDevice: fp16 is requested without a GPU.
    """
    if requested == "fp16" and not torch.cuda.is_available():
        raise UnsuitableDevice("--precision fp16 needs a GPU, and this device has none; use bf16 or fp32")
    if requested != "auto":
        return requested
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() and _gain() > GAIN else "fp32"


def prefer_deterministic_kernels() -> None:
    """Let a GPU sum in a fixed order where torch can, so that two runs with one seed are equal bit by bit.

    Two operations of the harness have no deterministic kernel: the backward pass of attention in float32, and that of
    flash attention for sentences of more than 128 tokens.
    """
    if torch.cuda.is_available():
        deterministic.fill_uninitialized_memory = False  # type: ignore  # otherwise each new tensor is written twice
        torch.use_deterministic_algorithms(True, warn_only=True)


@cache
def _gain() -> float:
    """Return how many times as fast this processor multiplies bf16 as float32; takes about 50 milliseconds."""
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(8):  # alternating, and the fastest of each type, because other processes use the cores as well
        for dtype, seconds in times.items():
            factor = torch.ones(512, 512, dtype=dtype)
            began = perf_counter()
            factor @ factor
            seconds.append(perf_counter() - began)
    return min(times[torch.float32]) / min(times[torch.bfloat16])
