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

UNSUPPORTED_OPTIONS = ("position_bias", "sliding_window", "softcap", "s_aux")
"""Options of attention layers that packed attention does not implement."""


@contextmanager
def packed_attention(config: PretrainedConfig) -> Iterator[None]:
    """Let a model's layers attend within packed sentences; the features of the batch must contain `packing`."""
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
    """Attend within packed sentences, with the signature that transformers calls.

    Args:
        module: the attention layer.
        query, key, value: shape (1, heads, tokens, width).
        attention_mask: must be None, because `packing` replaces it.
        dropout: rate of dropout of the attention weights.
        scaling: factor of the scores; 1 / sqrt(width) if None.
        packing: where the sentences are in the sequence.
        others: further options of the layer.

    Returns:
        The attended values, shape (1, tokens, heads, width), and None for the attention weights.

    Raises:
        NotImplementedError: the layer uses something that packed sentences do not support: a mask, position biases,
            windows, or causal attention.
    """
    unsupported = [name for name in UNSUPPORTED_OPTIONS if others.get(name) is not None]
    if packing is None or attention_mask is not None or unsupported or query.shape != key.shape or _is_causal(module):
        raise NotImplementedError(
            f"{type(module).__name__} does not support packed sentences"
            f"{': it uses ' * bool(unsupported)}{', '.join(unsupported)}"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (x.transpose(1, 2).squeeze(0) for x in (query, key, value))  # (tokens, heads, width)
    if isinstance(packing, Packing) and query.device.type == "cpu":
        return within_sentences(q, k, v, packing, scale, dropout).unsqueeze(0), None
    if flash_serves(q.device, q.dtype, *q.shape[1:]):
        return flash_attention(q, k, v, packing, scale, dropout).unsqueeze(0), None
    if not isinstance(packing, Packing):
        raise NotImplementedError("only flash attention can read the sentences' lengths from the device")
    return jagged_attention(q, k, v, packing, scale, dropout).unsqueeze(0), None


def _is_causal(module: nn.Module) -> bool:
    return bool(getattr(module, "is_causal", False))


def jagged_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend by torch's kernels for sentences of unequal length; on a GPU in bf16 or fp16 this is flash attention.

    Arguments and result are those of `blocks.within_sentences`.
    """

    def jagged(x: Tensor) -> Tensor:
        shortest = int(packing.lengths[0])  # from the CPU, so that torch does not wait for the GPU
        nested_tensor = torch.nested.nested_tensor_from_jagged(
            x, packing.offsets, min_seqlen=shortest, max_seqlen=packing.longest
        )
        return nested_tensor.transpose(1, 2)  # (sentences, heads, tokens of each, width)

    attended = nn.functional.scaled_dot_product_attention(
        jagged(query), jagged(key), jagged(value), dropout_p=dropout, scale=scale
    )
    out: Tensor = attended.transpose(1, 2).values()
    return out


FLASH = torch.ops.aten._flash_attention_forward


def flash_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Borders, scale: float, dropout: float
) -> Tensor:
    """Call the kernel that `jagged_attention` uses on a GPU in bf16 or fp16 directly, without nested tensors.

    For a small batch, building nested tensors takes the CPU longer than the kernel takes the GPU. The gradients are
    torch's own. Arguments and result are those of `blocks.within_sentences`.
    """
    longest = packing.longest
    offsets = packing.cached("int32", lambda: packing.offsets.to(torch.int32))
    out: Tensor = FLASH(query, key, value, offsets, offsets, longest, longest, dropout, False, False, scale=scale)[0]
    return out


@cache
def flash_serves(device: torch.device, dtype: torch.dtype, heads: int, width: int) -> bool:
    """Return whether `flash_attention` gives the results and gradients of `jagged_attention` on a device.

    This is tested once, on three sentences and without random numbers, because the kernel is not a public function of
    torch and does not support every type and width.

    Args:
        device: the device.
        dtype: type of queries, keys and values.
        heads: number of heads.
        width: width of a head.
    """
    packing = Packing(np.array([3, 5, 17]), device)
    numbers = torch.arange(3 * 25 * heads * width, device=device).sin().to(dtype).view(3, 25, heads, width)
    functions: tuple[Callable[..., Tensor], ...] = (jagged_attention, flash_attention)
    results = []
    try:
        for attention in functions:
            inputs = [part.clone().requires_grad_() for part in numbers]
            with torch.enable_grad(), torch.autocast(device.type, enabled=False):
                out = attention(*inputs, packing, width**-0.5, 0.0)
                gradients = torch.autograd.grad(out.float().square().sum(), inputs)
            results.append(torch.cat([x.float().flatten() for x in (out, *gradients)]))
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    reference, result = results
    return bool((result - reference).norm() < 0.02 * reference.norm())


AttentionInterface.register(NAME, _attend)
