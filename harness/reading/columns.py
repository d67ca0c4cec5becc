"""Columns of a DataFrame from what files hold, with types that all of a column's values decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

T = TypeVar("T")

BATCH = 1000
"""Rows that are held as Python objects at a time."""

INTEGER = r"^-?(0|[1-9][0-9]*)$"
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-][0-9]+)?$"
"""Cells of a csv or tsv file that are numbers, as programs write them: -12, 0.5, 3.2e-05.

Not 007, +5, .5, 1,5, 1e5, NaN, True or " 5", which ids and texts may be.
"""

EXACT = 2**53
"""Largest integer up to which a float64 holds every integer."""


class Malformed(Exception):
    """What a file holds, at a line if it has lines, counted from 1 as an editor does, is no row."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem if line is None else f"line {line:,}: {problem}")


def from_cells(names: Sequence[str], records: Iterable[Sequence[str]]) -> DataFrame:
    """Return the columns of a file in which all cells are texts.

    An empty cell is null. A column is of numbers if all its other cells are NUMBER: int64 if all are integers, or
    float64 if some cells are empty or have a fraction. A column of integers that this type cannot hold exactly stays a
    column of texts, as any other does.
    """
    import pyarrow as pa
    from pandas import DataFrame

    chunks: dict[str, list[Any]] = {name: [] for name in names}
    for batch in batches(records):
        for name, cells in zip(names, zip(*batch, strict=True), strict=True):
            chunks[name].append(pa.array([cell or None for cell in cells], pa.large_string()))
    columns = {}
    for name in names:
        columns[name] = _typed(pa.chunked_array(chunks.pop(name), pa.large_string())).to_pandas()
    return DataFrame(columns)


def _typed(cells: Any) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    if cells.null_count == len(cells) or not _all_match(cells, NUMBER):
        return cells
    try:
        if not _all_match(cells, INTEGER):
            numbers = cells.cast(pa.float64())
            return numbers if compute.all(compute.is_finite(numbers)).as_py() else cells
        integers = cells.cast(pa.int64())
        return integers.cast(pa.float64()) if cells.null_count else integers
    except pa.ArrowInvalid:  # beyond the range of the type
        return cells


def _all_match(cells: Any, pattern: str) -> bool:
    from pyarrow import compute

    matches = (compute.all(compute.match_substring_regex(chunk, pattern)).as_py() for chunk in cells.chunks)
    return all(each is not False for each in matches)  # None if all cells of a chunk are empty


def from_objects(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> DataFrame:
    """Return the columns of JSON objects; a key that an object lacks is null.

    A column of texts, integers, numbers or booleans has that type. Integers with nulls, or together with other numbers,
    are float64. A column of several types, or of lists or objects, keeps the Python objects.

    Args:
        rows: the objects with their lines.

    Raises:
        Malformed: a text has half a surrogate pair, which no text of UTF-8 has.
    """
    from pandas import DataFrame

    chunks: dict[str, list[Any]] = {}
    before: list[int] = []
    for batch in batches(rows):
        names = dict.fromkeys(name for _, row in batch for name in row)
        for name in {**chunks, **names}:
            chunks.setdefault(name, [[None] * number for number in before])
            chunks[name].append(_chunk(name, batch))
        before.append(len(batch))
    return DataFrame({name: _column(chunks.pop(name)) for name in list(chunks)}, index=range(sum(before)))


def _chunk(name: str, batch: Sequence[tuple[int, Mapping[str, Any]]]) -> Any:
    """Return some values of a column: as an Arrow array if all are texts, to save memory, or as a list."""
    import pyarrow as pa

    values = [row.get(name) for _, row in batch]
    if any(value is not None and not isinstance(value, str) for value in values):
        return values
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        line = next(line for line, row in batch if not _encodes(row.get(name)))
        raise Malformed(
            line, f"column {name!r} holds half a surrogate pair, such as \\ud83d alone. Write the character itself"
        ) from None


def _encodes(text: str | None) -> bool:
    try:
        return (text or "").encode() is not None
    except UnicodeEncodeError:
        return False


def _column(chunks: Sequence[Any]) -> Series[Any]:
    import pyarrow as pa
    from pandas import Series

    texts = [pa.array(chunk, pa.large_string()) if _all_null(chunk) else chunk for chunk in chunks]
    if not any(isinstance(chunk, list) for chunk in texts):
        found: Series[Any] = pa.chunked_array(texts, pa.large_string()).to_pandas()
        return found
    values = [value for chunk in chunks for value in (chunk if isinstance(chunk, list) else chunk.to_pylist())]
    return Series(values, dtype=_type(values))


def _all_null(chunk: Any) -> bool:
    return isinstance(chunk, list) and all(value is None for value in chunk)


def _type(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "bool"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "int64"
    exact = all(abs(value) <= EXACT for value in values if type(value) is int)
    return "float64" if exact and kinds <= {int, float, type(None)} else "object"


def select(rows: DataFrame, wanted: NDArray[np.bool_]) -> DataFrame:
    """Return the rows that are wanted, numbered from 0, and empty `rows`: a column is given up once it was copied."""
    from pandas import DataFrame

    chosen = {name: rows.pop(name)[wanted].reset_index(drop=True) for name in rows.columns.tolist()}
    return DataFrame(chosen, index=range(int(wanted.sum())))


def batches(things: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of up to BATCH things."""
    rest = iter(things)
    while batch := list(islice(rest, BATCH)):
        yield batch
