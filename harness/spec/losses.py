"""Losses by name, and the inputs that each of them reads.

`losses.CosineSimilarityLoss` names the class of sentence-transformers without importing it, so that a study file loads
in milliseconds and is checked against its view before anything is downloaded. The class itself is imported when a run
calls it with a model. Any other callable that takes a model works as well; decorate it with `reads` to have it checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RunFailed
from harness.spec.loss_classes import Loss, built
from harness.spec.loss_inputs import (
    CACHED_GIST,
    ELSEWHERE,
    GIST,
    INPUTS,
    Inputs,
    Label,
    fitting,
    inputs_of,
    reads,
)
from harness.spec.loss_wrappers import (
    Regularized,
    Wrapped,
    adaptive_layer,
    matryoshka,
    matryoshka_2d,
    with_regularization,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

__all__ = [
    "ELSEWHERE",
    "INPUTS",
    "Inputs",
    "Label",
    "Loss",
    "Regularized",
    "Wrapped",
    "adaptive_layer",
    "cached_gist",
    "fitting",
    "gist",
    "inputs_of",
    "label",
    "matryoshka",
    "matryoshka_2d",
    "reads",
    "softmax",
    "with_regularization",
]


def __getattr__(name: str) -> Loss:
    """Return the loss class of that name as a `Loss`.

    Raises:
        AttributeError: there is no such class, or it has no name here; the message says what to use instead.
    """
    if name in INPUTS:
        return Loss(name)
    if name in ELSEWHERE:
        raise AttributeError(f"losses.{name} cannot be named: {ELSEWHERE[name]}")
    raise AttributeError(
        f"no loss {name!r} of sentence-transformers; choose from {', '.join(sorted(INPUTS))}, "
        "or pass any callable that takes the model"
    )


@reads("class")
def softmax(model: SentenceTransformer, num_labels: int = 3, **options: Any) -> nn.Module:
    """Build SBERT's classifier over (u, v, |u - v|) (Reimers and Gurevych, 2019, section 3).

    Args:
        model: the model to train.
        num_labels: number of classes, which are 0 to `num_labels - 1`.
        options: further options of SoftmaxLoss.
    """
    dimension = model.get_embedding_dimension()
    return built("SoftmaxLoss", model, dimension, num_labels=num_labels, **options)  # a name that 5.4 changed


def gist(model: SentenceTransformer, guide: str | None = None, **options: Any) -> nn.Module:
    """Build GISTEmbedLoss (Solatorio, 2024, arXiv:2402.16829): a guide model detects false in-batch negatives.

    Args:
        model: the model to train.
        guide: a local folder or hub id of a trained sentence-transformers model, set by
            `partial(losses.gist, guide=...)`; it is loaded in float32, from safetensors. Workers are offline, so a hub
            id has to be in the cache. None uses the model as it is before training, unlike the published GISTEmbed,
            whose guide is a trained model.
        options: further options of GISTEmbedLoss.

    Raises:
        RunFailed: the guide cannot be loaded.
    """
    return built("GISTEmbedLoss", model, guide=_guide(model, guide), **options)


def cached_gist(model: SentenceTransformer, guide: str | None = None, **options: Any) -> nn.Module:
    """Build CachedGISTEmbedLoss: as `gist`, with a memory that does not grow with the batch.

    Args:
        model: the model to train.
        guide: as for `gist`.
        options: further options of CachedGISTEmbedLoss, e.g. `mini_batch_size`.

    Raises:
        RunFailed: the guide cannot be loaded.
    """
    return built("CachedGISTEmbedLoss", model, guide=_guide(model, guide), **options)


gist.inputs, cached_gist.inputs = GIST, CACHED_GIST  # type: ignore[attr-defined]


def _guide(model: SentenceTransformer, guide: str | None) -> SentenceTransformer:
    """Return the guide of a model in eval mode: a copy of the model, or the model of that folder or hub id."""
    from copy import deepcopy

    from harness.compat import load_sentence_transformer
    from harness.testbeds import hub, model_files  # the hub's library is slow to import

    if guide is None:
        return deepcopy(model).eval()
    folder = Path(guide) if Path(guide).is_dir() else hub.cached_model(guide)
    try:
        if folder is None:
            raise OSError("there is no such folder, and the hub's cache has no model of that name")
        model_files.refuse_code_and_pickles(folder)
        how = model_files.loading_options()
        return load_sentence_transformer(str(folder), device=str(model.device), local_files_only=True, **how).eval()
    except (OSError, ValueError, model_files.Unsafe) as problem:
        why = str(problem).splitlines()[0][:200]
        if "trust_remote_code" in str(problem):
            why = "it needs its own code, which is not executed"
        raise RunFailed(
            f"losses.gist: the guide {guide!r} cannot be loaded ({why}); it must be a folder, or a hub id in the "
            "cache, of a model that needs no code of its own and whose weights are in the safetensors format"
        ) from problem


def label(loss: Callable[..., Any]) -> str:
    """Return a loss's name for tables: that of its class or function, with its options if there are any."""
    named, options = loss, dict(getattr(loss, "keywords", {}))
    while hasattr(named, "func"):  # functools.partial
        named = named.func
    if isinstance(named, Wrapped):
        inside = _with(label(named.loss), options)
        dims = [f"dims={list(named.dims)}"] if named.dims else []
        return f"{named.name}({', '.join([inside, *dims, *_each(dict(named.options))])})"
    if isinstance(named, Regularized):
        inside = _with(label(named.loss), options)
        return f"{inside} + {named.weight:g} {_with('GlobalOrthogonalRegularizationLoss', dict(named.options))}"
    if isinstance(named, Loss):
        return _with(named.name, {**dict(named.options), **options})
    return _with(str(getattr(named, "__name__", type(named).__name__)), options)


def _with(name: str, options: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(_each(options))})" if options else name


def _each(options: Mapping[str, Any]) -> list[str]:
    """Format options: functions and classes by their names, as their repr may contain an address."""
    values = {
        key: getattr(value, "__qualname__", None) or (value if isinstance(value, Enum) else repr(value))
        for key, value in sorted(options.items())
    }
    return [f"{key}={value}" for key, value in values.items()]
