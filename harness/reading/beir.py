"""Retrieval sets: in the layout of BEIR (Thakur et al., 2021), on the hub, or as rows of a query and a document.

A folder in BEIR's layout has `corpus.jsonl` and `queries.jsonl`, whose lines have the keys `_id` (or `id`), `text` and
perhaps `title`, and `qrels/SPLIT.tsv`, whose lines have a query's id, a document's id and a grade of relevance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.errors import AuditFailed, TestbedUnavailable
from harness.reading.beir_files import Judgement, grade_of, joined, read_judgements, read_texts
from harness.testbeds.measure_kinds import Retrieval

if TYPE_CHECKING:
    from pandas import DataFrame

TOLERATED = 0.01
"""Share of judgements of missing queries or documents, and of documents without a text, above which a set is refused.

Some public sets lack a few; more than that is a corpus and judgements that do not belong together.
"""

SHOWN = 3
"""Ids that a message names."""

Grades: TypeAlias = dict[str, dict[str, float]]


@dataclass(frozen=True)
class RetrievalSet:
    """Queries, the documents to rank for each, and which of them are relevant."""

    query_ids: tuple[str, ...]
    """Ids of the queries that have a relevant document, in the file's order."""
    queries: tuple[str, ...]
    """Their texts."""
    document_ids: tuple[str, ...]
    """Ids of all documents, in the file's order."""
    documents: tuple[str, ...]
    """Their titles and texts, joined by a blank; only the text if there is no title."""
    relevant: Mapping[str, Mapping[str, float]]
    """Grades above 0, by query and by document. All its documents are in the corpus."""
    exclude: bool = False
    """Whether the document with a query's own id is the query itself, and so is left out of its ranking."""
    left_out: int = 0
    """Number of queries that were left out because no document has a grade above 0 for them in this split."""
    unknown: int = 0
    """Number of judgements that were dropped because their query or document does not exist."""
    empty: int = 0
    """Number of documents without a text; they stay in the corpus."""

    @cached_property
    def content(self) -> str:
        """A hash of everything that decides scores."""
        parts = (self.query_ids, self.queries, self.document_ids, self.documents, self.exclude)
        digest = hashlib.sha256()
        for part in (*parts, {query: sorted(grades.items()) for query, grades in self.relevant.items()}):
            for piece in json.JSONEncoder().iterencode(part):
                digest.update(piece.encode())
        return digest.hexdigest()


class _Texts(NamedTuple):
    """Ids and texts of the queries or the documents."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]


def load(measure: Retrieval) -> RetrievalSet:
    """Read the set of a retrieval measure.

    Raises:
        TestbedUnavailable: a file is missing.
        AuditFailed: a file has another form, an id is repeated, ids do not belong together, or texts are empty.
    """
    return _loaded(measure, _state(measure))


def _folder(measure: Retrieval) -> Path:
    return Path(measure.beside, Path(measure.folder).expanduser())


def _state(measure: Retrieval) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and time of the files of a folder: if one changes, the set is read again."""
    if measure.source is not None or measure.hub is not None:
        return ()
    files = sorted(path for path in _folder(measure).rglob("*") if path.is_file())
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=4)
def _loaded(measure: Retrieval, state: tuple[tuple[str, int, int], ...]) -> RetrievalSet:
    where = f"measure {measure.name!r}"
    if measure.source is not None:
        return _of_source(measure, where)
    if measure.hub is not None:
        return _of_hub(measure, where)
    folder = _folder(measure)
    judgements = list(read_judgements(folder, measure.split))
    queries = _Texts(*read_texts(folder, "queries"))
    return _checked(queries, _Texts(*read_texts(folder, "corpus")), judgements, f"{where} ({folder})")


def _checked(queries: _Texts, corpus: _Texts, judgements: Sequence[Judgement], where: str) -> RetrievalSet:
    """Make a set of what was read; raise AuditFailed if its parts do not belong together."""
    for kind, ids in (("query", queries.ids), ("document", corpus.ids)):
        _distinct(ids, kind, where)
    grades, unknown = _known(judgements, set(queries.ids), set(corpus.ids), where)
    asked = [(id, text) for id, text in zip(*queries, strict=True) if id in grades]
    if not asked:
        raise AuditFailed(
            f"{where}: no query has a relevant document (a grade above 0) among {len(judgements):,} judgements of "
            f"{len(queries.ids):,} queries; name another split, or check the column of the grades"
        )
    made = RetrievalSet(
        tuple(id for id, _ in asked),
        tuple(text for _, text in asked),
        corpus.ids,
        corpus.texts,
        {id: grades[id] for id, _ in asked},
        left_out=len(queries.ids) - len(asked),
        unknown=unknown,
        empty=sum(not text.strip() for text in corpus.texts),
    )
    _with_texts(made, where)
    return replace(made, exclude=_is_query_itself(made))


def _distinct(ids: Sequence[str], kind: str, where: str) -> None:
    """Raise AuditFailed, naming the first ones, for repeated ids."""
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        repeated = dict.fromkeys(id for id in ids if id in seen or seen.add(id))  # type: ignore[func-returns-value]
        raise AuditFailed(f"{where}: {len(repeated):,} {kind} ids are repeated, {_named(repeated)}; make them distinct")


def _known(judgements: Sequence[Judgement], queries: set[str], documents: set[str], where: str) -> tuple[Grades, int]:
    """Return the grades above 0 of known ids, and the number of judgements of unknown ids.

    Raises:
        AuditFailed: a pair has two grades, many ids are unknown, or a query loses all its relevant documents.
    """
    given: dict[tuple[str, str], float] = {}
    for query, document, grade in judgements:
        if given.setdefault((query, document), grade) != grade:
            raise AuditFailed(f"{where}: query {query!r} and document {document!r} have two grades; keep one of them")
    unknown = [pair for pair in given if pair[0] not in queries or pair[1] not in documents]
    missing = dict.fromkeys(
        [f"query {query!r}" for query, _ in unknown if query not in queries]
        + [f"document {document!r}" for _, document in unknown if document not in documents]
    )
    named = ", ".join(list(missing)[:SHOWN])
    if len(unknown) > TOLERATED * len(given):
        raise AuditFailed(
            f"{where}: {len(unknown):,} of {len(given):,} judgements name queries or documents that do not exist "
            f"({named}); give the corpus and the queries that the judgements were made for"
        )
    grades: Grades = {}
    for (query, document), grade in given.items():
        if grade > 0 and query in queries and document in documents:
            grades.setdefault(query, {})[document] = grade
    lost = dict.fromkeys(q for q, d in unknown if q in queries and given[q, d] > 0 and q not in grades)
    if lost:
        raise AuditFailed(
            f"{where}: all relevant documents of {len(lost):,} queries ({_named(lost)}) are missing from the corpus "
            f"({named}); add these documents, or remove the judgements of these queries"
        )
    return grades, len(unknown)


def _with_texts(made: RetrievalSet, where: str) -> None:
    """Raise AuditFailed if a query has no text, all its relevant documents have none, or many documents have none."""
    blank = {id for id, text in zip(made.document_ids, made.documents, strict=True) if not text.strip()}
    bad = {
        "queries have an empty text": [
            id for id, text in zip(made.query_ids, made.queries, strict=True) if not text.strip()
        ],
        "queries have only relevant documents with an empty text": [
            id for id in made.query_ids if blank.issuperset(made.relevant[id])
        ],
        "documents have an empty text": sorted(blank) if len(blank) > TOLERATED * len(made.documents) else [],
    }
    for what, ids in bad.items():
        if ids:
            raise AuditFailed(f"{where}: {len(ids):,} {what}, {_named(ids)}; give them a text or remove them")


def _is_query_itself(made: RetrievalSet) -> bool:
    """Return whether documents with the ids of queries are these queries, as in ArguAna, and not numbered alike.

    They are if most of them contain the query's text and none is judged relevant to it.
    """
    texts = dict(zip(made.query_ids, made.queries, strict=True))
    same = [(id, document) for id, document in zip(made.document_ids, made.documents, strict=True) if id in texts]
    if not same or any(id in made.relevant[id] for id, _ in same):
        return False
    return sum(_folded(texts[id]) in _folded(document) for id, document in same) * 2 > len(same)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _named(ids: Iterable[str]) -> str:
    """Return the first ids, for a message."""
    listed = [repr(id) for id in ids]
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")


def _of_hub(measure: Retrieval, where: str) -> RetrievalSet:
    """Read the configurations corpus, queries and qrels of a data set of the hub."""
    queries, corpus = (_of_rows(_part(measure, config), f"{where}, {config}") for config in ("queries", "corpus"))
    qrels, place = _part(measure, "qrels"), f"{where}, qrels"
    lacks = [name for name in ("query-id", "corpus-id") if name not in qrels]
    if lacks:
        raise AuditFailed(f"{place}: no column {', '.join(lacks)}; it has {', '.join(map(str, qrels))}")
    given = [grade_of(value) for value in qrels["score"]] if "score" in qrels else [1.0] * len(qrels)
    judgements = []
    for row, (query, document, grade) in enumerate(zip(qrels["query-id"], qrels["corpus-id"], given, strict=True), 1):
        if grade is None:
            raise AuditFailed(f"{place}: the grade of row {row:,} is not a number; the column score must be numbers")
        judgements.append(Judgement(str(query), str(document), grade))
    return _checked(queries, corpus, judgements, f"{where} ({measure.hub})")


def _part(measure: Retrieval, config: str) -> DataFrame:
    """Return the rows of one configuration; judgements may be the default one, and texts in a split of another name."""
    from harness.reading import files
    from harness.testbeds import fetching

    assert measure.hub is not None
    folder = fetching.locate(measure.hub)
    found = (config, "default") if config == "qrels" else (config,)
    splits = (measure.split,) if config == "qrels" else (measure.split, config, "train")
    problems = []
    for ref in (replace(measure.hub, config=name, split=split) for name in found for split in dict.fromkeys(splits)):
        try:
            return files.read(folder, ref)[0]
        except TestbedUnavailable as problem:
            problems.append(str(problem))
    raise TestbedUnavailable(" Nor is there another place for it: ".join(problems))


def _of_rows(rows: DataFrame, where: str) -> _Texts:
    """Return ids and texts of rows with the columns _id (or id), text and perhaps title."""
    id = "_id" if "_id" in rows else "id"
    lacks = [name for name in (id, "text") if name not in rows]
    if lacks:
        raise AuditFailed(f"{where}: no column {', '.join(lacks)}; it has {', '.join(map(str, rows))}")
    titles, texts = (_nullable(rows[name]) if name in rows else [None] * len(rows) for name in ("title", "text"))
    other = next((value for value in [*titles, *texts] if not isinstance(value, str | None)), None)
    if other is not None:
        raise AuditFailed(f"{where}: {other!r} ({type(other).__name__}) is no text; titles and texts must be texts")
    return _Texts(tuple(map(str, rows[id])), tuple(map(joined, titles, texts)))


def _nullable(column: Iterable[Any]) -> list[Any]:
    """Return values, of which those that are missing, in whatever way, are None."""
    return [None if value is None or value != value else value for value in column]


def _of_source(measure: Retrieval, where: str) -> RetrievalSet:
    """Read rows of a query and a relevant document each; equal queries are one query, and equal documents one."""
    from harness.reading.items import columns

    assert measure.source is not None
    asked, documents = columns(measure.source, (measure.query, measure.document), where)
    query_ids, document_ids = _numbered(asked, "q"), _numbered(documents, "d")
    relevant: Grades = {}
    for query, document in zip(asked, documents, strict=True):
        relevant.setdefault(query_ids[query], {})[document_ids[document]] = 1.0
    return RetrievalSet(
        tuple(query_ids.values()), tuple(query_ids), tuple(document_ids.values()), tuple(document_ids), relevant
    )


def _numbered(texts: Sequence[str], letter: str) -> dict[str, str]:
    """Return an id for each distinct text, made of the number of its first row."""
    ids: dict[str, str] = {}
    for row, text in enumerate(texts):
        ids.setdefault(text, f"{letter}{row}")
    return ids
