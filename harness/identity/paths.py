"""Texts in an object that name files, folders or repositories of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.identity.walk import Walk

LONGEST_PATH = 1000
"""Maximum number of characters of a text that may name a file."""

_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
"""Characters of ids of the hub."""


def paths_in(thing: Any) -> list[str]:
    """Return the texts in an object that name an existing file or folder, or that may be ids of the hub.

    Raises:
        Unstable: as in `digest`.
    """
    walk = Walk({})
    walk.of(thing, "it")
    return sorted(text for text in walk.texts if _names_something(text))


def _names_something(text: str) -> bool:
    if not text or len(text) > LONGEST_PATH or "\0" in text or "\n" in text or text in (".", "..", "/"):
        return False
    try:
        return Path(text).exists() or _could_be_hub_id(text)
    except OSError:
        return False


def _could_be_hub_id(text: str) -> bool:
    parts = text.split("/")
    return len(parts) == 2 and all(part and set(part) <= _ID and part[0] != "." for part in parts)
