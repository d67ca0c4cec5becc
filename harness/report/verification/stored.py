"""A report against the store that it was made of: its records, and the intervals that need their predictions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.files import as_json
from harness.report.data import published
from harness.report.verification import claims, comparing, items
from harness.report.verification.comparing import Compared
from harness.report.verification.published import UNTRAINED, PageTable, Published, name_of
from harness.stats.intervals import ALPHA, Interval
from harness.store import reading
from harness.store.folder import Store
from harness.store.records import Record
from harness.text import NONE, escape, shown
from harness.verdicts.evidence import Evidence, difference, distance
from harness.verdicts.finals import Finals
from harness.verdicts.predictions import Predictions, contradicted, predictions_of


def check(report: Published, store: Store) -> Iterator[Compared]:
    """Yield whether each record of a report is that of a store, and each interval over items that of its predictions.

    A store may have further records, of other designs of the study file.

    Raises:
        DamagedRecord: a record of the store cannot be read.
    """
    records = {record.id: record for record in store.records()}
    names, stored = (f"{each.ablation} on testbed {each.testbed}" for each in (report, store))
    if names != stored:
        yield Compared(0, f"the records are of {shown(names)}, the store of {shown(stored)}")
    for record in itertools.chain.from_iterable(report.records.values()):
        yield _same(record, records.get(record["id"]))
    for table in report.tables:
        if table.header[:2] == ("study", "rank"):
            yield from _to_the_best(report, table, records)
        elif "runs done" in table.header:
            yield from _above(report, table, records)
    yield from _gains(report, records)
    yield from _claims(report, records)
    yield from items.check(report, records)


def _same(record: Mapping[str, object], stored: Record | None) -> Compared:
    """Compare all that records.json says of a run with the store's record, and its scores with its own items."""
    run = (
        f"run {shown(record['id'])} ({shown(record['study'])}, {shown(record['stage'])}, seed {shown(record['seed'])})"
    )
    if stored is None:
        return Compared(0, f"records.json: the store has no {run}")
    expected = reading.parsed(as_json(published(stored)))
    for name in expected:
        if record[name] != expected[name]:
            said, there = (shown(as_json(each[name]))[:80] for each in (record, expected))
            return Compared(0, f"{run}: {name} is {said} in records.json, {there} in the store")
    for figure, score in stored.scores.items():
        again = contradicted(stored, figure)
        if again is not None:
            return Compared(
                0,
                f"{run}: {shown(figure)} is {score:.9g} in the store, the items stored with it give {again:.9g}; the "
                "record was changed after its run",
            )
    return Compared(0)


def _finals(report: Published, study: str, records: Mapping[str, Record], figure: str, *, default: bool) -> Finals:
    """Return a study's final runs at one point with the predictions of the store."""
    seeds = report.seeds(study, default=default)
    scores: dict[int | None, float] = {}
    predictions: dict[int | None, Predictions] = {}
    for seed, name in zip(seeds.scores, seeds.ids, strict=True):
        score, key = seeds.scores[seed].get(figure), None if seeds.constant else seed
        if score is not None:
            scores[key] = score
            predicted = predictions_of(records[name], figure)
            predictions |= {} if predicted is None else {key: predicted}
    diverged, tunings = tuple(seeds.diverged), 2 if seeds.by_tuning else 1
    return Finals(study, seeds.planned, scores, predictions, figure=figure, diverged=diverged, tunings=tunings)


def _difference(report: Published, records: Mapping[str, Record], new: str, old: str) -> Evidence | None:
    sides = [_finals(report, name, records, report.headline, default=False) for name in (new, old)]
    return difference(*sides, paired=report.shares(new, old))


def _ends(interval: Interval | None) -> list[float | None]:
    return [] if interval is None else [100 * interval.low, 100 * interval.high]


def _to_the_best(report: Published, table: PageTable, records: Mapping[str, Record]) -> Iterator[Compared]:
    """Compare the intervals of the distances to the best, over seeds and items, in the result table."""
    best = next((name_of(row[0])[0] for row in table.rows if row[1] == "1"), None)
    for row in table.rows:
        name = name_of(row[0])[0]
        evidence = None if best in (None, name) or row[3] == NONE else _difference(report, records, name, str(best))
        if evidence is not None:
            ends = _ends(evidence.deciding(ALPHA))
            yield comparing.numbers(f"result table: {name}, to the best, in the store", row[3], [None, *ends])


def _above(report: Published, table: PageTable, records: Mapping[str, Record]) -> Iterator[Compared]:
    """Compare the intervals over items of the differences to the row above, in the table of all scores."""
    column = next(number for number, title in enumerate(table.header) if "minus the row above" in title)
    for before, row in itertools.pairwise(table.rows):
        (name, _), (above, _) = name_of(row[0]), name_of(before[0])
        evidence = None if row[column] == NONE else _difference(report, records, name, above)
        if evidence is not None:
            items = row[column].rpartition("<br>(")[2].partition(";<br>")[0]
            ends = _ends(evidence.over_items(ALPHA))
            yield comparing.numbers(f"{table.section}: {name} minus the row above, over items", items, ends)


def _gains(report: Published, records: Mapping[str, Record]) -> Iterator[Compared]:
    """Require the sentence on the studies that are not shown to improve on the untrained model, if there are any."""
    gains = {name: _difference(report, records, name, UNTRAINED) for name in report.studies}
    intervals = {name: evidence.deciding(ALPHA) for name, evidence in gains.items() if evidence is not None}
    names = [escape(name) for name, interval in intervals.items() if interval is None or interval.low <= 0]
    start = "No improvement over the untrained model is shown at the best point: "
    if names and f"\n{start}{', '.join(names)}. " not in report.page:
        yield Compared(0, f"Scores: there should be '{start}{', '.join(names)}.'")
    elif not names and f"\n{start}" in report.page:
        yield Compared(0, f"Scores: '{start}…' is printed, the store shows an improvement of every study")


def _claims(report: Published, records: Mapping[str, Record]) -> Iterator[Compared]:
    """Compare the intervals of claims that need predictions, and the smallest detectable differences."""
    for claim, row, levels in claims.judged(report):
        evidence = _evidence(report, claim, records)
        answers = [_claim(f"Checks: {row['claim']}", evidence, row, 1 - level) for level in levels]
        yield from min(answers, key=lambda answer: sum(each.problem is not None for each in answer), default=[])


def _evidence(report: Published, claim: claims.Claim, records: Mapping[str, Record]) -> Evidence | None:
    better = _finals(report, claim.better, records, claim.figure, default=claim.default)
    if claim.worse is None:
        evidence = distance(better, claim.target)
    else:
        worse = _finals(report, claim.worse, records, claim.figure, default=claim.default)
        evidence = difference(better, worse, paired=report.shares(claim.better, claim.worse))
    over_seeds_only = claim.holds in ("KEPT", "AGREES")
    return replace(evidence, resampled=None) if evidence is not None and over_seeds_only else evidence


def _claim(where: str, evidence: Evidence | None, row: Mapping[str, str], alpha: float) -> list[Compared]:
    """Compare a claim's cells with its evidence at a level."""
    if evidence is None:
        return [Compared(0, f"{where}: the runs in the store cannot be compared, so it has no difference")]
    detectable = evidence.detectable(alpha)
    expected: dict[str, list[float | None]] = {
        "over test items": _ends(evidence.over_items(alpha)),
        "interval that decides": _ends(evidence.deciding(alpha)),
        "smallest detectable": [] if detectable is None else [100 * detectable],
    }
    return [comparing.numbers(f"{where}, {title}", row[title], numbers) for title, numbers in expected.items()]
