"""The verdict on one claim, given its evidence. The docstring of `harness.verdicts.judge` gives the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from harness.spec.expectations import At
from harness.stats import intervals, power
from harness.verdicts.claims import Claim, Kind
from harness.verdicts.evidence import Evidence
from harness.verdicts.notes import caveats, of_items

Judgement: TypeAlias = Literal["holds", "violated", "inconclusive", "incomplete"]

About: TypeAlias = Literal["points", "procedures"]

SAME = 0.005
"""A difference that is too small to matter, on a 0 to 1 scale: half a point of a table."""

ONE_SEED = "With one final seed the spread over seeds is unknown; use two or more seeds."
ONE_RUN = "This is one deterministic run without an interval: the score itself is compared."


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
    caveat: str = ""
    """What limits what the numbers say, in sentences."""
    seeds: int = 0
    """Number of final seeds, of the study that has fewer."""
    level: float | None = None
    """Level of the intervals after Holm's correction."""
    difference: float | None = None
    """Mean of `better` minus that of `worse`, or minus `target`."""
    interval: intervals.Interval | None = None
    """The interval that decides, over seeds and test items together."""
    over_items: intervals.Interval | None = None
    """Interval of the difference over test items; "within", "keeps" and "baseline" have none."""
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
    paired: bool = False
    """Whether the two studies share their seeds, so that they are compared seed by seed."""
    needs: int | None = None
    """If undecided: final seeds that show half a point with 80 percent power; None if no number does."""
    identical: bool = False
    """Whether both studies have the same scores and predictions in all seeds."""
    about: About = "points"
    """Whether the claim is about the points that were trained, or about tuning with this budget."""

    def __str__(self) -> str:
        numbers = "" if self.difference is None else f" ({self._measured()})"
        late = f" Chosen in hindsight: {' '.join(self.late)}" if self.late else ""
        return f"{self.verdict}: {self.expectation}{numbers}. {self.full_reason}{late}"

    @property
    def full_reason(self) -> str:
        """The reason, followed by `caveat` and `unequal`."""
        return " ".join(filter(None, (self.reason, self.caveat, self.unequal)))

    def _measured(self) -> str:
        assert self.difference is not None
        text = f"{100 * self.difference:+.2f} points"
        if self.target is not None:
            text = f"{100 * (self.target + self.difference):.2f}, {text} from {100 * self.target:.2f}"
        intervals = ", ".join(
            f"over {i.over} {100 * i.low:+.2f} to {100 * i.high:+.2f}" for i in (self.over_items, self.over_seeds) if i
        )
        return f"{text}; {100 * self.level:.4g} % {intervals}" if intervals and self.level is not None else text


def verdict_on(claim: Claim, evidence: Evidence | str, alpha: float) -> Verdict:
    """Judge a claim.

    Args:
        claim: the claim.
        evidence: its evidence, or sentences that say why it has none.
        alpha: the intervals have level 1 - alpha.
    """
    if isinstance(evidence, str):
        return verdict(claim, "incomplete", evidence)
    interval, detectable = evidence.deciding(alpha), evidence.detectable(alpha)
    if evidence.undecidable:
        judgement: Judgement = "inconclusive"
        reason = ONE_SEED
    elif claim.kind == "within":
        judgement, reason = _judge_within(claim.margin, evidence.mean, interval)
    elif interval is None:  # the untrained model's figure without stored predictions
        judgement, reason = "holds" if evidence.mean >= claim.margin else "violated", ONE_RUN
    elif claim.kind == "at least":
        judgement, reason = _judge_score(interval, detectable)
    else:
        judgement, reason = _judge_difference(claim, evidence, interval, detectable)
    return verdict(
        claim,
        judgement,
        " ".join((reason, *of_items(evidence, alpha))),
        caveat=" ".join(caveats(evidence)),
        seeds=evidence.seeds,
        level=1 - alpha,
        difference=evidence.mean,
        interval=interval,
        over_items=evidence.over_items(alpha),
        over_seeds=evidence.over_seeds(alpha),
        detectable=detectable,
        needs=_needed(evidence, alpha) if judgement == "inconclusive" else None,
        identical=evidence.identical and claim.worse is not None,
    )


def _needed(evidence: Evidence, alpha: float) -> int | None:
    """Return how many final seeds would show a difference of `SAME`; None if no number would, or for one seed."""
    if evidence.undecidable or evidence.identical or evidence.too_few(alpha):
        return None
    samples = [np.asarray(side) for side in (evidence.new, evidence.old) if side is not None]
    spreads = [float(sample.std(ddof=1)) for sample in samples] if not evidence.constant else []
    return power.seeds_needed(power.beyond_items(SAME, evidence.resampled, alpha), spreads, alpha)


def p_value(claim: Claim, evidence: Evidence) -> float:
    """Return the two-sided p-value of a claim: it is decided at level 1 - alpha exactly if this is at most alpha."""
    return evidence.p_within(claim.margin) if claim.kind == "within" else evidence.p_value(claim.margin)


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
    caveat: str = "",
    seeds: int = 0,
    level: float | None = None,
    difference: float | None = None,
    interval: intervals.Interval | None = None,
    over_items: intervals.Interval | None = None,
    over_seeds: intervals.Interval | None = None,
    detectable: float | None = None,
    needs: int | None = None,
    identical: bool = False,
) -> Verdict:
    """Return a claim's verdict with the numbers that it rests on."""
    return Verdict(
        expectation=claim.words,
        better=claim.better,
        worse=claim.worse,
        margin=claim.margin,
        verdict=judgement,
        reason=reason,
        caveat=caveat,
        seeds=seeds,
        level=level,
        difference=difference,
        interval=interval,
        over_items=over_items,
        over_seeds=over_seeds,
        detectable=detectable,
        needs=needs,
        identical=identical,
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
    claim: Claim, evidence: Evidence, interval: intervals.Interval, detectable: float | None
) -> tuple[Judgement, str]:
    """Apply the rule for "A beats B by `margin`", or for "A keeps B", which has no interval over items."""
    margin, floor = claim.margin, min(0.0, claim.margin)
    over = f"The interval over {interval.over}"
    if reaches(interval, margin):
        return "holds", f"{over} {f'reaches the margin of {100 * margin:g}' if margin else 'is above 0'}."
    if misses(interval, margin):
        return "violated", f"{over} is below {100 * floor:g}."
    if evidence.identical:
        return "inconclusive", "Both studies have identical scores."
    limit = f"below {100 * floor:g}" if evidence.mean < floor else f"above {100 * margin:g}"
    return "inconclusive", f"{over} is not entirely {limit}{_beyond(detectable, 'a true difference', limit)}."


def _judge_score(interval: intervals.Interval, detectable: float | None) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is at least the target"."""
    over = f"The interval over {interval.over}"
    if interval.low >= 0:
        return "holds", f"{over} reaches the score."
    if interval.high < 0:
        return "violated", f"{over} is below the score."
    return "inconclusive", f"{over} contains the score{_beyond(detectable, 'a true score', 'above or below it')}."


def _judge_within(tolerance: float, distance: float, interval: intervals.Interval | None) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is within `tolerance` of the target", which is of the same test items."""
    if interval is None:
        return "holds" if abs(distance) <= tolerance else "violated", ONE_RUN
    band = f"the tolerance of {100 * tolerance:g} points"
    if interval.low >= -tolerance and interval.high <= tolerance:
        return "holds", f"The interval over seeds is within {band}."
    if interval.low > tolerance or interval.high < -tolerance:
        return "violated", f"The interval over seeds is entirely outside {band}."
    return "inconclusive", (
        f"The interval over seeds is partly inside {band}; more seeds, or a wider tolerance, could decide."
    )
