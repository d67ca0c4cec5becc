"""Expectations -> verdicts: what the final runs say about the claims that a study file makes.

The score is the Spearman correlation on STSB test at each study's best point. For each claim "A beats B by m":

- holds: the lower ends of both intervals of the difference A - B, the one over test pairs and the one over seeds, reach
  m. Where m is 0 they must exceed it: a study does not beat its twin. And new seeds on new pairs would have to agree:
  both variances added up leave no more doubt than the level allows (`stats.together_p`), here and for "violated".
- violated: the upper ends of both intervals are below 0 (below m, where m is negative).
- inconclusive: neither. One final seed has no interval over seeds, so it decides nothing.
- incomplete: a planned final run of either study is missing, failed, or lacks its predictions.

The intervals have level 95 percent after Holm's correction over all claims of the ablation, incomplete ones included,
so that the chance of any wrong decision stays at 5 percent however many claims there are: the strongest evidence is
judged first, at 1 - .05/m, the next at 1 - .05/(m - 1), and so on. The p-value that orders the claims is the largest
one, as all have to agree. Seeds are paired: seed 1 of one study with seed 1 of the other. The
untrained model has one deterministic run; its score is a constant over seeds. Where seeds are added until decided, p
counts as the chance of so small a p at any look, and the intervals' level is that which spends Holm's over all looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from harness import spending, stats
from harness.plan import Plan, PlannedRun
from harness.records import HEADLINE, TEST, Pairs, Record
from harness.study import UNTRAINED, InOrder

Judgement: TypeAlias = Literal["holds", "violated", "inconclusive", "incomplete"]

_AGREES = 1e-3  # a record's score and the one recomputed from its pairs: cosines may be stored rounded


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim. Scores, differences and margins are in points of 1.0.

    `expectation` is the pair of an order, or the expectation's own words; `seeds` counts the paired final runs; `level`
    is the intervals' after Holm's correction. `detectable` is the smallest true difference that these runs would have
    shown with a power of 80 percent: what pairs and what seeds allow, squared and added. What cannot be known is None.
    """

    expectation: str
    better: str
    worse: str
    margin: float
    verdict: Judgement
    reason: str
    seeds: int = 0
    level: float | None = None
    difference: float | None = None
    over_pairs: stats.Interval | None = None
    over_seeds: stats.Interval | None = None
    detectable: float | None = None

    def __str__(self) -> str:
        intervals = ", ".join(
            f"over {i.over} {100 * i.low:+.2f} to {100 * i.high:+.2f}" for i in (self.over_pairs, self.over_seeds) if i
        )
        numbers = ""
        if self.difference is not None and self.level is not None:
            numbers = f" ({100 * self.difference:+.2f} points; {100 * self.level:.4g} % {intervals})"
        return f"{self.verdict}: {self.expectation}{numbers}. {self.reason}"


@dataclass(frozen=True)
class Finals:
    """A study's final runs at one role's point, those of them that are fit to be compared.

    `scores` is STSB test Spearman by seed, `pairs` the predictions by seed; the untrained model's are under seed None.
    `lacking` says in words what is missing of the planned runs, and is empty when nothing is.
    """

    study: str
    planned: int
    scores: Mapping[int | None, float] = field(default_factory=dict)
    pairs: Mapping[int | None, Pairs] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """True for the untrained model, which no seed changes."""
        return self.study == UNTRAINED

    def at(self, seed: int | None) -> float:
        return self.scores[None if self.constant else seed]


@dataclass(frozen=True)
class Difference:
    """Study `better` minus study `worse` over the seeds that both have done, seed by seed and resample by resample."""

    by_seed: tuple[float, ...]
    resampled: stats.Floats

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_seed))

    def over_pairs(self, alpha: float = stats.ALPHA) -> stats.Interval:
        return stats.percentile_interval(self.resampled, alpha)

    def over_seeds(self, alpha: float = stats.ALPHA) -> stats.Interval | None:
        return stats.t_interval(self.by_seed, alpha)

    def p_value(self, margin: float) -> float:
        """Return the two-sided p-value of the claim: the largest over pairs, over seeds, and over both at once."""
        below = -min(margin, 0.0)
        reached = _one_sided(self.by_seed, self.resampled, margin)
        missed = _one_sided(np.negative(self.by_seed), -self.resampled, below)
        return min(1.0, 2 * min(reached, missed))

    def detectable(self, alpha: float = stats.ALPHA) -> float | None:
        """Return the smallest difference that these seeds and pairs can show together; None for one seed."""
        if len(self.by_seed) < 2:
            return None
        over_seeds = stats.detectable(len(self.by_seed), float(np.std(self.by_seed, ddof=1)), alpha)
        return math.hypot(over_seeds, stats.detectable_over_pairs(float(np.std(self.resampled, ddof=1)), alpha))


def _one_sided(by_seed: ArrayLike, resampled: stats.Floats, least: float) -> float:
    """Return the largest of the one-sided p-values of "below `least`"."""
    over_pairs, over_seeds = stats.bootstrap_p(resampled, least), stats.t_p(by_seed, least)
    return max(over_pairs, over_seeds, stats.together_p(by_seed, resampled, least))


def finals(plan: Plan, study: str, role: str = "best") -> Finals:
    """Gather a study's final runs of one role ("best" or "default"), or the untrained model's run, from the plan."""
    runs = plan.of(study, "untrained") if study == UNTRAINED else plan.of(study, "final", role)
    scores: dict[int | None, float] = {}
    pairs: dict[int | None, Pairs] = {}
    lacking = [] if runs else [f"{study} has no final runs: " + _why_none(plan, study)]
    for run in runs:
        seed = None if study == UNTRAINED else run.seed
        flaw = problem(run)
        if flaw is None and run.record is not None:
            scores[seed], pairs[seed] = run.record.scores[HEADLINE], run.record.pairs[TEST]
        else:
            lacking.append(f"{study}{'' if seed is None else f' seed {seed}'} {flaw}")
    return Finals(study, len(runs), scores, pairs, tuple(lacking))


def _why_none(plan: Plan, study: str) -> str:
    return "none of its trials succeeded" if plan.of(study, "tune") else "it was left out of this plan"


def problem(run: PlannedRun) -> str | None:
    """Say what keeps a run from being compared, None if nothing does."""
    record = run.record
    if record is None:
        return "is not done"
    if record.outcome != "ok":
        return f"is {record.outcome}"
    if HEADLINE not in record.scores or TEST not in record.pairs:
        return "lacks its STSB test predictions"
    predicted = record.pairs[TEST]
    if len(predicted.gold) != len(predicted.cosine) or len(predicted.gold) < 3:
        return "has damaged STSB test predictions"
    again = stats.spearman(predicted.gold, predicted.cosine)
    if math.isnan(again):
        return "gives every STSB test pair the same cosine"
    if abs(again - record.scores[HEADLINE]) > _AGREES:
        return f"has a score ({record.scores[HEADLINE]:.4f}) that its own predictions do not give ({again:.4f})"
    return None


def difference(better: Finals, worse: Finals) -> Difference | None:
    """Return better - worse over the seeds that both have done; None if there is none, or their test pairs differ."""
    if better.constant and worse.constant:
        return None
    varying = [side for side in (better, worse) if not side.constant]
    seeds = sorted(
        seed for seed in varying[0].scores if seed is not None and all(seed in side.scores for side in varying)
    )
    if not seeds or any(side.constant and None not in side.scores for side in (better, worse)):
        return None
    used = [tuple(side.pairs[seed] for seed in ([None] if side.constant else seeds)) for side in (better, worse)]
    if len({p.gold for side in used for p in side}) > 1:
        return None
    left, right = (_mean_resampled(side[0].gold, tuple(p.cosine for p in side)) for side in used)
    return Difference(tuple(better.at(seed) - worse.at(seed) for seed in seeds), left - right)


@lru_cache(maxsize=64)  # a study stands in several claims, and in the report's tables
def _mean_resampled(gold: tuple[float, ...], cosines: tuple[tuple[float, ...], ...]) -> stats.Floats:
    """Return the mean over seeds of the Spearman correlation in each resample of the pairs."""
    mean: stats.Floats = stats.resampled_spearman(gold, cosines).mean(axis=1)
    mean.flags.writeable = False
    return mean


def check(plan: Plan) -> list[Verdict]:
    """Judge every claim of the ablation in the order of its study file; the module says by which rule."""
    claims = _claims(plan)
    sides = {name: finals(plan, name) for _, better, worse, _ in claims for name in (better, worse)}
    found = [_complete_difference(sides[better], sides[worse]) for _, better, worse, _ in claims]
    p_values = [
        1.0 if isinstance(known, str) else known.p_value(margin)
        for known, (_, _, _, margin) in zip(found, claims, strict=True)
    ]
    p_values = [spending.spent(p_value, plan.looks) for p_value in p_values]
    levels = [spending.nominal(level, plan.looks) for level in stats.holm_levels(p_values)]
    return [_verdict(*claim, known, level) for claim, known, level in zip(claims, found, levels, strict=True)]


def _claims(plan: Plan) -> list[tuple[str, str, str, float]]:
    """Return (words, better, worse, margin) of each claim; an order claims that each study beats the one before it."""
    claims = []
    for expectation in plan.ablation.expect:
        if isinstance(expectation, InOrder):
            neighbours = zip(expectation.studies, expectation.studies[1:], strict=False)
            claims += [(f"{worse} < {better}", better, worse, 0.0) for worse, better in neighbours]
        else:
            claims.append((str(expectation), expectation.better, expectation.worse, expectation.by))
    return claims


def _complete_difference(better: Finals, worse: Finals) -> Difference | str:
    """Return the difference if every planned run of both studies is there, else what is lacking, in words."""
    lacking = (*better.lacking, *(worse.lacking if worse.study != better.study else ()))
    if lacking:
        more = f", and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        return "; ".join(lacking[:3]) + more
    known = difference(better, worse)
    return "they were not tested on the same pairs by the same seeds" if known is None else known


def _verdict(claim: str, better: str, worse: str, margin: float, known: Difference | str, alpha: float) -> Verdict:
    if isinstance(known, str):
        return Verdict(claim, better, worse, margin, "incomplete", f"Not all runs are there: {known}.")
    over_pairs, over_seeds = known.over_pairs(alpha), known.over_seeds(alpha)
    detectable = known.detectable(alpha)
    judgement, reason = _judge(margin, known.mean, over_pairs, over_seeds, detectable)
    if judgement != "inconclusive" and detectable is not None and known.p_value(margin) > alpha:
        judgement = "inconclusive"
        reason = (
            "Each interval would decide, but luck with seeds and luck with pairs together may still explain the "
            f"difference; one {100 * detectable:.2f} points beyond would have been shown with about 80 percent power."
        )
    return Verdict(
        claim,
        better,
        worse,
        margin,
        judgement,
        reason,
        len(known.by_seed),
        1 - alpha,
        known.mean,
        over_pairs,
        over_seeds,
        detectable,
    )


def _judge(
    margin: float, mean: float, over_pairs: stats.Interval, over_seeds: stats.Interval | None, detectable: float | None
) -> tuple[Judgement, str]:
    """Apply the module's rule to the two intervals."""
    if over_seeds is None or detectable is None:
        return "inconclusive", "One final seed cannot tell a difference from luck with the seed; two or more can."
    both, floor = (over_pairs, over_seeds), min(0.0, margin)
    short = [interval.over for interval in both if not (interval.low >= margin if margin else interval.low > 0)]
    above = [interval.over for interval in both if not interval.high < floor]
    if not short:
        return "holds", f"Both intervals {f'reach the margin of {100 * margin:g}' if margin else 'lie above 0'}."
    if not above:
        return "violated", f"Both intervals lie below {100 * floor:g}."
    named = " and that over ".join(above if mean < floor else short)
    limit = 100 * floor if mean < floor else 100 * margin
    return "inconclusive", (
        f"The interval over {named} does not lie {'below' if mean < floor else 'above'} {limit:g}; a true difference "
        f"{100 * detectable:.2f} points beyond that would have been shown with about 80 percent power."
    )


def exit_code(verdicts: Sequence[Verdict], plan: Plan, strict: bool = False) -> int:
    """Return 1 if a claim is violated; else 3 if anything is incomplete, or inconclusive under `strict`; else 0.

    Incomplete means: a claim is; a planned run is not done or failed; a final run, or the untrained model's, ended
    without scores or lacks a test task; a study that was tuned has no best point.
    """
    judgements = {verdict.verdict for verdict in verdicts}
    if "violated" in judgements:
        return 1
    tuned = {run.study for run in plan.runs if run.stage == "tune"}
    incomplete = (
        "incomplete" in judgements
        or any(run.state != "done" or (run.stage != "tune" and _lacks(run.record, plan)) for run in plan.runs)
        or any(not plan.of(study, "final", "best") for study in tuned)
    )
    return 3 if incomplete or (strict and "inconclusive" in judgements) else 0


def _lacks(record: Record | None, plan: Plan) -> bool:
    """Tell whether a run that should have been tested lacks its scores or those of a task that the testbed names."""
    tasks = plan.ablation.testbed.tasks
    return record is None or record.outcome != "ok" or any(f"mteb/{task}" not in record.scores for task in tasks)
