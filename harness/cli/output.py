"""Output of commands on stdout: tables, verdicts, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.verdicts.rules import Verdict


def print_plan(plan: Plan, workers: int | None, threads: int | None) -> int:
    from harness import provenance
    from harness.cli.tables import plan_summary, plan_table
    from harness.planning.mixing import condition_notes

    print_table(plan_table(plan))
    print("\n".join(plan_summary(plan, workers or provenance.default_workers(threads or 1))))
    for note in condition_notes(plan):
        print(f"note: {note}")
    return 0


def print_verdicts(verdicts: Sequence[Verdict], plan: Plan) -> None:
    """Print the result table, the answer in sentences, one line a claim, and the reasons of undecided claims."""
    from harness.cli.tables import result_table
    from harness.planning.mixing import condition_notes
    from harness.verdicts import hindsight, tuning_luck, words
    from harness.verdicts.order import orders
    from harness.verdicts.results import answer, results
    from harness.verdicts.until_decided import saved

    table = results(plan)
    print_table(result_table(table, plan))
    for sentence in answer(plan, table):
        print(sentence)
    print()
    for verdict in verdicts:
        print(words.line(verdict))
        if verdict.verdict != "holds" or verdict.late:
            print(f"  {' '.join((verdict.full_reason, *verdict.late))}")
    economy = saved(plan)
    luck = tuning_luck.note(plan)
    notes = [
        *([luck] if luck else []),
        *hindsight.notes(plan),
        *condition_notes(plan),
        *([f"until decided: {economy}"] if economy else []),
    ]
    for line in (*orders(plan), *(f"note: {note}" for note in notes)):
        print(line)
    for run in plan.runs:
        if run.state == "failed" and run.record is not None:
            last = (run.record.error or "").strip().splitlines()[-1:] or [""]
            print(f"failed: {run.study} {run.stage} {run.id}: {last[0]}")


def print_json(document: Any) -> int:
    from harness.files import finite

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(finite(document), indent=1, ensure_ascii=not unicode, allow_nan=False))
    return 0


def print_table(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # piped: do not fold to the 80 columns of an unknown terminal
    console.print(table)
