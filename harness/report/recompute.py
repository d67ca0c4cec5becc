"""Numbers of a published report that its records.json gives, and how a number is compared with what is printed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.report.published import PageTable, Published, name_of, plain
from harness.scores import OBJECTIVE

UNTRAINED = "untrained"
NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Checked:
    """The numbers of one cell or sentence."""

    where: str
    """Where they stand."""
    printed: str
    """The text as it stands there."""
    expected: tuple[float | str | None, ...]
    """The numbers that should stand there, in order; None for one that cannot be recomputed, a text for a word."""

    @property
    def problem(self) -> str | None:
        """What is wrong; None if nothing is."""
        words = [each for each in self.expected if isinstance(each, str)]
        if missing := next((word for word in words if word not in plain(self.printed)), None):
            return f"{self.where}: {plain(self.printed)!r} should have {missing!r}"
        numbers = [each for each in self.expected if not isinstance(each, str)]
        printed = NUMBER.findall(self.printed) if numbers or not words else []
        if len(printed) != len(numbers):
            return f"{self.where}: {self.printed!r} has {len(printed)} numbers, the records give {len(numbers)}"
        for text, number in zip(printed, numbers, strict=True):
            if number is not None and not _equal(text, number):
                return f"{self.where}: {text} is printed, the records give {number:.6g}"
        return None


def _equal(text: str, number: float) -> bool:
    """Return whether a printed number is a number, rounded to as many decimals as are printed."""
    digits = text.replace(",", "").replace("−", "-")
    return bool(abs(float(digits) - number) <= 0.5 * 10 ** -len(digits.partition(".")[2]) + 1e-6)


def minutes(records: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(record["train_seconds"] + record["eval_seconds"] for record in records)) / 60


def _finals_of(report: Published, study: str) -> list[dict[str, Any]]:
    """Return the records of a study's final runs at its best point that have scores."""
    ok = [r for r in report.records.get(study, []) if r["outcome"] == "ok" and r["stage"] != "tune"]
    if study == UNTRAINED:
        return ok
    return [r for r in ok if f"batch {r['point']['batch_size']}, lr {r['point']['lr']:.3g}" == report.points.get(study)]


def cost(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield means per run and the minutes of each study."""
    for row in table.rows:
        name = name_of(row[0])[0]
        records = _finals_of(report, name)
        for field, cell in zip(("steps", "examples_seen", "train_seconds", "peak_memory_mb"), row[1:5], strict=True):
            expected = (fmean(record[field] for record in records),) if records else ()
            yield Checked(f"{table.section}: {name}, {field}", cell, expected)
        yield Checked(f"{table.section}: {name}, minutes", row[5], (minutes(report.records.get(name, [])),))


def _trials(report: Published, study: str) -> list[dict[str, Any]]:
    tuned = [record for record in report.records.get(study, []) if record["stage"] == "tune"]
    return sorted(tuned, key=lambda record: int(record["trial"]))


def _dev(record: Mapping[str, Any]) -> float | None:
    score = record["scores"].get(record.get("objective", OBJECTIVE)) if record["outcome"] == "ok" else None
    return None if score is None else float(score)


def budgets(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield numbers of trials and points, and the ranges of examples and steps."""
    for row in table.rows:
        name = name_of(row[0])[0]
        ok = [record for record in _trials(report, name) if record["outcome"] == "ok"]
        points = {str(sorted(record["point"].items())) for record in ok}
        for title, number in (("scored", len(ok)), ("distinct points", len(points))):
            yield Checked(f"{table.section}: {name}, {title}", row[table.header.index(title)], (number,))
        for title, field in (("examples per trial", "examples_seen"), ("steps", "steps")):
            ends = sorted({min((r[field] for r in ok), default=0), max((r[field] for r in ok), default=0)})
            if ok:
                yield Checked(f"{table.section}: {name}, {title}", row[table.header.index(title)], tuple(ends))


def diagnostics(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield the diagnostics of each study, but the separation, which needs predictions."""
    figures = {"mean cosine": "anisotropy", "effective rank": "effective_rank"}
    for row in table.rows:
        name = name_of(row[0])[0]
        records = [record for record in _finals_of(report, name) if record["diagnostics"]]
        dev = [score for record in records if (score := _dev(record)) is not None]
        yield Checked(f"{table.section}: {name}, dev", row[1], (100 * fmean(dev),) if dev else ())
        for title, cell in zip(table.header[2:6], row[2:6], strict=True):
            values = [record["diagnostics"][figures.get(title, title)] for record in records]
            yield Checked(f"{table.section}: {name}, {title}", cell, (fmean(values),) if values else ())


def tuning(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield the default point's dev score and the best of k points, by listing every choice of k points."""
    for row in table.rows:
        name = name_of(row[0])[0]
        trials = _trials(report, name)
        first = _dev(trials[0]) if trials else None
        yield Checked(f"{table.section}: {name}, default point", row[1], () if first is None else (100 * first,))
        fixed = [_dev(record) for record in trials if 1 <= record["trial"] < 8]
        for title, cell in zip(table.header[2:], row[2:], strict=True):
            number = int(NUMBER.findall(title)[0])
            choices = [[s for s in c if s is not None] for c in itertools.combinations(fixed, number)]
            expected = (100 * fmean(map(max, choices)),) if choices and all(choices) else ()
            yield Checked(f"{table.section}: {name}, {title}", cell, expected)


def rows_used(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield the rows that each study trained on."""
    for row in table.rows:
        name = name_of(row[0])[0]
        used = sorted({record["rows"] for record in report.records.get(name, []) if record["rows"]})
        yield Checked(
            f"{table.section}: {name}, rows used", row[table.header.index("rows used")].replace(", ", " "), tuple(used)
        )
