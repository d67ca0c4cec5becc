"""Attention over packed sentences on CPUs: explicit forward and backward passes in blocks of similar length.

Calling torch's own attention for each of a batch's twenty lengths takes longer than what it computes, and its fused
kernels for CPUs have no dropout. Here sentences of like length are a block, padded to its longest where that costs less
than one more block would; a mask hides what is padded, so the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.model.chunks import cheapest_chunks
from harness.model.dropout import factors, random_bits
from harness.model.packing import Packing

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
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    run: Callable[..., Tensor] = _WithinSentences.apply
    return run(query, key, value, blocks, scale, dropout, learns)


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
        self.heads, self.cells = heads, cell
        self._places: dict[tuple[str, int], Tensor] = {}
        first = (padded.cumsum() - padded)[packing.sentence] * heads + packing.position
        back = (first[:, None] + np.arange(heads) * padded[packing.sentence][:, None]).ravel()
        order = np.full(row, -1)
        order[back] = np.arange(len(back))
        self.padding = torch.from_numpy(np.flatnonzero(order < 0))
        self.order, self.back = torch.from_numpy(order.clip(0)), torch.from_numpy(back)

    def gather(self, x: Tensor) -> Tensor:
        """Bring n tensors in one, (n, tokens, heads * width), into blocks: (n, rows, width), in float32 at least.

        Not in bf16: oneDNN compiles a product for each shape that it meets, which takes longer than these products do.
        """
        n, width = len(x), x.shape[-1] // self.heads
        rows = x.reshape(-1, width).index_select(0, self._of_each("gather", n, self.order, len(self.back)))
        return (rows.float() if rows.dtype == torch.bfloat16 else rows).view(n, -1, width)

    def scatter(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Bring n tensors' rows of blocks back: (n, rows, width) to (n, tokens, heads * width)."""
        n, made, width = rows.shape
        back = rows.reshape(-1, width).index_select(0, self._of_each("scatter", n, self.back, made))
        return back.view(n, -1, self.heads * width).to(dtype)

    def _of_each(self, way: str, n: int, places: Tensor, rows: int) -> Tensor:
        """Return the same places in each of n tensors of so many rows, one after another; kept by way and n.

        The number of rows tells the two ways apart only where some rows are padding.
        """
        if n == 1:
            return places
        key = (way, n)
        if key not in self._places:
            self._places[key] = (places + torch.arange(n)[:, None] * rows).flatten()
        return self._places[key]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


def attend(
    blocks: Blocks, rows: Tensor, scale: float, mask: Tensor | None, learns: bool
) -> tuple[Tensor, Tensor | None]:
    """Attend by scaled dot products (Vaswani et al., 2017, eq. 1); queries, keys and values are (3, rows, width).

    Returns what comes of it, shape (1, rows, width), and, if it `learns`, the weights, which dropout multiplies by the
    mask, both of shape (cells,). Else they are not kept: documents' would fill the memory.
    """
    out = torch.empty_like(rows[:1])
    if not learns and mask is None:
        for block in blocks:
            _attend_once(blocks.heads, block, rows, out, scale)
        return out, None
    weights = rows.new_empty(blocks.cells)
    for block in blocks:
        q, k, _ = _of(block, rows)
        torch.softmax(_scores(block, q, k, scale), dim=1, out=_weights(block, weights))
    used = weights if mask is None else weights * mask
    for block in blocks:
        torch.bmm(_weights(block, used).transpose(1, 2), _of(block, rows)[2], out=_of(block, out)[0])
    return out, weights


def attend_backward(
    blocks: Blocks, rows: Tensor, weights: Tensor, mask: Tensor | None, d_out: Tensor, scale: float
) -> Tensor:
    """Return the gradients of queries, keys and values, shape (3, rows, width); padding's rows of `d_out` become 0."""
    d_out[0].index_fill_(0, blocks.padding, 0)
    d_rows, d_weights = torch.empty_like(rows), torch.empty_like(weights)
    used = weights if mask is None else weights * mask
    nothing = NOTHING.to(rows.dtype)
    for block in blocks:
        d, v, d_v = _of(block, d_out)[0], _of(block, rows)[2], _of(block, d_rows)[2]
        torch.bmm(v, d.transpose(1, 2), out=_weights(block, d_weights))
        torch.bmm(_weights(block, used), d, out=d_v)
    if mask is not None:
        d_weights.mul_(mask)
    for block in blocks:
        (q, k, _), (d_q, d_k, _) = _of(block, rows), _of(block, d_rows)
        w = _weights(block, weights)
        d_scores = torch._softmax_backward_data(_weights(block, d_weights), w, 1, w.dtype)
        torch.baddbmm(nothing, d_scores.transpose(1, 2), k, beta=0, alpha=scale, out=d_q)
        torch.baddbmm(nothing, d_scores, q, beta=0, alpha=scale, out=d_k)
    return d_rows


class _WithinSentences(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, scale: float, dropout: float, learns: bool
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            rows = blocks.gather(torch.stack([query, key, value]).flatten(2))
            mask = factors(random_bits(blocks.cells), dropout, rows.dtype) if dropout else None
            out, weights = attend(blocks, rows, scale, mask, learns)
        if learns:
            ctx.save_for_backward(rows, weights, mask)
            ctx.blocks, ctx.scale, ctx.dtype = blocks, scale, query.dtype
        return blocks.scatter(out, query.dtype).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weights, mask = ctx.saved_tensors
        d_out = ctx.blocks.gather(gradients[0].flatten(1)[None])
        d_rows = attend_backward(ctx.blocks, rows, weights, mask, d_out, ctx.scale)
        d_q, d_k, d_v = ctx.blocks.scatter(d_rows, ctx.dtype).view(3, *gradients[0].shape)
        return d_q, d_k, d_v, None, None, None, None


def _attend_once(heads: int, block: Block, rows: Tensor, out: Tensor, scale: float) -> None:
    """Attend without keeping weights, in long sentences by torch's fused kernel, which does not even make them."""
    if block.longest <= SHORT:
        q, k, v = _of(block, rows)
        torch.bmm(torch.softmax(_scores(block, q, k, scale), dim=1).transpose(1, 2), v, out=_of(block, out)[0])
        return
    q, k, v = (part.view(-1, heads, block.longest, part.shape[-1]) for part in rows[:, block.rows])
    hidden = None if block.hidden is None else block.hidden.to(q.dtype).view(-1, heads, 1, block.longest)
    attended = nn.functional.scaled_dot_product_attention(q, k, v, hidden, scale=scale)
    out[0, block.rows].view(q.shape).copy_(attended)


def _of(block: Block, rows: Tensor) -> Tensor:
    """Return a block's part of (n, rows, width): (n, count, longest, width)."""
    return rows[:, block.rows].view(len(rows), block.count, block.longest, -1)


def _scores(block: Block, q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Return what attention takes the softmax of, keys first, minus infinity where a key is padding."""
    hidden = NOTHING if block.hidden is None else block.hidden
    return torch.baddbmm(hidden.to(q.dtype), k, q.transpose(1, 2), alpha=scale)


def _weights(block: Block, weights: Tensor) -> Tensor:
    return weights[block.cells].view(block.count, block.longest, block.longest)
