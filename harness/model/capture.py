"""Run small batches forward and backward from captured CUDA graphs.

A pass over bert-base consists of more than a thousand kernels, and Python takes longer to launch a kernel than the GPU
takes to run it on a small batch. A captured pass launches the same kernels on the same numbers all at once. A graph
supports one shape only, so packed batches are filled up to a multiple of `GRID` tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from harness.model import graphs
from harness.model.packing import Borders, Features

GRID = 256
"""Batches are filled to a multiple of this many tokens, so that a training has only a few shapes."""

TOKENS = 32_768
"""Larger batches are neither filled nor captured: they keep a GPU busy for longer than their launches take.

This is an estimate and not a measurement. A packed step of bert-base at batch 32 took 70 to 80 ms on a machine with an
H100, nearly all of it for launches. At 40 % of its peak rate, that card would train on this many tokens in about 60 ms.
"""

MIN_FREE_MEMORY = 0.25
"""Share of GPU memory that must be free to capture another graph: each keeps its own gradients of all parameters."""

TOLERANCE = 0.02
"""Largest difference between a captured pass and the pass itself, relative to the norm: the order of sums may vary."""

Embed = Callable[[Features], Tensor]


class CapturedPasses:
    """The captured passes of one model in training, by shape."""

    def __init__(self, record: Callable[..., graphs.Replay] = graphs.record) -> None:
        """Start without any graph; `record` has the signature of `graphs.record`."""
        self.used = 0
        self.problem: str | None = None
        """Why no further graph is recorded; None if graphs may be recorded."""
        self._record = record
        self._seen_once: dict[Hashable, list[Tensor]] = {}
        self._passes: dict[Hashable, graphs.Replay | None] = {}
        """By shape; None for shapes that cannot be captured."""
        self._modules: list[nn.Module] = []
        self._pool: Any = None

    def __deepcopy__(self, memo: Mapping[int, Any]) -> CapturedPasses:
        return CapturedPasses(self._record)  # the graphs read the original model's parameters

    def embed(self, model: nn.Module, features: Features, embed: Embed) -> Tensor:
        """Return `embed(features)` for a packed batch, from a captured pass if possible.

        Output and gradients lie in the memory of the graph. So the backward pass must run before the next batch is
        embedded, and its gradients must be used before the next backward pass.

        Args:
            model: the model whose parameters `embed` reads.
            features: the packed batch.
            embed: the forward pass.

        Returns:
            Embeddings in the packed order, shape (sentences, dimension).
        """
        tensors = {name: value for name, value in features.items() if isinstance(value, Tensor)}
        others = {name: value for name, value in features.items() if name not in tensors and name != "packing"}
        longest = max(GRID, 1 << (int(features["packing"].longest) - 1).bit_length())
        shapes = tuple((name, value.shape) for name, value in tensors.items())
        shape = (longest, repr(others), shapes, self._settings(model, next(iter(tensors.values())).device))
        if shape not in self._passes and self.problem is None:
            earlier = self._seen_once.pop(shape, None)
            if earlier is None:  # capturing a shape that occurs only once would not pay
                self._seen_once[shape] = list(tensors.values())
            else:
                self._try(shape, _Pass(model, embed, list(tensors), others, longest), earlier, features)
        captured = self._passes.get(shape)
        if captured is None:
            return embed(features)
        self.used += 1
        return captured(*tensors.values())

    def clear(self) -> None:
        """Release the passes, their model and their memory."""
        self._seen_once.clear()
        self._passes.clear()
        self._modules.clear()
        self._pool = None

    def _settings(self, model: nn.Module, device: torch.device) -> Hashable:
        """Return the settings that a graph fixes: modes, dropout rates, trainable parameters, and autocast's type."""
        if not self._modules:  # they do not change during training, and listing them took 2 ms a step
            self._modules = list(model.modules())
        dropouts = tuple([(module.training, vars(module).get("p")) for module in self._modules])
        trainable = tuple([parameter.requires_grad for parameter in model.parameters()])
        dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        return dropouts, trainable, dtype

    def _try(self, shape: Hashable, module: _Pass, earlier: Sequence[Tensor], features: Features) -> None:
        """Capture a pass on an earlier batch, and keep it if it agrees with the pass itself on the present batch.

        After a failure, no further pass is captured. The random numbers of the training do not change.

        Args:
            shape: key of the batch's shape.
            module: the pass.
            earlier: the tensors of the earlier batch of the same shape.
            features: the present batch.
        """
        device = earlier[0].device
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        try:
            if device.type == "cuda":
                free, total = torch.cuda.mem_get_info(device)
                if free < MIN_FREE_MEMORY * total:
                    return
                self._pool = self._pool or torch.cuda.graph_pool_handle()
            with _random_state_restored(device):
                reference = _outcome(module.embed(features), parameters)
            samples = tuple(tensor.clone() for tensor in earlier)
            with _random_state_restored(device), _uncached_autocast(device):
                captured = self._record(module, samples, self._pool)
            with _random_state_restored(device):
                result = _outcome(captured(*(features[name] for name in module.names)), parameters)
        except NotImplementedError:  # attention in float32 needs the sentences' lengths on the CPU
            self._passes[shape] = None
            return
        except (RuntimeError, AssertionError) as problem:
            self.problem = f"{type(problem).__name__}: {problem}".splitlines()[0]
            graphs.end_recording(device)
            return
        norms = [(float((x - y).norm()), float(y.norm())) for x, y in zip(result, reference, strict=True)]
        if all(difference <= TOLERANCE * norm for difference, norm in norms):
            self._passes[shape] = captured
        else:
            self.problem = f"a graph's embeddings and gradients are off by (difference, norm) {norms}"


class _Pass(nn.Module):
    """A packed pass as a function of tensors that uses nothing else of the batch but its shape."""

    def __init__(self, model: nn.Module, embed: Embed, names: Sequence[str], others: Features, longest: int) -> None:
        super().__init__()
        self.model = model
        self.embed, self.names, self._others, self._longest = embed, names, others, longest

    def forward(self, *tensors: Tensor) -> Tensor:
        features = dict(zip(self.names, tensors, strict=True))
        packing = Borders(features["cu_seq_lens_q"], self._longest)
        return self.embed({**features, **self._others, "packing": packing})


def _outcome(embeddings: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Return the embeddings, and the gradients of their sum with weights of both signs, each as one vector."""
    weights = torch.linspace(-1, 1, embeddings.numel(), dtype=embeddings.dtype, device=embeddings.device)
    gradients = torch.autograd.grad(embeddings, parameters, weights.view_as(embeddings), allow_unused=True)
    together = torch.cat([gradient.flatten().float() for gradient in gradients if gradient is not None])
    return embeddings.detach().flatten().float(), together


def _random_state_restored(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda")


def _uncached_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Continue the present autocast without its cache, whose copies of weights must not be captured."""
    kind = device.type
    return torch.autocast(kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False)
