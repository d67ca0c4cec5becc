"""The files of a report against each other: scores.csv and records.json have the same runs, the pages the same text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.report.html import html_page
from harness.report.verification.comparing import Compared
from harness.report.verification.published import OF_RUN, Published, canonical
from harness.store import reading
from harness.store.records import TUNING
from harness.text import from_csv, in_csv, shown

_FIGURE = re.compile(r"\]\((figures/\w+\.svg)\)")


def runs(report: Published) -> Iterator[Compared]:
    """Yield whether each run of scores.csv is that of records.json, and has a line if it is scored on test sets."""
    records = {record["id"]: record for of_study in report.records.values() for record in of_study}
    for line in report.lines:
        record = records.get(line["id"])
        if record is not None:
            yield from _run(line, record)
        elif line["outcome"] != "not done":
            yield Compared(0, f"scores.csv: run {shown(line['id'])} ({_named(line)}) is not in records.json")
    lines = Counter(line["id"] for line in report.lines)
    for name, number in lines.items():
        if name and number > 1:
            yield Compared(0, f"scores.csv: run {shown(name)} has {number} lines")
    for name, record in records.items():
        if record["stage"] not in TUNING and name not in lines:
            yield Compared(0, f"records.json: run {shown(name)} ({_named(record)}) is not in scores.csv")


def _named(run: Mapping[str, Any]) -> str:
    return shown(f"{run['study']}, {run['stage']}, seed {run['seed']}")


def _run(line: Mapping[str, str], record: Mapping[str, Any]) -> Iterator[Compared]:
    """Yield whether each cell of a line is what a record says."""
    point, scores, plain = record["point"] or {}, record["scores"], {**record, "study": canonical(record["study"])}
    said = {"study": canonical(from_csv(line["study"])), **{n: line[n] for n in ("stage", "seed", "outcome")}}
    pairs = [(name, text, plain[name]) for name, text in said.items()]
    pairs.append(("subject", line["subject"], record["provenance"].get("subject", "")))
    columns = {from_csv(name): text for name, text in line.items()}
    points = {name: text for name, text in columns.items() if "/" not in name and name not in OF_RUN}
    pairs += [(name, points.get(name, ""), point.get(name, "")) for name in sorted({*points, *point})]
    tests = {name: text for name, text in columns.items() if "/" in name}
    pairs += [(name, tests.get(name, ""), scores.get(name, "")) for name in sorted({*tests, *scores})]
    for name, text, value in pairs:
        if not _same(text, value):
            yield Compared(
                0,
                f"run {shown(line['id'])} ({_named(record)}): {shown(name)} is {shown(text) or 'empty'} in scores.csv, "
                f"{'missing' if value in ('', None) else shown(value)} in records.json",
            )


def _same(text: str, value: object) -> bool:
    """Return whether a cell holds a value."""
    if isinstance(value, float):
        with suppress(ValueError):
            return float(text) == value
    return text == ("" if value is None else str(in_csv(value)))


def page(report: Published, folder: Path) -> Compared:
    """Return whether report.html is the page that README.md gives, from its first character to its last.

    A folder without one, as in git, has nothing to compare.
    """
    try:
        there = reading.text(folder, "report.html")
    except FileNotFoundError:
        return Compared(0)
    except reading.Unreadable as problem:
        return Compared(0, f"report.html: {problem}")
    embedded = {}
    for name in {*_FIGURE.findall(report.page), "scores.csv"}:
        try:
            embedded[name] = reading.text(folder, *name.split("/")).encode()
        except (FileNotFoundError, reading.Unreadable) as problem:
            return Compared(0, f"README.md shows {name}, which cannot be read ({shown(problem)})")
    made = None
    with suppress(KeyError, ValueError):  # the README shows a picture that no report has
        made = html_page(report.page, embedded)
    differs = (
        "report.html is not the page of README.md; `harness report` writes both. If an earlier version wrote them, "
        "whose style sheet may have been another, write the report again, or delete report.html"
    )
    return Compared(0, None if there == made else differs)
