"""Content hashes of rows, evaluation sets, models and files, independent of how they are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pandas as pd

from harness.errors import AuditFailed, RunFailed, TestbedUnavailable
from harness.identity import paths_in
from harness.reading import beir, items, materials
from harness.testbeds import Testbed, described, fetching, hub
from harness.testbeds.fetching import Part
from harness.testbeds.measure_kinds import Classification, Mteb, Own, Retrieval, Sts, Triplets
from harness.testbeds.origins import files_of
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Source

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


def contents_of(bed: Testbed, sources: Iterable[Source] = (), only_there: bool = False) -> dict[str, str]:
    """Return the content hash of each fetched part of a testbed, by what is declared of the part.

    Args:
        bed: the testbed.
        sources: the studies' own sources.
        only_there: leave out parts that are not on this machine instead of raising TestbedUnavailable.

    Raises:
        TestbedUnavailable: a part is not on this machine.
        AuditFailed: two parts that are declared alike have different contents.
    """
    contents: dict[str, str] = {}
    parts: list[Part] = [bed.base, bed.source, *sources, *bed.measures]
    for part in parts:
        try:
            content = _of_part(part)
        except TestbedUnavailable:
            if not only_there and part not in bed.besides:  # runs do without a measure of `also` that is not there
                raise
        else:
            if content is not None and contents.setdefault(repr(part), content) != content:
                raise AuditFailed(
                    f"{_words(part)}: two folders have a file or model of this name with different contents, so it "
                    "cannot be told which one a run used; give one of them another path"
                )
    return contents


def _of_part(part: Part) -> str | None:
    """Return a hash of the values that are read; None where what is declared decides them."""
    return _content(part, _state(part))


def _state(part: Part) -> tuple[tuple[str, int, int], ...]:
    """Return what tells that a file of this machine has changed since a part was hashed: its path, size and time."""
    of_model = [part.folder] if isinstance(part, Ref) and part.local else []
    paths = of_model if isinstance(part, Ref) else files_of(part)
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, found.st_size, found.st_mtime_ns) for name, found in stats)


@lru_cache(maxsize=64)
def _content(part: Part, state: tuple[tuple[str, int, int], ...]) -> str | None:
    if isinstance(part, Ref):
        return of_model(fetching.locate(part, is_model=True))
    if isinstance(part, Source):
        return of_frame(materials.load_rows(part))
    if isinstance(part, Sts):
        return of_sts(materials.load_sts(part))
    if isinstance(part, Retrieval):
        return beir.load(part).content
    if isinstance(part, Mteb):  # mteb pins its tasks' data
        return None
    if isinstance(part, Own):
        named = {path: of_named(path) for path in paths_in(part.function)}
        return hashlib.sha256(f"{part!r} {sorted(named.items())}".encode()).hexdigest()
    if isinstance(part, Classification):
        read: list[tuple[Source, tuple[str, ...]]] = [
            (part.train, (part.text, part.label)),
            (part.test, (part.text, part.label)),
        ]
    elif isinstance(part, Triplets):
        read = [(part.source, (part.anchor, part.positive, part.negative))]
    else:
        read = [(part.source, (part.text1, part.text2, part.label))]
    hashes = [of_frame(items.rows_with(source, names, f"measure {part.name!r}")[[*names]]) for source, names in read]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def of_names(names: Iterable[str]) -> dict[str, str]:
    """Return the content hashes of those names that exist on this machine."""
    return {name: found for name in names if (found := of_named(name)) is not None}


def _words(part: Part) -> str:
    return str(part) if isinstance(part, (Ref, Source)) else described(part)


def verify(bed: Testbed) -> None:
    """Raise RunFailed if the content of a part on this machine differs from that in the run's id."""
    planned = dict(bed.contents)
    parts: list[tuple[str, Part]] = [("model", bed.base), ("rows", bed.source)]
    for name, part in [*parts, *((measure.name, measure) for measure in bed.measures)]:
        wanted = planned.get(repr(part))
        if wanted is not None and (found := _of_part(part)) != wanted:
            raise RunFailed(
                f"the {name} ({_words(part)}) is not what the run was "
                f"planned with: its content has hash {str(found)[:12]} here, not {wanted[:12]}. Make the caches of "
                "both machines hold the same files (`harness fetch FILE`), or give the command again to plan with what "
                "is here."
            )
