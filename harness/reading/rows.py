"""Read a source: the rows that it declares, in a DataFrame with the columns that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import AuditFailed
from harness.reading import local
from harness.reading.columns import select
from harness.reading.division import divide
from harness.reading.filtering import kept, named
from harness.reading.labels import known
from harness.reading.mixture import mixed
from harness.testbeds.refs import EMBEDDED, Ref
from harness.testbeds.sources import File, Frame, Hub, Mix, Nli, Part, Side, Source, Taken, Where

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Names: TypeAlias = Mapping[str, tuple[str, ...]]

NULL_LABEL = "label is null"
"""Column that tells, until `read` takes it out, which labels of NLI rows were null."""


@dataclass(frozen=True)
class Rows:
    """The rows of a source."""

    rows: DataFrame
    """The rows, numbered from 0; names of columns are strings."""
    names: Names = field(default_factory=dict)
    """Names of class labels by column: what an integer means, by position."""
    null_labels: tuple[int, ...] = ()
    """Which rows of an `Nli` source had null for a label: by their place, counted from 0."""


def read(source: Source) -> Rows:
    """Return the rows of a source; they are kept in memory for the next call, and read again if a file has changed.

    Raises:
        TestbedUnavailable: a file is missing, or a data set was not fetched.
        AuditFailed: a file, a column or a label has not the form that it needs, or no row is left; the message names
            the file and line, or the step.
    """
    found = _read(source, _state(source))
    return Rows(found.rows.copy(deep=False), found.names, found.null_labels)  # columns may be added to a copy


def missing_files(source: Source) -> list[str]:
    """Return the files of a source that are not there, as paths."""
    paths = [local.place(leaf) for leaf in _leaves(source) if isinstance(leaf, File)]
    return [str(path) for path in dict.fromkeys(paths) if not path.is_file()]


def refs_of(source: Source) -> list[Ref]:
    """Return the data sets that a source reads of the hub or of the embedded testbed."""
    return list(dict.fromkeys(leaf.ref for leaf in _leaves(source) if isinstance(leaf, Hub)))


def _leaves(source: Source) -> Iterator[Source]:
    if isinstance(source, Mix):
        for part in source.parts:
            yield from _leaves(part)
    elif isinstance(source, Nli | Taken | Where | Part):
        yield from _leaves(source.of)
    else:
        yield source


def _state(source: Source) -> tuple[tuple[str, int, int], ...]:
    """Return what tells that a file has changed: its path, size and time."""
    paths = [local.place(leaf) for leaf in _leaves(source) if isinstance(leaf, File)]
    stats = [(str(path.resolve()), path.stat()) for path in paths if path.is_file()]
    return tuple((path, found.st_size, found.st_mtime_ns) for path, found in stats)


@lru_cache(maxsize=2)
def _read(source: Source, state: object) -> Rows:
    rows, names = _load(source)
    nulls: tuple[int, ...] = ()
    if NULL_LABEL in rows:
        nulls = tuple(place for place, null in enumerate(rows[NULL_LABEL]) if null)
        rows = rows.drop(columns=NULL_LABEL)
    return Rows(rows, names, nulls)


def _emptied(source: Source) -> str:
    """Return which step left no rows, and what to do."""
    match source:
        case Where():
            return f"{source.of}: {named(source.keep)} leaves no rows. Let it be true for some"
        case Part():
            return (
                f"{source.of}: split(by={list(source.by)}, dev={source.dev}, test={source.test}) leaves no rows for "
                f"{source.side}: its share is 0, there are too few rows, or each group of equal or nearly equal texts "
                "is larger than its share. Ask for a larger share, or divide by a column with more different texts"
            )
    return f"{source}: it has columns, but no rows. Write rows into it, or name another source"


def _load(source: Source) -> tuple[DataFrame, Names]:
    """Return rows that are at least one, and the names of class labels.

    Only the outermost source is kept in memory: with every step of a chain, a large file would be there several times.
    """
    rows, names = _step(source)
    if not len(rows):
        raise AuditFailed(_emptied(source))
    return rows, names


def _step(source: Source) -> tuple[DataFrame, Names]:
    import numpy as np

    match source:
        case File():
            return local.load(source), {}
        case Hub():
            return _hub(source.ref)
        case Frame():
            return _frame(source), {}
        case Nli():
            return _nli(source), {}
        case Mix():
            return mixed([(str(part), _load(part)) for part in source.parts], source.weights)
        case Taken():
            rows, names = _load(source.of)
            # `head` would keep the rest in memory, too.
            return select(rows, np.arange(len(rows)) < source.number), names
        case Where():
            rows, names = _load(source.of)
            seen = rows.drop(columns=NULL_LABEL, errors="ignore")
            return select(rows, kept(source.keep, seen, str(source.of))), names
        case Part():
            return _part(source)
    raise TypeError(f"{source!r} is no source that can be read")


def _hub(ref: Ref) -> tuple[DataFrame, Names]:
    import pandas as pd

    from harness.reading import files
    from harness.testbeds import fetching

    folder = fetching.locate(ref)
    if ref.repo == EMBEDDED:
        return pd.read_parquet(folder / f"{ref.split}.parquet"), {}
    rows, names = files.read(folder, ref)
    return rows, {column: tuple(of) for column, of in names.items()}


def _frame(source: Frame) -> DataFrame:
    rows = source.rows.reset_index(drop=True)
    rows.columns = [str(name) for name in rows.columns]
    if not rows.columns.is_unique:
        twice = rows.columns[rows.columns.duplicated()][0]
        raise AuditFailed(f"{source}: two columns are named {twice!r}. Rename one: rows.columns = [...]")
    return rows


def _nli(source: Nli) -> DataFrame:
    """Return texts as strings, empty where they are null, and labels by their meaning."""
    import pandas as pd

    where = str(source)
    data, names = _load(source.of)
    lacks = [name for name in ("premise", "hypothesis", "label") if name not in data]
    if lacks:
        raise AuditFailed(
            f"{where}: no column {', '.join(lacks)}; it has {', '.join(map(str, data))}. Rename the "
            "columns, or name another set or config"
        )
    labels = known(data["label"], source.labels or names.get("label", ()), where)
    texts = {name: _texts(data[name], where).fillna("") for name in ("premise", "hypothesis")}
    return pd.DataFrame({**texts, "label": labels, NULL_LABEL: data["label"].isna()})


def _texts(column: Series[Any], where: str) -> Series[Any]:
    """Return a column of texts and nulls; raise AuditFailed, with an example, if it holds anything else."""
    other = next((value for value in column[column.notna()] if not isinstance(value, str)), None)
    if other is not None:
        raise AuditFailed(
            f"{where}: column {column.name!r} holds {other!r} ({type(other).__name__}), not a text. Write texts into it"
        )
    return column


def _part(source: Part) -> tuple[DataFrame, Names]:
    import numpy as np

    sides = _sides(source.of, source.by, source.dev, source.test, source.seed, _state(source.of))
    rows, names = _load(source.of)  # after the division has given up what it read: slower, but with half the memory
    return select(rows, np.array(sides) == source.side), names


@lru_cache(maxsize=4)
def _sides(of: Source, by: Sequence[str], dev: float, test: float, seed: int, state: object) -> tuple[Side, ...]:
    rows, _ = _load(of)
    return tuple(divide(rows, by, dev, test, seed, str(of)))
