"""Templates: texts that begin with the same words, such as "What are the symptoms of X?"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SHARE, FEWEST = 0.05, 5
"""A beginning is a template if this share of all texts has it, and at least so many texts."""

BRANCH = 0.25
"""A template goes on with a word that at least this share of its texts has next; rarer words fill its slot."""

LEAST_WORDS, MOST_WORDS = 3, 12
"""Words that a template has; two, such as "what is", are a usual way to ask and no template."""

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or a character of a script that puts no space between words (Chinese, Japanese)."""


def templates(texts: Sequence[str]) -> list[str | None]:
    """Return the template of each text, e.g. "what are the symptoms of"; None for a text of no template.

    A template begins with `LEAST_WORDS` words that enough of the texts share, and goes on as long as enough of its own
    texts share the next word. So "the symptoms of" and "the treatments of" are two templates, but names of twelve
    families of diseases do not make twelve. Templates whose first three words vary ("Is X contagious?") are not found.
    Questions that people typed rarely share such beginnings.
    """
    words = [tuple(word.casefold() for word in WORD.findall(text)[:MOST_WORDS]) for text in texts]
    beginnings = Counter(each[:end] for each in words for end in range(LEAST_WORDS, len(each) + 1))
    least = max(FEWEST, SHARE * len(texts))
    return [_template(each, beginnings, least) for each in words]


def _template(words: tuple[str, ...], beginnings: Counter[tuple[str, ...]], least: float) -> str | None:
    end = LEAST_WORDS
    if len(words) < end or beginnings[words[:end]] < least:
        return None
    while end < len(words):
        if beginnings[words[: end + 1]] < max(least, BRANCH * beginnings[words[:end]]):
            break
        end += 1
    return " ".join(words[:end])
