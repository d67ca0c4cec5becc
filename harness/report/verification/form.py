"""The form of a report: the tables of its page with their columns, which of them must be there, and its headings.

What a table lacks cannot be compared, so a table that was removed, or whose columns have other names, must not pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.report import titles
from harness.report.verification import comparing, runs
from harness.report.verification.comparing import Compared
from harness.report.verification.published import UNTRAINED, PageTable, Published, canonical, name_of, plain
from harness.text import escape, shown

_RESULT, _CLAIMS, _SCORES, _STEPS, _WHY, _RANKS = "result", "claims", "scores", "steps", "explanation", "ranks"
_CURVES, _EVERY, _BUDGETS, _CHOICE, _COST, _CHECKS = "curves", "all scores", "budgets", "choices", "cost", "checks"
_PARTS, _ROWS, _UNSHARED = "parts", "rows", "scores without shared pairs"

_TABLES: dict[str, str] = {
    _RESULT: r"study,rank,.+<br>\(95 %\),to the best<br>\(95 %\),at default point,seeds,minutes",
    _CLAIMS: "claim,outcome,difference",
    _SCORES: r"study,loss,view,.+<br>\(95 % over (?:seeds|tunings)\),.*minus the row above<br>\(95 % over \w+; "
    r"95 % over (?:seeds|tunings)\),best point,minutes,runs done",
    _STEPS: "step,loss,view,rows,steps,examples seen,training seconds,best point,difference",
    _WHY: "study,STS dev Spearman,alignment,uniformity,mean cosine,effective rank,separation",
    _RANKS: "study,rank tuned,rank at default point,.+ tuned,.+ at default point,gain from tuning",
    _CURVES: r".+,default point,best of 1 point(?:,best of \d points)*",
    _EVERY: "score,untrained,.*",
    _BUDGETS: "study,trials,scored,not scored,distinct points,first point,examples per trial,steps,"
    "trials from other searches",
    _CHOICE: "study,point,trial,dev in its trial,dev, mean,of,chosen",
    _COST: "study,steps per run,examples per run,training seconds per run,peak memory MB,minutes in total",
    _CHECKS: "claim,verdict,difference,interval that decides,over test items,over seeds,level,margin,seeds,"
    "smallest detectable,reason",
    _PARTS: "part,testbed .*",
    _ROWS: "study,view,rows used,rows requested",
    "orders": "order as a whole,probability over test items,probability over seeds,seeds",
    "runs without scores": "study,stage,outcome,reason,points,seeds,runs",
    "counts of items": r"study,\w+,.+ higher than untrained,equal,lower",
    "overlap": "set,pairs,pairs in the rows,pairs in the dev set,distinct sentences,sentences in the rows,"
    "sentences nearly in the rows,sentences in the dev set",
    "designs": "design,studies,trials,final seeds,claims,runs in the store,studies already scored",
    _UNSHARED: r"study(?:,(mteb/[^,]+),\1<br>without shared pairs)+",
}
"""The columns of each table that a page has at most once, as a pattern of their titles with commas between them."""

_SEVERAL = r"severity,where,what,explanation and fix,count,of|\w+,untrained,.*,change"
"""The columns of tables that a page may have several times: findings of the audit, and items that changed most."""

_HEADINGS = (
    *("Scores", "Differences", "What changed at each step", "Why they differ", "With and without tuning"),
    *("Tuning curves", "Tasks", "Learning rates", "Budgets", "Cost", "Runs without scores", "Checks"),
    *("Data and base model", "Audit of the data", "Designs and test scores", "Threats to validity"),
    "How to reproduce this",
)
_NOT_ALWAYS = re.compile(r"Sweeps|Gain and forgetting|Which \w+ decide")


def check(report: Published) -> Iterator[Compared]:
    """Yield what is wrong with the headings and with the tables' columns, rows and presence."""
    title = f"# {escape(report.ablation)} on testbed {escape(report.testbed)}"
    yield comparing.text("README.md, title", report.page.partition("\n")[0], title)
    headings = tuple(re.findall(r"^## (.*)$", report.page, re.M))
    if tuple(heading for heading in headings if not _NOT_ALWAYS.fullmatch(heading)) != _HEADINGS:
        wrong = [each for each in _HEADINGS if headings.count(each) != 1] or ["their order"]
        yield Compared(0, f"README.md has not the headings of a report: {', '.join(wrong)}")
    found: list[str] = []
    for table in report.tables:
        header = ",".join(table.header)
        where = f"{table.section}: the table with the columns {shown(', '.join(table.header))}"
        kinds = [kind for kind, pattern in _TABLES.items() if re.fullmatch(pattern, header)]
        if not kinds and table.section != "Sweeps" and not re.fullmatch(_SEVERAL, header):
            yield Compared(0, f"{where} is none that a report has")
        if not table.well_formed:
            yield Compared(0, f"{where} has no rule below its titles, or a row with another number of cells")
        for kind in kinds:
            yield from _lines(report, kind, table)
            yield from _titles(report, kind, table)
        found += kinds
    for kind in dict.fromkeys((*_required(report), *found)):
        if found.count(kind) != 1:
            yield Compared(0, f"README.md has {found.count(kind)} tables of {kind}, it should have one")


def _lines(report: Published, kind: str, table: PageTable) -> Iterator[Compared]:
    """Yield whether a table has one line for each study that belongs there."""
    expected = Counter(report.studies)
    if kind in (_RESULT, _SCORES, _COST, _RANKS, _WHY, _UNSHARED):
        expected[UNTRAINED] = 1
    if kind == _RANKS:
        expected = Counter(name for name in expected if name == UNTRAINED or _has_both(report, name))
    elif kind == _WHY:
        expected = Counter(name for name in expected if _has_diagnostics(report, name))
    elif kind not in (_RESULT, _SCORES, _COST, _CURVES, _BUDGETS, _ROWS, _UNSHARED):
        return
    lines = Counter(name_of(row[0])[0] for row in table.rows)
    if lines != expected:
        wrong = sorted(name for name in {*lines, *expected} if lines[name] != expected[name])
        yield Compared(0, f"{table.section}: not one line for each study that has its numbers: {', '.join(wrong)}")


def _titles(report: Published, kind: str, table: PageTable) -> Iterator[Compared]:
    """Yield whether the titles that name a score or a study are those of the records."""
    expected: dict[int, str] = {}
    if kind == _SCORES:
        figure = titles.of_figure(report.headline.partition("/")[2])
        minus = f"{figure} minus the row above"
        expected = {3: titles.of_score(report.headline), len(table.header) - 4: minus} if report.headline else {}
    elif kind == _RANKS:
        figure = titles.of_figure(report.headline.partition("/")[2])
        expected = {3: f"{figure} tuned", 4: f"{figure} at default point"}
    elif kind == _CURVES:
        objectives = [record["objective"] for records in report.records.values() for record in records]
        expected = {0: titles.of_score(objectives[0])} if objectives else {}
    elif kind == _PARTS:
        expected = {1: f"testbed {canonical(report.testbed)}"}
    elif kind == _EVERY:
        expected = dict(enumerate((UNTRAINED, *report.studies), start=1))
    for column, title in expected.items():
        there = table.header[column] if column < len(table.header) else ""
        unmarked = name_of(there)[0] if kind == _EVERY else there.partition("<br>")[0]
        yield comparing.text(f"{table.section}: title of column {column + 1}", unmarked, title)
    scores = {name for seeds in report.best.values() for of in seeds.scores.values() for name in of}
    rows = Counter(plain(row[0]) for row in table.rows)
    if kind == _EVERY and (len(table.header) != len(expected) + 1 or not scores <= {*rows} or max(rows.values()) > 1):
        yield Compared(0, f"{table.section}: not one line for each score of scores.csv, and one column for each study")


def _has_both(report: Published, study: str) -> bool:
    """Return whether a study has scores at its best and at its default point."""
    return all(report.seeds(study, default=at).values(report.headline) for at in (False, True))


def _has_diagnostics(report: Published, study: str) -> bool:
    records = runs.finals_of(report, study)
    return bool(records) and all(record["diagnostics"] for record in records)


def _required(report: Published) -> Iterator[str]:
    """Yield the kinds of tables that a report with these records has."""
    yield from (_RESULT, _SCORES, _BUDGETS, _COST, _PARTS, _ROWS)
    if len(report.studies) > 1:
        yield _STEPS
    if any(seeds.ids for seeds in report.best.values()):
        yield _EVERY
    if any(_has_both(report, name) for name in report.studies):
        yield _RANKS
    if any(_has_diagnostics(report, name) for name in report.best):
        yield _WHY
    if any(len(dev) > 1 and any(score is not None for score in dev) for dev in runs.fixed_points(report).values()):
        yield _CURVES
