"""Call a study file's own measure with a model, without letting it change the model or the random state."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from numbers import Real
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from harness.errors import RunFailed
from harness.testbeds.measure_kinds import Own


def score_own(measure: Own, model: SentenceTransformer) -> float | dict[str, float]:
    """Return the number that a measure's function returns, or its number for each item by the item's name.

    The function gets the model in eval mode and without gradients; items of a list are named by their place, from 0.

    Raises:
        RunFailed: the function changed the model, or returned anything but finite numbers.
    """
    where, before = f"measure {measure.name!r}", _fingerprint(model)
    with _same_random_state(model.device), _in_eval_mode(model), torch.no_grad():
        returned = measure.function(model)
    if _fingerprint(model) != before:
        raise RunFailed(f"{where}: its function changed the model; let it work on a copy (copy.deepcopy)")
    return _numbers(returned, where)


def _numbers(returned: Any, where: str) -> float | dict[str, float]:
    """Return what a function returned as one number, or as numbers by name."""
    plain = returned.tolist() if isinstance(returned, np.ndarray | np.generic | torch.Tensor) else returned
    if isinstance(plain, Real):
        return _finite(plain, f"{where} returned")
    if isinstance(plain, Mapping):
        named = {str(name): value for name, value in plain.items()}
    elif isinstance(plain, list | tuple):
        named = {str(number): value for number, value in enumerate(plain)}
    else:
        raise RunFailed(
            f"{where} returned {type(returned).__name__}; return a number, a list of numbers, or a dictionary of "
            "numbers by the items' names"
        )
    if not named or len(named) < len(plain):
        raise RunFailed(
            f"{where} returned {len(named)} items for {len(plain)} names; return each item once, one or more"
        )
    return {name: _finite(value, f"{where}, item {name}: returned") for name, value in named.items()}


def _finite(value: Any, where: str) -> float:
    number = value.item() if isinstance(value, np.generic) or (torch.is_tensor(value) and value.numel() == 1) else value
    if not isinstance(number, Real) or not math.isfinite(number):
        what = f"{number!r:.80}" if isinstance(number, Real) else f"a {type(value).__name__}"
        raise RunFailed(f"{where} {what}; return finite numbers, of which more is better")
    score = float(number)
    if not -1 <= score <= 1:
        raise RunFailed(f"{where} {score:g}; return scores between -1 and 1: reports print them times 100")
    return score


def _fingerprint(model: SentenceTransformer) -> str:
    """Return a hash of the model's weights and of the settings that decide its embeddings."""
    settings = (model.prompts, model.default_prompt_name, model.truncate_dim, model.similarity_fn_name)
    digest = blake2b(repr((settings, getattr(model, "max_seq_length", None))).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def _in_eval_mode(model: SentenceTransformer) -> Iterator[None]:
    """Restore each module's mode at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _same_random_state(device: torch.device) -> Iterator[None]:
    """Start the random generators of Python, numpy and torch at one place, and restore their states at the end.

    So a function that draws items draws the same ones for every model.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            random.seed(0)
            np.random.seed(0)
            torch.manual_seed(0)
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
