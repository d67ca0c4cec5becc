"""Dropout for CPUs: torch draws 53 random bits for each element, one after another; 16 bits decide as well.

At widths of a few hundred torch's own dropout is a tenth to a sixth of a training step.
"""

from __future__ import annotations

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
        self._dropped = round(p * LEVELS)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0 < self._dropped < LEVELS:
            return nn.functional.dropout(input, self.p, self.training)
        words = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (drawn >= self._dropped - LEVELS // 2).to(input.dtype)
        return input * kept.mul_(LEVELS / (LEVELS - self._dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def quicken_dropout(module: nn.Module) -> None:
    """Put Dropout16 in the place of every nn.Dropout below `module`; it must train on a CPU."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout16(child.p))
        else:
            quicken_dropout(child)
