"""Embedding-space diagnostics on the dev set, before and after each study's training, and what explains its score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from harness.report.facts import Facts, Row
from harness.report.tables import Table, named
from harness.store.items import Pairs
from harness.text import NONE, count, escape, score
from harness.verdicts.evidence import difference

BINS = 5
"""Number of bins of gold scores; on STSB each is one step of its scale from 0 to 5."""


@dataclass(frozen=True)
class Space:
    """A study's embedding space: means over its final runs at the best point (or the untrained model's one run)."""

    row: Row
    """The study's row."""

    def figure(self, name: str) -> float | None:
        """Return the mean of a diagnostic (see `harness.evaluation.diagnostics`), None if no run has it."""
        values = [record.diagnostics[name] for record in self.row.ended if name in record.diagnostics]
        return float(np.mean(values)) if values else None

    @cached_property
    def profile(self) -> np.ndarray | None:
        """Return the mean cosine of each fifth of gold scores minus that of the lowest fifth, shape (BINS,).

        The unit is the standard deviation within a fifth, so that spaces of different spread are comparable: a
        monotone stretch of all cosines changes no rank. A fifth without pairs is NaN. None if no run has dev pairs, or
        if the lowest fifth is empty.
        """
        of_runs = [_profile(pairs) for pairs in self._dev_pairs()]
        profiles = [profile for profile in of_runs if profile is not None]
        return np.mean(profiles, axis=0) if profiles else None

    def _dev_pairs(self) -> list[Pairs]:
        """Return the predictions for the dev set's pairs, none if it is no STS set."""
        of_dev = [record.items.get(record.objective.partition("/")[0]) for record in self.row.ended]
        return [items for items in of_dev if isinstance(items, Pairs)]

    @property
    def separation(self) -> float | None:
        """Return the difference between the highest and the lowest fifth's mean cosine, in standard deviations."""
        return None if self.profile is None or np.isnan(self.profile[-1]) else float(self.profile[-1])

    @cached_property
    def course(self) -> list[tuple[float, list[float]]]:
        """Return all seeds' dev scores at each share of the training at which every seed was evaluated."""
        if not self.row.trials:
            return []
        curves = [dict(record.curve) for record in self.row.ended if record.curve]
        shares = sorted(set.intersection(*map(set, curves))) if curves else []
        return [(share, [curve[share] for curve in curves]) for share in shares]


def _profile(pairs: Pairs) -> np.ndarray | None:
    gold, cosine = np.asarray(pairs.gold), np.asarray(pairs.cosine)
    fifth = np.minimum((gold * BINS).astype(int), BINS - 1)
    sizes = np.bincount(fifth, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = np.bincount(fifth, cosine, BINS) / sizes
    spread = float(np.sqrt(np.square(cosine - means[fifth]).sum() / max(1, len(gold) - np.count_nonzero(sizes))))
    if not sizes[0] or spread == 0:
        return None
    profile: np.ndarray = (means - means[0]) / spread
    return profile


def spaces(facts: Facts) -> list[Space]:
    """Return the space of each row that has final runs, the untrained model's first."""
    return [Space(row) for row in facts.rows if row.ended]


def explanation(facts: Facts) -> Iterable[str]:
    """Yield a table of every space's diagnostics and what they mean, or say that the records have none."""
    with_diagnostics = [space for space in spaces(facts) if space.row.ended[0].diagnostics]
    if not with_diagnostics:
        yield "The final runs' records have no diagnostics, which are made of the pairs of an STS dev set."
        return
    header = (
        "study",
        "STS dev Spearman",
        "alignment",
        "uniformity",
        "mean cosine",
        "effective rank",
        "separation",
    )
    rows = tuple(
        (
            named(space.row),
            score(space.row.mean(facts.objective)),
            *(_plain(space.figure(name)) for name in ("alignment", "uniformity", "anisotropy")),
            count(space.figure("effective_rank")),
            _plain(space.separation),
        )
        for space in with_diagnostics
    )
    yield Table(header, rows).markdown()
    yield (
        "Diagnostics of the dev set's embeddings after training. *Alignment*: mean squared distance of pairs rated 4 "
        "of 5 or higher; smaller means closer. *Uniformity*: smaller means more evenly spread over the sphere (both "
        "Wang and Isola, 2020). *Mean cosine*: of any two sentences; 0 means that there is no preferred direction. "
        "*Effective rank*: the number of dimensions in use. *Separation*: the mean cosine of the highest fifth of gold "
        "scores minus that of the lowest fifth, in standard deviations within a fifth. The diagnostics help to explain "
        "the scores; no verdict rests on them."
    )
    yield _extremes(facts, [space for space in with_diagnostics if space.separation is not None])
    yield from _setbacks(facts, with_diagnostics)


def _extremes(facts: Facts, with_separation: Sequence[Space]) -> str:
    """Compare the separation of the studies with the highest and the lowest dev score."""
    complete = [space for space in with_separation if space.course and space.row.finals.complete]
    studies = [space for space in complete if space.row.mean(facts.objective) is not None]
    ordered = sorted(studies, key=lambda space: space.row.mean(facts.objective) or 0)
    ends = [score(space.row.mean(facts.objective)) for space in (*ordered[:1], *ordered[-1:])]
    if len(set(ends)) < 2:  # one study, or all have equal scores
        return ""
    low, high = ordered[0], ordered[-1]
    untrained = next((space for space in with_separation if not space.course), None)
    before = f" (untrained {_plain(untrained.separation)})" if untrained else ""
    text = (
        f"{escape(low.row.name)} has the lowest dev score and {escape(high.row.name)} the highest. Their separation of "
        f"similar from dissimilar pairs is {_plain(low.separation)} and {_plain(high.separation)} standard "
        f"deviations{before}"
    )
    if (low.separation or 0) < (high.separation or 0):
        return f"{text}: the cosines of {escape(low.row.name)} separate similar from dissimilar pairs less clearly."
    return f"{text}: separation does not explain their difference; the cosines differ between the ends of the scale."


def _setbacks(facts: Facts, with_diagnostics: Sequence[Space]) -> Iterable[str]:
    """Name the studies that end below the untrained model, and since when they have been below it."""
    untrained = facts.untrained.mean(facts.objective)
    if untrained is None:
        return
    below = []
    for space in with_diagnostics:
        means = [(share, float(np.mean(scores))) for share, scores in space.course]
        if not means or means[-1][1] >= untrained:
            continue
        *_, (under, last) = ((under, list(stretch)) for under, stretch in groupby(means, lambda m: m[1] < untrained))
        since = f"from the first evaluation, at {last[0][0]:.0%} of the training, to the end"
        if last[0][0] != means[0][0]:
            since = f"since {last[0][0]:.0%} of the training"
        below.append(f"{escape(space.row.name)} ({since})" if under else "")
    if below:
        yield f"Below the untrained model's dev score of {score(untrained)}: {', '.join(below)}."


def without_gain(facts: Facts) -> str:
    """Name the studies whose final runs do not show an improvement over the untrained model; "" if there are none.

    An improvement is shown if the 95 percent interval of the difference, over test items and seeds, is above 0.
    """
    names = []
    for row in facts.studies:
        gain = difference(row.finals, facts.untrained.finals)
        interval = None if gain is None else gain.deciding()
        if gain is not None and (interval is None or interval.low <= 0):
            names.append(escape(row.name))
    if not names:
        return ""
    return (
        f"No improvement over the untrained model is shown at the best point: {', '.join(names)}. If no point of the "
        "space improves on the untrained model, tuning selects the point that changes it least."
    )


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
