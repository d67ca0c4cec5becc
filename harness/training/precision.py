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
"""How many times as fast a processor must multiply bf16 as float32 for it to be used: it rounds more coarsely.

Far from what was measured: 2.2 for large products on AMD's Zen 4, 0.5 on an Intel Xeon whose AMX is hidden.
"""


def precision_here(requested: Precision) -> Literal["bf16", "fp16", "fp32"]:
    """Return the training precision on this device: the requested one, or the fastest for "auto".

    "auto" is bf16 or fp16 where the hardware multiplies it faster.

    Raises:
        UnsuitableDevice: fp16 is requested without a GPU.
    """
    if requested == "fp16" and not torch.cuda.is_available():
        raise UnsuitableDevice("fp16 needs a GPU; give --precision bf16 or fp32")
    if requested != "auto":
        return requested
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() and _gain() > GAIN else "fp32"


def prefer_deterministic_kernels() -> None:
    """Let a GPU add in the same order each time, so that two runs of one seed are the same to the bit.

    What torch cannot do in one order it does in any: of ours, attention's backward in float32, and flash attention's
    for sentences of more than 128 tokens.
    """
    if torch.cuda.is_available():
        deterministic.fill_uninitialized_memory = False  # type: ignore  # else each new tensor is written twice
        torch.use_deterministic_algorithms(True, warn_only=True)


@cache
def _gain() -> float:
    """Measure how many times as fast this processor multiplies bf16 as float32, in about 50 milliseconds."""
    took: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(8):  # in turn, and the fastest of each: other processes have the cores, too
        for dtype, seconds in took.items():
            factor = torch.ones(512, 512, dtype=dtype)
            began = perf_counter()
            factor @ factor
            seconds.append(perf_counter() - began)
    return min(took[torch.float32]) / min(took[torch.bfloat16])
