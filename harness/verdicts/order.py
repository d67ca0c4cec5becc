"""The probability that an order holds as a whole: each step may be likely while all of them together are not.

There are two separate figures:

- over test items: the share of the paired bootstrap's resamples in which every study beats the one before it (bootstrap
  support; Felsenstein, 1985; Efron and Tibshirani, 1998). All studies are scored on the same resamples, so variation
  that they share cancels.
- over seeds: the posterior probability that all steps are positive. With normal scores and the usual flat prior, each
  study's true mean follows Student's t about its observed mean, with n - 1 degrees of freedom, and those of different
  studies are independent (Behrens and Fisher). Neighbouring steps share a study, so multiplying the steps' own
  probabilities would be wrong. Studies that share their seeds vary less against each other than is assumed here, so
  that the figure is then too close to a half.

Neither is a p-value and no verdict rests on them: studies that are all equal give an order of k steps 1 / (k + 1)! on
average, and other values by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from harness.planning.mixing import of_studies
from harness.planning.plan import Plan
from harness.spec.expectations import InOrder
from harness.verdicts.evidence import difference
from harness.verdicts.finals import finals

DRAWS = 99_999
"""Draws from the posterior over seeds; the Monte Carlo standard error is at most 0.0016."""


@dataclass(frozen=True)
class Order:
    """The probability that an order holds as a whole."""

    expectation: str
    """The order as printed."""
    over_items: float | None = None
    """Share of bootstrap resamples in which every step is positive; None if runs are missing."""
    over_seeds: float | None = None
    """Posterior probability that every step is positive; None for one seed or if runs are missing."""
    seeds: int = 0
    """Number of final seeds that every study of the order has at least."""

    def __str__(self) -> str:
        if self.over_items is None:
            return f"as a whole: {self.expectation}: runs are missing, or were made by different versions"
        over_seeds = "unknown (one seed)" if self.over_seeds is None else probability(self.over_seeds)
        return (
            f"as a whole: {self.expectation}: probability over test items {probability(self.over_items)}, "
            f"over seeds {over_seeds}"
        )


def probability(value: float) -> str:
    """Format a probability with two decimals, or as "<0.01" or ">0.99": an estimate is never printed as certain."""
    if value < 0.005 or value > 0.995:
        return "<0.01" if value < 0.5 else ">0.99"
    return f"{value:.2f}"


def orders(plan: Plan) -> list[Order]:
    """Return the probability of every `in_order` expectation of an ablation, in the order of its study file."""
    return [_order(plan, expectation) for expectation in plan.ablation.expect if isinstance(expectation, InOrder)]


def _order(plan: Plan, expectation: InOrder) -> Order:
    sides = [
        finals(plan, name, "default" if expectation.at == "default" else "best", expectation.figure)
        for name in expectation.studies
    ]
    if any(side.lacking for side in sides) or (not plan.allow_mixed and of_studies(plan, expectation.studies)):
        return Order(str(expectation))
    steps = [difference(after, before) for before, after in pairwise(sides)]
    resampled = [step.resampled for step in steps if step is not None and step.resampled is not None]
    if len(resampled) < len(steps):
        return Order(str(expectation))
    return Order(
        str(expectation),
        all_positive(resampled),
        posterior_in_order([side.counted for side in sides], [side.constant for side in sides]),
        min(len(side.counted) for side in sides if not side.constant),
    )


def all_positive(resampled: Sequence[ArrayLike]) -> float:
    """Return the share of resamples in which every one of k quantities exceeds 0; `resampled` is k x resamples."""
    return float(np.mean(np.all(np.asarray(resampled, float) > 0, axis=0)))


def posterior_in_order(
    scores: Sequence[ArrayLike], constant: Sequence[bool], draws: int = DRAWS, seed: int = 0
) -> float | None:
    """Return the posterior probability that the studies' true means increase; None if a study has one seed.

    Args:
        scores: each study's scores by seed, in the order that is claimed.
        constant: which studies have one deterministic score.
        draws: number of draws from the posterior; the same arguments give the same result.
        seed: seed of the random generator.
    """
    samples = [np.asarray(each, float) for each in scores]
    if any(len(sample) < 2 and not fixed for sample, fixed in zip(samples, constant, strict=True)):
        return None
    random = np.random.default_rng(seed)
    means = [
        np.full(draws, sample.mean())
        if fixed
        else sample.mean() + sample.std(ddof=1) / len(sample) ** 0.5 * random.standard_t(len(sample) - 1, draws)
        for sample, fixed in zip(samples, constant, strict=True)
    ]
    return float(np.mean(np.all(np.diff(means, axis=0) > 0, axis=0)))
