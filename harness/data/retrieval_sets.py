"""Audit rules for retrieval sets: what of them is not scored."""

from __future__ import annotations

from harness.data.findings import Finding
from harness.reading.beir import RetrievalSet


def of_retrieval(name: str, read: RetrievalSet, testbed: str) -> list[Finding]:
    """Return notes on queries, judgements and documents that a retrieval measure does without.

    Args:
        name: name of the measure.
        read: its set.
        testbed: name of the testbed.
    """
    queries, documents = len(read.queries) + read.left_out, len(read.documents)
    judged = read.unknown + sum(map(len, read.relevant.values()))
    notes = (
        ("queries left out", read.left_out, queries, "queries have no relevant document and are left out"),
        ("judgements left out", read.unknown, judged, "judgements name queries or documents that do not exist"),
        ("documents without a text", read.empty, documents, "documents have no text; they are ranked as empty texts"),
    )
    return [
        Finding("note", f"testbed {testbed}", f"{what} of {name}", count, of, f"Of {name} {count:,} of {of:,} {words}.")
        for what, count, of, words in notes
        if count
    ]
