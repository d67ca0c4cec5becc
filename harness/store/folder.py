"""The store: a folder of records, one atomically written file per run, written by one process.

store.json        version of the format, ablation and testbed
records/ID.json   a finished run, written after everything else that belongs to the run
damaged/          unreadable files that a driver moved here
models/ID/        kept models
mteb/             results in mteb's own layout
optuna.db         a mirror of the tuning records for Optuna's dashboard, rebuilt at each start
designs.json      log of designs: what each driver start declared, and known test scores (planning.unlocking)
contents.json     content hashes of the testbed at the last run (harness.store.contents)
audit.json        findings of the data audit (harness.audit)
lock              held by the driver; the kernel releases it when the driver ends in any way
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.errors import DamagedRecord, StoreError, UsageError
from harness.files import as_json, write_atomically, writing
from harness.store import reading
from harness.store.items import Items
from harness.store.locking import locked
from harness.store.records import Record, frame

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

VERSION = 3
"""Version of the format and of run ids: 2 since ids depend on contents, 3 since rows and measures may be anything."""

RUN_ID = re.compile(r"[0-9a-f]{16}")

HALF_WRITTEN = re.compile(rf"\.{RUN_ID.pattern}\.json\.[0-9a-f]{{8}}")
"""Temporary name that `write_atomically` gives a record's file until it is complete."""


@dataclass(frozen=True)
class Identity:
    """What store.json holds."""

    version: int
    ablation: str
    testbed: str


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
            DamagedRecord: a record cannot be read; the message names it, counts others and says how to fix it.
        """
        good, bad = self.readable()
        if bad:
            more = f" (and {len(bad) - 1} more of {len(good) + len(bad)} records)" if len(bad) > 1 else ""
            raise DamagedRecord(f"{bad[0]}{more}") from bad[0]
        return good

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
                moved.append(self.set_aside(path))
        return records, moved

    def set_aside(self, path: Path) -> Path:
        """Move an unreadable file, link or folder of the store to damaged/; return its new path."""
        aside = self.folder / "damaged" / f"{path.stem}.{os.urandom(4).hex()}{path.suffix}"
        with writing(aside):
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
        return aside

    def intact(self, read: Callable[[Path], T], name: str, otherwise: T, tell: Callable[[str], None]) -> T:
        """Return what a function reads of one of the store's files; set the file aside if it is damaged.

        Call it with the lock held.

        Args:
            read: reads the file in the store's folder.
            name: the file's name.
            otherwise: what a store without this file has.
            tell: receives a line if the file was set aside.
        """
        try:
            return read(self.folder)
        except StoreError as problem:
            tell(f"damaged file set aside as {self.set_aside(self.folder / name)}: {problem}")
            return otherwise

    def locked(self) -> AbstractContextManager[Callable[[], None]]:
        """Lock the store for writing; see `harness.store.locking.locked`."""
        return locked(self.folder)

    def _files(self) -> list[Path]:
        return [self.folder / "records" / name for name in reading.listed(self.folder, "records")]


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
        record = Record.from_json(reading.text(path.parents[1], path.parent.name, path.name), str(path))
    except (reading.Unreadable, FileNotFoundError) as problem:
        why = "it was deleted meanwhile" if isinstance(problem, FileNotFoundError) else problem
        raise DamagedRecord(
            f"{path}: damaged record ({why}); `harness run` moves it to damaged/ and repeats the run"
        ) from problem
    except DamagedRecord as problem:
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
    reading.refuse_links(folder)
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        if not exists(folder):
            identity = {"version": VERSION, "ablation": ablation, "testbed": testbed}
            write_atomically(folder / "store.json", as_json(identity) + "\n")
    except OSError as problem:
        raise StoreError(
            f"{folder}: cannot create a store here ({problem.strerror}); choose a writable --store"
        ) from problem
    return load_of(folder, ablation, testbed)


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
        identity: Identity = reading.document(Identity, folder, "store.json")
    except FileNotFoundError as problem:
        raise UsageError(f"{folder}: no store here; `harness run` creates one, or give another --store") from problem
    except reading.Unreadable as problem:
        raise StoreError(
            f"{folder / 'store.json'}: cannot be read ({problem}); restore it, or choose another --store"
        ) from problem
    version = identity.version
    if version > VERSION:
        raise UsageError(
            f"{folder}: written by a newer harness (store version {version}, this reads {VERSION}); upgrade the harness"
        )
    return Store(folder, identity.ablation, identity.testbed, version)


def exists(folder: Path) -> bool:
    """Return whether there is a store in a folder; `load` says what is wrong with it."""
    return os.path.lexists(folder / "store.json")
