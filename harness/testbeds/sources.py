"""Sources: where rows come from, as declarations that load in milliseconds; `harness.reading.rows` reads them.

pairs = sources.file("pairs.csv").where(lambda rows: rows["votes"] > 2)
train, dev, test = pairs.split(by="question", dev=0.1, test=0.1)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from harness.errors import StudyFileError
from harness.identity import digest
from harness.testbeds.refs import Ref, folder_of_caller

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Format: TypeAlias = Literal["csv", "tsv", "json", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "tsv", "json", "jsonl", "parquet")

Side: TypeAlias = Literal["train", "dev", "test"]


class Source:
    """Rows with named columns. Its methods return further sources."""

    def take(self, number: int) -> Source:
        """Return the first rows.

        Args:
            number: how many.

        Raises:
            StudyFileError: it is below 1.
        """
        if number < 1:
            raise StudyFileError(f"take({number!r}): take at least 1 row")
        return Taken(self, number)

    def where(self, keep: Callable[[DataFrame], Series[bool]]) -> Source:
        """Return the rows for which a function is true.

        Args:
            keep: function of all rows, e.g. `lambda rows: rows["votes"] > 2`, that returns a boolean for each.
        """
        return Where(self, keep)

    def split(self, *, by: str | Sequence[str], dev: float = 0.1, test: float = 0.1, seed: int = 0) -> Split:
        """Divide the rows so that equal and nearly equal texts are on one side, and nothing leaks.

        Args:
            by: the column, or columns, whose texts must not be on two sides; "near" is the audit's near-duplicate.
            dev: share of the rows to choose points by, from 0 to less than 1.
            test: share of the rows for final scores, from 0 to less than 1.
            seed: another seed gives another division.

        Returns:
            The three sources `train`, `dev` and `test`.

        Raises:
            StudyFileError: the shares are out of range or leave nothing to train on.
        """
        columns = (by,) if isinstance(by, str) else tuple(by)
        where = f"split(by={by!r}, dev={dev!r}, test={test!r})"
        if not columns or not (0 <= dev < 1 and 0 <= test < 1 and 0 < dev + test < 1):
            raise StudyFileError(f"{where}: name a column, and give shares from 0 to 1 that leave rows to train on")
        return Split(*(Part(self, columns, dev, test, seed, side) for side in ("train", "dev", "test")))


class Split(NamedTuple):
    """The three sides of a division."""

    train: Source
    dev: Source
    test: Source


@dataclass(frozen=True)
class File(Source):
    """A file of rows."""

    path: str
    """Path as it was given; a relative one starts from `beside`."""
    format: Format
    """Format of the content, whether or not it is compressed."""
    names: tuple[str, ...] = ()
    """Names of the columns of a csv or tsv file without a header."""
    beside: str = field(default="", repr=False)
    """Folder of the study file."""

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Hub(Source):
    """A split of a data set of the hub or of the embedded testbed."""

    ref: Ref
    """The data set, its configuration and split."""

    def __str__(self) -> str:
        return str(self.ref)


@dataclass(frozen=True, eq=False)
class Frame(Source):
    """Rows of a DataFrame in memory. Two are equal if their content is."""

    rows: DataFrame
    """The rows."""

    @cached_property
    def content(self) -> str:
        """A hash of columns and values."""
        return digest([list(map(str, self.rows.columns)), self.rows.to_json(orient="values", date_format="iso")])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        return f"Frame({self.content[:16]})"

    def __str__(self) -> str:
        return f"a DataFrame of {len(self.rows):,} rows"


@dataclass(frozen=True)
class Mix(Source):
    """Several sources in one: every stretch of the rows has its share of each."""

    parts: tuple[Source, ...]
    """The sources, which need the same columns."""
    weights: tuple[float, ...] = ()
    """Relative number of rows of each; in proportion to their sizes, with all rows, if empty."""

    def __str__(self) -> str:
        if not self.weights:
            return " + ".join(map(str, self.parts))
        return " + ".join(f"{weight:g} x {part}" for weight, part in zip(self.weights, self.parts, strict=True))


@dataclass(frozen=True)
class Nli(Source):
    """Rows with the columns premise, hypothesis and label, of which labels are read by their meaning."""

    of: Source
    """The rows as they are stored."""
    labels: tuple[str, ...] = ()
    """Meaning of integer labels, by position, if the data set does not name them."""

    def __str__(self) -> str:
        return str(self.of)


@dataclass(frozen=True)
class Taken(Source):
    """The first rows of a source."""

    of: Source
    number: int

    def __str__(self) -> str:
        return f"first {self.number:,} of {self.of}"


@dataclass(frozen=True, eq=False)
class Where(Source):
    """The rows of a source for which a function is true. Two are equal if their functions compute the same."""

    of: Source
    keep: Callable[[DataFrame], Series[bool]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Where({self.of!r}, {digest(self.keep)})"

    def __str__(self) -> str:
        return f"part of {self.of}"


@dataclass(frozen=True)
class Part(Source):
    """One side of a divided source."""

    of: Source
    by: tuple[str, ...]
    dev: float
    test: float
    seed: int
    side: Side

    def __str__(self) -> str:
        return f"{self.side} part of {self.of}, divided by {' and '.join(self.by)}"


def file(path: str, *, names: Iterable[str] = (), format: Format | None = None) -> File:
    """Return the rows of a file: csv, tsv, json (a list of objects), jsonl or parquet; also compressed (.gz).

    Args:
        path: path of the file; a relative one starts from the folder of the study file.
        names: names of the columns of a csv or tsv file that has no header.
        format: the format, if the name does not end in it.

    Raises:
        StudyFileError: the format is unknown, or it has names in the file.
    """
    kind = format or path.lower().removesuffix(".gz").rpartition(".")[2]
    kind = {"ndjson": "jsonl", "pq": "parquet", "tab": "tsv"}.get(kind, kind)
    given = tuple(names)
    known = next((each for each in FORMATS if each == kind), None)
    if known is None:
        raise StudyFileError(
            f"sources.file({path!r}): unknown format {kind!r}; give format= one of {', '.join(FORMATS)}"
        )
    if given and known not in ("csv", "tsv"):
        raise StudyFileError(
            f"sources.file({path!r}): names= is for csv and tsv files; {known} files name their columns"
        )
    if len(set(given)) < len(given):
        raise StudyFileError(f"sources.file({path!r}): names={list(given)} repeats a name; give each column its own")
    return File(path, known, given, folder_of_caller())


def hub(
    id: str, config: str | None = None, *, split: str = "train", revision: str = "main", files: Sequence[str] = ()
) -> Hub:
    """Return the rows of a data set of the hub.

    Args:
        id: the data set, "organisation/name".
        config: its configuration.
        split: its split.
        revision: a commit, which nobody can change, or a branch or tag.
        files: patterns of the files to download; all of the data set if empty.
    """
    return Hub(Ref(id, revision, config, split, tuple(files)))


def frame(rows: DataFrame) -> Frame:
    """Return the rows of a DataFrame.

    Args:
        rows: the DataFrame, with a name for each column.
    """
    return Frame(rows)


def mix(*parts: Source, weights: Sequence[float] = ()) -> Mix:
    """Return several sources in one, in which every stretch of the rows has its share of each.

    Args:
        parts: the sources, with the same columns.
        weights: relative number of rows of each. The rows end with the first source that is used up, so no row is
            repeated. Without weights all rows are used.

    Raises:
        StudyFileError: there are no sources, or the weights are not one positive number for each.
    """
    if not parts or (weights and (len(weights) != len(parts) or any(not weight > 0 for weight in weights))):
        raise StudyFileError(
            f"mix of {len(parts)} sources, weights={list(weights)}: give one number above 0 for each source"
        )
    return Mix(parts, tuple(map(float, weights)))


def nli(*parts: Source, labels: Sequence[str] = ()) -> Source:
    """Return NLI rows, which have the columns premise, hypothesis and label; several sources are mixed.

    Args:
        parts: sources with these columns. Labels are read by name, or as 0 entailment, 1 neutral, 2 contradiction.
        labels: meaning of integer labels by position, if it is another: ("contradiction", "entailment", "neutral").

    Raises:
        StudyFileError: there are no sources.
    """
    each = tuple(Nli(part, tuple(labels)) for part in parts)
    return each[0] if len(each) == 1 else mix(*each)
