"""Attention over packed sentences on CPUs: explicit forward and backward passes in blocks of similar length.

A batch has about twenty different lengths. Calling torch's own attention once for each takes longer than the
arithmetic, and its fused kernels for CPUs have no dropout. Here sentences of similar length form a block, padded to its
longest if that costs less than one more block. A mask hides the padding, so the result is exact.
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
"""Sentences of at most this many tokens do not use torch's fused kernel, which takes 1.2 to 2.6 times as long there."""

NO_MASK = torch.zeros(1, 1, 1)
"""Mask that is added to the scores of a block without padding."""

BLOCK_COST = 60
"""Fixed cost of a block, expressed as the number of tokens that take equally long. Measured at widths 96 and 192."""


def within_sentences(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
) -> Tensor:
    """Attend within each sentence.

    Args:
        query, key, value: shape (tokens, heads, width).
        packing: where the sentences are in the sequence.
        scale: factor of the scores.
        dropout: rate of dropout of the attention weights.

    Returns:
        The attended values, shape (tokens, heads, width).
    """
    heads = query.shape[1]
    blocks = packing.cached((Blocks, heads), lambda: Blocks(packing, heads))
    needs_grad = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    run: Callable[..., Tensor] = _WithinSentences.apply
    return run(query, key, value, blocks, scale, dropout, needs_grad)


@dataclass(frozen=True)
class Block:
    """Sentences of similar length: the places of their rows and attention weights, and the mask of their padding.

    Weights have the keys before the queries, shape (count, keys, queries), because torch's softmax over the last
    dimension is several times slower if that has fewer than 16 elements, as in most sentences.
    """

    rows: slice
    """Rows of the block among those of all blocks; a row is one token in one head."""
    cells: slice
    """Weights of the block among those of all blocks."""
    count: int
    """Number of sentences times heads."""
    longest: int
    """Tokens of the longest sentence, to which the others are padded."""
    hidden: Tensor | None
    """Minus infinity where a key is padding and 0 elsewhere, shape (count, longest, 1); None without padding."""


class Blocks:
    """The blocks of a packed batch, and the indices that move (token, head) rows into the blocks and back."""

    def __init__(self, packing: Packing, heads: int) -> None:
        """Split the sentences into the blocks that cost least."""
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
                # (count, longest, 1)
                beyond = np.arange(longest)[:, None] >= lengths[begin:end].repeat(heads)[:, None, None]
                hidden = torch.from_numpy(np.where(beyond, np.float32("-inf"), np.float32(0)))
            self.blocks.append(Block(rows, cells, count, longest, hidden))
            row, cell = rows.stop, cells.stop
        self.heads, self.cells = heads, cell
        self._places: dict[tuple[str, int], Tensor] = {}
        # the place of each token's row in its first head, (tokens,), and in every head, (tokens * heads,)
        first = (padded.cumsum() - padded)[packing.sentence] * heads + packing.position
        back = (first[:, None] + np.arange(heads) * padded[packing.sentence][:, None]).ravel()
        order = np.full(row, -1)  # (rows,): the inverse of `back`, -1 for padding
        order[back] = np.arange(len(back))
        self.padding = torch.from_numpy(np.flatnonzero(order < 0))
        self.order, self.back = torch.from_numpy(order.clip(0)), torch.from_numpy(back)

    def gather(self, x: Tensor) -> Tensor:
        """Move n stacked tensors, shape (n, tokens, heads * width), into blocks, shape (n, rows, width).

        bf16 becomes float32, because oneDNN compiles a bf16 product for each new shape, which takes longer than these
        products do.
        """
        n, width = len(x), x.shape[-1] // self.heads
        rows = x.reshape(-1, width).index_select(0, self._of_each("gather", n, self.order, len(self.back)))
        return (rows.float() if rows.dtype == torch.bfloat16 else rows).view(n, -1, width)

    def scatter(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Move n tensors' rows of blocks, shape (n, rows, width), back to shape (n, tokens, heads * width)."""
        n, padded_rows, width = rows.shape
        back = rows.reshape(-1, width).index_select(0, self._of_each("scatter", n, self.back, padded_rows))
        return back.view(n, -1, self.heads * width).to(dtype)

    def _of_each(self, direction: str, n: int, places: Tensor, rows: int) -> Tensor:
        """Return the same places in each of n tensors that lie one after another, and cache them.

        Args:
            direction: "gather" or "scatter". It is part of the cache's key, because without padding the number of rows
                is the same for both.
            n: number of tensors.
            places: indices of rows in one tensor.
            rows: number of rows of one tensor.

        Returns:
            The indices, shape (n * len(places),).
        """
        if n == 1:
            return places
        key = (direction, n)
        if key not in self._places:
            self._places[key] = (places + torch.arange(n)[:, None] * rows).flatten()
        return self._places[key]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


def attend(
    blocks: Blocks, rows: Tensor, scale: float, mask: Tensor | None, needs_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """Attend by scaled dot products (Vaswani et al., 2017, eq. 1).

    Args:
        blocks: the blocks of the batch.
        rows: queries, keys and values, shape (3, rows, width).
        scale: factor of the scores.
        mask: factors of dropout of the attention weights, shape (cells,); None without dropout.
        needs_grad: whether a backward pass will follow.

    Returns:
        The attended values, shape (1, rows, width), and the attention weights before dropout, shape (cells,). The
        weights are None without dropout and gradients: those of long documents would fill the memory.
    """
    out = torch.empty_like(rows[:1])
    if not needs_grad and mask is None:
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
    """Return the gradients of queries, keys and values.

    Args:
        blocks: the blocks of the batch.
        rows: queries, keys and values, shape (3, rows, width).
        weights: attention weights before dropout, shape (cells,).
        mask: factors of dropout of the attention weights, shape (cells,); None without dropout.
        d_out: gradient of the attended values, shape (1, rows, width); its rows of padding are set to 0.
        scale: factor of the scores.

    Returns:
        The gradients, shape (3, rows, width).
    """
    d_out[0].index_fill_(0, blocks.padding, 0)
    d_rows, d_weights = torch.empty_like(rows), torch.empty_like(weights)
    used = weights if mask is None else weights * mask
    no_mask = NO_MASK.to(rows.dtype)
    for block in blocks:
        d, v, d_v = _of(block, d_out)[0], _of(block, rows)[2], _of(block, d_rows)[2]
        torch.bmm(v, d.transpose(1, 2), out=_weights(block, d_weights))
        torch.bmm(_weights(block, used), d, out=d_v)
    if mask is not None:
        d_weights.mul_(mask)
    for block in blocks:
        (q, k, _), (d_q, d_k, _) = _of(block, rows), _of(block, d_rows)
        w = _weights(block, weights)
        # (count, keys, queries)
        d_scores = torch._softmax_backward_data(_weights(block, d_weights), w, 1, w.dtype)
        torch.baddbmm(no_mask, d_scores.transpose(1, 2), k, beta=0, alpha=scale, out=d_q)
        torch.baddbmm(no_mask, d_scores, q, beta=0, alpha=scale, out=d_k)
    return d_rows


class _WithinSentences(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: Blocks,
        scale: float,
        dropout: float,
        needs_grad: bool,
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            rows = blocks.gather(torch.stack([query, key, value]).flatten(2))  # (3, rows, width)
            mask = factors(random_bits(blocks.cells), dropout, rows.dtype) if dropout else None  # (cells,)
            out, weights = attend(blocks, rows, scale, mask, needs_grad)
        if needs_grad:
            ctx.save_for_backward(rows, weights, mask)
            ctx.blocks, ctx.scale, ctx.dtype = blocks, scale, query.dtype
        return blocks.scatter(out, query.dtype).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weights, mask = ctx.saved_tensors
        d_out = ctx.blocks.gather(gradients[0].flatten(1)[None])  # (1, rows, width)
        d_rows = attend_backward(ctx.blocks, rows, weights, mask, d_out, ctx.scale)
        d_q, d_k, d_v = ctx.blocks.scatter(d_rows, ctx.dtype).view(3, *gradients[0].shape)
        return d_q, d_k, d_v, None, None, None, None


def _attend_once(heads: int, block: Block, rows: Tensor, out: Tensor, scale: float) -> None:
    """Attend without keeping the weights; for long sentences by torch's fused kernel, which never stores them."""
    if block.longest <= SHORT:
        q, k, v = _of(block, rows)
        torch.bmm(torch.softmax(_scores(block, q, k, scale), dim=1).transpose(1, 2), v, out=_of(block, out)[0])
        return
    # (sentences, heads, longest, width)
    q, k, v = (part.view(-1, heads, block.longest, part.shape[-1]) for part in rows[:, block.rows])
    hidden = None if block.hidden is None else block.hidden.to(q.dtype).view(-1, heads, 1, block.longest)
    attended = nn.functional.scaled_dot_product_attention(q, k, v, hidden, scale=scale)
    out[0, block.rows].view(q.shape).copy_(attended)


def _of(block: Block, rows: Tensor) -> Tensor:
    """Return a block's part of n tensors, shape (n, rows, width), as shape (n, count, longest, width)."""
    return rows[:, block.rows].view(len(rows), block.count, block.longest, -1)


def _scores(block: Block, q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Return the scaled scores, shape (count, keys, queries), minus infinity where a key is padding."""
    hidden = NO_MASK if block.hidden is None else block.hidden
    return torch.baddbmm(hidden.to(q.dtype), k, q.transpose(1, 2), alpha=scale)


def _weights(block: Block, weights: Tensor) -> Tensor:
    """Return a block's part of the weights, shape (cells,), as shape (count, keys, queries)."""
    return weights[block.cells].view(block.count, block.longest, block.longest)
