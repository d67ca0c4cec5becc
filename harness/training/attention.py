"""Attention over packed sentences: one after another without padding, each attending to itself alone.

transformers lets an attention function be named in a model's configuration; `packed_attention` is ours. It is exact:
what a sentence's tokens attend to is what they attend to in a padded batch, where the mask hides all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, PretrainedConfig

from harness.training.dropout import kept
from harness.training.packing import Packing

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
    packing: Packing | None = None,
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
    attention = within_sentences if query.device.type == "cpu" else jagged_attention
    return attention(q, k, v, packing, scale, dropout).unsqueeze(0), None


def _is_causal(module: nn.Module) -> bool:
    return bool(getattr(module, "is_causal", False))


def jagged_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend by torch's kernels for sentences of unequal length: flash attention on a GPU in bf16 or fp16.

    Shapes (tokens, heads, width) in and out.
    """

    def jagged(x: Tensor) -> Tensor:
        shortest, longest = int(packing.lengths[0]), int(packing.lengths[-1])  # else the GPU would be asked
        made = torch.nested.nested_tensor_from_jagged(x, packing.offsets, min_seqlen=shortest, max_seqlen=longest)
        return made.transpose(1, 2)

    attended = nn.functional.scaled_dot_product_attention(
        jagged(query), jagged(key), jagged(value), dropout_p=dropout, scale=scale
    )
    out: Tensor = attended.transpose(1, 2).values()
    return out


def within_sentences(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend on a CPU. Shapes (tokens, heads, width) in and out."""
    attend: Callable[..., Tensor] = _WithinSentences.apply
    return attend(query, key, value, packing, scale, dropout)


class _WithinSentences(torch.autograd.Function):
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1) for CPUs: sentences of equal length at once.

    No padding, no mask, and few small operations: with a batch's twenty lengths and torch's own, calling them would
    take longer than what they compute.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
    ) -> Tensor:
        tokens, heads, width = query.shape
        order, back = packing.by_heads(heads)
        q, k, v = (x.reshape(tokens * heads, width).index_select(0, order) for x in (query, key, value))
        weights = q.new_empty(sum(count * length * length for count, length in packing.groups) * heads)
        mask = kept(weights.shape, dropout, weights.dtype) if dropout else None
        out = torch.empty_like(q)
        with torch.autocast("cpu", enabled=False):
            for rows, cells, shape in _blocks(packing, heads):
                w = weights[cells].view(*shape[:2], shape[1])
                torch.bmm(q[rows].view(*shape, width), k[rows].view(*shape, width).transpose(1, 2), out=w)
                w.copy_(torch.softmax(w.mul_(scale), dim=-1))
                used = w if mask is None else w * mask[cells].view_as(w)
                torch.bmm(used, v[rows].view(*shape, width), out=out[rows].view(*shape, width))
        ctx.save_for_backward(q, k, v, weights, mask)
        ctx.packing, ctx.scale, ctx.shape = packing, scale, query.shape
        return out.index_select(0, back).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, mask = ctx.saved_tensors
        tokens, heads, width = ctx.shape
        order, back = ctx.packing.by_heads(heads)
        d_out = gradients[0].reshape(tokens * heads, width).index_select(0, order)
        d_q, d_k, d_v = (torch.empty_like(x) for x in (q, k, v))
        for rows, cells, shape in _blocks(ctx.packing, heads):
            w = weights[cells].view(*shape[:2], shape[1])
            q_, k_, v_, d_ = (x[rows].view(*shape, width) for x in (q, k, v, d_out))
            d_w = torch.bmm(d_, v_.transpose(1, 2))
            used = w
            if mask is not None:
                m = mask[cells].view_as(w)
                used = w * m
                d_w.mul_(m)
            torch.bmm(used.transpose(1, 2), d_, out=d_v[rows].view(*shape, width))
            d_w.mul_(w)
            d_w.sub_(w * d_w.sum(dim=-1, keepdim=True)).mul_(ctx.scale)  # through the softmax
            torch.bmm(d_w, k_, out=d_q[rows].view(*shape, width))
            torch.bmm(d_w.transpose(1, 2), q_, out=d_k[rows].view(*shape, width))
        return (*(x.index_select(0, back).view(ctx.shape) for x in (d_q, d_k, d_v)), None, None, None)


def _blocks(packing: Packing, heads: int) -> Iterator[tuple[slice, slice, tuple[int, int]]]:
    """Yield for each length its rows, its attention weights, and (sentences times heads, length)."""
    row = cell = 0
    for count, length in packing.groups:
        rows, cells = count * heads * length, count * heads * length * length
        yield slice(row, row + rows), slice(cell, cell + cells), (count * heads, length)
        row, cell = row + rows, cell + cells


AttentionInterface.register(NAME, _attend)
