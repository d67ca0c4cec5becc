"""Audit rules for retrieval sets: what is left out, copies that are judged differently, and scores that say little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.data.chance import of_chance
from harness.data.findings import Finding
from harness.data.repeated import by_share, of_items
from harness.reading.beir import RetrievalSet
from harness.testbeds.measure_kinds import Retrieval
from harness.text import counted
from harness.texts.normal import normalise
from harness.texts.templates import templates


def of_retrieval(measure: Retrieval, read: RetrievalSet, where: str) -> list[Finding]:
    """Return findings on the set of a retrieval measure.

    Args:
        measure: the measure.
        read: its set.
        where: the testbed, as findings name it.
    """
    numbers: dict[str, int] = {}
    by_id = {
        id: numbers.setdefault(normalise(text), len(numbers))
        for id, text in zip(read.document_ids, read.documents, strict=True)
    }
    asked = [normalise(query) for query in read.queries]
    judged = [sorted({by_id[document] for document in read.relevant[id]}) for id in read.query_ids]
    return [
        *_left_out(measure.name, read, where),
        *_templates(measure.name, read, where),
        *of_items(measure, asked, judged, "set of relevant documents", where),
        *_copies(measure.name, read, by_id, where),
        *_queries_as_documents(measure.name, read, by_id, [numbers.get(query) for query in asked], where),
        *of_chance(measure, read, where),
    ]


def _left_out(name: str, read: RetrievalSet, where: str) -> list[Finding]:
    """Return notes on queries, judgements and documents that a measure does without."""
    queries, documents = len(read.queries) + read.left_out, len(read.documents)
    judged = read.unknown + sum(map(len, read.relevant.values()))
    notes = (
        ("queries left out", read.left_out, queries, "queries have no relevant document and are left out"),
        ("judgements left out", read.unknown, judged, "judgements name queries or documents that do not exist"),
        ("documents without a text", read.empty, documents, "documents have no text; they are ranked as empty texts"),
    )
    return [
        Finding("note", where, f"{what} of {name}", count, of, f"Of {name} {count:,} of {of:,} {words}.")
        for what, count, of, words in notes
        if count
    ]


def _templates(name: str, read: RetrievalSet, where: str) -> list[Finding]:
    """Return a note if queries follow templates: a verdict on them says little about questions of other kinds."""
    followed = Counter(template for template in templates(read.queries) if template is not None)
    if not followed:
        return []
    number, most = sum(followed.values()), max(followed.values())
    kinds = f"{counted(len(followed), 'template')}, the most frequent {most:,} times"
    words = (
        f"{number:,} of {len(read.queries):,} queries of {name} begin like many others ({kinds}). "
        "Intervals over queries draw whole templates, because other questions would have other ones."
    )
    return [Finding("note", where, f"templates of queries of {name}", number, len(read.queries), words)]


def _copies(name: str, read: RetrievalSet, by_id: dict[str, int], where: str) -> list[Finding]:
    """Return findings on documents that are equal except for case and punctuation.

    Args:
        name: name of the measure.
        read: its set.
        by_id: the number of each document's normalised text.
        where: the testbed, as findings name it.
    """
    documents, queries, copies = len(by_id), len(read.queries), Counter(by_id.values())
    findings = []
    if repeats := documents - len(copies):
        words = (
            f"{repeats:,} of {documents:,} documents of {name} repeat an earlier one, except for case and punctuation. "
            "Each copy takes a rank of its own. Keep one of them."
        )
        findings.append(
            Finding(by_share(repeats, documents), where, f"repeated documents of {name}", repeats, documents, words)
        )
    relevant = (Counter(by_id[document] for document in read.relevant[id]) for id in read.query_ids)
    if against := sum(any(number < copies[text] for text, number in each.items()) for each in relevant):
        words = (
            f"{against:,} of {queries:,} queries of {name} have a relevant document that is repeated under another id "
            "which is not judged relevant to them. No model can tell the two apart, so a correct ranking loses points. "
            "Keep one copy of each document, or judge all copies alike."
        )
        findings.append(Finding("warning", where, f"copies judged differently in {name}", against, queries, words))
    return findings


def _queries_as_documents(
    name: str, read: RetrievalSet, by_id: dict[str, int], asked: Sequence[int | None], where: str
) -> list[Finding]:
    """Return findings on queries whose own text is in the corpus, where most models rank it first.

    Args:
        name: name of the measure.
        read: its set.
        by_id: the number of each document's normalised text.
        asked: the number of each query's normalised text, None if it is no document's.
        where: the testbed, as findings name it.
    """
    copies = Counter(by_id.values())
    found: Counter[bool] = Counter()
    for id, text in zip(read.query_ids, asked, strict=True):
        left_out = read.exclude and by_id.get(id) == text
        if text is not None and copies[text] > left_out:
            found[text in {by_id[document] for document in read.relevant[id]}] += 1
    queries = len(read.queries)
    kinds = (
        (
            found[False],
            "irrelevant",
            "not judged relevant",
            "Most models rank this document first and lose points by it. Remove these documents, judge them, or give "
            "each the id of its query, by which it is left out of that query's ranking.",
        ),
        (
            found[True],
            "relevant",
            "judged relevant",
            "Most models rank this document first, so these queries hardly tell models apart. Remove them.",
        ),
    )
    return [
        Finding(
            by_share(count, queries),
            where,
            f"queries of {name} that are {kind} documents",
            count,
            queries,
            f"{count:,} of {queries:,} queries of {name} are equal, except for case and punctuation, to a document "
            f"that is {judged} to them. {consequence}",
        )
        for count, kind, judged, consequence in kinds
        if count
    ]
