"""Names and messages as Python text: literals and comments that nothing can break out of."""

from __future__ import annotations

import textwrap

from harness.text import shown

WIDTH = 118
"""Characters of a line of comments, without the sign."""


def literal(text: str) -> str:
    """Return a text as a literal of Python, in double quotes if it holds none."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text else plain


def literals(*texts: str) -> str:
    """Return texts as arguments of a call."""
    return ", ".join(map(literal, texts))


def quoted(text: str) -> str:
    """Return a text as a docstring in triple double quotes holds it."""
    return shown(text).replace("\\", "\\\\").replace('"', '\\"')


def comment(text: str, indent: str = "") -> str:
    """Return a text as lines of comments, each with a line break at its end."""
    lines = textwrap.wrap(shown(text), WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return "".join(f"{indent}# {line}\n" for line in lines)
