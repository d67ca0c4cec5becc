"""Dropout for CPUs: torch draws 53 random bits for each element, one after another; 16 bits decide as well.

At widths of a few hundred torch's own dropout is a tenth to a sixth of a training step.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 2**16


class Dropout16(nn.Module):
    """Inverted dropout (Srivastava et al., 2014) whose probability is `p` rounded to a multiple of 1/65,536.

    What is kept is scaled by the rounded probability's inverse, so that the expectation is exactly the input. Its bits'
    seed is drawn from torch's global generator, so seeds work as usual.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p:
            return input
        return input * factors(random_bits(input.numel()), self.p, input.dtype).view(input.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def random_bits(count: int) -> Tensor:
    """Draw 16 random bits for each of `count` elements, int16.

    By numpy's SFC64, which takes half the time of torch's generator; that gives the seed.
    """
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw((count + 3) // 4)
    return torch.from_numpy(words.view(np.int16)[:count])


def factors(bits: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """Return what dropout multiplies elements by: 0, or the inverse of the rounded probability of keeping them."""
    dropped = round(p * LEVELS)
    if dropped >= LEVELS:
        return torch.zeros(bits.shape, dtype=dtype)
    factor = torch.ge(bits, dropped - LEVELS // 2, out=torch.empty(bits.shape, dtype=dtype))  # no pass for booleans
    return factor.mul_(LEVELS / (LEVELS - dropped))


def quicken_dropout(module: nn.Module) -> None:
    """Put Dropout16 in the place of every nn.Dropout below `module`; it must train on a CPU."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout16(child.p))
        else:
            quicken_dropout(child)
