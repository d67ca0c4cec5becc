"""Run small batches forward and backward from captured CUDA graphs.

Such a pass over bert-base is more than a thousand kernels, and to launch one takes Python longer than a small batch
keeps a GPU busy with it. A captured pass launches all at once: the same kernels on the same numbers. It supports only
one shape, so packed batches are filled up to a multiple of `GRID` tokens.
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
"""Tokens to a multiple of which a batch is filled: a few shapes then hold all batches of a training."""

TOKENS = 32_768
"""Batches of more are neither filled nor captured: they keep a GPU busy for longer than they take to launch.

An estimate, not a measurement: a packed step of bert-base at batch 32 took 70 to 80 ms on the machine of an H100,
nearly all of it launches, and at 40 % of its peak that card would train on so many tokens in about 60.
"""

MIN_FREE_MEMORY = 0.25
"""Share of GPU memory that must be free to capture another graph: each keeps its own gradients of all parameters."""

TOLERANCE = 0.02
"""How far it may be from the pass itself, as a share of the norm: some sums are taken in any order."""

Embed = Callable[[Features], Tensor]


class CapturedPasses:
    """The captured passes of one model in training, by shape."""

    def __init__(self, record: Callable[..., graphs.Replay] = graphs.record) -> None:
        """Take what records: it is called as `graphs.record` is."""
        self.used = 0
        self.problem: str | None = None
        """Why no graph is recorded any more; None while they may be."""
        self._record = record
        self._met: dict[Hashable, list[Tensor]] = {}
        self._passes: dict[Hashable, graphs.Replay | None] = {}
        """By shape; None for those that no graph can serve."""
        self._modules: list[nn.Module] = []
        self._pool: Any = None

    def __deepcopy__(self, memo: Mapping[int, Any]) -> CapturedPasses:
        return CapturedPasses(self._record)  # a copied model has parameters of its own, which no graph knows

    def embed(self, model: nn.Module, features: Features, embed: Embed) -> Tensor:
        """Return `embed(features)`, shape (sentences, dimension), for a packed batch: captured if possible.

        `model` has the parameters that `embed` reads. Its backward must have run before the next batch is embedded,
        and its gradients must have been used before the next backward: both have their memory from the graph.
        """
        tensors = {name: value for name, value in features.items() if isinstance(value, Tensor)}
        others = {name: value for name, value in features.items() if name not in tensors and name != "packing"}
        longest = max(GRID, 1 << (int(features["packing"].longest) - 1).bit_length())
        shapes = tuple((name, value.shape) for name, value in tensors.items())
        shape = (longest, repr(others), shapes, self._settings(model, next(iter(tensors.values())).device))
        if shape not in self._passes and self.problem is None:
            earlier = self._met.pop(shape, None)
            if earlier is None:  # a shape that is met but once is not worth it
                self._met[shape] = list(tensors.values())
            else:
                self._try(shape, _Pass(model, embed, list(tensors), others, longest), earlier, features)
        captured = self._passes.get(shape)
        if captured is None:
            return embed(features)
        self.used += 1
        return captured(*tensors.values())

    def forget(self) -> None:
        """Let go of the passes, their model and their memory."""
        self._met.clear()
        self._passes.clear()
        self._modules.clear()
        self._pool = None

    def _settings(self, model: nn.Module, device: torch.device) -> Hashable:
        """Return what a graph keeps as it was: modes, dropouts' shares, what learns, and autocast's type."""
        if not self._modules:  # while a model trains they stay the same; to walk through them took 2 ms a step
            self._modules = list(model.modules())
        shares = tuple([(module.training, vars(module).get("p")) for module in self._modules])
        learns = tuple([parameter.requires_grad for parameter in model.parameters()])
        low = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        return shares, learns, low

    def _try(self, shape: Hashable, module: _Pass, earlier: Sequence[Tensor], features: Features) -> None:
        """Capture a pass on an earlier batch, and use it if on this one it gives what the pass itself gives.

        Once that has failed, none is tried again. A seed draws the same numbers with it as without.
        """
        device = earlier[0].device
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        try:
            if device.type == "cuda":
                free, total = torch.cuda.mem_get_info(device)
                if free < MIN_FREE_MEMORY * total:
                    return
                self._pool = self._pool or torch.cuda.graph_pool_handle()
            with _dice_restored(device):
                wanted = _outcome(module.embed(features), parameters)
            samples = tuple(tensor.clone() for tensor in earlier)
            with _dice_restored(device), _uncached_autocast(device):
                captured = self._record(module, samples, self._pool)
            with _dice_restored(device):
                got = _outcome(captured(*(features[name] for name in module.names)), parameters)
        except NotImplementedError:  # attention in float32 has to be told the sentences' lengths
            self._passes[shape] = None
            return
        except (RuntimeError, AssertionError) as problem:
            self.problem = f"{type(problem).__name__}: {problem}".splitlines()[0]
            graphs.end_recording(device)
            return
        norms = [(float((x - y).norm()), float(y.norm())) for x, y in zip(got, wanted, strict=True)]
        if all(off <= TOLERANCE * norm for off, norm in norms):
            self._passes[shape] = captured
        else:
            self.problem = f"a graph's embeddings and gradients are off by (difference, norm) {norms}"


class _Pass(nn.Module):
    """A packed pass as a graph takes it: from tensors, knowing nothing of the batch but its shape."""

    def __init__(self, model: nn.Module, embed: Embed, names: Sequence[str], others: Features, longest: int) -> None:
        super().__init__()
        self.model = model
        self.embed, self.names, self._others, self._longest = embed, names, others, longest

    def forward(self, *tensors: Tensor) -> Tensor:
        features = dict(zip(self.names, tensors, strict=True))
        packing = Borders(features["cu_seq_lens_q"], self._longest)
        return self.embed({**features, **self._others, "packing": packing})


def _outcome(embeddings: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Return embeddings, and the gradients of a sum of theirs with weights of either sign, each as one vector."""
    weights = torch.linspace(-1, 1, embeddings.numel(), dtype=embeddings.dtype, device=embeddings.device)
    gradients = torch.autograd.grad(embeddings, parameters, weights.view_as(embeddings), allow_unused=True)
    together = torch.cat([gradient.flatten().float() for gradient in gradients if gradient is not None])
    return embeddings.detach().flatten().float(), together


def _dice_restored(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda")


def _uncached_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Continue the autocast there is; a weight's copy that an earlier step has kept must not get into a graph."""
    kind = device.type
    return torch.autocast(kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False)
