"""Claims: their differences, intervals over seeds and outcomes, in the first screen and in the section Checks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.report.verification import comparing, levels, repetitions
from harness.report.verification.comparing import NUMBER, Compared, value
from harness.report.verification.first_screen import CLAIMS, contains
from harness.report.verification.published import UNTRAINED, PageTable, Published, Seeds, plain
from harness.text import NONE

_NUMBER = r"[\d.e+-]+"
_OF_TWO = {
    rf"{{a}} beats {{b}}(?: by (?P<more>{_NUMBER}))?": "WIN",
    "{b} < {a}": "WIN",
    rf"{{a}} at most (?P<less>{_NUMBER}) below {{b}}": "WIN",
    rf"{{a}} keeps {{b}} within (?P<less>{_NUMBER})": "KEPT",
}
_OF_ONE = {
    rf"{{a}} within (?P<more>{_NUMBER}) of (?P<target>{_NUMBER})": "AGREES",
    rf"{{a}} at least (?P<target>{_NUMBER})": "REACHED",
}
_VIOLATED = {"AGREES": "DISAGREES", "REACHED": "BELOW"}
_OVER = "(?:final seeds|tunings)"
_UNDECIDED = (
    f"one repetition shows no spread; use two or more {_OVER}",
    "too few test items differ",
    r"the scores are identical, but on too few test items to exclude 0\.5 points",
    "other test items could decide",
    rf"this test set cannot show 0\.5 points, with any number of {_OVER}",
    rf"needs \d+ {_OVER} to see 0\.5 points",
    f"a lead of {_NUMBER} points is excluded",
)
_DETAILS = {
    "UNDECIDED": rf" \((?:{'|'.join(_UNDECIDED)})\)",
    "NO DIFFERENCE": r" \((?:identical scores|within 0\.5 points)\)",
}
"""What follows an outcome in brackets; nothing follows the others."""
_SAME = 0.5
"""A difference of fewer points is too small to matter."""


@dataclass(frozen=True)
class Claim:
    """A claim as its words say it."""

    better: str
    """The study that it is about."""
    worse: str | None
    """The study that it is compared with; None if that is a number."""
    target: float
    """The number."""
    margin: float
    """The margin or tolerance, on a 0 to 1 scale."""
    holds: str
    """The outcome's word if it holds."""
    default: bool
    """Whether it is about the default point."""
    figure: str
    """The score."""


def check(report: Published) -> Iterator[Compared]:
    """Yield what was compared of the table of claims in the first screen, and of that in the section Checks."""
    first = next((table for table in report.tables if table.header[:2] == CLAIMS), None)
    checks = _checks(report)
    if first is None or checks is None or len(first.rows) != len(checks.rows):
        same = first is None and checks is None
        yield Compared(0, None if same else "claims: the first screen and the section Checks have other claims")
        return
    yield from levels.strictest([row[checks.column("level")] for row in checks.rows], len(checks.rows))
    for short, long in zip(first.rows, checks.rows, strict=True):
        claim = _claim(report, plain(long[0]))
        yield from _first_screen(claim, short, long, checks)
        if claim is None:
            yield Compared(0, f"{checks.section}: {plain(long[0])!r} is no claim that a study file can make")
        elif long[checks.column("difference")] != NONE:
            yield from _numbers(report, claim, long, checks)
            yield _verdict(claim, long, checks)


def _checks(report: Published) -> PageTable | None:
    return next((table for table in report.tables if table.header[:2] == ("claim", "verdict")), None)


def judged(report: Published) -> Iterator[tuple[Claim, Mapping[str, str], list[float]]]:
    """Yield each claim that has numbers, its cells in the section Checks by column, and the levels it may have."""
    checks = _checks(report)
    for row in checks.rows if checks is not None else ():
        claim = _claim(report, plain(row[0]))
        if claim is not None and checks is not None and row[checks.column("difference")] != NONE:
            yield claim, dict(zip(checks.header, row, strict=True)), _levels(report, claim, row[checks.column("level")])


def _levels(report: Published, claim: Claim, printed: str) -> list[float]:
    better, worse = _sides(report, claim)
    paired = claim.worse is not None and report.shares(claim.better, claim.worse)
    return levels.of_claim(report.page, printed, 1 if paired or better.constant or worse.constant else 2)


def _claim(report: Published, words: str) -> Claim | None:
    """Read a claim from its words; None if they are of no known kind."""
    names = [UNTRAINED, *report.studies]
    forms: list[tuple[str, str, str | None, str]] = [
        (form.format(a=re.escape(a), b=re.escape(b)), a, b, word)
        for a, b in itertools.permutations(names, 2)
        if a in words and b in words
        for form, word in _OF_TWO.items()
    ]
    forms += [(form.format(a=re.escape(a)), a, None, word) for a in names for form, word in _OF_ONE.items()]
    for form, better, worse, word in forms:
        found = re.fullmatch(rf"{form}(?P<at> at the default point| after tuning)?(?: \((?P<figure>[^,]*).*\))?", words)
        if found is not None:
            parts = found.groupdict()
            figure = parts["figure"] if "/" in (parts["figure"] or "") else report.headline
            margin = float(parts.get("more") or 0) - float(parts.get("less") or 0)
            at_default = parts["at"] == " at the default point"
            return Claim(better, worse, float(parts.get("target", 0)), margin, word, at_default, figure)
    return None


def _first_screen(
    claim: Claim | None, short: Sequence[str], long: Sequence[str], checks: PageTable
) -> Iterator[Compared]:
    """Require that the first screen says of a claim what the section Checks says."""
    where, verdict = f"claims: {plain(long[0])}", long[1].strip("*")
    yield comparing.text(where, short[0].removesuffix(", chosen in hindsight"), long[0])
    ends = long[checks.column("interval that decides")]
    interval = f"<br>({ends})" if ends != NONE else ""
    yield comparing.text(f"{where}, difference", short[2], long[checks.column("difference")] + interval)
    words = {"incomplete": ("INCOMPLETE",), "inconclusive": ("NO DIFFERENCE", "UNDECIDED")}.get(verdict)
    if words is None:
        holds = claim.holds if claim is not None else "WIN"
        words = (holds,) if verdict == "holds" else (_VIOLATED.get(holds, "REGRESSION"),)
    widest = max((abs(value(number)) for number in NUMBER.findall(ends)), default=1.0)
    if verdict == "inconclusive" and abs(widest - _SAME) > 0.006:
        words = words[:1] if widest < _SAME else words[1:]
    outcome, detail = re.sub(r"\*\*(.*)\*\*.*", r"\1", short[1]), short[1].rpartition("**")[2]
    if not re.fullmatch(_DETAILS.get(outcome, ""), detail):
        yield Compared(0, f"{where}: {detail.strip()!r} is nothing that is said of the outcome {outcome}")
    yield Compared(0, None if outcome in words else f"{where}: the outcome is {outcome}, the numbers give {words[0]}")


def _sides(report: Published, claim: Claim) -> tuple[Seeds, Seeds]:
    target = Seeds({0: {claim.figure: claim.target}}, constant=True)
    worse = target if claim.worse is None else report.seeds(claim.worse, default=claim.default)
    return report.seeds(claim.better, default=claim.default), worse


def _numbers(report: Published, claim: Claim, row: Sequence[str], checks: PageTable) -> Iterator[Compared]:
    """Compare difference, seeds and the interval over seeds; the interval that decides must contain the latter."""
    where = f"{checks.section}: {plain(row[0])}, "
    better, worse = _sides(report, claim)
    paired = claim.worse is not None and report.shares(claim.better, claim.worse)
    apart = repetitions.difference(better, worse, claim.figure, paired=paired)[:1]
    yield comparing.numbers(where + "difference", row[checks.column("difference")], apart)
    sizes = [len(side.repetitions(claim.figure)) for side in (better, worse) if not side.constant]
    yield comparing.numbers(where + "margin", row[checks.column("margin")], [100 * claim.margin])
    yield comparing.numbers(where + "seeds", row[checks.column("seeds")], [min(sizes, default=1)])
    printed = row[checks.column("level")]
    possible = _levels(report, claim, printed)
    if not possible:
        yield Compared(0, f"{where}level: Holm's correction gives no level that is printed as {printed!r}")
        return
    ends = [
        repetitions.difference(better, worse, claim.figure, paired=paired, level=level)[1:]
        for level in (min(possible), max(possible))
    ]
    middle = [fmean(end) for end in zip(*ends, strict=True)]
    slack = max((abs(inner - outer) / 2 for inner, outer in zip(*ends, strict=True)), default=0.0)
    yield comparing.numbers(where + "over seeds", row[checks.column("over seeds")], middle, slack)
    decides = row[checks.column("interval that decides")]
    for inner in ("over test items", "over seeds"):
        known = [value(number) for number in NUMBER.findall(row[checks.column(inner)])]
        yield contains(where + "interval that decides", decides, known)
        if len(known) == 2 and row[checks.column("over test items")] == NONE:
            yield comparing.text(where + "interval that decides", decides, row[checks.column(inner)])


def _verdict(claim: Claim, row: Sequence[str], checks: PageTable) -> Compared:
    """Require the verdict that the interval and the margin give, up to rounding."""
    ends = [value(number) for number in NUMBER.findall(row[checks.column("interval that decides")])]
    verdict, slack = row[1].strip("*"), (-0.006, 0.006)
    if len(ends) != 2:
        return Compared(0)
    possible = {_judged(claim, ends[0] + low, ends[1] + high) for low, high in itertools.product(slack, repeat=2)}
    right = " or ".join(sorted(possible))
    where = f"{checks.section}: {plain(row[0])}"
    return Compared(0, None if verdict in possible else f"{where}: {verdict}, but the interval says {right}")


def _judged(claim: Claim, low: float, high: float) -> str:
    margin = 100 * claim.margin
    if claim.holds == "AGREES":
        inside, outside = -margin <= low and high <= margin, low > margin or high < -margin
        return "holds" if inside else "violated" if outside else "inconclusive"
    if low >= margin and (low > 0 or margin):
        return "holds"
    return "violated" if high < min(0.0, margin) else "inconclusive"
