"""Verify a published report: recompute its numbers up to the first that disagrees."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.report.verification import claims, files, first_screen, form, runs, scores, sentences, stored
from harness.report.verification.comparing import Compared
from harness.report.verification.published import PageTable, Published, read
from harness.store.folder import Store
from harness.text import shown

_TABLES: dict[str, Callable[[Published, PageTable], Iterator[Compared]]] = {
    "runs done": scores.means,
    "rank tuned": scores.ranks,
    "score": scores.every_score,
    "step": scores.steps,
    "peak memory MB": runs.cost,
    "distinct points": runs.budgets,
    "dev in its trial": runs.choice,
    "effective rank": runs.diagnostics,
    "best of 1 point": runs.tuning,
    "rows used": runs.rows_used,
    "trials from other searches": sentences.first_points,
}
"""What recomputes a table, by a column that no other table has."""

_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comparing raises if a text, or a field of records.json, has another form than the harness writes."""


@dataclass(frozen=True)
class Outcome:
    """What the verification of a report found."""

    checked: int
    """How many numbers were recomputed."""
    problem: str | None
    """The first disagreement; None if there is none."""


def verify(folder: Path, store: Store | None = None) -> Outcome:
    """Recompute a report's numbers, up to the first that disagrees.

    Args:
        folder: the report's folder.
        store: the store that it was made of, whose records and predictions are compared as well.

    Raises:
        UsageError: the folder has no report.
        DamagedRecord: a record of the store cannot be read.
    """
    report, checked = read(folder), 0
    parts = [_compared(report), iter([files.page(report, folder)])]
    parts += [] if store is None else [stored.check(report, store)]
    try:
        for compared in itertools.chain.from_iterable(parts):
            if compared.problem is not None:
                return Outcome(checked, compared.problem)
            checked += compared.numbers
    except _MALFORMED as problem:  # what a column should hold is not there, in whatever way
        why = f"{type(problem).__name__}: {shown(problem)}"
        return Outcome(checked, f"the files are not in the form that `harness report` writes ({why})")
    return Outcome(checked, None)


def _compared(report: Published) -> Iterator[Compared]:
    yield from itertools.chain(form.check(report), files.runs(report), runs.choices(report), runs.budget(report))
    yield from itertools.chain(first_screen.check(report), claims.check(report), sentences.check(report))
    for table in report.tables:
        if table.section == "Sweeps":
            yield from scores.sweep(report, table)
        if any("<br>without shared pairs" in title for title in table.header):
            yield from sentences.unshared(report, table)
        for column, check in _TABLES.items():
            if column in table.header:
                yield from check(report, table)
