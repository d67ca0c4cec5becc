"""The report's first section: the answer, the result table, and one line a claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.planning.plan import Plan
from harness.report import titles
from harness.report.facts import Facts, without_paths
from harness.report.ranking import LOST
from harness.report.tables import Table, interval
from harness.spec.study import UNTRAINED
from harness.stats.intervals import Interval
from harness.text import NONE, escape, score, signed
from harness.verdicts import tuning_luck, words
from harness.verdicts.results import Result, answer, results
from harness.verdicts.rules import Verdict


def section(facts: Facts) -> Iterable[str]:
    """Yield the answer in sentences, the result table, the claims, and what claims after one tuning are about."""
    lines = results(facts.plan)
    yield " ".join(map(escape, answer(facts.plan, lines, facts.verdicts)))
    yield from changed_data(facts.plan)
    yield table(facts, lines).markdown()
    if facts.verdicts:
        yield claims_table(facts.verdicts).markdown()
        yield from caveats(facts.verdicts)
    if luck := tuning_luck.note(facts.plan):
        yield escape(luck)


def changed_data(plan: Plan) -> list[str]:
    """Return a warning for each part of the data that is not as it was when the scores were made."""
    return [warning(change) for change in plan.changed_data]


def warning(change: str) -> str:
    """Return the warning about a part of the data, given as `harness.store.contents.changes` says it."""
    than = "than at the last `harness run`, whose scores these are."
    return f"> **Changed data.** {escape(without_paths(change))} {than}"


def table(facts: Facts, lines: Sequence[Result]) -> Table:
    """Return the result table, best study first."""
    title = titles.of_score(facts.headline)
    header = ("study", "rank", f"{title}<br>(95 %)", "to the best<br>(95 %)", "at default point", "seeds", "minutes")
    rows = tuple(
        (
            _name(line),
            NONE if line.rank is None else str(line.rank),
            score(line.mean) + _bounds(line.interval, signs=False),
            signed(line.to_best) + _bounds(line.to_best_interval, signs=True),
            score(line.default),
            NONE if line.study == UNTRAINED else _seeds(line),
            f"{line.minutes:.1f}",
        )
        for line in lines
    )
    return Table(header, rows)


def _name(line: Result) -> str:
    """Return a study's name, bold if it is the best, and marked if seeds of it have no score."""
    if line.rank == 1:
        return f"**{escape(line.study)}**"
    return escape(line.study) + LOST * (line.mean is not None and not line.is_whole)


def _bounds(bounds: Interval | None, *, signs: bool) -> str:
    return "" if bounds is None else f"<br>({interval(bounds, signs)})"


def _seeds(line: Result) -> str:
    text = str(line.planned) if line.seeds == line.planned else f"{line.seeds} of {line.planned}"
    return text + (f", {line.diverged} diverged" if line.diverged else "")


def caveats(verdicts: Sequence[Verdict]) -> Iterable[str]:
    """Yield a list of what limits what decided claims say, if anything does."""
    decided = [verdict for verdict in verdicts if verdict.verdict in ("holds", "violated") and verdict.caveat]
    if decided:
        yield "\n".join(f"- {escape(verdict.expectation)}: {escape(verdict.caveat)}" for verdict in decided)


def claims_table(verdicts: Sequence[Verdict]) -> Table:
    """Return the outcome of each claim with the interval that decides it, at its level after Holm's correction."""
    rows = tuple(
        (
            escape(verdict.expectation) + (", chosen in hindsight" if verdict.late else ""),
            f"**{words.outcome(verdict)}**" + (f" ({detail})" if (detail := words.detail(verdict)) else ""),
            signed(verdict.difference) + _bounds(verdict.interval, signs=True),
        )
        for verdict in verdicts
    )
    return Table(("claim", "outcome", "difference"), rows, left=2)
