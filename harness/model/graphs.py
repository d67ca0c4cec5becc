"""Two CUDA graphs for one pass of a model: all kernels of its forward, and all of its backward.

`torch.cuda.make_graphed_callables` does this for modules, but it fails here and costs more, for three reasons:

- It differentiates with respect to the module's own parameters. While an earlier pass is alive, e.g. in a loss that
  keeps its last value, their gradients belong to the stream on which that pass ran, and a capture must not wait for
  another stream ("operation would make the legacy stream depend on a capturing blocking stream"). Here each recording
  has its own leaf tensors, which share the parameters' memory.
- It empties the allocator's cache before each graph. That takes 0.3 s on an H100, and the next steps allocate again.
- It forbids all other threads to use the GPU during the capture.
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
"""Function of tensors of the recorded shapes; its result is that of the module, differentiable in the parameters."""


def record(module: nn.Module, samples: Sequence[Tensor], pool: Any) -> Replay:
    """Record `module(*samples)` and its backward pass as CUDA graphs.

    Args:
        module: returns one tensor; nothing that it reads may change, except for its parameters and the tensors.
        samples: tensors on the GPU. The graphs read this memory, into which later tensors are copied.
        pool: memory pool of the graphs, from `torch.cuda.graph_pool_handle`. Graphs that share a pool must run one
            after another, each forward followed by its backward.

    Returns:
        A function that replays both passes on tensors of the same shapes.

    Raises:
        RuntimeError: the pass does something that a graph cannot hold. Other exceptions of the module pass through.
    """
    parameters = dict(module.named_parameters())
    leaves = {name: each.detach().requires_grad_(each.requires_grad) for name, each in parameters.items()}
    trainable = [leaf for leaf in leaves.values() if leaf.requires_grad]

    def forward() -> Tensor:
        output: Tensor = functional_call(module, leaves, tuple(samples))
        return output

    def backward(output: Tensor, weights: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(output, trainable, weights, allow_unused=True))

    device = samples[0].device
    usual, side = torch.cuda.current_stream(device), _stream(device)
    side.wait_stream(usual)
    with torch.cuda.stream(side):  # once without a graph, so that libraries initialise themselves for this stream
        output = forward()
        backward(output, torch.zeros_like(output))
    usual.wait_stream(side)
    weights = torch.zeros_like(output)
    del output
    graphs = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        with _recording(graphs[0], pool):
            output = forward()
        with _recording(graphs[1], pool):
            gradients = iter(backward(output, weights))
    usual.wait_stream(side)
    by_parameter = [next(gradients) if leaf.requires_grad else None for leaf in leaves.values()]
    recorded = _Recorded(graphs, list(samples), output.detach(), weights, by_parameter)
    apply: Replay = _Replayed.apply
    return lambda *tensors: apply(recorded, len(tensors), *tensors, *parameters.values())


def end_recording(device: torch.device) -> None:
    """Record a graph of one kernel and discard it, to restore the random generator after a recording that failed.

    The failed recording leaves the generator in capture mode, in which every later dropout raises "Offset increment
    outside graph capture".
    """
    if device.type == "cuda":
        pool = torch.cuda.graph_pool_handle()
        with torch.cuda.stream(_stream(device)), _recording(torch.cuda.CUDAGraph(), pool):
            torch.zeros(1, device=device)


class _Recorded:
    """The forward and backward graphs of a pass, and the memory that they read and write."""

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
    """Replays a recording as one operation of autograd."""

    @staticmethod
    def forward(ctx: Any, recorded: _Recorded, count: int, *tensors: Tensor) -> Tensor:
        ctx.recorded, ctx.count = recorded, count
        for input, value in zip(recorded.inputs, tensors[:count], strict=True):
            input.copy_(value)
        recorded.graphs[0].replay()
        return recorded.output.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
        recorded = ctx.recorded
        recorded.weights.copy_(weights)
        recorded.graphs[1].replay()
        of_parameters = (None if gradient is None else gradient.detach() for gradient in recorded.gradients)
        return None, None, *(None for _ in range(ctx.count)), *of_parameters


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which all graphs are recorded: cuBLAS keeps memory for every stream that it is used on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _recording(graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        yield
    finally:
        graph.capture_end()
