"""Regression: today's final runs against those of an earlier report, whose scores.csv was kept.

For each study and figure the difference of means, today's less the baseline's, has Welch's t interval over seeds:

- holds: its lower end is at least -tolerance. Not below the baseline by more than that (non-inferiority).
- violated: its upper end is below -tolerance. A regression is shown, and shown to be larger than what is tolerated.
- inconclusive: neither, for instance with one seed on either side; more seeds, or a wider tolerance, could decide.
- incomplete: a run is missing today, or study or figure stand on one side only: then a new baseline is due.

Seeds are not paired: a seed that trained with other code, libraries or hardware draws other numbers, so seed 1 of then
and seed 1 of now have no more in common than any two. There is no interval over test pairs, as a table of scores holds
no predictions, and the test pairs are the same on both sides. Where every seed has exactly the score that it had,
nothing changed, and there is nothing to test. The untrained model is one deterministic run: its score is compared as it
is. The levels are Holm's over all verdicts against the baseline, apart from those of the study file's own claims.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.planning.mixing import of_studies
from harness.planning.plan import Plan
from harness.scores import HEADLINE
from harness.spec.study import UNTRAINED
from harness.stats import intervals
from harness.verdicts.evidence import Finals, finals
from harness.verdicts.rules import Claim, Judgement, Verdict, verdict

TOLERANCE = 0.005
"""The loss that is tolerated, in points of 1.0: half a point of a printed table."""

TOO_MUCH = 0.1
"""A tolerance from which on a mistaken scale is more likely than intent."""

_COLUMNS = {"study", "stage", "roles", "seed", "id", "outcome"}


@dataclass(frozen=True)
class Baseline:
    """The scores of an earlier report: by study and figure, then by seed. `untrained_id` is its untrained run's.

    `subjects` say by study what it trained and was scored on (`plan.subject_id`), where the report tells it.
    """

    scores: Mapping[tuple[str, str], Mapping[int, float]]
    figures: tuple[str, ...]
    untrained_id: str | None
    subjects: Mapping[str, str] = field(default_factory=dict)

    @property
    def studies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(study for study, _ in self.scores))


def read_baseline(path: Path) -> Baseline:
    """Read a report's scores.csv: final runs at the best point and the untrained model's.

    Raises UsageError if the file cannot be read, is no scores.csv, or holds no such run.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UsageError(f"--baseline {path}: cannot be read ({problem}); give a report's scores.csv") from problem
    if absent := _COLUMNS - set(columns):
        raise UsageError(
            f"--baseline {path}: no column {', '.join(sorted(absent))}; give the scores.csv that `harness report` wrote"
        )
    figures = tuple(name for name in columns if "/" in name)
    scores: dict[tuple[str, str], dict[int, float]] = {}
    subjects: dict[str, str] = {}
    untrained_id = None
    for number, line in enumerate(lines, start=2):
        untrained = line["stage"] == UNTRAINED
        if not (untrained or "best" in (line["roles"] or "").split("+")) or line["outcome"] != "ok":
            continue
        untrained_id = line["id"] if untrained else untrained_id
        if line.get("subject"):
            subjects[line["study"]] = line["subject"]
        for figure in figures:
            if line[figure]:
                scores.setdefault((line["study"], figure), {})[_seed(line, path, number)] = _score(
                    line[figure], figure, path, number
                )
    if not scores:
        raise UsageError(
            f"--baseline {path}: holds no final run at a best point; give the scores.csv of a finished ablation"
        )
    return Baseline(scores, figures, untrained_id, subjects)


def _seed(line: Mapping[str, str], path: Path, number: int) -> int:
    try:
        return int(line["seed"])
    except ValueError as problem:
        raise UsageError(f"--baseline {path}, line {number}: seed {line['seed']!r} is no whole number") from problem


def _score(text: str, figure: str, path: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise UsageError(f"--baseline {path}, line {number}: {figure} {text!r} is no number")
    return value


def against(
    plan: Plan, baseline: Baseline, figures: Sequence[str] = (HEADLINE,), tolerance: float = TOLERANCE
) -> list[Verdict]:
    """Return a verdict for each study and figure, in the plan's order; the module says by which rule.

    Args:
        figures: names of scores, e.g. "mteb/STS12"; each one more widens all intervals (Holm).
        tolerance: the loss that is tolerated, in points of 1.0.

    Raises UsageError for a tolerance that cannot be meant and a figure that the baseline does not have.
    """
    if not 0 <= tolerance < TOO_MUCH:
        raise UsageError(
            f"--tolerance {tolerance:g}: must be at least 0 and less than {TOO_MUCH:g}; scores are in points of 1.0, "
            "so half a point of a table is 0.005"
        )
    if not figures:
        raise UsageError(f"--figures: names nothing; the baseline has {', '.join(baseline.figures)}")
    for figure in figures:
        if figure not in baseline.figures:
            raise UsageError(f"--figures {figure}: the baseline has {', '.join(baseline.figures)}")
    planned = [UNTRAINED, *(study.name for study in plan.ablation.studies)]
    studies = [*planned, *(name for name in baseline.studies if name not in planned)]
    claims = [_claim(study, figure, baseline, tolerance) for figure in figures for study in studies]
    found = [_compared(plan, claim, baseline) for claim in claims]
    levels = intervals.holm_levels([1.0 if isinstance(known, str) else known.p_value(tolerance) for known in found])
    return [
        _judge(claim, known, level, _elsewhere(plan, baseline, claim.better))
        for claim, known, level in zip(claims, found, levels, strict=True)
    ]


@dataclass(frozen=True)
class _Sides:
    """A figure by seed, today and in the baseline."""

    now: Mapping[int, float]
    then: Mapping[int, float]
    constant: bool

    @property
    def same(self) -> bool:
        return dict(self.now) == dict(self.then)

    @property
    def values(self) -> tuple[list[float], list[float]]:
        return list(self.now.values()), list(self.then.values())

    @property
    def difference(self) -> float:
        now, then = self.values
        return float(np.mean(now) - np.mean(then))

    def p_value(self, tolerance: float) -> float:
        if self.same or self.constant:
            return 0.0
        now, then = self.values
        return min(1.0, 2 * min(intervals.welch_p(now, then, -tolerance), intervals.welch_p(then, now, tolerance)))


def _claim(study: str, figure: str, baseline: Baseline, tolerance: float) -> Claim:
    then = baseline.scores.get((study, figure))
    words = f"{study} not below the baseline" + ("" if figure == HEADLINE else f" ({figure})")
    mean = None if then is None else float(np.mean(list(then.values())))
    return Claim(words, study, None, -tolerance, "baseline", figure, mean)


def _compared(plan: Plan, claim: Claim, baseline: Baseline) -> _Sides | str:
    """Return both sides of a comparison, or what is lacking of it, in words."""
    then = baseline.scores.get((claim.better, claim.figure))
    if claim.better not in (UNTRAINED, *(study.name for study in plan.ablation.studies)):
        return "the baseline has it and the ablation does not; keep a new baseline if it was taken out on purpose"
    if then is None:
        return "the baseline does not have it; keep a new one that does"
    differing = None if plan.allow_mixed else of_studies(plan, [claim.better])
    if differing is not None:
        return f"its runs of today were not all made alike: {differing} (--allow-mixed judges them all the same)"
    known: Finals = finals(plan, claim.better, figure=claim.figure)
    if known.lacking:
        return "; ".join(known.lacking[:3])
    return _Sides({seed or 0: score for seed, score in known.scores.items()}, then, known.constant)


def _elsewhere(plan: Plan, baseline: Baseline, study: str) -> str:
    """Say what a study's baseline is of, where that is not what the plan's runs are of."""
    own = next((run.id for run in plan.of(UNTRAINED)), None)
    if None not in (own, baseline.untrained_id) and own != baseline.untrained_id:
        return " The baseline was made on another testbed, or by another recipe: its untrained model is another run."
    declared = None if plan.present is None else plan.present.studies.get(study)
    then = baseline.subjects.get(study)
    if declared is not None and then not in (None, declared.subject):
        return " The baseline's runs trained something else: other rows, or another loss or view."
    return ""


def _judge(claim: Claim, known: _Sides | str, alpha: float, note: str) -> Verdict:
    if isinstance(known, str):
        return verdict(claim, "incomplete", f"Nothing to compare: {known}.{note}")
    chance = not (known.same or known.constant)
    over_seeds = intervals.welch_interval(*known.values, alpha) if chance else None
    judgement, reason = _apply(claim.margin, known, over_seeds)
    if over_seeds is not None:
        reason += "".join(
            f" All seeds of {side} have the same score, which is no sign of how new ones spread."
            for side, values in zip(("today's runs", "the baseline"), known.values, strict=True)
            if len(set(values)) == 1
        )
    return verdict(
        claim,
        judgement,
        reason + note,
        seeds=len(known.now),
        level=None if over_seeds is None else 1 - alpha,
        difference=known.difference,
        over_seeds=over_seeds,
    )


def _apply(limit: float, known: _Sides, over_seeds: intervals.Interval | None) -> tuple[Judgement, str]:
    """Apply the module's rule; `limit` is the loss that is tolerated, as a negative number."""
    if known.same:
        return "holds", "Every seed has exactly the baseline's score."
    if known.constant:
        return "holds" if known.difference >= limit else "violated", "One deterministic run on each side."
    if over_seeds is None:
        return "inconclusive", "One seed cannot tell a loss from luck with the seed; two or more on both sides can."
    tolerated = f"what is tolerated ({100 * limit:g} points)"
    if over_seeds.low >= limit:
        return "holds", f"The interval over seeds lies above {tolerated}."
    if over_seeds.high < limit:
        return "violated", f"The interval over seeds lies below {tolerated}."
    return "inconclusive", f"The interval over seeds contains {tolerated}; more seeds could decide."
