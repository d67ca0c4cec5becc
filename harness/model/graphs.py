"""Two CUDA graphs for one pass of a model: all kernels of its forward, and all of its backward.

`torch.cuda.make_graphed_callables` does this for modules. It fails here, and costs more:

- It differentiates by the module's own parameters. While any earlier pass is alive, as in a loss that keeps its last
  value, their gradients belong to the stream on which that pass ran, and a capture must not wait for another stream
  ("operation would make the legacy stream depend on a capturing blocking stream"). Here each recording has leaves of
  its own, which share the parameters' memory.
- It empties the allocator's cache before each graph: 0.3 s each on an H100, and the next steps allocate anew.
- It forbids every other thread to touch the GPU meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

Replay = Callable[..., Tensor]
"""Takes tensors of the shapes that were recorded; returns what the module returns, differentiable by its parameters."""


def record(module: nn.Module, samples: Sequence[Tensor], pool: Any) -> Replay:
    """Record `module(*samples)` and its backward; return what does both again, on tensors of the same shapes.

    Args:
        module: returns one tensor, and reads nothing that changes but its parameters and the tensors.
        samples: on the GPU; the graphs read this memory, into which later tensors are copied.
        pool: of the graphs' memory, as `torch.cuda.graph_pool_handle` gives it. Graphs that share one must run one
            after another, each forward with its backward.

    Raises whatever the module raises, and RuntimeError for what no graph can hold.
    """
    parameters = dict(module.named_parameters())
    leaves = {name: each.detach().requires_grad_(each.requires_grad) for name, each in parameters.items()}
    learning = [leaf for leaf in leaves.values() if leaf.requires_grad]

    def forward() -> Tensor:
        output: Tensor = functional_call(module, leaves, tuple(samples))
        return output

    def backward(output: Tensor, weights: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(output, learning, weights, allow_unused=True))

    device = samples[0].device
    usual, aside = torch.cuda.current_stream(device), _stream(device)
    aside.wait_stream(usual)
    with torch.cuda.stream(aside):  # once without a graph: libraries set themselves up for this stream
        output = forward()
        backward(output, torch.zeros_like(output))
    usual.wait_stream(aside)
    weights = torch.zeros_like(output)
    del output
    graphs = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(aside):
        with _recording(graphs[0], pool):
            output = forward()
        with _recording(graphs[1], pool):
            gradients = iter(backward(output, weights))
    usual.wait_stream(aside)
    by_parameter = [next(gradients) if leaf.requires_grad else None for leaf in leaves.values()]
    recorded = _Recorded(graphs, list(samples), output.detach(), weights, by_parameter)
    apply: Replay = _Replayed.apply
    return lambda *tensors: apply(recorded, len(tensors), *tensors, *parameters.values())


def end_recording(device: torch.device) -> None:
    """Record a graph of one kernel, and drop it: what a recording needs that failed.

    It leaves the generator of random numbers waiting for its end, and every later dropout would raise "Offset increment
    outside graph capture".
    """
    if device.type == "cuda":
        pool = torch.cuda.graph_pool_handle()
        with torch.cuda.stream(_stream(device)), _recording(torch.cuda.CUDAGraph(), pool):
            torch.zeros(1, device=device)


class _Recorded:
    """A pass's graphs, forward and backward, and the memory that they read and write."""

    def __init__(
        self,
        graphs: tuple[torch.cuda.CUDAGraph, torch.cuda.CUDAGraph],
        inputs: list[Tensor],
        output: Tensor,
        weights: Tensor,
        gradients: list[Tensor | None],
    ) -> None:
        self.graphs, self.inputs, self.output = graphs, inputs, output
        self.weights, self.gradients = weights, gradients


class _Replayed(torch.autograd.Function):
    """Runs a recording, as one operation of the loss's own graph."""

    @staticmethod
    def forward(ctx: Any, recorded: _Recorded, count: int, *tensors: Tensor) -> Tensor:
        ctx.recorded, ctx.count = recorded, count
        for mine, given in zip(recorded.inputs, tensors[:count], strict=True):
            mine.copy_(given)
        recorded.graphs[0].replay()
        return recorded.output.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
        recorded = ctx.recorded
        recorded.weights.copy_(weights)
        recorded.graphs[1].replay()
        found = (None if gradient is None else gradient.detach() for gradient in recorded.gradients)
        return None, None, *(None for _ in range(ctx.count)), *found


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream on which all is recorded: cuBLAS keeps memory for each stream that it meets."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _recording(graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        yield
    finally:
        graph.capture_end()
