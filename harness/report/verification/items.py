"""Which items decide, against the store: the counts of each study, and the items that the best study changed most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from harness.report.verification import comparing
from harness.report.verification.comparing import Compared
from harness.report.verification.first_screen import whole
from harness.report.verification.published import UNTRAINED, PageTable, Published, name_of, plain
from harness.store.items import Values
from harness.store.records import Record

_MOST = 20
"""Items that are listed as most improved, and as most impaired."""
_SAME = 5e-8
"""Values that differ by less are equal: they are stored with 7 decimals."""


@dataclass(frozen=True)
class _Changed:
    """The items of a study."""

    before: Mapping[str, float]
    """The untrained model's value of each item, by its name."""
    after: Mapping[str, float]
    """The mean over the study's final runs."""

    def gains(self, sign: int) -> list[float]:
        """Return by how much items changed in one direction, the most first."""
        gains = (self.after[name] - self.before[name] for name in self.before)
        return sorted((gain for gain in gains if sign * gain > _SAME), key=abs, reverse=True)


def check(report: Published, records: Mapping[str, Record]) -> Iterator[Compared]:
    """Yield whether the section has the counts and the items that the store's records give."""
    tables = [table for table in report.tables if table.section.startswith("Which ")]
    changed = _changed(report, records)
    if not changed or not tables:
        found = bool(tables) == bool(changed)
        words = "there should be a section on this" if changed else "the store has no values for each item"
        yield Compared(0, None if found else f"Which items decide: {words}")
        return
    yield from _counts(tables[0], changed)
    best = _best(report, changed, tables[1].header[2] if tables[1:] else None)
    if best is None:
        yield Compared(0, f"{tables[0].section}: the items are not those of the study with the highest mean")
        return
    listed = {sign: gains for sign in (1, -1) if (gains := changed[best].gains(sign))}
    if len(listed) != len(tables) - 1:
        yield Compared(0, f"{tables[0].section}: there should be {len(listed)} lists of items that {best} changed")
    for table, (sign, gains) in zip(tables[1:], listed.items(), strict=False):
        yield from _listed(report, table, changed[best], best, sign, gains)


def _best(report: Published, changed: Mapping[str, _Changed], title: str | None) -> str | None:
    """Return the study with the highest mean, of equal ones that of the lists; None if theirs is another study."""
    ranked = [name for name in whole(report) if name in changed] or [*changed]
    means = {name: fmean(changed[name].after.values()) for name in ranked}
    best = [name for name, mean in means.items() if mean > max(means.values()) - 1e-9]
    if title is not None:
        return next((name for name in best if name == name_of(title)[0]), None)
    return next((name for name in best if not (changed[name].gains(1) or changed[name].gains(-1))), best[0])


def _changed(report: Published, records: Mapping[str, Record]) -> dict[str, _Changed]:
    """Return the items of each study whose final runs have the items of the untrained model."""
    sides = {name: _values(report, name, records) for name in (UNTRAINED, *report.studies)}
    untrained = sides.pop(UNTRAINED)
    if not untrained:
        return {}
    before = untrained[0]
    same = {name: values for name, values in sides.items() if values and all([*v] == [*before] for v in values)}
    return {
        name: _Changed(before, {item: fmean(each[item] for each in values) for item in before})
        for name, values in same.items()
    }


def _values(report: Published, study: str, records: Mapping[str, Record]) -> list[dict[str, float]]:
    """Return the value of each item by its name, for each final run of a study at its best point."""
    measure, _, figure = report.headline.partition("/")
    seeds = report.seeds(study)
    scored = [name for seed, name in zip(seeds.scores, seeds.ids, strict=True) if report.headline in seeds.scores[seed]]
    items = [records[name].items.get(measure) for name in scored]
    return [dict(zip(each.ids, each.by_figure[figure], strict=True)) for each in items if isinstance(each, Values)]


def _counts(table: PageTable, changed: Mapping[str, _Changed]) -> Iterator[Compared]:
    names = [name_of(row[0])[0] for row in table.rows]
    yield comparing.text(f"{table.section}, studies", ", ".join(names), ", ".join(changed))
    for row in table.rows:
        name = name_of(row[0])[0]
        if name in changed:
            number, (higher, lower) = len(changed[name].before), (len(changed[name].gains(sign)) for sign in (1, -1))
            expected = (number, higher, number - higher - lower, lower)
            yield comparing.numbers(f"{table.section}: {name}", " ".join(row[1:]), expected)


def _listed(
    report: Published, table: PageTable, changed: _Changed, best: str, sign: int, gains: list[float]
) -> Iterator[Compared]:
    """Compare a list with the items that changed most in a direction; of equal ones any may be listed."""
    where = f"{table.section}: items {'most improved' if sign == 1 else 'most impaired'}"
    number, kind = min(len(gains), _MOST), table.header[0]
    summary = f"<details><summary>The {number} {kind} {'most improved' if sign == 1 else 'most impaired'}</summary>"
    if summary not in report.page or f" {best} changed most are listed by their ids." not in plain(report.page):
        yield Compared(0, f"{where}: there should be {summary!r}, and that {best} changed these most")
    yield comparing.text(f"{where}, title", name_of(table.header[2])[0], best)
    rows = {plain(row[0]): row for row in table.rows}
    if len(rows) != len(table.rows) or len(rows) != number:
        yield Compared(0, f"{where}: {len(table.rows)} are listed, the store gives {number} different ones")
    for (name, row), gain in zip(rows.items(), gains, strict=False):
        before, after = changed.before.get(name), changed.after.get(name)
        if before is None or after is None or abs(after - before - gain) > 1e-9:
            yield Compared(0, f"{where}: {name} is listed, the store gives another item, changed by {100 * gain:.6g}")
        else:
            expected = [100 * before, 100 * after, 100 * gain]
            yield comparing.numbers(f"{where}: {name}", " ".join(row[1:]), expected)
