"""The items of measures as plain data: columns of rows, labels, and the texts that training rows must not contain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import AuditFailed
from harness.reading import beir, local
from harness.testbeds import origins
from harness.testbeds.measure_kinds import Classification, Measure, PairClasses, Retrieval, Sts, Triplets
from harness.testbeds.sources import File, Source

if TYPE_CHECKING:
    from pandas import DataFrame

Pair = tuple[str, str]


@dataclass(frozen=True)
class Texts:
    """The texts of a measure, as they stand in its data."""

    pairs: tuple[Pair, ...] = ()
    """Texts that belong together: query and relevant document, both texts of a pair, anchor and positive."""
    single: tuple[str, ...] = ()
    """Texts that are scored alone: those that a classifier is tested on."""
    queries: tuple[str, ...] = ()
    """The distinct queries, first texts or anchors."""
    documents: tuple[str, ...] = ()
    """The distinct documents, second texts, or positives and negatives, also those that belong to no query."""


def texts_of(measure: Measure) -> Texts:
    """Return the texts of a measure; none for a task of mteb and for a function of the study file.

    Raises:
        TestbedUnavailable: its data are missing.
        AuditFailed: its data have another form.
    """
    where = f"measure {measure.name!r}"
    if isinstance(measure, Retrieval):
        return _of_retrieval(beir.load(measure))
    if isinstance(measure, Sts):
        return _of_pairs(*columns(measure.source, (measure.sentence1, measure.sentence2), where, empty=True))
    if isinstance(measure, PairClasses):
        return _of_pairs(*columns(measure.source, (measure.text1, measure.text2), where))
    if isinstance(measure, Triplets):
        names = (measure.anchor, measure.positive, measure.negative)
        anchors, positives, negatives = columns(measure.source, names, where)
        return _of_pairs(anchors, positives, negatives)
    if isinstance(measure, Classification):
        return Texts(single=tuple(columns(measure.test, (measure.text,), where)[0]))
    return Texts()


def _of_retrieval(found: beir.RetrievalSet) -> Texts:
    texts = dict(zip(found.document_ids, found.documents, strict=True))
    asked = zip(found.query_ids, found.queries, strict=True)
    pairs = tuple((query, texts[document]) for id, query in asked for document in found.relevant[id])
    return Texts(pairs, queries=tuple(dict.fromkeys(found.queries)), documents=tuple(dict.fromkeys(found.documents)))


def _of_pairs(left: Sequence[str], right: Sequence[str], others: Sequence[str] = ()) -> Texts:
    pairs = tuple(zip(left, right, strict=True))
    return Texts(pairs, queries=tuple(dict.fromkeys(left)), documents=tuple(dict.fromkeys([*right, *others])))


def columns(source: Source, names: Sequence[str], where: str, empty: bool = False) -> list[list[str]]:
    """Return columns of texts of a source.

    Args:
        source: the rows.
        names: the columns.
        where: the measure, for messages.
        empty: allow empty texts, which nulls become, because the audit reports them.

    Raises:
        AuditFailed: there are no rows, a column is missing, or a value is not a text or an empty one.
    """
    rows = rows_with(source, names, where)
    found = [[None if value is None or value != value else value for value in rows[name].tolist()] for name in names]
    for name, values in zip(names, found, strict=True):
        faulty = [
            row
            for row, value in enumerate(values)
            if not isinstance(value, str if not empty else str | None) or not (empty or value.strip())
        ]
        if faulty:
            raise AuditFailed(
                f"{where}: {_faulty(source, name, values, faulty, 'text')}. Give each a text, or leave the rows out by "
                "source.where(...)"
            )
    return [[value or "" for value in values] for values in found]


def rows_with(source: Source, names: Sequence[str], where: str) -> DataFrame:
    from harness.reading.rows import read

    rows: DataFrame = read(source).rows
    lacks = [name for name in names if name not in rows]
    if lacks:
        has = ", ".join(map(str, rows)) or "none"
        raise AuditFailed(f"{where}: {source} has no column {', '.join(lacks)}; it has {has}. Name other columns")
    if not len(rows):
        raise AuditFailed(f"{where}: {source} has no rows; give it some")
    return rows


def labelled(source: Source, names: Sequence[str], label: str, where: str) -> tuple[list[list[str]], list[Any]]:
    """Return columns of texts and the labels of a source: integers, or texts.

    Raises:
        AuditFailed: as `columns` does, and for a label that is neither.
    """
    texts = columns(source, names, where)
    values = rows_with(source, (*names, label), where)[label].tolist()
    found = [_label(value) for value in values]
    faulty = [row for row, value in enumerate(found) if value is None]
    if faulty:
        raise AuditFailed(
            f"{where}: {_faulty(source, label, values, faulty, 'label')}. Labels are texts or integers: give each row "
            "one, or leave the rows out by source.where(...)"
        )
    return texts, found


def _faulty(source: Source, name: str, values: Sequence[object], faulty: Sequence[int], what: str) -> str:
    """Return how many rows of a source have something else than a text, or a label, in a column, and where."""
    verb = "has" if len(faulty) == 1 else "have"
    return (
        f"{len(faulty):,} of {len(values):,} rows of {source} {verb} no {what} in {name!r} (row {faulty[0] + 1:,} has "
        f"{values[faulty[0]]!r}{_in_file(source, name)})"
    )


def _in_file(source: Source, name: str) -> str:
    """Return in which lines of its file a source has empty or blank cells in a column; nothing if it has no one file.

    The lines are those of the whole file, also where the source is a part of it: they have to be corrected together.
    """
    files = origins.leaves(source)
    if len(files) != 1 or not isinstance(files[0], File):
        return ""
    values = local.load(files[0]).get(name, ())
    empty = [row for row, value in enumerate(values) if value is None or value != value or not str(value).strip()]
    return f"; the column is empty in {local.places(files[0], empty)} of {files[0]}" if empty else ""


def _label(value: Any) -> int | str | None:
    """Return a label as an integer or a text that is not empty, else None."""
    if isinstance(value, str):
        return value if value.strip() else None
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value == int(value) else None


def fault_of_pairs(labels: Sequence[Any]) -> str | None:
    """Return why pairs with these labels cannot be scored, None if they can."""
    other = next((label for label in labels if label not in (0, 1, "0", "1")), None)
    if other is None and len({int(label) for label in labels}) == 2:
        return None
    what = "are all the same" if other is None else f"have the value {other!r}"
    return f"the labels {what}; pairs need the labels 0 and 1, both of them"


def fault_of_classes(train: Sequence[int | str], test: Sequence[int | str]) -> str | None:
    """Return why a classifier fitted on texts with some labels cannot be scored on others, None if it can."""
    seen, asked = as_classes(train, test)
    new = sorted(set(asked) - set(seen))
    if not new and len(set(seen)) > 1:
        return None
    what = f"test labels that train lacks: {new[:3]}" if new else f"only one label in train: {seen[0]!r}"
    return f"{what}; give train a text of every label, of which there must be two or more"


def as_classes(train: Sequence[Any], test: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the labels of both sets as integers if all are, otherwise as texts, so that 1 and "1" are the same."""
    if all(isinstance(label, int) for label in [*train, *test]):
        return list(train), list(test)
    return [*map(str, train)], [*map(str, test)]
