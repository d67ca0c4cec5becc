"""Read a file of rows, compressed or not, in any format; nothing in it is executed."""

from __future__ import annotations

import codecs
import gzip
import io
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import MutableSequence, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from harness.errors import AuditFailed, TestbedUnavailable
from harness.reading import delimited, objects
from harness.reading.columns import BATCH, Malformed
from harness.testbeds.sources import File, Source

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 5
"""Rows that a message names."""

GZIP = b"\x1f\x8b"
"""First bytes of a compressed file, whatever its name; no text of UTF-8 starts with them."""


def place(source: File) -> Path:
    """Return the path of a file."""
    return Path(source.beside, source.path).expanduser()


def places(source: Source, rows: Sequence[int]) -> str:
    """Return where the first of some rows are: "lines 2, 17, ..." of a file; "rows 1, 16, ..." if there are no lines.

    Args:
        source: where the rows were read.
        rows: their numbers, from 0.

    Raises:
        TestbedUnavailable: as `load`.
        AuditFailed: as `load`.
    """
    lines: list[int] = []
    if isinstance(source, File):
        load(source, lines)
    numbers = [lines[row] if lines else row + 1 for row in rows[:SHOWN]]
    more = ", ..." if len(rows) > SHOWN else ""
    return f"{'line' if lines else 'row'}{'s' * (len(rows) > 1)} {', '.join(map(str, numbers))}{more}"


def load(source: File, lines: list[int] | None = None) -> DataFrame:
    """Return the rows of a file: texts as they stand, numbers by the rules of `harness.reading.columns`, else null.

    Args:
        source: the file.
        lines: gets the line at which each row starts, unless the format has no lines.

    Raises:
        TestbedUnavailable: it is not there, or may not be read.
        AuditFailed: its content has not the form of its format, or it is no UTF-8; the message names the line.
    """
    path = place(source)
    try:
        return _load(path, source, deque[int](maxlen=0) if lines is None else lines)  # which keeps nothing
    except FileNotFoundError as problem:
        raise TestbedUnavailable(
            f"{source}: there is no file {path}. A relative path starts from the folder of the study file"
        ) from problem
    except UnicodeDecodeError as problem:
        raise AuditFailed(
            f"{source}: line {_undecodable(path):,}: it is not in UTF-8. Save it so (Excel: CSV UTF-8), or convert "
            f"it: iconv -f {_encoding(path)} -t UTF-8 OLD > NEW"
        ) from problem
    except Malformed as problem:
        raise AuditFailed(f"{source}: {problem}") from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise AuditFailed(
            f"{source}: the compressed file is damaged ({problem}). Copy or compress it again"
        ) from problem
    except OSError as problem:
        raise TestbedUnavailable(f"{source}: {path} cannot be read: {problem.strerror or problem}") from problem


def _load(path: Path, source: File, lines: MutableSequence[int]) -> DataFrame:
    if source.format == "parquet":
        return _parquet(path)
    if source.format == "csv":
        return delimited.read_csv(lambda: _text(path), source.names, lines)
    if source.format == "tsv":
        return delimited.read_tsv(lambda: _text(path), source.names, lines)
    with _text(path) as stream:
        return (objects.read_lines if source.format == "jsonl" else objects.read_list)(stream, lines)


def _bytes(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        compressed = stream.read(len(GZIP)) == GZIP
    return cast("IO[bytes]", gzip.open(path)) if compressed else path.open("rb")


def _text(path: Path, errors: str = "strict") -> TextIO:
    return io.TextIOWrapper(_bytes(path), encoding="utf-8-sig", errors=errors, newline="")


def _undecodable(path: Path) -> int:
    """Return the first line that is not in UTF-8."""
    with _text(path, "surrogateescape") as stream:
        escaped = (line for line, text in enumerate(stream, 1) if any("\udc80" <= c <= "\udcff" for c in text))
        return next(escaped, 1)


def _encoding(path: Path) -> str:
    """Return which encoding a file that is not in UTF-8 probably has; one in UTF-16 starts with a byte order mark."""
    with _bytes(path) as stream:
        return "UTF-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "WINDOWS-1252"


def _parquet(path: Path) -> DataFrame:
    """Return the columns of a parquet file, with no index of pandas; if it is compressed, it is unpacked on disk."""
    import pyarrow as pa
    from pyarrow import parquet

    with _bytes(path) as stream, tempfile.TemporaryFile() as unpacked:
        if isinstance(stream, gzip.GzipFile):
            shutil.copyfileobj(stream, unpacked)
        try:
            file = parquet.ParquetFile(unpacked if isinstance(stream, gzip.GzipFile) else path)
            schema = _plain(file.schema_arrow)
            batches = [batch.cast(schema) for batch in file.iter_batches(BATCH)]
        except (pa.ArrowException, OSError) as problem:
            raise Malformed(None, f"the parquet file cannot be read ({problem}). Write it again") from problem
    table = pa.Table.from_batches(batches, schema)
    del batches
    for place, column in enumerate(table.columns):
        if pa.types.is_integer(column.type) and column.null_count:
            table = table.set_column(place, schema.names[place], _with_nulls(column, schema.names[place]))
    # Each column is given up once it is converted, so that two copies of the whole file are never in memory.
    frame: DataFrame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    return frame


def _plain(schema: Any) -> Any:
    """Return a schema with values in place of codes for them, and texts of the type that pandas holds."""
    import pyarrow as pa

    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise Malformed(None, f"two columns are named {twice!r}. Rename one")
    plain = []
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        plain.append(field.with_type(pa.large_string() if pa.types.is_string(kind) else kind))
    return pa.schema(plain)


def _with_nulls(integers: Any, name: str) -> Any:
    """Return integers of which some are null as float64, but only where it holds them exactly."""
    import pyarrow as pa

    try:
        return integers.cast(pa.float64())
    except pa.ArrowInvalid:
        raise Malformed(
            None, f"column {name!r} holds nulls and integers beyond 2^53, which would be rounded. Write it as texts"
        ) from None
