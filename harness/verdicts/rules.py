"""The verdict on one claim, given its evidence. The docstring of `harness.verdicts.judge` gives the rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness.spec.expectations import At
from harness.stats import intervals
from harness.verdicts.claims import Claim, Kind
from harness.verdicts.evidence import Difference, Distance

Judgement: TypeAlias = Literal["holds", "violated", "inconclusive", "incomplete"]

ONE_SEED = "With one final seed the spread over seeds is unknown; use two or more seeds."
ONE_RUN = "This is one deterministic run without an interval: the score itself is compared."


class Refused(str):
    """The reason why complete evidence is not judged, as a full sentence."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of one claim and its numbers. All scores and differences are on a 0 to 1 scale.

    Numbers that cannot be computed are None.
    """

    expectation: str
    """The claim as printed: one pair of an order, or the text of the expectation."""
    better: str
    """The study that the claim is about."""
    worse: str | None
    """The study that it is compared with; None if it is compared with `target`."""
    margin: float
    """For "beats" the asserted difference, for "within" the tolerance, for "keeps" and "baseline" its negative."""
    verdict: Judgement
    """The judgement."""
    reason: str
    """Why it was judged so, in sentences."""
    seeds: int = 0
    """Number of (paired) final seeds."""
    level: float | None = None
    """Level of the intervals after Holm's correction."""
    difference: float | None = None
    """Mean of `better` minus that of `worse`, or minus `target`."""
    over_items: intervals.Interval | None = None
    """Interval of the difference over test items; "within" and "baseline" have none."""
    over_seeds: intervals.Interval | None = None
    """Interval of the difference over seeds."""
    detectable: float | None = None
    """Smallest true difference detectable with 80 percent power: root of the sum of squares over pairs and seeds."""
    kind: Kind = "beats"
    """Which rule judged: against study `worse`, a published score ("within", "at least"), or a baseline."""
    figure: str = ""
    """The score that was compared."""
    target: float | None = None
    """The published score, or the baseline's mean."""
    source: str = ""
    """Where `target` was published."""
    late: tuple[str, ...] = ()
    """What about the claim was chosen after its test scores were known (`harness.verdicts.hindsight`)."""
    at: At = "best"
    """Which final runs were compared."""
    unequal: str = ""
    """Which point values one of the two studies had fixed and the other had not."""

    def __str__(self) -> str:
        numbers = "" if self.difference is None else f" ({self._measured()})"
        late = f" Chosen in hindsight: {' '.join(self.late)}" if self.late else ""
        return f"{self.verdict}: {self.expectation}{numbers}. {self.full_reason}{late}"

    @property
    def full_reason(self) -> str:
        """The reason, followed by `unequal`."""
        return f"{self.reason} {self.unequal}".strip()

    def _measured(self) -> str:
        assert self.difference is not None
        text = f"{100 * self.difference:+.2f} points"
        if self.target is not None:
            text = f"{100 * (self.target + self.difference):.2f}, {text} from {100 * self.target:.2f}"
        intervals = ", ".join(
            f"over {i.over} {100 * i.low:+.2f} to {100 * i.high:+.2f}" for i in (self.over_items, self.over_seeds) if i
        )
        return f"{text}; {100 * self.level:.4g} % {intervals}" if intervals and self.level is not None else text


def verdict_on(claim: Claim, evidence: Difference | Distance | str, alpha: float) -> Verdict:
    """Judge a claim.

    Args:
        claim: the claim.
        evidence: its evidence, or a text that says what is missing.
        alpha: the intervals have level 1 - alpha.
    """
    if isinstance(evidence, Refused):
        return verdict(claim, "incomplete", evidence)
    if isinstance(evidence, str):
        return verdict(claim, "incomplete", f"Runs are missing: {evidence}.")
    if claim.kind == "within" and isinstance(evidence, Distance):
        evidence = replace(evidence, resampled=None)  # the published score is of the same pairs
    over_items, over_seeds = evidence.over_items(alpha), evidence.over_seeds(alpha)
    detectable = evidence.detectable(alpha)
    if isinstance(evidence, Distance):
        judgement, reason = _judge_score(claim, evidence, over_items, over_seeds, detectable)
        p_value = evidence.p_within(claim.margin) if claim.kind == "within" else evidence.p_reaches()
    else:
        judgement, reason = _judge_difference(claim, evidence, over_items, over_seeds, detectable)
        p_value = evidence.p_value(claim.margin)
    if judgement in ("holds", "violated") and over_items and over_seeds and p_value > alpha:
        judgement = "inconclusive"
        reason = (
            "Each interval by itself would decide, but the variances over seeds and over test items added up do not "
            f"exclude chance{_beyond(detectable, 'a true value', 'beyond the limit of the claim')}."
        )
    return verdict(
        claim,
        judgement,
        " ".join((reason, *_notes(evidence))),
        seeds=len(evidence.by_seed),
        level=1 - alpha,
        difference=evidence.mean,
        over_items=over_items,
        over_seeds=over_seeds,
        detectable=detectable,
    )


def _notes(evidence: Difference | Distance) -> tuple[str, ...]:
    """Return notes about the items that differ, and about seeds that had no effect, or none on this figure."""
    if isinstance(evidence, Difference) and evidence.differing is not None and evidence.resampled is not None:
        number, of = evidence.differing
        return (f"{number:,} of {of:,} {evidence.unit.removeprefix('test ')} differ.", *_of_seeds(evidence))
    return _of_seeds(evidence)


def _of_seeds(evidence: Difference | Distance) -> tuple[str, ...]:
    """Return notes about seeds that had no effect, or none on this figure."""
    same = len(evidence.by_seed) > 1 and math.isclose(min(evidence.by_seed), max(evidence.by_seed), abs_tol=1e-12)
    if (
        evidence.notes
        or not same
        or (isinstance(evidence, Difference) and evidence.resampled is not None and not evidence.resampled.any())
    ):
        return evidence.notes
    return ("All seeds give the same value: the interval over seeds has no width and does not describe new seeds.",)


def _beyond(detectable: float | None, what: str, of_what: str) -> str:
    """Describe what would have been detected; empty for less than 0.01 points, as between identical studies."""
    if detectable is None or detectable < 0.00005:
        return ""
    return f"; {what} {100 * detectable:.2f} points {of_what} would have been detected with about 80 percent power"


def verdict(
    claim: Claim,
    judgement: Judgement,
    reason: str,
    *,
    seeds: int = 0,
    level: float | None = None,
    difference: float | None = None,
    over_items: intervals.Interval | None = None,
    over_seeds: intervals.Interval | None = None,
    detectable: float | None = None,
) -> Verdict:
    """Return a claim's verdict with the numbers that it rests on."""
    return Verdict(
        expectation=claim.words,
        better=claim.better,
        worse=claim.worse,
        margin=claim.margin,
        verdict=judgement,
        reason=reason,
        seeds=seeds,
        level=level,
        difference=difference,
        over_items=over_items,
        over_seeds=over_seeds,
        detectable=detectable,
        kind=claim.kind,
        figure=claim.figure,
        target=claim.target,
        source=claim.source,
        at=claim.at,
    )


def reaches(interval: intervals.Interval, margin: float) -> bool:
    """Return whether an interval lets "A beats B by `margin`" hold: its lower end reaches the margin, or exceeds 0."""
    return interval.low >= margin if margin else interval.low > 0


def misses(interval: intervals.Interval, margin: float) -> bool:
    """Return whether an interval lets "A beats B by `margin`" be violated: its upper end is below 0 and the margin."""
    return interval.high < min(0.0, margin)


def _judge_difference(
    claim: Claim,
    evidence: Difference,
    over_items: intervals.Interval | None,
    over_seeds: intervals.Interval | None,
    detectable: float | None,
) -> tuple[Judgement, str]:
    """Apply the rule for "A beats B by `margin`", or for "A keeps B", which has no interval over items."""
    if over_seeds is None or detectable is None:
        return "inconclusive", ONE_SEED
    both = [interval for interval in (over_items, over_seeds) if interval is not None]
    margin, mean = claim.margin, evidence.mean
    floor = min(0.0, margin)
    short = [interval.over for interval in both if not reaches(interval, margin)]
    above = [interval.over for interval in both if not misses(interval, margin)]
    if not short:
        reached = f"{'reach' if len(both) > 1 else 'reaches'} the margin of {100 * margin:g}"
        return "holds", f"{_named(both)} {reached if margin else 'are above 0'}."
    if not above:
        return "violated", f"{_named(both)} {'are' if len(both) > 1 else 'is'} below {100 * floor:g}."
    if not any(evidence.by_seed) and (evidence.resampled is None or not evidence.resampled.any()):
        return "inconclusive", "Both studies have identical scores."
    named = " and that over ".join(above if mean < floor else short)
    limit = f"below {100 * floor:g}" if mean < floor else f"above {100 * margin:g}"
    return "inconclusive", (
        f"The interval over {named} is not entirely {limit}{_beyond(detectable, 'a true difference', limit)}."
    )


def _judge_score(
    claim: Claim,
    evidence: Distance,
    over_items: intervals.Interval | None,
    over_seeds: intervals.Interval | None,
    detectable: float | None,
) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is within ... of, or at least, the target"."""
    if evidence.undecidable:
        return "inconclusive", ONE_SEED
    if claim.kind == "within":
        return _judge_within(claim.margin, evidence.mean, over_seeds)
    intervals = [interval for interval in (over_items, over_seeds) if interval is not None]
    if not intervals:  # the untrained model's figure without stored predictions
        return "holds" if evidence.mean >= 0 else "violated", ONE_RUN
    short = [interval.over for interval in intervals if not interval.low >= 0]
    above = [interval.over for interval in intervals if not interval.high < 0]
    if not short:
        return "holds", f"{_named(intervals)} {'reach' if len(intervals) > 1 else 'reaches'} the score."
    if not above:
        return "violated", f"{_named(intervals)} {'are' if len(intervals) > 1 else 'is'} below the score."
    named = " and that over ".join(above if evidence.mean < 0 else short)
    beyond = _beyond(detectable, "a true score", "above or below it")
    return "inconclusive", f"The interval over {named} contains the score{beyond}."


def _judge_within(tolerance: float, distance: float, over_seeds: intervals.Interval | None) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is within `tolerance` of the target", which is of the same test items."""
    if over_seeds is None:
        return "holds" if abs(distance) <= tolerance else "violated", ONE_RUN
    band = f"the tolerance of {100 * tolerance:g} points"
    if over_seeds.low >= -tolerance and over_seeds.high <= tolerance:
        return "holds", f"The interval over seeds is within {band}."
    if over_seeds.low > tolerance or over_seeds.high < -tolerance:
        return "violated", f"The interval over seeds is entirely outside {band}."
    return "inconclusive", (
        f"The interval over seeds is partly inside {band}; more seeds, or a wider tolerance, could decide."
    )


def _named(intervals: list[intervals.Interval]) -> str:
    return "Both intervals" if len(intervals) > 1 else f"The interval over {intervals[0].over}"
