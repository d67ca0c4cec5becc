"""Templates: texts that begin with the same words, such as "What are the symptoms of X?"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SHARE, FEWEST = 0.05, 5
"""A beginning is a template if this share of all texts has it, and at least so many texts."""

LEAST_WORDS = 3
"""Words that a template has at least; two, such as "what is", are a usual way to ask and no template."""

MOST_WORDS = 12
"""Words at the beginning of a text that are looked at."""

WORD = re.compile(r"\w+")


def templates(texts: Sequence[str]) -> list[str | None]:
    """Return the template of each text, e.g. "what are the symptoms of"; None for a text of no template.

    A text's template is the longest beginning of at least `LEAST_WORDS` whole words that enough of the texts share.
    Templates that begin with the word that varies ("X: which symptoms?") are not found. Questions that people typed
    rarely share such beginnings.
    """
    words = [tuple(word.casefold() for word in WORD.findall(text)[:MOST_WORDS]) for text in texts]
    beginnings = Counter(each[:end] for each in words for end in range(LEAST_WORDS, len(each) + 1))
    least = max(FEWEST, SHARE * len(texts))
    shared = [[end for end in range(LEAST_WORDS, len(each) + 1) if beginnings[each[:end]] >= least] for each in words]
    return [" ".join(each[: ends[-1]]) if ends else None for each, ends in zip(words, shared, strict=True)]
