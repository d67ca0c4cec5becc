"""AdamW for CPUs with fused gradient clipping.

At widths of about a hundred, the optimizer and the clipping took a tenth of a training step, much of it in Python code
that handled one parameter after another.
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
    """Parameters that one kernel call updates: of one group, with equal numbers of steps, all clipped or none."""

    group: dict[str, Any]
    """The optimizer's group, with its options."""
    clipped: bool
    """Whether their gradients are clipped."""
    steps: Tensor
    """Number of steps that the parameters have taken."""
    parameters: list[Tensor]
    """The parameters."""
    means: list[Tensor]
    """Running mean of each parameter's gradient."""
    squares: list[Tensor]
    """Running mean of each parameter's squared gradient."""


class ClippedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) by torch's fused kernel, with gradients clipped (Pascanu et al., 2013).

    `clip` and `step` together do what `torch.nn.utils.clip_grad_norm_` and `torch.optim.AdamW` do.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        """Set up the optimizer.

        Args:
            params: parameters, or groups of them; the "weight_decay" of a group is 0 unless it sets one.
            lr: learning rate.
            betas: decay rates of the running means.
            eps: term added to the denominator.
        """
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
        """Return the norm of the parameters' gradients as one vector; the next step scales it down to `max_norm`."""
        clipped = list(parameters)
        norm = torch.nn.utils.get_total_norm([p.grad for p in clipped if p.grad is not None], foreach=True)
        excess = (float(norm) + 1e-6) / max_norm
        self._clipped, self._scale = tuple(map(id, clipped)), None if excess <= 1 else torch.tensor(excess)
        return norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have gradients."""
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
            trainable = sorted((p for p in group["params"] if p.grad is not None), key=kind)
            for (clipped, steps), of_one_kind in groupby(trainable, kind):
                parameters = list(of_one_kind)
                means, squares = ([states[id(p)] for p in parameters] for states in (self._means, self._squares))
                yield _Part(group, clipped, torch.tensor(steps), parameters, means, squares)
