"""Dropout for CPUs: torch draws 53 random bits for each element, one after another; 16 bits decide as well.

At widths of a few hundred torch's own dropout is a tenth to a sixth of a training step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEVELS = 2**16


class Dropout16(nn.Module):
    """Inverted dropout (Srivastava et al., 2014) whose probability is `p` rounded to a multiple of 1/65,536.

    What is kept is scaled by the rounded probability's inverse, so that the expectation is exactly the input. It draws
    from torch's global generator, so seeds work as usual.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0 < round(self.p * LEVELS) < LEVELS:
            return nn.functional.dropout(input, self.p, self.training)
        return input * kept(input.shape, self.p, input.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def kept(shape: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
    """Draw the factor of each element under dropout: 0, or the inverse of the rounded probability of keeping it."""
    dropped, count = round(p * LEVELS), math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.int16)[:count].view(tuple(shape))
    factor = torch.ge(drawn, dropped - LEVELS // 2, out=torch.empty(tuple(shape), dtype=dtype))  # no pass for booleans
    return factor.mul_(LEVELS / (LEVELS - dropped))


def quicken_dropout(module: nn.Module) -> None:
    """Put Dropout16 in the place of every nn.Dropout below `module`; it must train on a CPU."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout16(child.p))
        else:
            quicken_dropout(child)
