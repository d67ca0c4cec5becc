"""Power analysis: how many final seeds are needed to detect a difference with the tests of `harness.verdicts.judge`.

The pilot's standard deviations over seeds and its interval over test items give the number of final seeds with which
the lower end of a claim's interval exceeds its margin with 80 percent power (`harness.stats.power`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError
from harness.planning.pairing import share_seeds
from harness.planning.plan import Plan
from harness.stats import estimates, intervals
from harness.stats.power import MOST, beyond_items, seeds_needed, upper_spread
from harness.text import counted
from harness.verdicts.claims import Claim, claims
from harness.verdicts.evidence import difference
from harness.verdicts.finals import finals
from harness.verdicts.judge import judge

_ROUNDING = 1e-9
"""Spreads of scores below this are rounding: the scores are equal."""


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
    """Standard deviation of a difference between two seeds, one of each study: the pilot's, or from the stated one."""
    pilot: int
    """Number of seeds of the pilot; 0 if the spread was stated."""
    seeds: int | None
    """Seeds needed if `spread` is right; None if more than `MOST`, if no number suffices (`limited_by_pairs`), or
    if the pilot's seeds have equal scores."""
    careful: int | None
    """Seeds needed if the true spread is the upper 80 percent limit of the pilot's; None as for `seeds`."""
    over_items: float | None
    """Smallest true difference that the test items can show; None without a pilot, or if `alike_on_items`."""
    alike_on_items: bool = False
    """Whether the pilot's runs differ by the same on nearly all test items, so that the error over items is unknown."""

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
        items = ""
        if self.alike_on_items:
            items = (
                " Whether the test items suffice cannot be estimated: on nearly all of them the runs agree, or differ "
                "by the same."
            )
        elif self.over_items is not None:
            items = f" The test items suffice: they can show differences of {100 * self.over_items:.2f} points."
        if self.pilot and not self.spread:
            return (
                f"{self.claim}: how many final seeds {100 * self.size:g} points need cannot be estimated: the "
                f"{counted(self.pilot, 'seed')} in the store have equal scores; give their standard deviation, e.g. "
                f"--sd 0.008.{items}"
            )
        many = f"more than {MOST}"
        source = f"estimated from {counted(self.pilot, 'seed')}" if self.pilot else "as given by --sd"
        text = (
            f"{self.claim}: {100 * self.size:g} points need {self.seeds or many} final seeds ({tested}; sd of a "
            f"difference {100 * self.spread:.3g} points, {source}"
        )
        if self.pilot:
            text += f"; {self.careful or many} seeds if the sd is at its upper 80 % confidence limit"
        return f"{text}).{items}"


def detections(plan: Plan, size: float, stated: float | None = None) -> list[Detection]:
    """Return for every claim between two studies how many final seeds are needed to detect a difference of `size`.

    Args:
        plan: its finished final runs are the pilot.
        size: the difference to detect, on a 0 to 1 scale.
        stated: a standard deviation of each study's score over seeds to use instead of the pilot's.

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
    if differences:
        return [_detection(plan, claim, size, alpha, stated) for claim in differences]
    if stated is None:
        raise UsageError(
            "--detect: the study file claims no difference between studies, so there is no pilot; give --sd"
        )
    needed = seeds_needed(size, (stated, stated), alpha)
    return [Detection("any one claim", size, alpha, math.sqrt(2) * stated, 0, needed, None, None)]


def _detection(plan: Plan, claim: Claim, size: float, alpha: float, stated: float | None) -> Detection:
    assert claim.worse is not None
    paired = share_seeds(plan.ablation, claim.better, claim.worse)
    sides = [
        finals(plan, study, "default" if claim.at == "default" else "best", claim.figure)
        for study in (claim.better, claim.worse)
    ]
    pilot = difference(*sides, paired=paired)
    over_items, alike = None, False
    if pilot is not None and pilot.resampled is not None and claim.kind == "beats":
        error = estimates.error_over_items(pilot.resampled)
        alike = error < _ROUNDING or pilot.too_few(alpha)
        over_items = None if alike else intervals.detectable_over_items(error, alpha)
    left = beyond_items(size, None if over_items is None or pilot is None else pilot.resampled, alpha)
    if stated is not None:
        spreads = [stated for side in sides if not side.constant]
        needed = seeds_needed(left, spreads, alpha)
        return Detection(claim.words, size, alpha, math.hypot(*spreads), 0, needed, None, over_items, alike)
    seeds = 0 if pilot is None else pilot.seeds
    if pilot is None or seeds < 2:
        raise UsageError(
            f"--detect: '{claim.words}' has no pilot: the store holds {seeds} final seeds of both studies, and two are "
            "needed to estimate the standard deviation over seeds; do more final runs, or give it, e.g. --sd 0.008"
        )
    samples = [np.asarray(side) for side in (pilot.new, pilot.old) if side is not None]
    spreads = [float(sample.std(ddof=1)) for sample in samples]
    upper = [upper_spread(spread, len(sample)) for spread, sample in zip(spreads, samples, strict=True)]
    spread = math.hypot(*spreads)
    known = spread > _ROUNDING
    needed, careful = (seeds_needed(left, each, alpha) if known else None for each in (spreads, upper))
    return Detection(claim.words, size, alpha, spread if known else 0.0, seeds, needed, careful, over_items, alike)
