"""f2. Several small trainings in one, with stacked weights. On a CPU they are 1.01 to 1.11 times as fast as one by one.

BERT-like layers of bert-base's size, in-batch negatives over 32 pairs of 20 tokens, dropout, AdamW. The alternatives
are captured passes (stage c) and runs that share the card (stage f); stacking would have to be 1.5 times as fast as the
better of them to justify its complexity.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch import Tensor, nn

from gpu_stages.common import Stage, failure, now, release

WORDS, SENTENCES, TOKENS = 4000, 64, 20


def run(stage: Stage) -> None:
    """Report the milliseconds of a step of 1, 4 and 8 members, stacked and one by one."""
    shape = (2, 32, 2) if stage.small else (12, 768, 12)
    for dtype in (torch.float32,) if stage.small else (torch.bfloat16, torch.float32):
        told = []
        for members in (1, 2) if stage.small else (4, 8, 1):
            if stage.left() < 4:
                break
            try:
                together, apart = _measured(members, *shape, dtype, stage.device)
            except Exception as problem:
                traceback.print_exc()
                told.append(f"{members}: {failure(problem)}")
                release()
                continue
            told.append(f"{members}: {1000 * together:.1f} for {1000 * apart:.1f} ({apart / together:.2f}x)")
            kind = str(dtype).removeprefix("torch.")
            stage.report(f"{members} members, {kind}", None, stacked=together, one_by_one=apart)
            release()
        kind = str(dtype).removeprefix("torch.")
        stage.report(f"stacked, {kind}", f"ms a step for one by one, members: {', '.join(told)}")


def _measured(members: int, layers: int, width: int, heads: int, dtype: Any, device: str) -> tuple[float, float]:
    """Return the median seconds of a step of all members, stacked and one by one."""

    def make(count: int) -> tuple[dict[str, nn.Parameter], Any]:
        weights = _weights(count, layers, width, device)
        return weights, torch.optim.AdamW(weights.values(), lr=1e-4, fused=True)

    ids = torch.randint(0, WORDS, (members, SENTENCES * TOKENS), device=device)
    stacked, singles = make(members), [make(1) for _ in range(members)]
    seconds: list[tuple[float, float]] = []
    for _ in range(8):
        began = now(device)
        _step(*stacked, ids, layers, heads, dtype)
        between = now(device)
        for place, single in enumerate(singles):
            _step(*single, ids[place : place + 1], layers, heads, dtype)
        seconds.append((between - began, now(device) - between))
    one, other = (sorted(side)[len(side) // 2] for side in zip(*seconds[3:], strict=True))
    return one, other


def _weights(members: int, layers: int, width: int, device: str) -> dict[str, nn.Parameter]:
    def normal(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.randn(members, *shape, device=device) * 0.02)

    found = {"words": normal(WORDS, width)}
    shapes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, 4 * width), "down": (4 * width, width)}
    for layer in range(layers):
        for name, shape in shapes.items():
            found |= {f"{layer}{name}": normal(*shape), f"{layer}{name}bias": normal(1, shape[1])}
        for name in ("norm1", "norm2"):
            found[f"{layer}{name}"] = nn.Parameter(torch.ones(members, 1, width, device=device))
    return found


def _step(weights: dict[str, nn.Parameter], optimizer: Any, ids: Tensor, layers: int, heads: int, dtype: Any) -> None:
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
        value = _loss(weights, ids, layers, heads)
    torch.autograd.backward(value)
    optimizer.step()


def _loss(weights: dict[str, nn.Parameter], ids: Tensor, layers: int, heads: int) -> Tensor:
    """Return the sum of the members' losses; ids are (members, sentences * tokens)."""
    members, width = len(ids), weights["words"].shape[-1]
    drop, functional = nn.functional.dropout, nn.functional

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.baddbmm(weights[f"{name}bias"].to(x.dtype), x, weights[name].to(x.dtype))

    first = (torch.arange(members, device=ids.device) * WORDS)[:, None]
    x = functional.embedding(ids + first, weights["words"].reshape(members * WORDS, width))
    if torch.is_autocast_enabled(ids.device.type):
        x = x.to(torch.get_autocast_dtype(ids.device.type))
    for layer in range(layers):
        parts = linear(x, f"{layer}qkv").view(-1, TOKENS, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        attended = functional.scaled_dot_product_attention(query, key, value, dropout_p=0.1)
        attended = attended.transpose(1, 2).reshape(x.shape)
        x = x + drop(linear(attended, f"{layer}out"), 0.1)
        x = functional.layer_norm(x, (width,)) * weights[f"{layer}norm1"].to(x.dtype)
        hidden = linear(functional.gelu(linear(x, f"{layer}up").to(x.dtype)).to(x.dtype), f"{layer}down")
        x = functional.layer_norm(x + drop(hidden, 0.1), (width,)) * weights[f"{layer}norm2"].to(x.dtype)
        x = x.to(attended.dtype)
    embedded = functional.normalize(x.float().view(members, SENTENCES, TOKENS, width).mean(2), dim=-1)
    scores = 20 * embedded[:, : SENTENCES // 2] @ embedded[:, SENTENCES // 2 :].transpose(1, 2)
    right = torch.arange(SENTENCES // 2, device=ids.device).expand(members, -1)
    return functional.cross_entropy(scores.float().transpose(1, 2), right, reduction="none").mean(1).sum()
