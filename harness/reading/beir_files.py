"""The files of a retrieval set in BEIR's layout, plain or compressed (.gz): texts as JSON lines, judgements as a table.

Every error names the file and the line.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import AuditFailed, TestbedUnavailable

TABLE_ENDS = (".tsv", ".txt", ".qrels")
"""Ends of the names of files with judgements."""

HEADER = {"query-id", "query_id", "queryid", "qid", "query", "topic"}
"""Names of the first column of judgements, in lower case, by which a first line without a grade is a header."""


class Judgement(NamedTuple):
    """How relevant a document is to a query."""

    query: str
    document: str
    grade: float


def read_texts(folder: Path, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids and texts of `name`.jsonl, the titles before the texts.

    Args:
        folder: the set's folder.
        name: "corpus" or "queries".

    Raises:
        TestbedUnavailable: there is no such file.
        AuditFailed: a line has another form.
    """
    path = _existing(folder, [f"{name}.jsonl"])
    ids, texts = [], []
    for number, line in _lines(path):
        id, text = _entry(line, f"{path}:{number}")
        ids.append(id)
        texts.append(text)
    return tuple(ids), tuple(texts)


def _entry(line: str, where: str) -> tuple[str, str]:
    """Return the id and the text of a line of JSON."""
    try:
        entry: Any = json.loads(line)
    except ValueError as problem:
        raise AuditFailed(f"{where}: not JSON ({problem}); each line must be one object") from problem
    if not isinstance(entry, dict):
        raise AuditFailed(f"{where}: a {type(entry).__name__}; each line must be an object with _id and text")
    id = entry.get("_id", entry.get("id"))
    if isinstance(id, bool) or not isinstance(id, (str, int)) or id == "":
        raise AuditFailed(f"{where}: _id is {id!r}; give each line an _id, which is a text or an integer")
    if "text" not in entry:
        raise AuditFailed(f"{where}: no text; it has {', '.join(entry)}. Give each line the key text")
    for key in ("title", "text"):
        if not isinstance(entry.get(key), (str, type(None))):
            raise AuditFailed(f"{where}: {key} is a {type(entry[key]).__name__}; it must be a text")
    return str(id), joined(entry.get("title"), entry["text"])


def joined(title: str | None, text: str | None) -> str:
    """Return a title and a text joined by a blank, as BEIR and mteb embed them; only the text if there is no title."""
    return f"{title} {text or ''}".strip() if title else text or ""


def read_judgements(folder: Path, split: str) -> Iterator[Judgement]:
    """Read qrels/`split`.tsv: query, document and grade; or, as TREC has it, query, 0, document and grade.

    A first line of names is skipped. Columns are separated by tabs, or by blanks in a line without a tab. With two
    columns all documents are relevant (grade 1).

    Raises:
        TestbedUnavailable: there is no such file.
        AuditFailed: a line has another form.
    """
    path = _existing(folder / "qrels", [f"{split}{end}" for end in TABLE_ENDS])
    columns = 0
    for number, line in _lines(path):
        cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
        columns = columns or len(cells)
        if number == 1 and cells[0].lower() in HEADER:
            continue
        if len(cells) not in (2, 3, 4) or len(cells) != columns or not all(cells):
            raise AuditFailed(
                f"{path}:{number}: {len(cells)} columns ({line[:80]!r}); each line must have a query, a document and "
                "a grade, separated by tabs"
            )
        grade = grade_of(cells[-1]) if columns > 2 else 1.0
        if grade is not None:
            yield Judgement(cells[0], cells[-2] if columns > 2 else cells[1], grade)
        elif number > 1:
            raise AuditFailed(f"{path}:{number}: grade {cells[-1]!r} is not a number; the last column must be numbers")


def grade_of(cell: Any) -> float | None:
    """Return a grade as a finite number, None for anything else."""
    try:
        grade = float(cell)
    except (ValueError, TypeError):
        return None
    return grade if math.isfinite(grade) else None


def _existing(folder: Path, names: list[str]) -> Path:
    """Return the first file that exists, plain or compressed; raise TestbedUnavailable with what is there instead."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    has = f"{folder} has {', '.join(there[:9]) or 'no files'}" if folder.is_dir() else f"there is no folder {folder}"
    raise TestbedUnavailable(
        f"{folder / names[0]}: no such file ({has}). A retrieval set has corpus.jsonl, queries.jsonl and "
        "qrels/SPLIT.tsv; correct the path or split="
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines that are not blank, with their numbers from 1; a byte order mark is skipped."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as problem:
        raise AuditFailed(f"{path}:{number}: not UTF-8 ({problem.reason}); save the file as UTF-8") from problem
    except (EOFError, gzip.BadGzipFile) as problem:
        raise AuditFailed(f"{path}: not a whole gzip file ({problem}); make it again") from problem
