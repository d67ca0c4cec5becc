"""The verdict on one claim, given its evidence. `harness.verdicts.judge` says by which rules, over all claims."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness.scores import HEADLINE
from harness.spec.expectations import At
from harness.stats import intervals
from harness.verdicts.evidence import Difference, Distance

Judgement: TypeAlias = Literal["holds", "violated", "inconclusive", "incomplete"]
Kind: TypeAlias = Literal["beats", "within", "at least", "baseline"]

ONE_SEED = "One final seed cannot tell a difference from luck with the seed; two or more can."
ONE_RUN = "One deterministic run, without an interval: the score itself is compared."


class Refused(str):
    """Why evidence that is all there is not judged, as a whole sentence."""


@dataclass(frozen=True)
class Claim:
    """One thing to judge: `better` against study `worse`, or, where that is None, against the number `target`.

    `at` says which final runs of the studies are compared.
    """

    words: str
    better: str
    worse: str | None
    margin: float
    kind: Kind = "beats"
    figure: str = HEADLINE
    target: float | None = None
    source: str = ""
    at: At = "best"


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim. Scores, differences and margins are in points of 1.0.

    `expectation` is the pair of an order, or the expectation's own words; `seeds` counts the (paired) final runs;
    `level` is the intervals' after Holm's correction. `detectable` is the smallest true difference that these runs
    would have shown with a power of 80 percent: what pairs and what seeds allow, squared and added. What cannot be
    known is None.

    `late` says what about the claim was chosen after its test scores were known (`harness.verdicts.hindsight`).

    `kind` says which rule judged. Where it is "beats", `better` is judged against study `worse`. Where it is "within"
    or "at least", `worse` is None, `difference` and its intervals are `better`'s `figure` less `target`, the published
    score (from `source`), and `margin` is the tolerance; "within" has no interval over pairs. Where it is "baseline",
    `target` is the baseline's mean and `margin` the loss that is tolerated, as a negative number. `at` as in `Claim`.
    `unequal` says what the two studies were not free to choose alike, and `late` what was chosen in hindsight.
    """

    expectation: str
    better: str
    worse: str | None
    margin: float
    verdict: Judgement
    reason: str
    seeds: int = 0
    level: float | None = None
    difference: float | None = None
    over_pairs: intervals.Interval | None = None
    over_seeds: intervals.Interval | None = None
    detectable: float | None = None
    kind: Kind = "beats"
    figure: str = HEADLINE
    target: float | None = None
    source: str = ""
    late: tuple[str, ...] = ()
    at: At = "best"
    unequal: str = ""

    def __str__(self) -> str:
        numbers = "" if self.difference is None else f" ({self._measured()})"
        late = f" But chosen in hindsight: {' '.join(self.late)}" if self.late else ""
        return f"{self.verdict}: {self.expectation}{numbers}. {self.told}{late}"

    @property
    def told(self) -> str:
        """The reason, and what the two studies did not have in common beside loss and view."""
        return f"{self.reason} {self.unequal}".strip()

    def _measured(self) -> str:
        assert self.difference is not None
        text = f"{100 * self.difference:+.2f} points"
        if self.target is not None:
            text = f"{100 * (self.target + self.difference):.2f}, {text} from {100 * self.target:.2f}"
        intervals = ", ".join(
            f"over {i.over} {100 * i.low:+.2f} to {100 * i.high:+.2f}" for i in (self.over_pairs, self.over_seeds) if i
        )
        return f"{text}; {100 * self.level:.4g} % {intervals}" if intervals and self.level is not None else text


def verdict_on(claim: Claim, known: Difference | Distance | str, alpha: float) -> Verdict:
    """Judge a claim by intervals of level 1 - alpha; `known` is its evidence, or what is lacking of it, in words."""
    if isinstance(known, Refused):
        return verdict(claim, "incomplete", known)
    if isinstance(known, str):
        return verdict(claim, "incomplete", f"Not all runs are there: {known}.")
    if claim.kind == "within" and isinstance(known, Distance):
        known = replace(known, resampled=None)  # the published score is of the same pairs
    over_pairs, over_seeds, detectable = known.over_pairs(alpha), known.over_seeds(alpha), known.detectable(alpha)
    if isinstance(known, Distance):
        judgement, reason = _judge_score(claim, known, over_pairs, over_seeds, detectable)
        p_value = known.p_within(claim.margin) if claim.kind == "within" else known.p_reaches()
    else:
        assert over_pairs is not None
        judgement, reason = _judge_difference(claim.margin, known, over_pairs, over_seeds, detectable)
        p_value = known.p_value(claim.margin)
    if judgement in ("holds", "violated") and over_pairs and over_seeds and p_value > alpha:
        judgement = "inconclusive"
        reason = (
            "Each interval would decide, but luck with seeds and luck with pairs together may still explain the "
            f"difference{_beyond(detectable, 'one', 'beyond')}."
        )
    return verdict(
        claim,
        judgement,
        " ".join((reason, *_notes(known))),
        seeds=len(known.by_seed),
        level=1 - alpha,
        difference=known.mean,
        over_pairs=over_pairs,
        over_seeds=over_seeds,
        detectable=detectable,
    )


def _notes(known: Difference | Distance) -> tuple[str, ...]:
    """Return what is odd about the seeds: they had no effect, or none on this figure."""
    same = len(known.by_seed) > 1 and math.isclose(min(known.by_seed), max(known.by_seed), abs_tol=1e-12)
    if known.notes or not same or (isinstance(known, Difference) and not known.resampled.any()):
        return known.notes
    return ("It is the same at every seed: the interval over seeds has no width, and does not say what new ones give.",)


def _beyond(detectable: float | None, what: str, of_what: str) -> str:
    """Say what would have been shown; nothing where that is less than a hundredth of a point, as between twins."""
    if detectable is None or detectable < 0.00005:
        return ""
    return f"; {what} {100 * detectable:.2f} points {of_what} would have been shown with about 80 percent power"


def verdict(
    claim: Claim,
    judgement: Judgement,
    reason: str,
    *,
    seeds: int = 0,
    level: float | None = None,
    difference: float | None = None,
    over_pairs: intervals.Interval | None = None,
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
        over_pairs=over_pairs,
        over_seeds=over_seeds,
        detectable=detectable,
        kind=claim.kind,
        figure=claim.figure,
        target=claim.target,
        source=claim.source,
        at=claim.at,
    )


def _judge_difference(
    margin: float,
    known: Difference,
    over_pairs: intervals.Interval,
    over_seeds: intervals.Interval | None,
    detectable: float | None,
) -> tuple[Judgement, str]:
    """Apply the rule for "A beats B by `margin`"."""
    if over_seeds is None or detectable is None:
        return "inconclusive", ONE_SEED
    both, floor, mean = (over_pairs, over_seeds), min(0.0, margin), known.mean
    short = [interval.over for interval in both if not (interval.low >= margin if margin else interval.low > 0)]
    above = [interval.over for interval in both if not interval.high < floor]
    if not short:
        return "holds", f"Both intervals {f'reach the margin of {100 * margin:g}' if margin else 'lie above 0'}."
    if not above:
        return "violated", f"Both intervals lie below {100 * floor:g}."
    if not (any(known.by_seed) or known.resampled.any()):
        return "inconclusive", "Both have the very same scores: nothing tells them apart."
    named = " and that over ".join(above if mean < floor else short)
    limit = 100 * floor if mean < floor else 100 * margin
    return "inconclusive", (
        f"The interval over {named} does not lie {'below' if mean < floor else 'above'} {limit:g}"
        f"{_beyond(detectable, 'a true difference', 'beyond that')}."
    )


def _judge_score(
    claim: Claim,
    known: Distance,
    over_pairs: intervals.Interval | None,
    over_seeds: intervals.Interval | None,
    detectable: float | None,
) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is within ... of, or at least, the target"."""
    if known.undecidable:
        return "inconclusive", ONE_SEED
    if claim.kind == "within":
        return _judge_within(claim.margin, known.mean, over_seeds)
    intervals = [interval for interval in (over_pairs, over_seeds) if interval is not None]
    if not intervals:  # the untrained model, and a figure without stored predictions: there is no chance in the number
        return "holds" if known.mean >= 0 else "violated", ONE_RUN
    short = [interval.over for interval in intervals if not interval.low >= 0]
    above = [interval.over for interval in intervals if not interval.high < 0]
    if not short:
        return "holds", f"{_named(intervals)} {'reach' if len(intervals) > 1 else 'reaches'} the score."
    if not above:
        return "violated", f"{_named(intervals)} {'lie' if len(intervals) > 1 else 'lies'} below the score."
    named = " and that over ".join(above if known.mean < 0 else short)
    beyond = _beyond(detectable, "a true score", "beyond it")
    return "inconclusive", f"The interval over {named} contains the score{beyond}."


def _judge_within(tolerance: float, distance: float, over_seeds: intervals.Interval | None) -> tuple[Judgement, str]:
    """Apply the rule for "A's score is within `tolerance` of the target", which is of the same test pairs."""
    if over_seeds is None:
        return "holds" if abs(distance) <= tolerance else "violated", ONE_RUN
    band = f"the tolerance of {100 * tolerance:g} points"
    if over_seeds.low >= -tolerance and over_seeds.high <= tolerance:
        return "holds", f"The interval over seeds lies within {band}."
    if over_seeds.low > tolerance or over_seeds.high < -tolerance:
        return "violated", f"The interval over seeds lies wholly outside {band}."
    return "inconclusive", (
        f"The interval over seeds reaches across the edge of {band}; more of them, or a wider tolerance, could decide."
    )


def _named(intervals: list[intervals.Interval]) -> str:
    return "Both intervals" if len(intervals) > 1 else f"The interval over {intervals[0].over}"
