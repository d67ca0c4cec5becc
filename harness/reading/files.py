"""Read a split from a data set's snapshot: check that files are complete and inside it; read again if they change."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import TestbedUnavailable
from harness.testbeds.refs import Ref

if TYPE_CHECKING:
    from pandas import DataFrame

SHARD = re.compile(r"(?P<before>.*?)-(?P<number>\d+)-of-(?P<total>\d+)")

SHOWN = 3
"""Missing files that a message names."""

FETCH = "run `harness fetch FILE` where there is a network, and copy HF_HOME to machines without one"


def read(folder: Path, ref: Ref) -> tuple[DataFrame, dict[str, list[str]]]:
    """Return a split's rows, and the names of those of its columns that are class labels.

    The library keeps what it has read under the folder's name and would give it again after files were added to the
    folder. So it gets a cache of its own for each state of the folder.

    Raises:
        TestbedUnavailable: files are missing, outside the snapshot, or unreadable.
    """
    import datasets  # imports torch where it can; `fetch` must stay light
    from datasets.info import DatasetInfosDict

    cache = Path(datasets.config.HF_DATASETS_CACHE) / "harness" / _state(folder)
    try:
        builder: Any = datasets.load_dataset_builder(str(folder), ref.config, cache_dir=str(cache))
        files = {str(split): [str(file) for file in listed] for split, listed in builder.config.data_files.items()}
        _inside(folder, [file for listed in files.values() for file in listed], ref)
        split = str(ref.split)
        if split not in files:
            raise TestbedUnavailable(f"{ref}: no split {split!r} in {folder}; there are {', '.join(files) or 'none'}")
        _every_shard(files[split], ref)
        builder.download_and_prepare(verification_mode="no_checks")
        data: Any = builder.as_dataset(split=split)
        stated = DatasetInfosDict.from_directory(str(folder)).get(builder.config.name)
    except TestbedUnavailable:
        raise
    except Exception as problem:
        raise TestbedUnavailable(
            f"{ref}: its files in {folder} cannot be read ({str(problem)[:300]}). Delete that folder and {FETCH}"
        ) from problem
    info = (stated.splits or {}).get(split) if stated else None
    if info is not None and info.num_examples and info.num_examples != len(data):
        raise TestbedUnavailable(
            f"{ref}: {len(data):,} rows were read from {len(files[split])} files, and the data set says that it has "
            f"{info.num_examples:,}: files are missing in {folder}. Delete that folder and {FETCH}"
        )
    names = {name: list(of.names) for name, of in data.features.items() if isinstance(of, datasets.ClassLabel)}
    frame: DataFrame = data.to_pandas()
    return frame, names


def _state(folder: Path) -> str:
    """Hash which files a folder has, by what tells that one changed: its blob in the hub's cache, size and time."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found = path.stat()
            digest.update(f"{path.relative_to(folder)}\0{path.resolve().name}\0{found.st_size}".encode())
            digest.update(f"\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _inside(folder: Path, files: Iterable[str], ref: Ref) -> None:
    """Raise TestbedUnavailable for a file that is not of the snapshot: its README may name any file of this machine.

    Files of the hub's cache are links to blobs beside the snapshots.
    """
    homes = [folder, folder.parent.parent / "blobs"] if folder.parent.name == "snapshots" else [folder]
    for file in files:
        named = Path(os.path.normpath(folder / file))
        if "://" in file or folder not in named.parents or not any(h in named.resolve().parents for h in homes):
            raise TestbedUnavailable(
                f"{ref}: its README names a file outside the data set, {file}; it is not read. Use another data set"
            )


def _every_shard(files: Sequence[str], ref: Ref) -> None:
    """Raise TestbedUnavailable, naming those that are missing, if files number themselves and some numbers lack."""
    numbers: dict[tuple[str, int, int], set[int]] = defaultdict(set)
    for file in files:
        if found := SHARD.match(file):
            numbers[found["before"], int(found["total"]), len(found["total"])].add(int(found["number"]))
    missing = [
        f"{Path(before).name}-{number:0{width}}-of-{total:0{width}}"
        for (before, total, width), present in numbers.items()
        for number in range(total)
        if number not in present
    ]
    if missing:
        told = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
        raise TestbedUnavailable(f"{ref}: its snapshot in the cache lacks {told}; {FETCH}")
