"""The report's section on the verdicts: a table of all claims, and the rules by which they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import protocol
from harness.report.facts import Facts, without_paths
from harness.report.tables import Table, interval
from harness.text import NONE, escape, score, signed
from harness.verdicts.rules import Verdict


def section(facts: Facts) -> Iterable[str]:
    """Yield the table of verdicts and the rules behind it."""
    if not facts.verdicts:
        yield "The study file states no expectation."
        return
    yield _table(facts.verdicts).markdown()
    yield (
        "A claim that one study beats another is decided by one interval: the smallest that contains the interval "
        "over test items, the one over seeds, and the one with both variances added up. It holds if its lower end "
        "reaches the margin, and is violated if its upper end is below 0. The levels follow Holm's correction, which "
        "limits the probability of any wrong decision among all claims to 5 percent. Seeds are compared one by one "
        "only where both studies train the same loss on the same rows. A run that diverged counts as a score of 0. "
        "*Smallest detectable*: the smallest true difference that these runs would have shown with 80 percent power."
    )
    if any(verdict.kind == "keeps" for verdict in facts.verdicts):
        yield (
            "*Keeps* is judged over seeds only, because both studies are scored on the same items and the claim is "
            "about these: it holds if the lower end of the interval reaches minus the tolerance."
        )
    if any(verdict.target is not None for verdict in facts.verdicts):
        yield (
            "If a claim names a score, the difference is the study's mean minus that score. *Within* holds if the "
            "interval over seeds is inside the tolerance, and is violated if it is entirely outside. *At least* holds "
            "if the lower end of the interval reaches the score, and is violated if its upper end is below it. Scores "
            "without stored predictions have no interval over test items, and the untrained model has none over seeds."
        )
    yield from protocol.looks(facts.plan)


def _table(verdicts: Sequence[Verdict]) -> Table:
    """Return the verdicts with their intervals at the level that Holm's correction gives each claim."""
    header = (
        "claim",
        "verdict",
        "difference",
        "interval that decides",
        "over test items",
        "over seeds",
        "level",
        "margin",
        "seeds",
        "smallest detectable",
        "reason",
    )
    rows = tuple(
        (
            escape(v.expectation),
            f"**{v.verdict}**",
            signed(v.difference),
            interval(v.interval),
            interval(v.over_items),
            interval(v.over_seeds),
            NONE if v.level is None else f"{100 * v.level:.4g} %",
            _margin(v),
            str(v.seeds),
            score(v.detectable),
            escape(without_paths(f"{v.full_reason} {_in_hindsight(v)}".strip())),
        )
        for v in verdicts
    )
    return Table(header, rows, left=2, words=True)


def _in_hindsight(verdict: Verdict) -> str:
    """Describe what about a claim was chosen after its test scores were known."""
    return f"Chosen in hindsight: {' '.join(verdict.late)}" if verdict.late else ""


def _margin(verdict: Verdict) -> str:
    if verdict.kind == "within":
        return f"±{score(verdict.margin)}"
    return signed(verdict.margin) if verdict.margin else "0"
