"""Content hashes of rows, evaluation sets, models and files, independent of how they are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

import pandas as pd

from harness.errors import RunFailed, TestbedUnavailable
from harness.testbeds import Testbed, hub, materials

OF_A_MODEL = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files that affect a model's output; the model card does not count."""

PIECE = 2**20


def of_frame(frame: pd.DataFrame) -> str:
    """Return a hash of a frame's columns, their names and order included, that tells a number from its text."""
    digest = hashlib.sha256()
    for name in frame.columns:
        values = [f"{type(value).__name__}:{value!r}".encode() for value in frame[name].tolist()]
        digest.update(f"{name}:{len(values)}:".encode())
        digest.update(b"".join(len(value).to_bytes(8, "big") + value for value in values))
    return digest.hexdigest()


def of_sts(pairs: materials.StsPairs) -> str:
    return of_frame(pd.DataFrame({"1": pairs.sentence1, "2": pairs.sentence2, "gold": pairs.gold}))


def of_file(path: Path) -> str:
    """Return a hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def of_model(folder: Path) -> str:
    """Return a hash of a model's weights, tokenizer and configuration: of the folder, and of its modules' folders.

    Exports beside them (onnx, openvino) do not count, because they are not loaded.
    """
    files = {path for pattern in OF_A_MODEL for path in folder.glob(pattern)}
    for module in _modules(folder):
        files |= {path for pattern in OF_A_MODEL for path in (folder / module).rglob(pattern)}
    listed = [f"{path.relative_to(folder).as_posix()} {of_file(path)}" for path in sorted(files) if path.is_file()]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def _modules(folder: Path) -> list[str]:
    """Return the folders of a sentence-transformers model's modules, without the folder itself and those outside it."""
    try:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        paths = [PurePosixPath(module["path"]) for module in listed if module["path"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(path) for path in paths if not path.is_absolute() and ".." not in path.parts]


def of_named(name: str) -> str | None:
    """Return a content hash for a name: a file, a model's folder, or a hub repository in the cache; else None."""
    path = Path(name)
    if path.is_file():
        return of_file(path)
    if path.is_dir():
        return of_model(path) if (path / "config.json").is_file() or (path / "modules.json").is_file() else None
    folder = hub.cached_model(name)
    return None if folder is None else of_model(folder)


def parts_of(bed: Testbed, only_there: bool = False) -> dict[str, str]:
    """Return the hash of each part of a fetched testbed, by part: model, rows, dev and, unless it is sealed, test.

    Args:
        only_there: leave out parts that are not on this machine instead of raising TestbedUnavailable.
    """
    found = {}
    for part in bed.declared():
        try:
            found[part] = _of_part(bed, part)
        except TestbedUnavailable:
            if not only_there:
                raise
    return found


def _of_part(bed: Testbed, part: str) -> str:
    if part == "model":
        return _of_model(materials.locate(bed.model, is_model=True))
    if part == "rows":
        return _of_rows(bed)
    return of_sts(materials.load_sts(bed.dev if part == "dev" else bed.test))


@cache
def _of_model(folder: Path) -> str:
    return of_model(folder)


@lru_cache(maxsize=4)
def _of_rows(bed: Testbed) -> str:
    return of_frame(materials.load_rows(bed))


def of_names(names: Iterable[str]) -> dict[str, str]:
    """Return the content hashes of those names that exist on this machine."""
    return {name: found for name in names if (found := of_named(name)) is not None}


def verify(bed: Testbed) -> None:
    """Raise RunFailed if the content of a part on this machine differs from that in the run's id."""
    for part, wanted in bed.contents:
        if part in bed.declared() and (found := _of_part(bed, part)) != wanted:
            raise RunFailed(
                f"the {part} ({bed.revisions()[part]}) is not what the run was planned with: its content has hash "
                f"{found[:12]} here, not {wanted[:12]}. Make the caches of both machines hold the same files "
                "(`harness fetch FILE`), or give the command again to plan with what is here."
            )
