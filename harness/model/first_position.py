"""Position of a sentence's first token, with which a packed pass agrees with the plain one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from harness.compat import Dense, Normalize, Pooling, Transformer
from harness.model.packing import Features, packed

PROBE = ("a", "a man and a woman walk along the river", "nobody")
"""Sentences of unequal length on which packing must agree with the plain forward before it is used."""

UNSUPPORTED = (NotImplementedError, TypeError, ValueError, KeyError, IndexError, RuntimeError, AttributeError)
"""Exceptions raised by models that cannot be packed."""


def first_position(
    model: SentenceTransformer, plain: Callable[[Features], Features], packed_pass: Callable[[Features], Tensor]
) -> int | None:
    """Return the position of a sentence's first token in a packed batch.

    BERT counts from 0, and RoBERTa from the id of its padding token plus one.

    Args:
        model: the model; its modes are restored.
        plain: its plain forward pass.
        packed_pass: embeds a packed batch, in the packed order.

    Returns:
        The position; None if the packed pass agrees with the plain one on `PROBE` with neither of the two.
    """
    first, *others = model
    if not isinstance(first, Transformer) or not all(isinstance(m, Pooling | Dense | Normalize) for m in others):
        return None
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            features: Features = batch_to_device(SentenceTransformer.preprocess(model, list(PROBE)), model.device)
            reference = plain(dict(features))["sentence_embedding"]
            for position in (0, (first.config.pad_token_id or 0) + 1):
                if _agrees(features, position, reference, packed_pass):
                    return position
    except UNSUPPORTED:
        pass
    finally:
        for module, mode in modes.items():
            module.training = mode
    return None


def _agrees(features: Features, position: int, reference: Tensor, packed_pass: Callable[[Features], Tensor]) -> bool:
    try:
        pack = packed([features], [features["attention_mask"].sum(dim=1).tolist()], position)
        return pack is not None and torch.allclose(packed_pass(pack[0])[pack[1]], reference, rtol=1e-4, atol=1e-5)
    except UNSUPPORTED:
        return False
