"""Normalised texts and pairs: equal if two texts differ only in case, width, punctuation and spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

PairKey: TypeAlias = tuple[str, str]

_BESIDE = re.compile(r"[\W_]+")


def normalise(text: str | None) -> str:
    """Normalise a sentence so that case, width, punctuation and spaces do not count.

    NFKC, case folding, then only letters and digits are kept; a text without any is only stripped, because otherwise
    all such texts would be equal.
    """
    if not isinstance(text, str):
        return ""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _BESIDE.sub("", folded) or folded.strip()


def pair_key(left: str | None, right: str | None) -> PairKey:
    """Return a pair's normalised sentences in sorted order, so that their order in the pair does not count."""
    one, other = normalise(left), normalise(right)
    return (one, other) if one <= other else (other, one)


def pair_keys(left: Iterable[str | None], right: Iterable[str | None]) -> list[PairKey]:
    """Return the keys of the pairs that two columns of the same length make."""
    return [pair_key(one, other) for one, other in zip(left, right, strict=True)]
