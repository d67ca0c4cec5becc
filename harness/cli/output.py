"""Output of commands on stdout: lines, tables, verdicts, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from harness.text import in_json, shown

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.verdicts.rules import Verdict


def say(*lines: object, to: TextIO | None = None) -> None:
    """Print lines to stdout or another stream, with characters that are not printable as escapes."""
    for line in lines:
        print(shown(line), file=to)


def print_plan(plan: Plan, workers: int | None, threads: int | None, changed: Sequence[str] = ()) -> int:
    """Print a plan, and what of its data changed since the store's last run."""
    from harness import provenance
    from harness.cli.tables import plan_summary, plan_table
    from harness.planning.mixing import condition_notes

    print_table(plan_table(plan))
    say(*plan_summary(plan, workers or provenance.default_workers(threads or 1)))
    say(*(f"note: {note}" for note in condition_notes(plan)))
    say(*(f"note: {change} than at the last `harness run`, which makes the affected runs again" for change in changed))
    return 0


def print_verdicts(verdicts: Sequence[Verdict], plan: Plan) -> None:
    """Print the result table, the answer in sentences, one line a claim, and the reasons of undecided claims.

    Args:
        verdicts: the verdicts.
        plan: the plan that they are about.
    """
    from harness.cli.tables import result_table
    from harness.planning.mixing import condition_notes
    from harness.verdicts import hindsight, tuning_luck
    from harness.verdicts.order import orders
    from harness.verdicts.remaining import remaining
    from harness.verdicts.results import answer, results
    from harness.verdicts.until_decided import saved

    table = results(plan)
    print_table(result_table(table, plan, width()))
    say(*answer(plan, table, verdicts), "")
    for verdict in verdicts:
        print_verdict(verdict)
    economy = saved(plan)
    luck = tuning_luck.note(plan)
    notes = [
        *([luck] if luck else []),
        *hindsight.notes(plan),
        *condition_notes(plan),
        *(f"{change} than at the last `harness run`, whose scores these are" for change in plan.changed_data),
        *([f"until decided: {economy}"] if economy else []),
    ]
    say(*orders(plan), *(f"note: {note}" for note in notes), *remaining(plan))


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict's line, and its reason unless it holds without any caveat."""
    from harness.verdicts import words

    say(words.line(verdict))
    if verdict.verdict != "holds" or verdict.late or verdict.caveat:
        say(f"  {' '.join((verdict.full_reason, *verdict.late))}")


def print_json(document: Any) -> int:
    from harness.files import finite

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(in_json(json.dumps(finite(document), indent=1, ensure_ascii=not unicode, allow_nan=False)))
    return 0


PIPED = 160
"""Width of tables in a file or a pipe, instead of the 80 columns of an unknown terminal."""


def width() -> int:
    """Return the number of characters of a line of stdout."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else PIPED


def print_table(table: Any, wide: bool = False) -> None:
    """Print one of rich's tables to stdout, in the width of the terminal or as wide as it is."""
    from rich.console import Console

    console = Console(width=width())
    if wide:
        console = Console(width=max(PIPED, console.measure(table).maximum))
    console.print(table)
