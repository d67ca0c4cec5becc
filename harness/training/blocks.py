"""Attention within packed sentences on a CPU: forward and backward written out, in blocks of sentences of like length.

Calling torch's own attention for each of a batch's twenty lengths takes longer than what it computes, and its fused
kernels for CPUs have no dropout. Here sentences of like length are a block, padded to its longest where that costs less
than one more block would; a mask hides what is padded, so the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.training.chunks import cheapest_chunks
from harness.training.dropout import kept
from harness.training.packing import Packing

SHORT = 32
"""Tokens up to which sentences do without torch's fused kernel, which takes 1.2 to 2.6 times as long there."""

NOTHING = torch.zeros(1, 1, 1)
"""What is added to the scores of a block that has no padding."""

BLOCK_COST = 60
"""What one more block costs, in tokens that would take as long. Measured at widths 96 and 192."""


def within_sentences(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend within each sentence. Shapes (tokens, heads, width) in and out."""
    heads = query.shape[1]
    blocks = packing.kept((Blocks, heads), lambda: Blocks(packing, heads))
    if dropout or (torch.is_grad_enabled() and query.requires_grad):
        attend: Callable[..., Tensor] = _WithinSentences.apply
        return attend(query, key, value, blocks, scale, dropout)
    return _without_gradients(query, key, value, blocks, scale)


def _without_gradients(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, scale: float) -> Tensor:
    """Attend to long sentences by torch's fused kernel, which keeps no weights: documents' would fill the memory."""
    heads, width = query.shape[1:]
    q, k, v = (blocks.gather(x) for x in (query, key, value))
    out = torch.empty_like(q)
    for block in blocks:
        if block.longest <= SHORT:
            q_, k_, v_, out_ = (_of(block, x) for x in (q, k, v, out))
            torch.bmm(torch.softmax(_scores(block, q_, k_, scale), dim=1).transpose(1, 2), v_, out=out_)
            continue
        q_, k_, v_, out_ = (x[block.rows].view(-1, heads, block.longest, width) for x in (q, k, v, out))
        hidden = None if block.hidden is None else block.hidden.to(q.dtype).view(-1, heads, 1, block.longest)
        out_.copy_(nn.functional.scaled_dot_product_attention(q_, k_, v_, hidden, scale=scale))
    return blocks.scatter(out, query.shape, query.dtype)


@dataclass(frozen=True)
class Block:
    """Sentences of like length: where their rows and attention weights lie, and what their padding hides.

    Of `count` sentences times heads, each `longest` tokens. Weights lie keys first, (count, keys, queries): torch's
    softmax over the last dimension is several times as slow where that is shorter than a vector of 16, as most
    sentences are. `hidden` is minus infinity where a key is padding, shape (count, longest, 1), and None where no
    sentence is shorter.
    """

    rows: slice
    cells: slice
    count: int
    longest: int
    hidden: Tensor | None


class Blocks:
    """The blocks of a packed batch, and the way of (token, head) rows into them and back."""

    def __init__(self, packing: Packing, heads: int) -> None:
        """Sort sentences, whose lengths rise, into the blocks that cost least."""
        lengths = packing.lengths
        self.blocks: list[Block] = []
        padded = np.empty_like(lengths)
        row = cell = 0
        for begin, end in pairwise(cheapest_chunks(lengths.tolist(), BLOCK_COST)):
            longest, count = int(lengths[end - 1]), (end - begin) * heads
            padded[begin:end] = longest
            rows, cells = slice(row, row + count * longest), slice(cell, cell + count * longest * longest)
            hidden = None
            if lengths[begin] < longest:
                beyond = np.arange(longest)[:, None] >= lengths[begin:end].repeat(heads)[:, None, None]
                hidden = torch.from_numpy(np.where(beyond, np.float32("-inf"), np.float32(0)))
            self.blocks.append(Block(rows, cells, count, longest, hidden))
            row, cell = rows.stop, cells.stop
        self.cells = cell
        first = (padded.cumsum() - padded)[packing.sentence] * heads + packing.position
        back = (first[:, None] + np.arange(heads) * padded[packing.sentence][:, None]).ravel()
        order = np.full(row, -1)
        order[back] = np.arange(len(back))
        self.padding = torch.from_numpy(np.flatnonzero(order < 0))
        self.order, self.back = torch.from_numpy(order.clip(0)), torch.from_numpy(back)

    def gather(self, x: Tensor) -> Tensor:
        """Bring (tokens, heads, width) into blocks: (rows, width), in float32 at least.

        Not in bf16: oneDNN compiles a product for each shape that it meets, which takes longer than these products do.
        """
        rows = x.reshape(-1, x.shape[-1]).index_select(0, self.order)
        return rows.float() if rows.dtype == torch.bfloat16 else rows

    def scatter(self, rows: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Bring rows of blocks back into (tokens, heads, width)."""
        return rows.index_select(0, self.back).view(tuple(shape)).to(dtype)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


class _WithinSentences(torch.autograd.Function):
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, scale: float, dropout: float
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            q, k, v = (blocks.gather(x) for x in (query, key, value))
            weights, out = q.new_empty(blocks.cells), torch.empty_like(q)
            mask = kept(weights.shape, dropout, weights.dtype) if dropout else None
            for block in blocks:
                q_, k_, v_, out_ = (_of(block, x) for x in (q, k, v, out))
                w = _weights(block, weights)
                torch.softmax(_scores(block, q_, k_, scale), dim=1, out=w)
                torch.bmm((w if mask is None else w * _weights(block, mask)).transpose(1, 2), v_, out=out_)
        ctx.save_for_backward(q, k, v, weights, mask)
        ctx.blocks, ctx.scale, ctx.made = blocks, scale, (query.shape, query.dtype)
        return blocks.scatter(out, *ctx.made)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, mask = ctx.saved_tensors
        d_out = ctx.blocks.gather(gradients[0]).index_fill_(0, ctx.blocks.padding, 0)
        d_q, d_k, d_v = (torch.empty_like(x) for x in (q, k, v))
        nothing = q.new_zeros(1, 1, 1)
        for block in ctx.blocks:
            q_, k_, v_, d_, d_q_, d_k_, d_v_ = (_of(block, x) for x in (q, k, v, d_out, d_q, d_k, d_v))
            w = used = _weights(block, weights)
            d_w = torch.bmm(v_, d_.transpose(1, 2))
            if mask is not None:
                m = _weights(block, mask)
                used = w * m
                d_w.mul_(m)
            torch.bmm(used, d_, out=d_v_)
            d_scores = torch._softmax_backward_data(d_w, w, 1, w.dtype)
            torch.baddbmm(nothing, d_scores.transpose(1, 2), k_, beta=0, alpha=ctx.scale, out=d_q_)
            torch.baddbmm(nothing, d_scores, q_, beta=0, alpha=ctx.scale, out=d_k_)
        return (*(ctx.blocks.scatter(x, *ctx.made) for x in (d_q, d_k, d_v)), None, None, None)


def _of(block: Block, rows: Tensor) -> Tensor:
    return rows[block.rows].view(block.count, block.longest, -1)


def _scores(block: Block, q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Return what attention takes the softmax of, keys first, minus infinity where a key is padding."""
    hidden = NOTHING if block.hidden is None else block.hidden
    return torch.baddbmm(hidden.to(q.dtype), k, q.transpose(1, 2), alpha=scale)


def _weights(block: Block, weights: Tensor) -> Tensor:
    return weights[block.cells].view(block.count, block.longest, block.longest)
