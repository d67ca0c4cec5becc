"""A comment for a pull request: the result table, the claims, how they were obtained, and the command to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.planning.plan import Plan
from harness.report import result
from harness.report.facts import gather
from harness.report.markdown import budget_line, verdict_line
from harness.text import escape
from harness.verdicts import tuning_luck
from harness.verdicts.remaining import remaining
from harness.verdicts.results import answer, results

MOST = 12
"""Lines of each table and list; of more, the number is given, so that the comment has at most 60 lines."""


def comment(plan: Plan, command: str) -> str:
    """Return the comment in GitHub's markdown.

    Args:
        plan: the plan with its records.
        command: the shell command that reproduces the runs.
    """
    facts, lines = gather(plan), results(plan)
    ablation = plan.ablation
    claims = result.claims_table(facts.verdicts).markdown() if facts.verdicts else ""
    method = [budget_line(facts), escape(tuning_luck.note(plan) or ""), f"```sh\n{command}\n```"]
    sections = [
        f"### {escape(ablation.name)} on {escape(ablation.testbed.name)}",
        f"**{verdict_line(facts)}** {' '.join(map(escape, answer(plan, lines, facts.verdicts)))}",
        *result.changed_data(plan),
        _cut(result.table(facts, lines).markdown().splitlines(), MOST + 2),
        _cut(claims.splitlines(), MOST + 2),
        *(_cut(caveats.splitlines(), MOST) for caveats in result.caveats(facts.verdicts)),
        _cut([f"- {escape(line)}" for line in remaining(plan)], MOST),
        "<details><summary>How this was obtained</summary>",
        *(part for part in method if part),
        "</details>",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _cut(lines: Sequence[str], most: int) -> str:
    """Return the first lines, and how many were left out."""
    if len(lines) <= most:
        return "\n".join(lines)
    return "\n".join(lines[: most - 1]) + f"\n\nand {len(lines) - most + 1} more, which the report lists."
