"""The one-word outcome of a claim, as terminal, pull request and CI print it.

| outcome | meaning |
| --- | --- |
| WIN | a study beats another, as claimed |
| KEPT | a study is not lower than another, or than its baseline, by more than the tolerance |
| REACHED, AGREES | a score is at least, or within the tolerance of, a given one |
| REGRESSION | the opposite of what is claimed is shown: the study is lower, or lower by more than the tolerance |
| BELOW, DISAGREES | a score is below, or outside the tolerance of, a given one |
| NO DIFFERENCE | undecided, and a difference of more than half a point is excluded |
| UNDECIDED | the evidence does not decide; the number of final seeds that would show half a point is given |
| INCOMPLETE | runs are missing, failed, or cannot be compared |
"""

from __future__ import annotations

from harness.stats.intervals import Interval
from harness.verdicts.rules import SAME, Verdict

_HOLDS = {"beats": "WIN", "keeps": "KEPT", "baseline": "KEPT", "within": "AGREES", "at least": "REACHED"}
_VIOLATED = {"within": "DISAGREES", "at least": "BELOW"}


def outcome(verdict: Verdict) -> str:
    """Return the outcome's word or words, without numbers."""
    if verdict.verdict == "holds":
        return _HOLDS[verdict.kind]
    if verdict.verdict == "violated":
        return _VIOLATED.get(verdict.kind, "REGRESSION")
    if verdict.verdict == "incomplete":
        return "INCOMPLETE"
    interval = verdict.interval
    excluded = interval is not None and max(abs(interval.low), abs(interval.high)) <= SAME
    if excluded:
        return "NO DIFFERENCE"
    return "UNDECIDED"


def line(verdict: Verdict) -> str:
    """Return the outcome of a claim as one line: the claim, the outcome, and the numbers it rests on."""
    parts = [f"VERDICT {verdict.expectation}: {outcome(verdict)}"]
    if verdict.difference is not None:
        parts.append(f"{100 * verdict.difference:+.1f}")
    if verdict.interval is not None:
        parts.append(bounds(verdict.interval))
    if explanation := detail(verdict):
        parts.append(f"({explanation})")
    if verdict.late:
        parts.append("(chosen in hindsight)")
    return " ".join(parts)


def detail(verdict: Verdict) -> str:
    """Return what is added to an undecided outcome: what is excluded, or what would decide; "" for others."""
    word = outcome(verdict)
    if word == "NO DIFFERENCE":
        return "identical scores" if verdict.identical else f"within {100 * SAME:g} points"
    if word != "UNDECIDED":
        return ""
    if verdict.kind == "beats" and verdict.interval is not None and verdict.interval.high < verdict.margin:
        return f"a lead of {100 * verdict.margin:g} points is excluded"
    return _needs(verdict)


def bounds(interval: Interval, scale: float = 100) -> str:
    """Return an interval as "[low, high]", in points with one decimal."""
    return f"[{scale * interval.low:.1f}, {scale * interval.high:.1f}]"


def _needs(verdict: Verdict) -> str:
    repetitions = "tunings" if verdict.about == "procedures" else "final seeds"
    if verdict.interval is None:
        return f"one repetition shows no spread; use two or more {repetitions}"
    if verdict.detectable is None:
        same = "the scores are identical, but on too few test items to exclude"
        return f"{same} {100 * SAME:g} points" if verdict.identical else "too few test items differ"
    if verdict.over_seeds is None:
        return "other test items could decide"
    if verdict.needs is None:
        return f"this test set cannot show {100 * SAME:g} points, with any number of {repetitions}"
    return f"needs {verdict.needs} {repetitions} to see {100 * SAME:g} points"
