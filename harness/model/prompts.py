"""Prompts in training: text before a column's texts, for models whose pooling includes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def prompts_are_text(model: Any) -> bool:
    """Return whether a prompt only stands before a text, so that both are embedded as one text.

    This is not so if the pooling leaves the prompt's tokens out, or if the model takes a prompt as a chat message.
    """
    left_out = any(getattr(module, "include_prompt", True) is False for module in model.modules())
    return not left_out and "message" not in getattr(model, "modalities", ())


def prepended(preprocess: Callable[..., Any]) -> Callable[..., Any]:
    """Return a model's preprocessing that puts the prompt before the texts, so that the cache of tokens serves them."""

    def with_prompt(inputs: Sequence[str], prompt: str | None = None, **options: Any) -> Any:
        return preprocess([prompt + text for text in inputs] if prompt else inputs, prompt=None, **options)

    return with_prompt
