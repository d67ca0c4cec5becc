"""The optimizer for CPUs: what torch's clipping and torch's AdamW do, whoever learns at a step."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from harness.training.optimizer import ClippedAdamW

LR = (1e-2, 3e-2, 2e-2, 1e-2, 5e-3, 1e-3)
"""Of each step, as a schedule would set it."""

EVERY = ((0, 1, 2, 3),) * len(LR)
SOME = ((0, 1, 2, 3), (0, 2, 3), (0, 1, 3), (1,), (0, 1, 2, 3), (0, 1, 2, 3))
"""Which parameters have gradients at each step."""


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    made = [torch.randn(shape, dtype=torch.float64) for shape in ((5, 3), (7,), (2, 2), (4,))]
    return [nn.Parameter(value) for value in (*made[:2], made[2].float(), made[3])]


def groups(of: Sequence[nn.Parameter]) -> list[dict[str, object]]:
    return [{"params": [of[0], of[2]], "weight_decay": 0.1}, {"params": [of[1], of[3]], "weight_decay": 0.0}]


@pytest.mark.parametrize("learning", [EVERY, SOME])
@pytest.mark.parametrize("size", [0.01, 0.5, 10.0], ids=["below the norm", "above it", "far above"])
def test_steps_are_those_of_torchs_clipping_and_adamw(learning: Sequence[Sequence[int]], size: float) -> None:
    ours, theirs = parameters(), parameters()
    mine = ClippedAdamW(groups(ours), lr=1.0, betas=(0.8, 0.95), eps=1e-6)
    torchs = torch.optim.AdamW(groups(theirs), lr=1.0, betas=(0.8, 0.95), eps=1e-6)
    torch.manual_seed(1)
    for learners, lr in zip(learning, LR, strict=True):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            one.grad = size * torch.randn_like(one) if i in learners else None
            other.grad = None if one.grad is None else one.grad.clone()
        for optimizer in (mine, torchs):
            optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = lr, 2 * lr
        norm = mine.clip(iter(ours[:3]), 1.0)
        wanted = nn.utils.clip_grad_norm_(theirs[:3], 1.0)
        mine.step()
        torchs.step()

        assert float(norm) == pytest.approx(float(wanted))
        assert (size > 0.1) == (float(norm) > 1)
        assert_close(ours, theirs)


def test_other_parameters_may_be_clipped_from_some_step_on() -> None:
    ours, theirs = parameters(), parameters()
    mine, torchs = ClippedAdamW(ours, lr=1e-2), torch.optim.AdamW(theirs, lr=1e-2, weight_decay=0.0)
    for clipped in ((0, 1), (0, 1), (2, 3), ()):
        for one, other in zip(ours, theirs, strict=True):
            one.grad, other.grad = torch.full_like(one, 3.0), torch.full_like(one, 3.0)
        if clipped:
            mine.clip([ours[i] for i in clipped], 0.5)
            nn.utils.clip_grad_norm_([theirs[i] for i in clipped], 0.5)
        mine.step()
        torchs.step()
        assert_close(ours, theirs)


def test_gradients_that_are_no_numbers_show_in_the_norm_and_the_weights() -> None:
    ours = parameters()
    mine = ClippedAdamW(ours, lr=1e-2)
    for one in ours:
        one.grad = torch.full_like(one, float("nan"))

    assert torch.isnan(mine.clip(ours, 1.0))
    mine.step()
    assert all(bool(torch.isnan(one).all()) for one in ours)


def assert_close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
