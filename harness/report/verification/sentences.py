"""Sentences that the files of a report decide: on ranks, lost runs, conditions, points and counts of the audit."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from harness.report.verification import comparing, runs
from harness.report.verification.comparing import Compared
from harness.report.verification.published import PageTable, Published, canonical, name_of, plain
from harness.text import NONE, counted

_FEW_SEEDS = 5
_UNSCORED = ("pruned", "infeasible", "diverged", "failed")


def check(report: Published) -> Iterator[Compared]:
    """Yield what was compared of the sentences outside of the first screen."""
    records = [record for of_study in report.records.values() for record in of_study]
    yield from _ranking(report)
    yield from _lost(report, records)
    yield from _conditions(report, records)
    yield from _audit(report)


def _must(report: Published, where: str, line: str) -> Compared:
    """Require a line, or the beginning of one."""
    there = re.search(rf"^{re.escape(line)}", plain(report.page), re.M) is not None
    return Compared(0, None if there else f"{where}: there should be {line!r}")


def _ranking(report: Published) -> Iterator[Compared]:
    """Compare what is said of the ranking with the ranks of its table; equal ranks may be listed in either order."""
    for table in report.tables:
        if "rank tuned" in table.header:
            places = [[int(cell) for cell in row[1:3]] for row in table.rows if NONE not in row[1:3]]
            both = list(itertools.combinations(places, 2))
            same = all((a[0] < b[0], a[0] > b[0]) == (a[1] < b[1], a[1] > b[1]) for a, b in both)
            ties = any(a[0] == b[0] for a, b in both)
            if both and not (same and ties):
                words = "does not change the ranking." if same else "changes the ranking: "
                yield _must(report, table.section, f"Tuning {words}")


def _lost(report: Published, records: list[dict[str, Any]]) -> Iterator[Compared]:
    """Compare the numbers of runs without scores, as a sentence and as a table."""
    outcomes = Counter(record["outcome"] for record in records)
    listed = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in _UNSCORED if outcomes[outcome])
    where = "Runs without scores"
    if listed:
        yield _must(report, where, f"{listed} of {len(records)} finished runs.")
    elif not any(line["unfit"] for line in report.lines):
        yield _must(report, where, "None: every finished run has scores.")
    expected = Counter((canonical(r["study"]), r["stage"], r["outcome"]) for r in records if r["outcome"] != "ok")
    printed: Counter[tuple[str, ...]] = Counter()
    for table in report.tables:
        if table.header[1:3] == ("stage", "outcome"):
            for row in table.rows:
                printed[plain(row[0]), row[1], row[2]] += int(row[-1])
    yield comparing.text(f"{where}, table", str(sorted(printed.items())), str(sorted(expected.items())))


def _conditions(report: Published, records: list[dict[str, Any]]) -> Iterator[Compared]:
    """Compare precision, threads, processor, versions, and the parts of the testbed with the records' provenance."""
    for key, start in (("precision", "precision "), ("threads", "threads "), ("hardware", ""), ("versions", "")):
        known = [record["provenance"][key] for record in records if record["provenance"].get(key) is not None]
        for text, number in Counter(_in_words(value) for value in known).items():
            yield _must(report, "How to reproduce this", f"- {start}{text} ({counted(number, 'run')})")
    precisions = {str(record["provenance"].get("precision") or "fp32") for record in records}
    if len(precisions) == 1 and "fp32" not in precisions:
        line = f"- All runs were trained in {precisions.pop()}, which rounds more coarsely than fp32."
        yield _must(report, "Threats to validity", line)
    found = re.search(r"; then (\d+) final runs? with", report.page)
    if found is not None and 1 < (seeds := int(found.group(1))) < _FEW_SEEDS:
        line = f"- The intervals over seeds are estimated from only {seeds} final seeds per point."
        yield _must(report, "Threats to validity", line)
    parts = {plain(row[0]): plain(row[1]) for table in report.tables if table.header[0] == "part" for row in table.rows}
    for record in report.records.get("untrained", []):
        for part, text in record["provenance"].get("revisions", {}).items():
            yield comparing.text(f"Data and base model: {part}", parts.get(canonical(part), ""), canonical(text))


def _in_words(value: object) -> str:
    """Return a part of the provenance as a list of names and values in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{canonical(name)} {_in_words(value[name])}" for name in sorted(value) if value[name])
    return " and ".join(map(_in_words, value)) if isinstance(value, list) else canonical(value)


def _audit(report: Published) -> Iterator[Compared]:
    """Compare the numbers of the audit's findings with the lines of its tables."""
    lines = Counter(row[0] for table in report.tables if table.header[0] == "severity" for row in table.rows)
    numbers = ", ".join(counted(lines[severity], severity) for severity in ("error", "warning", "note"))
    start = "Training rows and evaluation sets were audited before training: "
    if start in report.page or lines:
        yield _must(report, "Audit of the data", f"{start}{numbers}.")


def unshared(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the means of tasks that share pairs with the rows or the dev set, raw and without these pairs."""
    for row in table.rows:
        name = name_of(row[0])[0]
        records = runs.finals_of(report, name)
        for raw, without, task in zip(row[1::2], row[2::2], table.header[1::2], strict=True):
            both = [r for r in records if task in r["scores"] and task in r["unshared"]]
            for cell, field in ((raw, "scores"), (without, "unshared")):
                mean = [100 * fmean(r[field][task] for r in both)] if both else []
                yield comparing.numbers(f"{table.section}: {name}, {task}, {field}", cell, mean)


def first_points(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the first point of each study, which its first trial has."""
    for row in table.rows:
        name = name_of(row[0])[0]
        for record in report.records.get(name, []):
            if record["trial"] == 0 and record["seed"] == 0 and record["stage"] == "tune":
                point = record["point"]
                words = f"batch {point['batch_size']}, lr {point['lr']:.3g}"
                cell = plain(row[table.column("first point")])
                yield comparing.sentence(f"{table.section}: {name}, first point", cell, words)
