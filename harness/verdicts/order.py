"""The probability that an order holds as a whole: each step may be likely while all of them together are not.

There are two separate figures, each the joint counterpart of one of the two intervals of a step:

- over test items: the share of the paired bootstrap's resamples in which every study beats the one before it (bootstrap
  support; Felsenstein, 1985; Efron and Tibshirani, 1998). All studies are scored on the same resamples, so variation
  that they share cancels.
- over seeds: the posterior probability that all steps are positive, given the differences seed by seed. With normal
  differences and the prior under which each step by itself has Student's t (Geisser and Cornfield, 1963), the
  steps' true means follow a multivariate t about the observed means, with covariance S / n and n - 1 degrees of
  freedom, S being the differences' covariance over the n seeds. Neighbouring steps share a study, so S is far from
  diagonal; multiplying the steps' own probabilities would be wrong. For one step the figure is 1 - p of the one-sided t
  test. Hotelling's prior would leave n - k degrees of freedom for k steps, none with 3 seeds and 3 steps.

Neither is a p-value and no verdict rests on them: studies that are all equal give an order of k steps 1 / (k + 1)! on
average, and other values by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from harness.planning.mixing import of_studies
from harness.planning.plan import Plan
from harness.spec.expectations import InOrder
from harness.verdicts.evidence import difference
from harness.verdicts.finals import Finals, finals

DRAWS = 99_999
"""Draws from the posterior over seeds; the Monte Carlo standard error is at most 0.0016."""

_AT_ONCE = 20_000  # draws held in memory


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
    """Number of final seeds that all studies of the order have."""

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
    sides = [finals(plan, name, expectation.at, expectation.figure) for name in expectation.studies]
    if any(side.lacking for side in sides) or (not plan.allow_mixed and of_studies(plan, expectation.studies)):
        return Order(str(expectation))
    steps = [difference(after, before) for before, after in pairwise(_at_common_seeds(sides))]
    complete = [step for step in steps if step is not None]
    resampled = [step.resampled for step in complete if step.resampled is not None]
    if len(resampled) < len(steps):
        return Order(str(expectation))
    by_seed = np.array([step.by_seed for step in complete])
    return Order(
        str(expectation),
        all_positive(resampled),
        posterior_all_positive(by_seed),
        by_seed.shape[1],
    )


def _at_common_seeds(sides: Sequence[Finals]) -> list[Finals]:
    """Keep only the seeds that all studies have; the untrained model is unchanged."""
    varying = [side for side in sides if not side.constant]
    common = [seed for seed in varying[0].scores if all(seed in side.scores for side in varying)] if varying else []
    return [
        side
        if side.constant
        else replace(
            side,
            scores={s: side.scores[s] for s in common},
            predictions={s: side.predictions[s] for s in common if s in side.predictions},
        )
        for side in sides
    ]


def all_positive(resampled: Sequence[ArrayLike]) -> float:
    """Return the share of resamples in which every one of k quantities exceeds 0; `resampled` is k x resamples."""
    return float(np.mean(np.all(np.asarray(resampled, float) > 0, axis=0)))


def posterior_all_positive(by_seed: ArrayLike, draws: int = DRAWS, seed: int = 0) -> float | None:
    """Return the posterior probability that the means of k quantities are all positive; None for fewer than two seeds.

    Draws from the multivariate t of the module's docstring: normal weights on the centred observations have their
    covariance, whether or not it is singular, and a chi-squared divisor turns the normal into a t. The same arguments
    give the same result.

    Args:
        by_seed: k x n; column j has the observations of seed j.
        draws: number of draws from the posterior.
        seed: seed of the random generator.
    """
    values = np.atleast_2d(np.asarray(by_seed, float))
    n = values.shape[1]
    if n < 2:
        return None
    mean = values.mean(axis=1)
    scaled = (values - mean[:, None]) / np.sqrt(n * (n - 1))
    random = np.random.default_rng(seed)
    above = 0
    for start in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - start)
        normal = random.standard_normal((size, n)) @ scaled.T
        divisor = np.sqrt(random.chisquare(n - 1, size) / (n - 1))
        above += int(np.sum(np.all(mean + normal / divisor[:, None] > 0, axis=1)))
    return above / draws
