"""Recompute the numbers of a published report from its records, by a short path of its own.

The path is independent of the code that writes reports: means and standard deviations by Python's `statistics`,
Student's quantile by scipy, ranks by counting. Intervals over test items, and what is computed from predictions, need
the predictions, which no report has: these numbers are counted as not checked.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from harness.report import recompute, titles
from harness.report.published import PageTable, Published, Seeds, name_of, plain, read
from harness.report.recompute import NUMBER, UNTRAINED, Checked, minutes
from harness.store.records import Record


@dataclass(frozen=True)
class Outcome:
    """What the verification of a report found."""

    checked: int
    """How many numbers were recomputed."""
    unchecked: int
    """How many numbers of the tables were not, because that needs predictions or the audit."""
    problem: str | None
    """The first disagreement; None if there is none."""


def verify(folder: Path) -> Outcome:
    """Recompute a report's numbers, up to the first that disagrees.

    Raises:
        UsageError: the folder has no report.
    """
    report, checked = read(folder), 0
    of_tables = itertools.chain.from_iterable(_of_table(report, table) for table in report.tables)
    for each in (*_headline(report), *of_tables):
        if each.problem is not None:
            return Outcome(checked, 0, each.problem)
        checked += sum(isinstance(number, int | float) for number in each.expected)
    cells = [cell for table in report.tables for row in table.rows for cell in row[1:]]
    return Outcome(checked, max(0, sum(len(NUMBER.findall(cell)) for cell in cells) - checked), None)


def differs_from_store(folder: Path, records: Iterable[Record]) -> str | None:
    """Describe the first score of a report's scores.csv that is not that of its run in a store; None if there is none.

    Raises:
        UsageError: the folder has no report.
    """
    stored = {record.id: record for record in records}
    for line in read(folder).lines:
        record = stored.get(line["id"])
        if line["outcome"] == "not done":
            continue
        if record is None:
            return f"scores.csv: the store has no run {line['id']}"
        if record.outcome != line["outcome"]:
            return f"scores.csv: run {line['id']} is {line['outcome']}, in the store {record.outcome}"
        for name, text in line.items():
            if "/" in name and text and record.scores.get(name) != float(text):
                return f"scores.csv: {name} of run {line['id']} is {text}, in the store {record.scores.get(name)}"
    return None


def _interval(values: Sequence[float], level: float = 0.95) -> tuple[float, ...]:
    """Return the ends of Student's interval x 100; none for one value."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return ()
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * stdev(values) / len(values) ** 0.5
    return 100 * (fmean(values) - half), 100 * (fmean(values) + half)


def _headline_score(report: Published) -> str:
    """Return the name of the score of the result table's fourth column."""
    for table in report.tables:
        if (
            "best point" in table.header
            and "loss" in table.header
            and "view" in table.header
            and table.header[0] == "study"
        ):
            return _score(report, table.header[3].partition("<br>")[0])
    return ""


def _is_result(table: PageTable) -> bool:
    return table.header[:3] == ("study", "loss", "view")


def _score(report: Published, title: str) -> str:
    """Return the name of the score that has a title; empty if none has."""
    names = {name for seeds in report.best.values() for scores in seeds.scores.values() for name in scores}
    wanted = title.replace("STSB ", "STS ")
    return next((name for name in sorted(names) if titles.of_score(name) == wanted or name == title), "")


def _difference(a: Seeds, b: Seeds, score: str) -> dict[int, float]:
    """Return b minus a by seed; the untrained model's one run is the same for every seed."""
    left, right = a.values(score), b.values(score)
    if 0 in left:
        return {seed: value - left[0] for seed, value in right.items()}
    return {seed: right[seed] - left[seed] for seed in sorted(left.keys() & right.keys())}


def _headline(report: Published) -> Iterator[Checked]:
    """Yield the sentence of the first screen that names the highest mean and who is not ranked."""
    score = _headline_score(report)
    means = {name: fmean(values) for name, of in report.best.items() if (values := of.values(score).values())}
    lost = [name for name in means if report.best[name].lost]
    whole = {name: round(100 * mean, 2) for name, mean in means.items() if name not in lost}
    found = re.search(r"Highest mean: (.*?)\*\*", report.page)
    if found is None or not whole:
        return
    text, _, without = found.group(1).partition("Not ranked")
    title = titles.of_score(score)
    names, _, number = max(plain(text).rpartition(f", {each} ") for each in (title, title.replace("STS ", "STSB ")))
    *first, last = [name for name in report.best if whole.get(name) == max(whole.values())]
    leaders = f"{', '.join(first)} and {last}" if first else last
    yield Checked("first screen: highest mean", f"[{names}]", (f"[{leaders}]",))
    yield Checked("first screen: highest mean", number.partition(". ")[0], (max(whole.values()),))
    for name in lost:
        yield Checked("first screen: studies that are not ranked", without, (name,))


def _of_table(report: Published, table: PageTable) -> Iterator[Checked]:
    header = " | ".join(table.header)
    kinds: Sequence[tuple[bool, Callable[[Published, PageTable], Iterator[Checked]]]] = (
        (_is_result(table), _result),
        ("rank tuned" in header, _ranks),
        (table.header[0] == "score", _all_scores),
        (table.header[0] == "claim" and "verdict" in table.header, _claims),
        (table.header[0] == "step" and "difference" in table.header, _steps),
        ("peak memory MB" in header and bool(report.records), recompute.cost),
        ("distinct points" in header and bool(report.records), recompute.budgets),
        ("effective rank" in header and bool(report.records), recompute.diagnostics),
        ("best of 1 point" in header and bool(report.records), recompute.tuning),
        ("rows used" in header and bool(report.records), recompute.rows_used),
        (table.section == "Sweeps", _sweep),
    )
    for is_kind, checks in kinds:
        if is_kind:
            yield from checks(report, table)


def _mean(seeds: Seeds, score: str) -> tuple[float, ...]:
    values = seeds.values(score)
    return (100 * fmean(values.values()),) if values else ()


def _with_interval(cell: str, seeds: Seeds, score: str) -> tuple[float | str | None, ...]:
    """Return what a cell of a mean with its interval should hold; counts of seeds only if it states any."""
    values = list(seeds.values(score).values())
    spread = () if 0 in seeds.scores else _interval(values)
    counts = (len(values), None) if " seed" in cell and " of " in cell else ()
    lost = (f"{len(values)} of {len(values) + len(seeds.lost)} seed",) if seeds.lost and values else ()
    return (*_mean(seeds, score), *spread, *counts, *lost)


def _named(report: Published, table: PageTable, row: Sequence[str]) -> Iterator[Checked]:
    """Yield the mark of a study in a table, which it must have if it lost seeds, and only then."""
    name, marked = name_of(row[0])
    lost = any(name in of and of[name].lost and of[name].scores for of in (report.best, report.default))
    if lost and not marked:
        yield Checked(f"{table.section}: {name} lost seeds", row[0], ("‡",))


def _result(report: Published, table: PageTable) -> Iterator[Checked]:
    score, before = _headline_score(report), Seeds()
    common = [
        name
        for name in sorted({name for of in report.best.values() for each in of.scores.values() for name in each})
        if name.startswith("mteb/") and all(name in each for of in report.best.values() for each in of.scores.values())
    ]
    for row in table.rows:
        yield from _named(report, table, row)
        name = name_of(row[0])[0]
        seeds, where = report.best.get(name, Seeds()), f"{table.section}: {name}, "
        for title, cell in zip(table.header[3:], row[3:], strict=True):
            at = where + title.partition("<br>")[0]
            if "the row above" in title:
                yield from _above(at, cell, _difference(before, seeds, score), partial=bool(before.lost or seeds.lost))
            elif title == table.header[3]:
                yield Checked(at, cell, _with_interval(cell, seeds, score))
            elif re.match(r"(MTEB )?mean( of|$)", title):
                of_tasks = re.search(r"of (\d+) task", title)
                if of_tasks is None or int(of_tasks.group(1)) == len(common):
                    means = [fmean(seeds.values(task).values()) for task in common if seeds.scores]
                    yield Checked(at, cell, (100 * fmean(means),) if means else ())
            elif title == "best point" and name in report.points:
                yield Checked(at, cell, (report.points[name], *[None] * len(NUMBER.findall(cell))))
            elif title == "minutes" and report.records:
                yield Checked(at, cell, (minutes(report.records.get(name, [])),))
            elif title == "runs done" and report.records:
                done = sum(record["outcome"] != "failed" for record in report.records.get(name, []))
                yield Checked(at, cell, (done, None))
            elif _score(report, title):
                yield Checked(at, cell, _mean(seeds, _score(report, title)))
        before = seeds


def _above(where: str, cell: str, by_seed: Mapping[int, float], *, partial: bool) -> Iterator[Checked]:
    """Yield a difference to the row above, the seeds it is over if some are missing, and its interval over seeds."""
    if not by_seed:
        return
    outside, _, inside = cell.partition("(")
    stated = tuple(by_seed) if partial else ()
    yield Checked(where, outside, (100 * fmean(by_seed.values()), *stated))
    over_seeds = inside.partition("seeds ")[2]
    yield Checked(f"{where}, over seeds", over_seeds, _interval(list(by_seed.values())))


def _ranks(report: Published, table: PageTable) -> Iterator[Checked]:
    score = _headline_score(report)
    sides = (report.best, report.default)
    names = [name for name in report.default if all(name in of and of[name].values(score) for of in sides)]
    printed = [{name: round(_mean(of[name], score)[0], 2) for name in names if not of[name].lost} for of in sides]
    for row in table.rows:
        yield from _named(report, table, row)
        name = name_of(row[0])[0]
        if name == UNTRAINED:
            yield Checked(f"{table.section}: {name}", row[3], _mean(report.best.get(name, Seeds()), score))
        if name not in names:
            continue
        where, means = f"{table.section}: {name}, ", [_mean(of[name], score)[0] for of in sides]
        for cell, title, ranked in zip(row[1:3], table.header[1:3], printed, strict=True):
            rank = [1 + sum(other > ranked[name] for other in ranked.values())] if name in ranked else []
            yield Checked(where + title, cell, tuple(rank))
        for cell, title, mean in zip(row[3:], table.header[3:], (*means, means[0] - means[1]), strict=True):
            yield Checked(where + title, cell, (mean,))


def _all_scores(report: Published, table: PageTable) -> Iterator[Checked]:
    for row in table.rows:
        for title, cell in zip(table.header[1:], row[1:], strict=True):
            name, marked = name_of(title)
            seeds = report.best.get(name, Seeds())
            yield Checked(f"{table.section}: {name}, {plain(row[0])}", cell, _mean(seeds, plain(row[0])))
            if seeds.lost and seeds.scores and not marked:
                yield Checked(f"{table.section}: {name} lost seeds", title, ("‡",))


def _claims(report: Published, table: PageTable) -> Iterator[Checked]:
    """Yield difference and interval over seeds of each claim that one study beats another, at the level it states."""
    score, column = _headline_score(report), table.header.index
    for row in table.rows:
        claim = plain(row[0])
        for of, end in ((report.best, ""), (report.default, " at the default point")):
            pairs = itertools.permutations([UNTRAINED, *report.default], 2)
            stated = [(a, b) for a, b in pairs if claim in (f"{a} beats {b}{end}", f"{b} < {a}{end}")]
            for a, b in stated:
                worse, better = ((report.best if n == UNTRAINED else of).get(n, Seeds()) for n in (b, a))
                by_seed = _difference(worse, better, score)
                if worse.lost or better.lost or not by_seed or not NUMBER.search(row[column("difference")]):
                    continue
                where = f"{table.section}: {claim}, "
                yield Checked(where + "difference", row[column("difference")], (100 * fmean(by_seed.values()),))
                yield Checked(where + "seeds", row[column("seeds")], (len(by_seed),))
                level = NUMBER.search(row[column("level")])
                if level:
                    exact = _exact(float(level.group()) / 100, len(table.rows))
                    over_seeds = row[column("over seeds")]
                    yield Checked(where + "over seeds", over_seeds, _interval(list(by_seed.values()), exact))


def _exact(level: float, claims: int) -> float:
    """Return the level of Holm's correction that is printed as `level`, with its digits; else `level` itself."""
    of_holm = [1 - 0.05 / number for number in range(1, claims + 1)]
    return next((exact for exact in of_holm if abs(exact - level) < 5e-5), level)


def _steps(report: Published, table: PageTable) -> Iterator[Checked]:
    score = _headline_score(report)
    for row in table.rows:
        pairs = itertools.permutations(report.best, 2)
        a, b = next(((a, b) for a, b in pairs if plain(row[0]) == f"{a} → {b}"), ("", ""))
        by_seed = _difference(report.best[a], report.best[b], score) if a else {}
        if by_seed and (cell := row[table.header.index("difference")]):
            stated = tuple(by_seed) if report.best[a].lost or report.best[b].lost else ()
            yield Checked(f"{table.section}: {a} → {b}", cell, (100 * fmean(by_seed.values()), *stated))


def _sweep(report: Published, table: PageTable) -> Iterator[Checked]:
    score, what = _headline_score(report), table.header[0]
    for row in table.rows:
        for study, cell in zip(table.header[1:], row[1:], strict=True):
            value = plain(row[0]).replace(",", "")
            name = study if value == "all" else f"{study} {what}={value}"
            if name in report.best and NUMBER.search(cell):
                yield Checked(f"{table.section}: {name}", cell, _with_interval(cell, report.best[name], score))
