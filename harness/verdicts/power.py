"""How many final seeds a difference needs: planning with the same tests that judge. Pure functions; scipy alone.

A claim holds when the lower ends of two intervals exceed its margin (see `harness.verdicts.judge`). Over seeds, n
paired final runs show a true difference d beyond the margin with probability P(T > t), T being noncentral t with n - 1
degrees of freedom and noncentrality d sqrt(n) / s, t Student's quantile at 1 - alpha / 2, s the standard deviation of
the differences seed by seed (Cohen, 1988, chapter 2). Over test pairs, seeds do not help: where the smallest difference
that pairs can show, p, is larger than d, no number of seeds suffices. Where it is smaller, both uncertainties have to
be survived at once, so seeds get what pairs leave of d: the root of d squared less p squared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import UsageError
from harness.planning.plan import Plan
from harness.spec.expectations import Beats, InOrder
from harness.stats import intervals
from harness.verdicts.evidence import difference, finals
from harness.verdicts.judge import judge

POWER = 0.8
MOST = 1000
"""Beyond so many seeds a difference counts as out of reach."""

_UPPER = 0.8  # level of the pilot's upper limit, as Browne (1995) advises


def power(n: int, size: float, spread: float, alpha: float = intervals.ALPHA) -> float:
    """Return the probability that the lower end of the t interval over n seeds exceeds 0.

    Args:
        n: seeds, at least two.
        size: true mean difference; `spread`: standard deviation of the differences seed by seed; both in points of 1.0.
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        raise ValueError(f"n={n}: a paired t needs at least two seeds")
    if spread == 0:
        return float(size > 0)
    return float(1 - nctdtr(n - 1, size / spread * math.sqrt(n), stdtrit(n - 1, 1 - alpha / 2)))


def seeds_needed(size: float, spread: float, alpha: float = intervals.ALPHA, wanted: float = POWER) -> int | None:
    """Return the smallest number of seeds that shows a true difference with the wanted power; None beyond `MOST`."""
    if spread == 0:
        return 2
    return next((n for n in range(2, MOST + 1) if intervals.detectable(n, spread, alpha, wanted) <= size), None)


def upper_spread(spread: float, n: int, level: float = _UPPER) -> float:
    """Return the one-sided upper confidence limit of a standard deviation that n normal observations gave."""
    from scipy.special import chdtri

    return spread * math.sqrt((n - 1) / float(chdtri(n - 1, level)))


@dataclass(frozen=True)
class Detection:
    """What one claim needs to show a difference of `size` beyond its margin, in points of 1.0.

    `alpha` is what Holm's correction leaves the claim that is judged first, so enough for any. `spread` is that of the
    pilot's differences over `pilot` seeds, or the stated one (`pilot` 0). `seeds` are needed if it is right, `careful`
    if it is the pilot's upper 80 percent limit; None where more than `MOST` would be; where pairs are the limit, both
    are what seeds alone would need. `over_pairs` is the smallest true
    difference that the test pairs can show, None without a pilot.
    """

    claim: str
    size: float
    alpha: float
    spread: float
    pilot: int
    seeds: int | None
    careful: int | None
    over_pairs: float | None

    @property
    def limited_by_pairs(self) -> bool:
        return self.over_pairs is not None and self.over_pairs > self.size

    def __str__(self) -> str:
        many = f"more than {MOST}"
        source = f"from {self.pilot} seeds" if self.pilot else "as stated"
        text = (
            f"{self.claim}: {100 * self.size:g} points need {self.seeds or many} final seeds (80 % power at "
            f"{100 * (1 - self.alpha):.4g} %; sd of the difference {100 * self.spread:.3g}, {source}"
        )
        if self.careful is not None and self.pilot:
            text += f"; {self.careful} if it is at the upper limit of what {self.pilot} seeds allow"
        elif self.pilot:
            text += f"; {many} if it is at the upper limit of what {self.pilot} seeds allow"
        text += ")"
        if self.over_pairs is not None:
            if self.limited_by_pairs:
                text += (
                    f". No number of seeds suffices: the test pairs show differences from {100 * self.over_pairs:.2f} "
                    "points on"
                )
            else:
                text += f". The test pairs suffice: they show {100 * self.over_pairs:.2f} points"
        return text + "."


def detections(plan: Plan, size: float, stated: float | None = None) -> list[Detection]:
    """Say for every claim between two studies how many final seeds a difference of `size` needs.

    Args:
        plan: its final runs so far are the pilot; of each claim, those seeds that both studies have done.
        stated: a standard deviation of the differences seed by seed to use in place of the pilot's.

    Raises:
        UsageError: a size or spread that is not positive, or neither a pilot of two seeds nor a stated spread.
    """
    for option, value in (("--detect", size), ("--sd", stated)):
        if value is not None and not 0 < value < 1:
            raise UsageError(
                f"{option} {value:g}: give points of 1.0, more than 0 and less than 1 (.005 is half a point)"
            )
    claims = _claims(plan)
    alpha = intervals.ALPHA / max(1, len(judge(plan)))
    if not claims:
        if stated is None:
            raise UsageError("--detect: the study file claims no difference between studies; give its --sd")
        needed = seeds_needed(size, stated, alpha)
        return [Detection("any one claim", size, alpha, stated, 0, needed, None, None)]
    return [_detection(plan, *claim, size, alpha, stated) for claim in claims]


def _claims(plan: Plan) -> list[tuple[str, Beats]]:
    """Return each claim that compares two studies, with the words that `harness.verdicts.judge` has for it."""
    found: list[tuple[str, Beats]] = []
    for expectation in plan.ablation.expect:
        if isinstance(expectation, InOrder):
            found += [(str(replace(expectation, studies=step.studies)), step) for step in expectation.steps()]
        elif isinstance(expectation, Beats):
            found.append((str(expectation), expectation))
    return found


def _detection(plan: Plan, words: str, claim: Beats, size: float, alpha: float, stated: float | None) -> Detection:
    pilot = difference(*(finals(plan, study, claim.at) for study in (claim.better, claim.worse)))
    n = len(pilot.by_seed) if pilot is not None else 0
    over_pairs = None
    if pilot is not None:
        over_pairs = intervals.detectable_over_pairs(float(np.std(pilot.resampled, ddof=1)), alpha)
    left = math.sqrt(size**2 - over_pairs**2) if over_pairs is not None and over_pairs < size else size
    if stated is not None:
        return Detection(words, size, alpha, stated, 0, seeds_needed(left, stated, alpha), None, over_pairs)
    if pilot is None or n < 2:
        raise UsageError(
            f"--detect: '{words}' has no pilot: the store holds {n} final seeds of both studies, and a spread needs "
            "two; run some, or state the spread with --sd .008"
        )
    spread = float(np.std(pilot.by_seed, ddof=1))
    careful = seeds_needed(left, upper_spread(spread, n), alpha)
    return Detection(words, size, alpha, spread, n, seeds_needed(left, spread, alpha), careful, over_pairs)
