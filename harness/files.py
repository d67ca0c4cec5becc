"""Atomic file writes and strict JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import StoreError


def as_json(value: Any) -> str:
    """Return strict JSON, without NaN, which other parsers refuse."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def finite(value: Any) -> Any:
    """Return JSON's types with None in place of every NaN or infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, (list, tuple)) else value


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Turn an OSError while `what` is written into a StoreError that says how to fix it."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise StoreError(f"{what}: cannot be written ({reason}); free space there, or give another folder") from problem


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text in one step that survives a crash; raise StoreError, leaving the old file, if it cannot."""
    with writing(path):
        replace_file(path, text.encode(errors="backslashreplace"))  # a name may be no Unicode


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content in one step that survives a crash; raise OSError, leaving the old file, if it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.urandom(4).hex()}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must reach the disk
    finally:
        os.close(folder)
