"""A published report as a reader has it: the tables of its README.md, its scores.csv and its records.json.

Read for `harness.report.verify`, by code that shares nothing with the code that writes reports but the titles of
scores and the rules by which texts are escaped.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.text import from_csv

MARKS = re.compile(r"(?: [†‡])*$")


@dataclass(frozen=True)
class PageTable:
    """A table of the page."""

    section: str
    """The heading above it."""
    header: tuple[str, ...]
    """Titles of the columns, as they are read."""
    rows: tuple[tuple[str, ...], ...]
    """The cells, as they stand in the page."""


@dataclass(frozen=True)
class Seeds:
    """Scores of a study's final runs at one point: by seed, all scores by name."""

    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    """The scores of each seed that has any."""
    lost: list[int] = field(default_factory=list)
    """The seeds that ended without scores."""

    def values(self, score: str) -> dict[int, float]:
        """Return one score by seed."""
        return {seed: scores[score] for seed, scores in self.scores.items() if score in scores}


@dataclass(frozen=True)
class Published:
    """A report's folder."""

    page: str
    """The text of README.md."""
    lines: tuple[Mapping[str, str], ...]
    """The lines of scores.csv."""
    tables: tuple[PageTable, ...]
    """The tables of README.md."""
    best: Mapping[str, Seeds]
    """By study, the final runs at its best point, or the untrained model's run."""
    default: Mapping[str, Seeds]
    """By study, the final runs at its default point."""
    points: Mapping[str, str]
    """By study, its best point as text."""
    records: Mapping[str, list[dict[str, Any]]]
    """By study, its records; empty if the report has no records.json."""


def read(folder: Path) -> Published:
    """Read a report's folder.

    Raises:
        UsageError: README.md or scores.csv is missing or cannot be read, or they contradict records.json.
    """
    try:
        page = (folder / "README.md").read_text(encoding="utf-8")
        with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        records = _records(folder / "records.json")
        best, default, points = _finals(lines)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as problem:
        raise UsageError(
            f"{folder}: cannot be read as a report ({problem}); give a folder with README.md and scores.csv"
        ) from problem
    return Published(page, tuple(lines), tuple(_tables(page)), best, default, points, records)


def _records(path: Path) -> dict[str, list[dict[str, Any]]]:
    by_study: dict[str, list[dict[str, Any]]] = {}
    if path.exists():
        for record in json.loads(path.read_text(encoding="utf-8"))["records"]:
            by_study.setdefault(record["study"], []).append(record)
    return by_study


def _finals(lines: list[dict[str, str]]) -> tuple[dict[str, Seeds], dict[str, Seeds], dict[str, str]]:
    best: dict[str, Seeds] = {}
    default: dict[str, Seeds] = {}
    points: dict[str, str] = {}
    for line in lines:
        study, seed, roles = from_csv(line["study"]), int(line["seed"]), line["roles"].split("+")
        scores = {name: float(text) for name, text in line.items() if "/" in name and text}
        for of_role, role in ((best, "best"), (default, "default")):
            if role in roles or (line["stage"] == "untrained" and role == "best"):
                seeds = of_role.setdefault(study, Seeds())
                if line["outcome"] == "ok":
                    seeds.scores[seed] = scores
                else:
                    seeds.lost.append(seed)
        if "best" in roles:
            points[study] = f"batch {line['batch_size']}, lr {float(line['lr']):.3g}"
    return best, default, points


def plain(cell: str) -> str:
    """Return a cell's text without markdown's escapes."""
    return re.sub(r"\\(.)", r"\1", cell)


def name_of(cell: str) -> tuple[str, bool]:
    """Return the study that a cell names, and whether it is marked as one that lost seeds."""
    marks = MARKS.search(cell)
    return plain(MARKS.sub("", cell)), marks is not None and "‡" in marks.group()


def _tables(page: str) -> Iterator[PageTable]:
    section, lines = "", page.splitlines()
    number = 0
    while number < len(lines):
        if lines[number].startswith("#"):
            section = lines[number].lstrip("# ")
        if lines[number].startswith("| "):
            first = number
            while number < len(lines) and lines[number].startswith("| "):
                number += 1
            cells = [tuple(map(str.strip, re.split(r"(?<!\\)\|", line)[1:-1])) for line in lines[first:number]]
            yield PageTable(section, tuple(map(plain, cells[0])), tuple(cells[2:]))
        number += 1
