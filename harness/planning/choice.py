"""Which trial of a tuning is the best: by one run of each point, then by further seeds of the best few."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean

from harness.spec.budget import TUNING_STEP
from harness.store.records import Record

RIVALS = 3
"""Number of best points that are trained with further seeds before one of them is chosen."""


def by_trial(records: Iterable[Record], study: str) -> list[Record]:
    """Return a study's trials in order."""
    tuned = [r for r in records if r.study == study and r.stage == "tune" and r.trial is not None]
    return sorted(tuned, key=lambda r: r.trial or 0)


def repeat_seeds(tuning: int, number: int) -> range:
    """Return the seeds of the further runs of a tuning's best points: the last ones that belong to this tuning."""
    last = TUNING_STEP * (tuning + 1) - 1
    return range(last, last - number, -1)


def rivals(trials: Iterable[Record]) -> list[Record]:
    """Return the trials with the highest dev scores, at most `RIVALS`, best first and the earlier one if tied."""
    scored = [(r.dev_score, r) for r in trials if r.outcome == "ok" and r.dev_score is not None]
    finite = [(score, record) for score, record in scored if math.isfinite(score)]
    return [record for _, record in sorted(finite, key=lambda pair: -pair[0])[:RIVALS]]


def best(trials: Iterable[Record], repeats: Iterable[Record] = ()) -> Record | None:
    """Return the trial at the point with the highest dev score, None if no trial succeeded.

    With repeats, a point's score is the mean over its trial and its repeats, and only the `rivals` compete: a point
    that was trained once would win by one lucky run. A point of which a repeat diverged or ran out of memory does not
    compete either, as long as another one does. If scores are equal, the one that scored higher as a trial wins, then
    the earlier one.

    Args:
        trials: the records of one tuning's trials.
        repeats: the records of the further runs at its best points.
    """
    again: dict[object, list[Record]] = {}
    for record in repeats:
        again.setdefault(record.point, []).append(record)
    competing = rivals(trials)
    sound = [r for r in competing if all(e.outcome not in ("diverged", "infeasible") for e in again.get(r.point, ()))]
    return max(sound or competing, key=lambda trial: _mean([trial, *again.get(trial.point, ())]), default=None)


def _mean(records: Iterable[Record]) -> float:
    scores = [r.dev_score for r in records if r.outcome == "ok" and r.dev_score is not None]
    return fmean(score for score in scores if math.isfinite(score))
