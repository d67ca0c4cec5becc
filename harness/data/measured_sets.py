"""Audit rules for the sets of measures: what is not scored, and what leaks inside a measure."""

from __future__ import annotations

from collections import Counter

from harness.data.findings import Finding
from harness.reading.beir import RetrievalSet
from harness.reading.items import columns
from harness.testbeds.measure_kinds import Classification
from harness.text import counted
from harness.texts.normal import normalise
from harness.texts.templates import templates


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
    ] + _templates(name, read, testbed)


def _templates(name: str, read: RetrievalSet, testbed: str) -> list[Finding]:
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
    return [Finding("note", f"testbed {testbed}", f"templates of queries of {name}", number, len(read.queries), words)]


def of_classification(measure: Classification, testbed: str) -> list[Finding]:
    """Return an error if texts that a classifier is scored on are among those that it is fitted on."""
    where = f"measure {measure.name!r}"
    fitted = {normalise(text) for text in columns(measure.train, (measure.text,), where)[0]}
    tested = [normalise(text) for text in columns(measure.test, (measure.text,), where)[0]]
    shared = sum(text in fitted for text in tested)
    if not shared:
        return []
    words = (
        f"{shared:,} of the {len(tested):,} texts on which the classifier of {measure.name} is scored are among those "
        "on which it is fitted. Divide them, e.g. by source.split(by=...)."
    )
    what = f"texts of {measure.name} in its own training texts"
    return [Finding("error", f"testbed {testbed}", what, shared, len(tested), words)]
