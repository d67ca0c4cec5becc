"""Attention over packed sentences: they are concatenated without padding, and each attends only to itself.

`packed_attention` is registered with transformers by a name in the model's configuration. It is exact: tokens attend to
the same tokens as in a padded batch, where the mask hides all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig

from harness.model.blocks import within_sentences
from harness.model.packing import Borders, Packing

NAME = "harness_packed"


@contextmanager
def packed_attention(config: PretrainedConfig) -> Iterator[None]:
    """Let a model's layers attend within packed sentences; its features must hold their `packing`."""
    usual = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Borders | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers calls it: shapes (1, heads, tokens, width) in, (1, tokens, heads, width) out.

    Raises NotImplementedError for what packed sentences cannot have here: biases by position, windows, causal masks.
    """
    wanted = [name for name in ("position_bias", "sliding_window", "softcap", "s_aux") if others.get(name) is not None]
    if packing is None or attention_mask is not None or wanted or query.shape != key.shape or _is_causal(module):
        raise NotImplementedError(f"{type(module).__name__} cannot attend to packed sentences {wanted}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (x.transpose(1, 2).squeeze(0) for x in (query, key, value))
    if isinstance(packing, Packing) and query.device.type == "cpu":
        return within_sentences(q, k, v, packing, scale, dropout).unsqueeze(0), None
    if flash_serves(q.device, q.dtype, *q.shape[1:]):
        return flash_attention(q, k, v, packing, scale, dropout).unsqueeze(0), None
    if not isinstance(packing, Packing):
        raise NotImplementedError("no other kernel than flash attention's reads a sentence's length from the device")
    return jagged_attention(q, k, v, packing, scale, dropout).unsqueeze(0), None


def _is_causal(module: nn.Module) -> bool:
    return bool(getattr(module, "is_causal", False))


def jagged_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend by torch's kernels for sentences of unequal length: flash attention on a GPU in bf16 or fp16.

    Shapes (tokens, heads, width) in and out.
    """

    def jagged(x: Tensor) -> Tensor:
        shortest = int(packing.lengths[0])  # else the GPU would be asked
        made = torch.nested.nested_tensor_from_jagged(
            x, packing.offsets, min_seqlen=shortest, max_seqlen=packing.longest
        )
        return made.transpose(1, 2)

    attended = nn.functional.scaled_dot_product_attention(
        jagged(query), jagged(key), jagged(value), dropout_p=dropout, scale=scale
    )
    out: Tensor = attended.transpose(1, 2).values()
    return out


FLASH = torch.ops.aten._flash_attention_forward


def flash_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Borders, scale: float, dropout: float
) -> Tensor:
    """Attend by the kernel that `jagged_attention` ends in on a GPU in bf16 or fp16, called without nested tensors.

    Making and unmaking those keeps the processor busy for longer than a small batch keeps the GPU. Shapes
    (tokens, heads, width) in and out; the gradients are torch's own.
    """
    longest = packing.longest
    offsets = packing.kept("int32", lambda: packing.offsets.to(torch.int32))
    out: Tensor = FLASH(query, key, value, offsets, offsets, longest, longest, dropout, False, False, scale=scale)[0]
    return out


@cache
def flash_serves(device: torch.device, dtype: torch.dtype, heads: int, width: int) -> bool:
    """Return whether `flash_attention` gives the results of `jagged_attention` on a device, gradients included.

    Tested once, on three sentences and without random numbers, because the kernel is not a public function of torch and
    does not support every type and width.
    """
    packing = Packing(np.array([3, 5, 17]), device)
    numbers = torch.arange(3 * 25 * heads * width, device=device).sin().to(dtype).view(3, 25, heads, width)
    ways: tuple[Callable[..., Tensor], ...] = (jagged_attention, flash_attention)
    found = []
    try:
        for attention in ways:
            inputs = [part.clone().requires_grad_() for part in numbers]
            with torch.enable_grad(), torch.autocast(device.type, enabled=False):
                out = attention(*inputs, packing, width**-0.5, 0.0)
                gradients = torch.autograd.grad(out.float().square().sum(), inputs)
            found.append(torch.cat([x.float().flatten() for x in (out, *gradients)]))
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    wanted, got = found
    return bool((got - wanted).norm() < 0.02 * wanted.norm())


AttentionInterface.register(NAME, _attend)
