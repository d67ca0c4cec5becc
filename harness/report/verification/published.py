"""A published report as a reader has it: the tables of its README.md, its scores.csv and its records.json."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import UsageError
from harness.report import titles
from harness.spec.budget import TUNING_STEP
from harness.store import reading
from harness.store.records import Record
from harness.text import NONE, escape, from_csv

UNTRAINED = "untrained"
_MARKS = re.compile(r"(?: [†‡])*$")


@dataclass(frozen=True)
class PageTable:
    """A table of the page."""

    section: str
    """The heading above it."""
    header: tuple[str, ...]
    """Titles of the columns, as they are read."""
    rows: tuple[tuple[str, ...], ...]
    """The cells, as they stand in the page."""
    well_formed: bool = True
    """Whether a rule follows the titles, and each row has as many cells as there are titles."""

    def column(self, title: str) -> int:
        """Return the place of a column."""
        return self.header.index(title)


@dataclass(frozen=True)
class Seeds:
    """The final runs of a study at its best or at its default point, or the untrained model's run."""

    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    """The scores of each seed that has any, by name."""
    lost: list[int] = field(default_factory=list)
    """The seeds without scores."""
    diverged: list[int] = field(default_factory=list)
    """Those of `lost` that diverged."""
    ids: list[str] = field(default_factory=list)
    """The ids of the runs that have scores."""
    constant: bool = False
    """True for the untrained model, whose scores do not depend on a seed."""
    by_tuning: bool = False
    """Whether the repetitions are tunings, each with several seeds."""

    @property
    def planned(self) -> int:
        return len({*self.scores, *self.lost})

    def values(self, score: str) -> dict[int, float]:
        """Return one score by seed."""
        return {seed: scores[score] for seed, scores in self.scores.items() if score in scores}

    def ended(self, score: str) -> dict[int, float]:
        """Return one score by seed, 0 for those that diverged."""
        return self.values(score) | dict.fromkeys(self.diverged, 0.0)

    def repetitions(self, score: str, seeds: Collection[int] | None = None) -> list[float]:
        """Return the independent repetitions: one number per seed, or per tuning the mean over its seeds."""
        ended = sorted((seed, number) for seed, number in self.ended(score).items() if seeds is None or seed in seeds)
        if not self.by_tuning:
            return [number for _, number in ended]
        return [fmean(number for _, number in of) for _, of in groupby(ended, lambda pair: pair[0] // TUNING_STEP)]


@dataclass(frozen=True)
class Published:
    """A report's folder."""

    page: str
    """The text of README.md."""
    ablation: str
    """Name of the ablation in records.json."""
    testbed: str
    """Name of the testbed there."""
    lines: tuple[Mapping[str, str], ...]
    """The lines of scores.csv."""
    tables: tuple[PageTable, ...]
    """The tables of README.md."""
    headline: str
    """Name of the score that the result table is about; empty if no run has it."""
    best: Mapping[str, Seeds]
    """By study, the final runs at its best point; the untrained model's run."""
    default: Mapping[str, Seeds]
    """By study, the final runs at its default point."""
    points: Mapping[str, str]
    """By study, its first best point as text."""
    records: Mapping[str, list[dict[str, Any]]]
    """By study, its records."""
    sharing: tuple[frozenset[str], ...]
    """The groups of studies that share their seeds."""

    @property
    def studies(self) -> list[str]:
        """The names of the studies, in the order of the study file, without the untrained model."""
        return list(dict.fromkeys(name for name in (*self.default, *self.best) if name != UNTRAINED))

    def seeds(self, study: str, *, default: bool = False) -> Seeds:
        """Return a study's final runs at one point; the untrained model has one run for both."""
        return (self.default if default and study != UNTRAINED else self.best).get(study, Seeds())

    def score(self, title: str) -> str:
        """Return the name of the score that a column's title stands for; empty if none does."""
        return _score(title, self.lines)

    def shares(self, one: str, other: str) -> bool:
        """Return whether two studies are compared seed by seed."""
        return any(one in group and other in group for group in self.sharing)


def read(folder: Path) -> Published:
    """Read a report's folder.

    Raises:
        UsageError: README.md, scores.csv or records.json is missing or cannot be read.
    """
    try:
        page = reading.text(folder, "README.md")
        lines = list(csv.DictReader(io.StringIO(reading.text(folder, "scores.csv"), newline=""), restval=""))
        whole = reading.parsed(reading.text(folder, "records.json"))
        if "seeds_shared" not in whole:
            raise ValueError("an older version of the harness wrote it; write the report again")
        ablation, testbed = (reading.typed(whole.get(name), str, f"its {name}") for name in ("ablation", "testbed"))
        records: dict[str, list[dict[str, Any]]] = {}
        for record in whole["records"]:
            if lacking := _FIELDS - record.keys():
                raise ValueError(f"a record has no {', '.join(sorted(lacking))}")
            records.setdefault(canonical(record["study"]), []).append(record)
        groups = reading.typed(whole["seeds_shared"], tuple[tuple[str, ...], ...], "its seeds_shared")
        sharing = tuple(frozenset(map(canonical, group)) for group in groups)
        tables = tuple(_tables(page))
        headline = _score(
            next((t.header[2] for t in tables if t.header[:2] == ("study", "rank") != t.header), ""), lines
        )
        best, default, points = _finals(lines, headline)
    except (OSError, reading.Unreadable, ValueError, AttributeError, LookupError, TypeError, csv.Error) as problem:
        raise UsageError(
            f"{folder}: cannot be read as a report ({problem}); give a folder with the "
            "README.md, scores.csv and records.json that `harness report` wrote"
        ) from problem
    return Published(page, ablation, testbed, tuple(lines), tables, headline, best, default, points, records, sharing)


def _score(title: str, lines: Sequence[Mapping[str, str]]) -> str:
    """Return the name of the score that has a title; empty if none has."""
    names = {name for line in lines[:1] for name in line if "/" in name}
    return next((name for name in sorted(names) if titles.of_score(name) == title.partition("<br>")[0]), "")


_FIELDS = {each.name for each in fields(Record)} - {"items"}
"""What records.json says of each run."""

OF_RUN = {"study", "stage", "roles", "seed", "id", "outcome", "unfit", "subject"}
"""The columns of scores.csv besides those of points and scores."""


def _finals(lines: list[dict[str, str]], headline: str) -> tuple[dict[str, Seeds], dict[str, Seeds], dict[str, str]]:
    best: dict[str, Seeds] = {}
    default: dict[str, Seeds] = {}
    named: dict[str, dict[tuple[str, ...], str]] = {}
    tunings = any(int(line["seed"]) >= TUNING_STEP for line in lines)
    for line in lines:
        study, seed, roles = canonical(from_csv(line["study"])), int(line["seed"]), line["roles"].split("+")
        constant = line["stage"] == UNTRAINED
        scores = {name: float(text) for name, text in line.items() if "/" in name and text}
        for of_role, role in ((best, "best"), (default, "default")):
            if role not in roles and not (constant and role == "best"):
                continue
            seeds = of_role.setdefault(study, Seeds(constant=constant, by_tuning=tunings and role == "best"))
            if line["outcome"] == "ok":
                seeds.scores[seed] = dict(scores)
                seeds.ids.append(line["id"])
            if line["outcome"] != "ok" or line["unfit"]:
                seeds.scores.get(seed, {}).pop(headline, None)
                seeds.lost.append(seed)
                seeds.diverged.extend([seed] * (line["outcome"] == "diverged" and not constant))
        if "best" in roles:
            point = f"batch {line['batch_size']}, lr {float(line['lr']):.3g}" if line["lr"] else NONE
            values = tuple(text for name, text in line.items() if "/" not in name and name not in OF_RUN)
            named.setdefault(study, {}).setdefault(values, point)
    points = {study: _in_words(list(of_study.values())) for study, of_study in named.items()}
    _add_tunings_without_finals(best, lines)
    return best, default, points


def _in_words(points: Sequence[str]) -> str:
    """Return the first point and the number of the others; nothing is said of others while the first is not known."""
    others = len(points) - 1 if points[0] != NONE else 0
    return points[0] + (f"<br>and {others} other point{'s' * (others > 1)}" if others else "")


def _add_tunings_without_finals(best: Mapping[str, Seeds], lines: list[dict[str, str]]) -> None:
    """Count the final seeds as lost that a tuning would have had if one of its trials had succeeded."""
    tunings = {int(line["seed"]) // TUNING_STEP for line in lines if "best" in line["roles"].split("+")}
    for seeds in best.values():
        if seeds.constant:
            continue
        known = [seed // TUNING_STEP for seed in {*seeds.scores, *seeds.lost}]
        each = max((known.count(tuning) for tuning in known), default=0)
        without = sorted(tunings.difference(known))
        seeds.lost.extend(TUNING_STEP * tuning + number for tuning in without for number in range(1, each + 1))


def plain(cell: str) -> str:
    """Return a cell's text without markdown's escapes."""
    return re.sub(r"\\(.)", r"\1", cell)


def canonical(name: object) -> str:
    """Return a name as a reader of the page reads it."""
    return plain(escape(name))


def name_of(cell: str) -> tuple[str, bool]:
    """Return the study that a cell names, and whether it is marked as one that lost seeds."""
    unmarked = _MARKS.sub("", cell)
    return plain(unmarked.removeprefix("**").removesuffix("**")), "‡" in cell[len(unmarked) :]


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
            rule = all(re.fullmatch("--[-:]", cell) for cell in cells[1]) if cells[1:] else False
            well_formed = rule and len({*map(len, cells)}) == 1
            yield PageTable(section, tuple(map(plain, cells[0])), tuple(cells[2:]), well_formed)
        number += 1
