"""Variants of a base model for one study: adapters, and parameters that are not trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer

from harness.errors import RunFailed


def prepare(
    model: SentenceTransformer, adapters: Any = None, frozen: Sequence[str] = (), max_seq_length: int | None = None
) -> None:
    """Add adapters to a model, freeze some of its parameters, and set its maximum length, in place.

    Args:
        model: the model.
        adapters: a configuration of peft, e.g. LoraConfig, with which only the adapters are trained; None for none.
        frozen: beginnings of names of parameters that are not trained, e.g. "0.model.embeddings".
        max_seq_length: number of tokens at which texts are cut, in training and evaluation; its own if None.

    Raises:
        RunFailed: the model takes no such adapters, or no parameter has such a name.
    """
    if max_seq_length is not None:
        model.max_seq_length = max_seq_length
    if adapters is not None:
        try:
            model.add_adapter(copy.deepcopy(adapters))  # peft writes into the configuration
        except (ImportError, ValueError, AttributeError, TypeError) as problem:
            raise RunFailed(
                f"adapters={type(adapters).__name__}: the base model cannot take them ({problem}); install peft, and "
                "name modules of this model in target_modules"
            ) from problem
    for start in frozen:
        fitting = [parameter for name, parameter in model.named_parameters() if _begins(name, start)]
        if not fitting:
            names = [name for name, _ in model.named_parameters()]
            raise RunFailed(
                f"frozen={start!r}: no parameter of the base model has a name that begins so; the first is "
                f"{names[0]!r}, the last {names[-1]!r}"
            )
        for parameter in fitting:
            parameter.requires_grad_(False)


def _begins(name: str, start: str) -> bool:
    """Return whether a name is below a part of the model: "0.model.encoder.layer.1" is not above "...layer.10"."""
    return name == start or name.startswith(start if start.endswith(".") else f"{start}.")
