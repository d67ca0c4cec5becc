"""Tables of the final runs' scores: means, differences to the row above, ranks, steps, sweeps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from harness.report.verification import comparing, repetitions
from harness.report.verification.comparing import NUMBER, Compared
from harness.report.verification.published import UNTRAINED, PageTable, Published, Seeds, name_of, plain
from harness.report.verification.runs import finals_of, minutes
from harness.text import NONE


def means(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield what was compared of the table of all studies' scores."""
    before = ""
    for row in table.rows:
        name, marked = name_of(row[0])
        seeds, where = report.seeds(name), f"{table.section}: {name}, "
        yield _mark(report, where, row[0], marked, seeds)
        for title, cell in zip(table.header[3:], row[3:], strict=True):
            at = where + title.partition("<br>")[0]
            if "the row above" in title:
                yield from _above(report, at, cell, name, before)
            elif title == table.header[3]:
                yield from _with_interval(report, at, cell, seeds)
            elif of_tasks := re.match(r"mean of (\d+) task", title):
                yield comparing.numbers(at, cell, _task_mean(report, seeds, int(of_tasks.group(1))))
            elif title == "best point":
                point = report.points.get(name)
                yield comparing.sentence(at, plain(cell), point) if point else comparing.text(at, cell, NONE)
            elif title == "minutes":
                yield comparing.numbers(at, cell, [minutes(report.records.get(name, []))])
            elif title == "runs done":
                yield comparing.numbers(at, cell, [_done(report, name), None])
            elif score := report.score(title):
                yield comparing.numbers(at, cell, repetitions.mean(seeds, score))
            elif cell != NONE:
                yield Compared(0, f"{at}: scores.csv has no such score")
        before = name


def _done(report: Published, name: str) -> int | None:
    """Return how many runs of a study are done; None if a run lacks a task, which may still come."""
    every = {score for seeds in report.best.values() for scores in seeds.scores.values() for score in scores}
    records = report.records.get(name, [])
    whole = all(every <= {*r["scores"]} for r in records if r["outcome"] == "ok" and r["stage"] != "tune")
    return sum(record["outcome"] != "failed" for record in records) if whole else None


def _mark(report: Published, where: str, cell: str, marked: bool, *sides: Seeds) -> Compared:
    """Require the mark of a study that lost seeds, and that no other study has it."""
    lost = any(seeds.values(report.headline) and seeds.lost for seeds in sides)
    return Compared(0, None if marked == lost else f"{where}mark: {cell!r}, seeds without a score: {lost}")


def _task_mean(report: Published, seeds: Seeds, number: int) -> list[float | None]:
    runs = [scores for of in report.best.values() for scores in of.scores.values()]
    tasks = [name for name in (runs[0] if runs else ()) if name.startswith("mteb/") and all(name in r for r in runs)]
    if not seeds.scores:
        return []
    return [100 * fmean(fmean(seeds.values(task).values()) for task in tasks)] if len(tasks) == number else [None]


def _with_interval(report: Published, where: str, cell: str, seeds: Seeds) -> Iterator[Compared]:
    """Yield a mean with its interval, and over how many seeds it is if not over all."""
    scores = seeds.values(report.headline)
    known = scores and not (seeds.constant or seeds.diverged)
    spread = repetitions.interval(seeds.repetitions(report.headline)) if known else []
    counts = [len(scores), seeds.planned] if scores and seeds.lost else []
    yield comparing.numbers(where, cell, [*repetitions.mean(seeds, report.headline), *spread, *counts])


def _above(report: Published, where: str, cell: str, name: str, above: str) -> Iterator[Compared]:
    """Yield a difference to the row above, what it is over if seeds have no score, and its interval over seeds."""
    apart = _difference(report, name, above)
    if not apart:
        yield comparing.numbers(where, cell, [])
        return
    first, *over = cell.partition("<br>(")[0].split("<br>")
    yield comparing.numbers(where, first, apart[:1])
    yield comparing.text(where, plain("".join(over)), _over(report, above, name))
    over_seeds = re.search(r"<br>(?:seeds|tunings) ([^<]*)\)$", cell)
    yield comparing.numbers(f"{where}, over seeds", over_seeds.group(1) if over_seeds else "", apart[1:])


def _difference(report: Published, new: str, old: str) -> list[float]:
    paired = report.shares(new, old)
    return repetitions.difference(report.seeds(new), report.seeds(old), report.headline, paired=paired)


def _over(report: Published, *names: str) -> str:
    """Return which seeds a difference is over, if not all seeds of both studies have a score."""
    texts = []
    for name in names:
        seeds = report.seeds(name)
        if seeds.lost and not seeds.constant:
            scored = [*map(str, seeds.values(report.headline))]
            parts = (
                [f"seeds {', '.join(scored[:-1])} and {scored[-1]}"] if scored[1:] else [f"seed {s}" for s in scored]
            )
            parts += [f"{' and '.join(map(str, seeds.diverged))} diverged, counted as 0"] if seeds.diverged else []
            texts.append(f"{name}: {'; '.join(parts)}")
    return "; ".join(texts)


def ranks(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield ranks and means at the best and at the default point."""
    sides = [{name: report.seeds(name, default=default) for name in report.studies} for default in (False, True)]
    both = [name for name in report.studies if all(side[name].values(report.headline) for side in sides)]
    of_sides = [{name: repetitions.mean(side[name], report.headline)[0] for name in both} for side in sides]
    pairs = zip(of_sides, sides, strict=True)
    ranked = [{name: round(of[name], 2) for name in both if not side[name].lost} for of, side in pairs]
    for row in table.rows:
        name, marked = name_of(row[0])
        where = f"{table.section}: {name}, "
        if name == UNTRAINED:
            yield comparing.numbers(where + "score", row[3], repetitions.mean(report.seeds(name), report.headline))
            yield comparing.text(where + "ranks and gain", " ".join(row[1:3] + row[4:]), " ".join([NONE] * 4))
        if name not in both:
            continue
        yield _mark(report, where, row[0], marked, *(side[name] for side in sides))
        for cell, title, places in zip(row[1:3], table.header[1:3], ranked, strict=True):
            rank = [1 + sum(other > places[name] for other in places.values())] if name in places else []
            yield comparing.numbers(where + title, cell, rank)
        tuned, default = (of[name] for of in of_sides)
        for cell, title, number in zip(row[3:], table.header[3:], (tuned, default, tuned - default), strict=True):
            yield comparing.numbers(where + title, cell, [number])


def _growth(report: Published, old: str, new: str, field: str) -> list[float]:
    """Return a number of two studies' final runs and their ratio; nothing if they are equal, or one is unknown."""
    sides = [[float(record[field]) for record in finals_of(report, name)] for name in (old, new)]
    if not all(sides):
        return []
    before, after = map(fmean, sides)
    return [] if before == after else [before, after, *([after / before] if before else [])]


def every_score(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the mean of every score of each study."""
    for row in table.rows:
        for title, cell in zip(table.header[1:], row[1:], strict=True):
            name, marked = name_of(title)
            seeds = report.seeds(name)
            where = f"{table.section}: {name}, {plain(row[0])}"
            yield comparing.numbers(where, cell, repetitions.mean(seeds, plain(row[0])))
            yield _mark(report, where, title, marked, seeds)


def steps(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield what changed at each step, as cells and as a sentence, the difference, and what it is over."""
    named = {
        name_of(row[0])[0]: (row[1], row[2], row[scores.column("best point")].partition("<br>")[0])
        for scores in report.tables
        if "runs done" in scores.header
        for row in scores.rows
    }
    for row, (old, new) in zip(table.rows, itertools.pairwise(report.studies), strict=True):
        where = f"{table.section}: {old} → {new}"
        yield comparing.text(where, plain(row[0]), f"{old} → {new}")
        for field, cell in zip(("rows", "steps", "examples_seen", "train_seconds"), row[3:7], strict=True):
            growth = _growth(report, old, new, field)
            yield comparing.numbers(f"{where}, {field}", cell, growth)
            if not growth:
                both = finals_of(report, old) and finals_of(report, new)
                yield comparing.text(f"{where}, {field}", cell, "same" if both else NONE)
        if old in named and new in named:
            cells = [_change(*pair) for pair in zip(named[old], named[new], strict=True)]
            for title, cell, printed in zip(("loss", "view", "best point"), cells, (*row[1:3], row[7]), strict=True):
                yield comparing.text(f"{where}, {title}", plain(printed), plain(cell))
            yield _attributed(report, old, new, cells)
        apart = _difference(report, new, old)
        first, _, over = row[table.column("difference")].partition("<br>")
        yield comparing.numbers(where, first, apart[:1])
        yield comparing.text(where, plain(over), _over(report, old, new) if apart else "")


def _change(before: str, after: str) -> str:
    return NONE if NONE in (before, after) else "same" if before == after else f"{before} → {after}"


def _attributed(report: Published, old: str, new: str, cells: Sequence[str]) -> Compared:
    """Require the sentence on what changed at a step; points that are printed alike may differ in further digits."""
    loss, view, point = (cell not in ("same", NONE) for cell in cells)
    fields = {"rows": "rows", "steps": "steps", "examples_seen": "examples seen"}
    grown = [words for field, words in fields.items() if _growth(report, old, new, field)]
    possible, points = [], (point, True) if cells[2] == "same" else (point,)
    for views, more in itertools.product(("the view", "the view or the settings"), points):
        meant, also = ["the loss"] * loss + [views] * view, grown + ["best point"] * more
        line = f"- {old} → {new}: {' and '.join(meant) or 'neither loss nor view'} changed"
        if not (finals_of(report, old) and finals_of(report, new)):
            line += ". Other changes are known once both have final runs."
        else:
            line += f", and also {', '.join(also)}." if also else "; nothing else in this table did."
        apart = " The difference in score cannot be attributed to a single change."
        possible.append(line + apart * (len(meant) > 1 or bool(also)))
    found = any(line in possible for line in plain(report.page).split("\n"))
    return Compared(0, None if found else f"What changed at each step: there should be {possible[0]!r}")


def sweep(report: Published, table: PageTable) -> Iterator[Compared]:
    """Yield the means of the studies of sweeps."""
    for row in table.rows:
        for study, cell in zip(table.header[1:], row[1:], strict=True):
            number = plain(row[0]).replace(",", "")
            name = study if number == "all" else f"{study} {table.header[0]}={number}"
            if name in report.best and NUMBER.search(cell):
                yield from _with_interval(report, f"{table.section}: {name}", cell, report.best[name])
