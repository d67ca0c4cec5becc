"""The store: a folder of records, one atomically written file per run, written by one process.

store.json        version of the format, ablation and testbed
records/ID.json   a finished run, written after everything else that belongs to the run
damaged/          unreadable records that a driver moved here
models/ID/        kept models
mteb/             results in mteb's own layout
optuna.db         a mirror of the tuning records for Optuna's dashboard, rebuilt at each start
designs.json      log of designs: what each driver start declared, and known test scores (planning.unlocking)
contents.json     content hashes of the testbed at the last run (harness.store.contents)
audit.json        findings of the data audit (harness.audit)
lock              held by the driver; the kernel releases it when the driver ends in any way
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DamagedRecord, StoreError, StoreLocked, UsageError
from harness.files import as_json, write_atomically, writing
from harness.store.items import Items
from harness.store.records import Record, frame

if TYPE_CHECKING:
    import pandas as pd

VERSION = 3
"""Version of the format and of run ids: 2 since ids depend on contents, 3 since rows and measures may be anything."""

RUN_ID = re.compile(r"[0-9a-f]{16}")

HALF_WRITTEN = re.compile(rf"\.{RUN_ID.pattern}\.json\.[0-9a-f]{{8}}")
"""Temporary name that `write_atomically` gives a record's file until it is complete."""


@dataclass(frozen=True)
class Store:
    """A store that exists; get one from `create` or `load`."""

    folder: Path
    ablation: str
    testbed: str
    version: int = VERSION

    def records(self) -> list[Record]:
        """Return all records by id.

        Raises:
            DamagedRecord: a record cannot be read; the message says how to fix it.
        """
        return [read_record(path) for path in self._files()]

    def readable(self) -> tuple[list[Record], list[DamagedRecord]]:
        """Return the readable records, and the errors of the others."""
        good, bad = [], []
        for path in self._files():
            try:
                good.append(read_record(path))
            except DamagedRecord as problem:
                bad.append(problem)
        return good, bad

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame with one row per run; see `harness.store.records.frame`."""
        return frame(self.records())

    def write(self, record: Record) -> Record:
        """Write a record atomically: a crash leaves the old record, the new one or none, but never a part.

        Returns:
            The record as `records` returns it.
        """
        path = self.folder / "records" / f"{record.id}.json"
        write_atomically(path, record.to_json())
        _items.cache_clear()
        return _without_items(record, path)

    def set_damaged_aside(self) -> tuple[list[Record], list[Path]]:
        """Move unreadable records to damaged/, so that their runs are repeated, and return the others.

        Incomplete temporary files of a killed driver are deleted. Call it with the lock held.

        Returns:
            The readable records, and the new paths of the others.
        """
        records, moved = [], []
        with writing(self.folder):
            for unfinished in (self.folder / "records").glob(".*"):
                if HALF_WRITTEN.fullmatch(unfinished.name):
                    unfinished.unlink()
            for path in self._files():
                try:
                    records.append(read_record(path))
                except DamagedRecord:
                    aside = self.folder / "damaged" / f"{path.stem}.{os.urandom(4).hex()}.json"
                    aside.parent.mkdir(exist_ok=True)
                    path.rename(aside)
                    moved.append(aside)
        return records, moved

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the store for writing.

        Raises:
            StoreLocked: another driver has locked it.
            StoreError: the store is not writable, or its file system has no locks.
        """
        try:
            file = os.fdopen(os.open(self.folder / "lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666), "a")
        except OSError as problem:
            raise StoreError(f"{self.folder}: not writable ({problem.strerror}); choose another --store") from problem
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                if problem.errno not in (errno.EAGAIN, errno.EACCES):
                    raise StoreError(
                        f"{self.folder}: the file system cannot lock ({problem}); use --store on a local disk"
                    ) from problem
                raise StoreLocked(
                    f"{self.folder}: another driver is writing to this store; wait for it or stop it, or use --store"
                ) from problem
            yield

    def _files(self) -> list[Path]:
        return sorted((self.folder / "records").glob("*.json"))


class StoredItems(Mapping[str, Items]):
    """A record's predictions, read lazily from its file: they make up 90 percent of a large store."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._path, self._names = path, tuple(names)

    def __getitem__(self, name: str) -> Items:
        if name not in self._names:
            raise KeyError(name)
        return _items(self._path)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=32)
def _items(path: Path) -> Mapping[str, Items]:
    """Read a record's predictions; they are cached because measures are usually read one after another."""
    return _read(path).items


def _without_items(record: Record, path: Path) -> Record:
    return replace(record, items=StoredItems(path, record.items)) if record.items else record


def read_record(path: Path) -> Record:
    """Read one record's file, with lazily read predictions.

    Raises:
        DamagedRecord: it cannot be read; the message says how to fix it.
    """
    return _without_items(_read(path), path)


def _read(path: Path) -> Record:
    try:
        record = Record.from_json(path.read_text(encoding="utf-8"), str(path))
    except (DamagedRecord, UnicodeDecodeError) as problem:
        raise DamagedRecord(f"{problem}; `harness run` moves it to damaged/ and repeats the run") from problem
    if record.id != path.stem:
        raise DamagedRecord(f"{path}: damaged record (it contains run {record.id}); `harness run` moves it to damaged/")
    return record


def create(folder: Path, ablation: str, testbed: str) -> Store:
    """Open the store in `folder`, creating it if necessary.

    Args:
        folder: the store's folder.
        ablation: name of the ablation.
        testbed: name of the testbed.

    Raises:
        UsageError: the store belongs to another ablation or testbed.
        StoreError: the store cannot be created or read.
    """
    _refuse_links(folder)
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        if not (folder / "store.json").exists():
            identity = {"version": VERSION, "ablation": ablation, "testbed": testbed}
            write_atomically(folder / "store.json", as_json(identity) + "\n")
    except OSError as problem:
        raise StoreError(
            f"{folder}: cannot create a store here ({problem.strerror}); choose a writable --store"
        ) from problem
    return load_of(folder, ablation, testbed)


def _refuse_links(folder: Path) -> None:
    """Raise StoreError if a store contains a symbolic link, because its target could be overwritten or deleted.

    The store itself may be a link. In records/, damaged/ and .staging/ links themselves are moved or deleted.
    """
    for here, folders, files in os.walk(folder):
        inner = Path(here).relative_to(folder)
        if inner.parts[:1] in (("records",), ("damaged",), (".staging",)):
            folders.clear()
            continue
        for name in sorted([*folders, *files]):
            if (entry := Path(here, name)).is_symlink():
                raise StoreError(
                    f"{entry}: a symbolic link in a store, which could lead a run to overwrite or delete other files; "
                    "put a real file or folder in its place, or choose another --store"
                )


def load_of(folder: Path, ablation: str, testbed: str) -> Store:
    """Open an existing store of an ablation on a testbed.

    Args:
        folder: the store's folder.
        ablation: name of the ablation.
        testbed: name of the testbed.

    Raises:
        UsageError: there is no store, it belongs to another ablation or testbed, or its version is too old or too new.
        StoreError: store.json cannot be read.
    """
    store = load(folder)
    if store.version < VERSION:
        raise UsageError(
            f"{folder}: this store was made under an older recipe (version {store.version}, now {VERSION}): its run "
            "ids do not cover everything that decides a result, so its runs cannot be judged together with new ones. "
            f"The store was not changed: `harness compare {folder} OTHER` and harness.api.load still read it. Choose "
            "another --store, or move it away."
        )
    if (store.ablation, store.testbed) != (ablation, testbed):
        raise UsageError(
            f"{folder}: this store holds ablation {store.ablation!r} on testbed {store.testbed!r}, "
            f"not {ablation!r} on {testbed!r}; choose another --store"
        )
    return store


def load(folder: Path | str) -> Store:
    """Open an existing store.

    Raises:
        UsageError: there is no store, or a newer harness wrote it.
        StoreError: store.json cannot be read.
    """
    folder = Path(folder)
    try:
        identity = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        version, ablation, testbed = int(identity["version"]), identity["ablation"], identity["testbed"]
    except FileNotFoundError as problem:
        raise UsageError(f"{folder}: no store here; `harness run` creates one, or give another --store") from problem
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise StoreError(
            f"{folder / 'store.json'}: cannot be read ({problem}); restore it, or choose another --store"
        ) from problem
    if version > VERSION:
        raise UsageError(
            f"{folder}: written by a newer harness (store version {version}, this reads {VERSION}); upgrade the harness"
        )
    return Store(folder, ablation, testbed, version)
