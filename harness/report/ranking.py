"""Ranks of studies by mean score: equal is shown as equal, and a study that lost a seed has no rank.

Scores are compared as they are printed, with two decimals, so that no reader sees different ranks of equal numbers. A
study of which a planned seed has no score is not ranked: a loss that diverges with a bad seed would gain by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.facts import Facts, Row, Step
from harness.text import NONE, counted, escape
from harness.verdicts.finals import Finals

LOST = " ‡"
"""Marks a study of which planned seeds have no score: its means are over the others, and it has no rank."""


def places(means: Mapping[str, float]) -> dict[str, int]:
    """Return the rank of each study, best first; 1 is the best, and equal scores share a rank (1, 1, 3)."""
    printed = {name: round(100 * mean, 2) for name, mean in means.items()}
    ordered = sorted(printed, key=lambda name: -printed[name])
    return {name: 1 + sum(other > printed[name] for other in printed.values()) for name in ordered}


def in_words(ranks: Mapping[str, int]) -> str:
    """Return ranks as markdown, the worst first: "a < b = c"."""
    text, after = "", 0
    for name, rank in reversed([*ranks.items()]):
        text += (" = " if rank == after else " < ") + escape(name) if text else escape(name)
        after = rank
    return text


def has_lost(row: Row) -> bool:
    """Return whether a row has scores, but not of every planned seed."""
    return bool(row.finals.scores) and not row.finals.complete


def unranked(facts: Facts) -> list[Row]:
    return [row for row in facts.rows if has_lost(row)]


def seeds_of(row: Row) -> str:
    """Return how many of a row's planned seeds have a score."""
    return f"{len(row.finals.scores)} of {counted(row.finals.planned, 'seed')}"


def over(step: Step) -> str:
    """Return in markdown which seeds a difference is over, if not all seeds of both studies have a score.

    An example: "mnr: seeds 1 and 3; 2 diverged, counted as 0".
    """
    sides = [row.finals for row in (step.before, step.after)]
    return escape("; ".join(_seeds(side) for side in sides if side.ended and not (side.constant or side.complete)))


def _seeds(side: Finals) -> str:
    *first, last = map(str, side.scores or [""])
    scored = f"seeds {', '.join(first)} and {last}" if first else f"seed {last}" * bool(last)
    lost = f"{' and '.join(map(str, side.diverged))} diverged, counted as 0" if side.diverged else ""
    return f"{side.study}: {'; '.join(filter(None, (scored, lost)))}"


def why_lost(row: Row) -> str:
    """Return in markdown why seeds of a row have no score."""
    diverged = (f"{row.name} seed {seed} diverged" for seed in row.finals.diverged)
    return escape("; ".join((*row.finals.lacking, *diverged)))


def explained(facts: Facts) -> str:
    """Return what the mark `LOST` means for each study that has it; empty if none has."""
    parts = [f"{escape(row.name)} ({seeds_of(row)}: {why_lost(row)})" for row in unranked(facts)]
    if not parts:
        return ""
    return (
        f"{LOST.strip()} {'; '.join(parts)}: not every planned seed has a score. Means are over the other seeds, which "
        "may be the lucky ones, so there is no rank."
    )


def rank(ranks: Mapping[str, int], name: str) -> str:
    return str(ranks.get(name, NONE))
