"""Rank agreement of one ablation on several testbeds.

The order is compared by Spearman's rho and Kendall's tau between the studies' mean scores on two testbeds. There are
two separate uncertainties:

- over seeds: the coefficient of the studies' true means, i.e. of means over very many final seeds. The true means are
  drawn from their posterior, with the variance over seeds pooled over the testbed's studies (a variance of two or three
  seeds is too uncertain). Noise over seeds weakens the observed coefficient, so the interval may lie above it.
- over studies: the coefficient for other studies of this kind, by a bootstrap over studies of the observed means.

Neither describes how far other testbeds would agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau

from harness.errors import UsageError
from harness.planning.pairing import share_seeds
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.stats import intervals
from harness.verdicts.evidence import difference
from harness.verdicts.finals import Finals, finals
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict

DRAWS = 4000
BURN_IN = 100
"""Draws of the Gibbs sampler that are thrown away, because they depend on where it begins."""
TINY = 1e-12
"""The least variance over seeds: bit-identical seeds have none, and the sampler needs some."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """The results of an ablation on one testbed."""

    testbed: str
    """Name of the testbed."""
    plan: Plan
    """The plan with its records."""
    finals: tuple[Finals, ...]
    """Each study's final runs at its best point, the untrained model first."""
    verdicts: tuple[Verdict, ...]
    """The verdicts on the plan."""

    def of(self, study: str) -> Finals:
        """Return a study's final runs."""
        return next(each for each in self.finals if each.study == study)


@dataclass(frozen=True)
class Agreement:
    """How well two testbeds agree in the order of studies."""

    left: str
    """Name of one testbed."""
    right: str
    """Name of the other."""
    studies: tuple[str, ...]
    """The studies that are finished on both, without the untrained model."""
    rho: float
    """Spearman's rank correlation of the studies' means; NaN if all means of a testbed are equal."""
    tau: float
    """Kendall's rank correlation of the studies' means."""
    rho_over_seeds: intervals.Interval | None
    """Interval of `rho` for other final seeds; None if every study has one seed."""
    rho_over_studies: intervals.Interval | None
    """Interval of `rho` for other studies; None for fewer than five."""
    significant: int
    """Pairs of studies that differ on both testbeds, over seeds and over test items, at 95 percent uncorrected."""
    same_order: int
    """Those of the significant pairs that have the same order on both testbeds."""
    in_reverse: tuple[tuple[str, str], ...]
    """The other significant pairs; the study that is better on `left` comes first."""

    def __str__(self) -> str:
        def text(interval: intervals.Interval | None) -> str:
            return "unknown" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"

        seeds, studies = text(self.rho_over_seeds), text(self.rho_over_studies)
        return (
            f"{self.left} and {self.right}, {len(self.studies)} studies: Spearman's rho {coefficient(self.rho)} (95 % "
            f"over seeds {seeds}, over studies {studies}), Kendall's tau {coefficient(self.tau)}; "
            f"of {self.significant} pairs of studies with a significant difference on both, {self.same_order} have the "
            "same order"
        )


def coefficient(value: float) -> str:
    """Format a coefficient, which is undefined if all studies of a testbed have the same mean."""
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def side(plan: Plan) -> Side:
    """Return the final runs and verdicts of a plan's testbed."""
    names = [UNTRAINED, *(study.name for study in plan.ablation.studies)]
    return Side(plan.ablation.testbed.name, plan, tuple(finals(plan, name) for name in names), tuple(judge(plan)))


def agreements(sides: Sequence[Side]) -> list[Agreement]:
    """Return the agreement of each two testbeds.

    Raises:
        UsageError: fewer than three studies are finished on both testbeds.
    """
    return [_agreement(left, right) for left, right in combinations(sides, 2)]


def _agreement(left: Side, right: Side) -> Agreement:
    names = [f.study for f in left.finals if not f.constant and all(_done(s, f.study) for s in (left, right))]
    if len(names) < 3:
        raise UsageError(
            f"{left.testbed} and {right.testbed} have {len(names)} studies whose final runs are done on both; at least "
            "three are needed to compare orders; resume with `harness run`"
        )
    x, y = ([list(s.of(name).scores.values()) for name in names] for s in (left, right))
    signs = [(a, b, _sign(left, a, b), _sign(right, a, b)) for a, b in combinations(names, 2)]
    significant = [(a, b, here, there) for a, b, here, there in signs if here and there]
    in_reverse = tuple((a, b) if here > 0 else (b, a) for a, b, here, there in significant if here != there)
    mean_x, mean_y = _means(x), _means(y)
    return Agreement(
        left.testbed,
        right.testbed,
        tuple(names),
        rho(mean_x, mean_y),
        float(kendalltau(mean_x, mean_y).statistic),
        rho_over_seeds(x, y),
        rho_over_studies(mean_x, mean_y),
        len(significant),
        len(significant) - len(in_reverse),
        in_reverse,
    )


def _done(of: Side, study: str) -> bool:
    of_study = [f for f in of.finals if f.study == study]
    return bool(of_study) and of_study[0].complete


def _sign(of: Side, a: str, b: str) -> int:
    """Return 1 if `a` beats `b` significantly on a testbed, -1 if `b` beats `a`, 0 if neither."""
    evidence = difference(of.of(a), of.of(b), paired=share_seeds(of.plan.ablation, a, b))
    interval = None if evidence is None else evidence.deciding()
    if interval is None or interval.low <= 0 <= interval.high:
        return 0
    return 1 if interval.low > 0 else -1


def rho(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rho of two lists of means, NaN if one of them is constant."""
    return intervals.spearman(x, y)


def _means(by_study: Sequence[Sequence[float]]) -> Floats:
    return np.array([np.mean(scores) for scores in by_study])


def rho_over_seeds(
    x: Sequence[Sequence[float]], y: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = 0
) -> intervals.Interval | None:
    """Return the 95 percent interval of the true means' rho over seeds; None if no study of a testbed has two seeds.

    It is None, too, if all studies of a testbed have the same mean.

    Args:
        x: each study's scores by seed on the first testbed.
        y: the same on the second testbed, studies in the same order.
        draws: number of draws of the true means.
        seed: seed of the random generator.
    """
    if any(sum(len(scores) - 1 for scores in side) < 1 or not np.ptp(_means(side)) for side in (x, y)):
        return None
    drawn = _true_means((x, y), np.random.default_rng(seed), draws)
    return _interval([rho(each[:, 0], each[:, 1]) for each in drawn], "seeds")


def _true_means(sides: Sequence[Sequence[Sequence[float]]], random: np.random.Generator, draws: int) -> Floats:
    """Draw the studies' true means on both testbeds, draws x studies x 2, by Gibbs sampling.

    The model: a study's pair of true means is normal about a common centre with a covariance T, and its observed means
    are normal about them with the variance over seeds, pooled over the testbed's studies. The centre has a flat prior,
    T an inverse Wishart prior of 2 degrees of freedom, as wide as the errors (Gelman et al., Bayesian Data Analysis,
    3rd edition, 2013, chapters 5 and 15). Drawing true means about the observed ones without this model would add the
    variance over seeds a second time.
    """
    observed = np.stack([_means(side) for side in sides], axis=1)
    counts = np.array([[len(scores) for scores in side] for side in sides]).T
    freedom = counts.sum(axis=0) - len(observed)
    squares = [sum(float(np.sum((np.array(s) - np.mean(s)) ** 2)) for s in side) for side in sides]
    pooled = np.maximum(np.array(squares) / freedom, TINY)
    prior = np.diag((pooled / counts).mean(axis=0))
    centre, covariance = observed.mean(axis=0), np.cov(observed.T) + prior
    kept = np.empty((draws, *observed.shape))
    for draw in range(-BURN_IN, draws):
        errors = pooled * freedom / random.chisquare(freedom) / counts
        precision = np.linalg.inv(covariance)
        spread = np.linalg.inv(precision + np.eye(2) / errors[:, None, :])
        mean = np.einsum("kij,kj->ki", spread, precision @ centre + observed / errors)
        normal = random.standard_normal(observed.shape)
        true = mean + np.einsum("kij,kj->ki", np.linalg.cholesky(spread), normal)
        centre = random.multivariate_normal(true.mean(axis=0), covariance / len(true))
        scatter = (true - centre).T @ (true - centre) + prior
        root = np.linalg.cholesky(np.linalg.inv(scatter)) @ random.standard_normal((2, len(true) + 2))
        covariance = np.asarray(np.linalg.inv(root @ root.T), np.float64)
        if draw >= 0:
            kept[draw] = true
    return kept


def rho_over_studies(x: Floats, y: Floats, draws: int = DRAWS, seed: int = 0) -> intervals.Interval | None:
    """Return the 95 percent bootstrap interval of rho over studies; None for fewer than five, which are too few."""
    if len(x) < 5:
        return None
    random = np.random.default_rng(seed)
    chosen = (random.integers(0, len(x), len(x)) for _ in range(draws))
    return _interval([rho(x[d], y[d]) for d in chosen if len(set(x[d])) > 2 and len(set(y[d])) > 2], "studies")


def _interval(values: list[float], over: str) -> intervals.Interval | None:
    """Return the middle 95 percent of the values, None if it is undefined in some draws."""
    if not values or not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return intervals.Interval(float(low), float(high), 1 - intervals.ALPHA, over)
