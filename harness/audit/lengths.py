"""Lengths of texts in tokens, against the number of tokens that the base model reads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.testbeds import Testbed, fetching

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT_TOKENS = 512
"""Assumed maximum number of tokens of a base model whose files do not say."""


def most_tokens(bed: Testbed) -> int:
    """Return the base model's maximum number of tokens, according to its files."""
    folder = fetching.locate(bed.base, is_model=True)
    inner = next(iter(_json(folder / "modules.json") or [{}])).get("path", "")  # the transformer, mostly the folder
    limits = [
        _json(folder / inner / file).get(name)
        for file, name in (
            ("config.json", "max_position_embeddings"),
            ("tokenizer_config.json", "model_max_length"),
            ("sentence_bert_config.json", "max_seq_length"),
        )
    ]
    return min(
        (int(value) for value in limits if isinstance(value, (int, float)) and 0 < value < math.inf),
        default=DEFAULT_TOKENS,
    )


def counter(bed: Testbed) -> Callable[[Sequence[str]], list[int]]:
    """Return a function that counts the tokens of texts, special ones included; words if the model has no tokenizer.

    A model without tokenizer.json has a slow tokenizer, and a text has at least as many tokens as words.
    """
    tokenizer = tokenizer_of(bed)
    return _words if tokenizer is None else partial(_tokens, tokenizer)


def tokenizer_of(bed: Testbed) -> Tokenizer | None:
    """Return the base model's fast tokenizer, which cuts nothing off; None if its files have none."""
    folder = fetching.locate(bed.base, is_model=True)
    found = [path for path in (folder / "tokenizer.json", *folder.glob("0_*/tokenizer.json")) if path.is_file()]
    return _loaded(found[0]) if found else None


def _words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def _tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [len(encoded.ids) for encoded in tokenizer.encode_batch_fast(list(texts))]


@cache
def _loaded(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _json(path: Path) -> Any:
    """Return the content of a JSON file, {} if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
