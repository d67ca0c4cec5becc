"""The base model that ships with the package: `pretrain` made it once, so it is the same on every machine."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from harness.errors import TestbedUnavailable

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
MODEL_HASH = "a4562aa812385c2f6c1f309ce2723db3119d20a349ff94e3d96c7f1b0dc9e967"
"""What `content` gives of the files that ship; `python -m harness.embedded.pretrain` prints it when it makes others."""

_FOLDER = Path(__file__).parent / "model"


def content(folder: Path) -> str:
    """Return a hash of a base model's weights, tokenizer and configuration; raise OSError if one is not there."""
    digest = hashlib.sha256()
    for name in MODEL_FILES:
        digest.update(f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def base_model(folder: Path = _FOLDER) -> Path:
    """Return the folder of the base model, once its content was found to be what this version of the package means.

    Raises:
        TestbedUnavailable: a file is missing or another; the message says how to have it back.
    """
    try:
        found = content(folder)
    except OSError as problem:
        found = f"nothing ({problem.strerror}: {problem.filename})"
    if found != MODEL_HASH:
        raise TestbedUnavailable(
            f"the embedded testbed's base model in {folder} is not the one of this version: its content has hash "
            f"{found}, not {MODEL_HASH}. Install the package again (`pip install --force-reinstall --no-deps ...`), or "
            "restore the folder (`git checkout -- harness/embedded/model`)"
        )
    return folder
