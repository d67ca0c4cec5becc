"""AdamW for CPUs with fused gradient clipping.

At widths of a hundred, a tenth of a training step was the optimizer and the clipping before it, much of that in Python,
parameter by parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Part:
    """Parameters that move together, with what AdamW remembers of them: of one group, all clipped or none."""

    group: dict[str, Any]
    clipped: bool
    steps: Tensor
    """How many they have done."""
    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]


class ClippedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) by torch's fused kernel, with gradients clipped (Pascanu et al., 2013).

    `clip` and `step` together do what `torch.nn.utils.clip_grad_norm_` and `torch.optim.AdamW` do.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        """Take parameters, or groups of them; a group's "weight_decay" is 0 if it names none."""
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self._all: list[Tensor] = [parameter for group in self.param_groups for parameter in group["params"]]
        self._means, self._squares = ({id(p): torch.zeros_like(p) for p in self._all} for _ in range(2))
        self._steps = dict.fromkeys(self._means, 0.0)
        self._clipped: tuple[int, ...] = ()
        self._scale: Tensor | None = None
        self._sorted_by: object = None
        self._parts: list[_Part] = []

    @torch.no_grad()
    def clip(self, parameters: Iterable[Tensor], max_norm: float) -> Tensor:
        """Return the norm of these parameters' gradients, as of one vector; the next step scales it to `max_norm`."""
        clipped = list(parameters)
        norm = torch.nn.utils.get_total_norm([p.grad for p in clipped if p.grad is not None], foreach=True)
        excess = (float(norm) + 1e-6) / max_norm
        self._clipped, self._scale = tuple(map(id, clipped)), None if excess <= 1 else torch.tensor(excess)
        return norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have gradients."""
        sorted_by = (self._clipped, tuple(parameter.grad is not None for parameter in self._all))
        if sorted_by != self._sorted_by:
            for part in self._parts:
                self._steps |= dict.fromkeys(map(id, part.parameters), float(part.steps))
            self._sorted_by, self._parts = sorted_by, list(self._sorted())
        for part in self._parts:
            part.steps.add_(1)
            torch._fused_adamw_(
                part.parameters,
                [parameter.grad for parameter in part.parameters],  # type: ignore[misc]
                part.means,
                part.squares,
                [],
                [part.steps] * len(part.parameters),
                lr=part.group["lr"],
                beta1=part.group["betas"][0],
                beta2=part.group["betas"][1],
                weight_decay=part.group["weight_decay"],
                eps=part.group["eps"],
                amsgrad=False,
                maximize=False,
                grad_scale=self._scale if part.clipped else None,
            )
        self._scale = None

    def _sorted(self) -> Iterator[_Part]:
        def kind(parameter: Tensor) -> tuple[bool, float]:
            return id(parameter) in self._clipped, self._steps[id(parameter)]

        for group in self.param_groups:
            learning = sorted((p for p in group["params"] if p.grad is not None), key=kind)
            for (clipped, steps), alike in groupby(learning, kind):
                parameters = list(alike)
                means, squares = ([states[id(p)] for p in parameters] for states in (self._means, self._squares))
                yield _Part(group, clipped, torch.tensor(steps), parameters, means, squares)
