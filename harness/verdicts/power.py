"""Power analysis: how many final seeds are needed to detect a difference with the tests of `harness.verdicts.judge`.

A claim holds when the lower ends of two intervals exceed its margin (see `harness.verdicts.judge`). Over seeds, n
paired final runs show a true difference d beyond the margin with probability P(T > t), T being noncentral t with n - 1
degrees of freedom and noncentrality d sqrt(n) / s, t Student's quantile at 1 - alpha / 2, s the standard deviation of
the differences seed by seed (Cohen, 1988, chapter 2). More seeds do not narrow the interval over test items: if the
smallest difference p that the pairs can show is larger than d, no number of seeds suffices. If it is smaller, the
number of seeds is computed for a difference of sqrt(d squared - p squared), because the two variances add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError
from harness.planning.plan import Plan
from harness.stats import intervals
from harness.text import counted
from harness.verdicts.claims import Claim, claims
from harness.verdicts.evidence import difference
from harness.verdicts.finals import finals
from harness.verdicts.judge import judge

POWER = 0.8
MOST = 1000
"""Maximum number of seeds that is considered."""

_UPPER = 0.8  # level of the pilot's upper limit, as Browne (1995) advises


def power(n: int, size: float, spread: float, alpha: float = intervals.ALPHA) -> float:
    """Return the probability that the lower end of the t interval over n seeds exceeds 0.

    Args:
        n: number of seeds, at least two.
        size: true mean difference on a 0 to 1 scale.
        spread: standard deviation of the paired differences per seed, on a 0 to 1 scale.
        alpha: the interval has level 1 - alpha.

    Raises:
        ValueError: n is less than 2.
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        raise ValueError(f"n={n}: a paired t needs at least two seeds")
    if spread == 0:
        return float(size > 0)
    return float(1 - nctdtr(n - 1, size / spread * math.sqrt(n), stdtrit(n - 1, 1 - alpha / 2)))


def seeds_needed(size: float, spread: float, alpha: float = intervals.ALPHA, target: float = POWER) -> int | None:
    """Return the smallest number of seeds that detects a true difference with a given power.

    Args:
        size: true mean difference on a 0 to 1 scale.
        spread: standard deviation of the paired differences per seed.
        alpha: the interval has level 1 - alpha.
        target: the power.

    Returns:
        The number of seeds, None if it exceeds `MOST`.
    """
    if spread == 0:
        return 2
    return next((n for n in range(2, MOST + 1) if intervals.detectable(n, spread, alpha, target) <= size), None)


def upper_spread(spread: float, n: int, level: float = _UPPER) -> float:
    """Return the one-sided upper confidence limit of a standard deviation that n normal observations gave."""
    from scipy.special import chdtri

    return spread * math.sqrt((n - 1) / float(chdtri(n - 1, level)))


@dataclass(frozen=True)
class Detection:
    """What one claim needs to detect a difference of `size` beyond its margin, on a 0 to 1 scale."""

    claim: str
    """The claim as printed."""
    size: float
    """The true difference to detect."""
    alpha: float
    """Significance level of the claim that Holm's correction judges first, which is enough for any claim."""
    spread: float
    """Standard deviation of the paired differences per seed: the pilot's, or the stated one."""
    pilot: int
    """Number of seeds of the pilot; 0 if the spread was stated."""
    seeds: int | None
    """Seeds needed if `spread` is right; None if more than `MOST`, or if no number suffices (`limited_by_pairs`)."""
    careful: int | None
    """Seeds needed if the true spread is the upper 80 percent limit of the pilot's; None as for `seeds`."""
    over_items: float | None
    """Smallest true difference that the test items can show; None without a pilot."""

    @property
    def limited_by_pairs(self) -> bool:
        return self.over_items is not None and self.over_items > self.size

    def __str__(self) -> str:
        tested = f"80 % power with {100 * (1 - self.alpha):.4g} % intervals"
        if self.limited_by_pairs:
            return (
                f"{self.claim}: no number of final seeds can detect {100 * self.size:g} points ({tested}): the "
                f"smallest difference that the test items can show is {100 * (self.over_items or 0):.2f} points."
            )
        many = f"more than {MOST}"
        source = f"estimated from {counted(self.pilot, 'seed')}" if self.pilot else "as given by --sd"
        text = (
            f"{self.claim}: {100 * self.size:g} points need {self.seeds or many} final seeds ({tested}; sd of the "
            f"differences {100 * self.spread:.3g} points, {source}"
        )
        if self.pilot:
            text += f"; {self.careful or many} seeds if the sd is at its upper 80 % confidence limit"
        text += ")"
        if self.over_items is not None:
            text += f". The test items suffice: they can show differences of {100 * self.over_items:.2f} points"
        return text + "."


def detections(plan: Plan, size: float, stated: float | None = None) -> list[Detection]:
    """Return for every claim between two studies how many final seeds are needed to detect a difference of `size`.

    Args:
        plan: its finished final runs are the pilot: for each claim, the seeds that both studies have finished.
        size: the difference to detect, on a 0 to 1 scale.
        stated: a standard deviation of the paired differences per seed to use instead of the pilot's.

    Raises:
        UsageError: a size or spread is not between 0 and 1, or there is neither a pilot of two seeds nor a stated
            spread.
    """
    for option, value in (("--detect", size), ("--sd", stated)):
        if value is not None and not 0 < value < 1:
            raise UsageError(
                f"{option} {value:g}: must be more than 0 and less than 1, on a 0 to 1 scale (0.005 is 0.5 points)"
            )
    differences = [claim for claim in claims(plan.ablation) if claim.worse is not None]
    alpha = intervals.ALPHA / max(1, len(judge(plan)))
    if not differences:
        if stated is None:
            raise UsageError(
                "--detect: the study file claims no difference between studies, so there is no pilot; give --sd"
            )
        needed = seeds_needed(size, stated, alpha)
        return [Detection("any one claim", size, alpha, stated, 0, needed, None, None)]
    return [_detection(plan, claim, size, alpha, stated) for claim in differences]


def _detection(plan: Plan, claim: Claim, size: float, alpha: float, stated: float | None) -> Detection:
    assert claim.worse is not None
    words = claim.words
    pilot = difference(*(finals(plan, study, claim.at, claim.figure) for study in (claim.better, claim.worse)))
    n = len(pilot.by_seed) if pilot is not None else 0
    over_items = None
    if pilot is not None and pilot.resampled is not None and claim.kind == "beats":
        over_items = intervals.detectable_over_items(float(np.std(pilot.resampled, ddof=1)), alpha)
    limited = over_items is not None and over_items > size
    left = math.sqrt(size**2 - over_items**2) if over_items is not None and not limited else size
    if limited:
        spread = stated or (float(np.std(pilot.by_seed, ddof=1)) if pilot is not None and n > 1 else 0.0)
        return Detection(words, size, alpha, spread, n, None, None, over_items)
    if stated is not None:
        return Detection(words, size, alpha, stated, 0, seeds_needed(left, stated, alpha), None, over_items)
    if pilot is None or n < 2:
        raise UsageError(
            f"--detect: '{words}' has no pilot: the store holds {n} final seeds of both studies, and two are needed to "
            "estimate the standard deviation over seeds; do more final runs, or give it, e.g. --sd 0.008"
        )
    spread = float(np.std(pilot.by_seed, ddof=1))
    careful = seeds_needed(left, upper_spread(spread, n), alpha)
    return Detection(words, size, alpha, spread, n, seeds_needed(left, spread, alpha), careful, over_items)
