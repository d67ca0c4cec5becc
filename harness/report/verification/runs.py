"""Tables of a published report that its records.json gives."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.report import titles
from harness.report.verification.comparing import NUMBER, Compared, numbers, sentence, text
from harness.report.verification.published import PageTable, Published, name_of, plain
from harness.scores import OBJECTIVE
from harness.spec.budget import TUNING_STEP
from harness.text import NONE


def minutes(records: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(record["train_seconds"] + record["eval_seconds"] for record in records)) / 60


def finals_of(report: Published, study: str) -> list[dict[str, Any]]:
    """Return the records of a study's final runs at its best point that have scores."""
    ids = report.seeds(study).ids
    return [record for record in report.records.get(study, []) if record["id"] in ids]


def cost(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield means per run and the minutes of each study."""
    for row in table.rows:
        name = name_of(row[0])[0]
        records = finals_of(report, name)
        for field, cell in zip(("steps", "examples_seen", "train_seconds", "peak_memory_mb"), row[1:5], strict=True):
            expected = (fmean(record[field] for record in records),) if records else ()
            yield numbers(f"{table.section}: {name}, {field}", cell, expected)
        yield numbers(f"{table.section}: {name}, minutes", row[5], (minutes(report.records.get(name, [])),))


def _trials(report: Published, study: str) -> list[dict[str, Any]]:
    """Return the trials of a study's first tuning, in order."""
    of_study = report.records.get(study, [])
    tuned = [record for record in of_study if record["stage"] == "tune" and record["seed"] < TUNING_STEP]
    return sorted(tuned, key=lambda record: int(record["trial"]))


def choices(report: Published) -> Iterator[Compared]:
    """Yield whether the final runs of each study are at the point that its tuning gives."""
    for study, records in report.records.items():
        at_best = set(report.seeds(study).ids)
        for record in records:
            if record["id"] in at_best and record["stage"] == "final":
                expected = _best_point(records, record["seed"] // TUNING_STEP)
                yield text(f"records.json: {study}, seed {record['seed']}, point", str(record["point"]), str(expected))
        repeated = any(r["stage"] == "repeat" and r["seed"] < TUNING_STEP for r in records)
        if repeated and not any(row[0] and name_of(row[0])[0] == study for row in _chosen(report)):
            yield Compared(0, f"{study}: the report does not say how its best point was chosen")


def _chosen(report: Published) -> Iterator[Sequence[str]]:
    """Yield the rows of the table that says how best points were chosen."""
    return (row for table in report.tables if "dev in its trial" in table.header for row in table.rows)


def _best_point(records: Sequence[Mapping[str, Any]], tuning: int) -> Any:
    """Return the point that a tuning gives; None if none of its trials succeeded."""
    rivals = _rivals(records, tuning)
    return max(rivals, key=lambda rival: (rival.sound, rival.mean)).trial["point"] if rivals else None


@dataclass(frozen=True)
class _Rival:
    """A trial that may be the best one."""

    trial: Mapping[str, Any]
    """Its record."""
    mean: float
    """The mean of its dev score and those of its repeats."""
    runs: int
    """How many dev scores that are."""
    sound: bool
    """Whether none of its repeats diverged or ran out of memory."""


def _rivals(records: Sequence[Mapping[str, Any]], tuning: int) -> list[_Rival]:
    """Return the trials of a tuning that may be the best: the three best ones if they were repeated, else one."""
    tuned = [r for r in records if r["stage"] in ("tune", "repeat") and r["seed"] // TUNING_STEP == tuning]
    repeated = [r for r in tuned if r["stage"] == "repeat"]
    scored = [r for r in tuned if r["stage"] == "tune" and _dev(r) is not None]
    scored.sort(key=lambda r: (-(_dev(r) or 0.0), r["trial"]))
    rivals = []
    for trial in scored[: 3 if repeated else 1]:
        again = [r for r in repeated if r["point"] == trial["point"]]
        scores = [dev for r in (trial, *again) if (dev := _dev(r)) is not None]
        sound = all(r["outcome"] not in ("diverged", "infeasible") for r in again)
        rivals.append(_Rival(trial, fmean(scores), len(scores), sound))
    return rivals


def choice(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the scores between which the best point of each study was chosen."""
    for name, rows in itertools.groupby(table.rows, lambda row: name_of(row[0])[0]):
        rivals, best = _rivals(report.records.get(name, []), 0), _best_point(report.records.get(name, []), 0)
        for row, rival in itertools.zip_longest(rows, rivals):
            if row is None or rival is None:
                yield Compared(0, f"{table.section}: {name} has another number of rivals than the records give")
                return
            where = f"{table.section}: {name}, trial {rival.trial['trial']}"
            trial = (rival.trial["trial"], 100 * (_dev(rival.trial) or 0.0), 100 * rival.mean, rival.runs)
            yield numbers(where, f"{row[2]} {row[3]} {row[4]} {row[5]}", trial)
            point = rival.trial["point"]
            yield sentence(f"{where}, point", plain(row[1]), f"batch {point['batch_size']}, lr {point['lr']:.3g}")
            yield text(f"{where}, chosen", row[6], "yes" if rival.trial["point"] == best else "no")


def _dev(record: Mapping[str, Any]) -> float | None:
    score = record["scores"].get(record.get("objective", OBJECTIVE)) if record["outcome"] == "ok" else None
    return None if score is None else float(score)


def budgets(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield numbers of trials and points, and the ranges of examples and steps."""
    for row in table.rows:
        name = name_of(row[0])[0]
        ok = [record for record in _trials(report, name) if record["outcome"] == "ok"]
        points = {str(sorted(record["point"].items())) for record in ok}
        yield from _unscored(report, table, row)
        for title, number in (("scored", len(ok)), ("distinct points", len(points))):
            yield numbers(f"{table.section}: {name}, {title}", row[table.column(title)], (number,))
        for title, field in (("examples per trial", "examples_seen"), ("steps", "steps")):
            ends = sorted({min((r[field] for r in ok), default=0), max((r[field] for r in ok), default=0)})
            if ok:
                yield numbers(f"{table.section}: {name}, {title}", row[table.column(title)], tuple(ends))


def _unscored(report: Published, table: PageTable, row: Sequence[str]) -> Iterator[Compared]:
    """Yield the number of trials, and how many of them ended without a score; of those not done there is no record."""
    name = name_of(row[0])[0]
    trials, cell = _trials(report, name), row[table.column("not scored")]
    printed = {outcome: int(number) for number, outcome in re.findall(r"(\d+) ([a-z ]+)", cell)}
    known = Counter(record["outcome"] for record in trials if record["outcome"] != "ok")
    known["not done"] = printed.get("not done", 0)
    total = len(trials) + known["not done"]
    where = f"{table.section}: {name}, "
    yield numbers(where + "trials", row[table.column("trials")], (total,))
    expected = ", ".join(f"{number} {outcome}" for outcome, number in sorted(known.items()) if number)
    yield text(where + "not scored", cell, expected or NONE)


_BUDGET = re.compile(r"the same budget: (.*?) trials? of ([\d.,e+-]+) (epoch|example).*?; then (\d+) final runs?")


def budget(report: Published) -> Iterator[Compared]:
    """Yield the trials, their length and the final runs that the sentence on the budget states.

    If final seeds are added until claims are decided, the records do not tell how many there were at first.
    """
    where, found = "budget", _BUDGET.search(report.page)
    if found is None:
        yield Compared(0, f"{where}: the page does not say which budget the studies have")
        return
    table = next((table for table in report.tables if "distinct points" in table.header), None)
    trials = sorted({int(row[table.column("trials")]) for row in table.rows}) if table is not None else []
    yield numbers(f"{where}, trials", found.group(1), trials)
    every = [record for records in report.records.values() for record in records if record["stage"] == "tune"]
    for objective in {record["objective"] for record in every}:
        scored = f", scored by {titles.of_score(objective)}, the first at "
        yield Compared(0, None if scored in plain(report.page) else f"{where}: there should be {scored!r}")
    yield from _first(report, where)
    trained = [content for record in every if (content := record["provenance"].get("trained"))]
    length, unit = float(found.group(2).replace(",", "")), found.group(3)
    for content in trained:
        known = ("epoch", content["epochs"]) if content["examples"] is None else ("example", content["examples"])
        if (unit, f"{length:g}") != (known[0], f"{known[1]:g}"):
            yield Compared(
                0, f"{where}: {found.group(2)} {unit}s are printed, the records give {known[1]:g} {known[0]}s"
            )
    seeds = {int(line["seed"]) % TUNING_STEP for line in report.lines if line["stage"] == "final"}
    added = "Final seeds are added one at a time" in report.page
    yield numbers(f"{where}, final runs", found.group(4), [None if added or not seeds else len(seeds)])


def _first(report: Published, where: str) -> Iterator[Compared]:
    """Yield whether the budget names the point of all studies' first trials, or says that they differ."""
    trials = [_trials(report, study)[:1] for study in report.studies]
    points = [first["point"] for of_study in trials for first in of_study if first["trial"] == 0]
    if points and len(points) == len(report.studies):
        same = all(point == points[0] for point in points)
        words = f"batch {points[0]['batch_size']}, lr {points[0]['lr']:.3g}" if same else "each study's default point"
        found = f", the first at {words}" in plain(report.page)
        yield Compared(0, None if found else f"{where}: there should be 'the first at {words}'")


def diagnostics(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the diagnostics of each study, but the separation, which needs predictions."""
    figures = {"mean cosine": "anisotropy", "effective rank": "effective_rank"}
    for row in table.rows:
        name = name_of(row[0])[0]
        records = [record for record in finals_of(report, name) if record["diagnostics"]]
        dev = [score for record in records if (score := _dev(record)) is not None]
        yield numbers(f"{table.section}: {name}, dev", row[1], (100 * fmean(dev),) if dev else ())
        for title, cell in zip(table.header[2:6], row[2:6], strict=True):
            values = [record["diagnostics"][figures.get(title, title)] for record in records]
            yield numbers(f"{table.section}: {name}, {title}", cell, (fmean(values),) if values else ())


def fixed_points(report: Published) -> dict[str, list[float | None]]:
    """Return the dev scores of the points that are fixed in advance, by study, without the default point.

    A study of which not all of these trials have ended has an empty list.
    """
    fixed: dict[str, list[float | None]] = {}
    for table in report.tables:
        for row in table.rows if "distinct points" in table.header else ():
            name = name_of(row[0])[0]
            scores = [_dev(record) for record in _trials(report, name) if 1 <= record["trial"] < 8]
            planned = min(int(row[table.column("trials")]), 8) - 1
            fixed[name] = scores if len(scores) == planned else []
    return fixed


def tuning(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the default point's dev score and the best of k points, by listing every choice of k points."""
    of_studies = fixed_points(report)
    for row in table.rows:
        name = name_of(row[0])[0]
        trials, fixed = _trials(report, name), of_studies.get(name, [])
        first = _dev(trials[0]) if trials and trials[0]["trial"] == 0 else None
        yield numbers(f"{table.section}: {name}, default point", row[1], () if first is None else (100 * first,))
        for title, cell in zip(table.header[2:], row[2:], strict=True):
            number = int(NUMBER.findall(title)[0])
            choices = [[s for s in c if s is not None] for c in itertools.combinations(fixed, number)]
            expected = (100 * fmean(map(max, choices)),) if choices and all(choices) else ()
            yield numbers(f"{table.section}: {name}, {title}", cell, expected)


def rows_used(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the rows that each study trained on."""
    for row in table.rows:
        name = name_of(row[0])[0]
        used = sorted({record["rows"] for record in report.records.get(name, []) if record["rows"]})
        yield numbers(
            f"{table.section}: {name}, rows used", row[table.column("rows used")].replace(", ", " "), tuple(used)
        )
        known = (record["provenance"].get("rows_asked") for record in report.records.get(name, []))
        asked = sorted({int(number) for number in known if number is not None})
        if asked:
            expected = ", ".join(f"{number:,}" for number in asked)
            yield text(f"{table.section}: {name}, rows requested", row[table.column("rows requested")], expected)
