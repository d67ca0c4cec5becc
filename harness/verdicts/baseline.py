"""Regression test: current final runs against those of an earlier report, read from its scores.csv.

For each study and figure the difference of means, current minus baseline, has Welch's t interval over seeds:

- holds: its lower end is at least -tolerance. Not below the baseline by more than that (non-inferiority).
- violated: its upper end is below -tolerance. A regression larger than the tolerance is shown.
- inconclusive: neither, for instance with one seed on either side; more seeds, or a wider tolerance, could decide.
- incomplete: a current run is missing, or only one side has the study or figure, so that a new baseline is needed.

Seeds are not paired: with other code, libraries or hardware the same seed gives other random numbers, so seed 1 of the
baseline and the current seed 1 are independent. There is no interval over test items, because a table of scores has no
predictions, and the test items are the same on both sides. If every seed has exactly its earlier score, nothing changed
and there is nothing to test. The untrained model is one deterministic run: its score itself is compared. The levels
follow Holm's correction over all verdicts against the baseline, separately from the study file's own claims.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.planning.mixing import of_studies
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.stats import estimates, intervals
from harness.store import reading
from harness.text import from_csv
from harness.verdicts.claims import Claim
from harness.verdicts.finals import finals
from harness.verdicts.rules import Judgement, Verdict, verdict

TOLERANCE = 0.005
"""Default of the tolerated loss on a 0 to 1 scale: 0.5 points of a printed table."""

TOO_MUCH = 0.1
"""Tolerances of this size or more are refused: they are probably given on the wrong scale."""

_COLUMNS = {"study", "stage", "roles", "seed", "id", "outcome"}


@dataclass(frozen=True)
class Baseline:
    """The final scores of an earlier report."""

    scores: Mapping[tuple[str, str], Mapping[int, float]]
    """Scores on a 0 to 1 scale, by study and figure, then by seed."""
    figures: tuple[str, ...]
    """Names of the scores that the report has."""
    untrained_id: str | None
    """Run id of the untrained model's run; None if the report has none."""
    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By study, its final runs at the best point that have no scores, e.g. "seed 2 diverged"."""
    subjects: Mapping[str, str] = field(default_factory=dict)
    """By study, the hash of what it trained and was scored on (`plan.subject_id`), if the report has it."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies, in the report's order."""
        return tuple(dict.fromkeys([*(study for study, _ in self.scores), *self.lost]))


def read_baseline(path: Path) -> Baseline:
    """Read the final runs at the best point and the untrained run from a report's scores.csv.

    Raises:
        UsageError: the file cannot be read, is not a scores.csv, or holds no such run.
    """
    try:
        reader = csv.DictReader(io.StringIO(reading.text(path.parent, path.name), newline=""))
        lines = list(reader)
        columns = list(reader.fieldnames or ())
    except (OSError, reading.Unreadable, csv.Error) as problem:
        raise UsageError(f"--baseline {path}: cannot be read ({problem}); give a report's scores.csv") from problem
    if absent := _COLUMNS - set(columns):
        raise UsageError(
            f"--baseline {path}: no column {', '.join(sorted(absent))}; give the scores.csv that `harness report` wrote"
        )
    figures = tuple(name for name in columns if "/" in name)
    scores: dict[tuple[str, str], dict[int, float]] = {}
    subjects: dict[str, str] = {}
    lost: dict[str, list[str]] = {}
    untrained_id = None
    for number, line in enumerate(lines, start=2):
        untrained = line["stage"] == UNTRAINED
        line["study"] = from_csv(line["study"])
        if not (untrained or "best" in (line["roles"] or "").split("+")):
            continue
        if line["outcome"] != "ok":
            lost.setdefault(line["study"], []).append(f"seed {_seed(line, path, number)} {line['outcome']}")
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
            f"--baseline {path}: the file has no final run at a best point; give the scores.csv of a finished ablation"
        )
    return Baseline(scores, figures, untrained_id, lost, subjects)


def _seed(line: Mapping[str, str], path: Path, number: int) -> int:
    try:
        return int(line["seed"])
    except ValueError as problem:
        raise UsageError(f"--baseline {path}, line {number}: seed {line['seed']!r} is not an integer") from problem


def _score(text: str, figure: str, path: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise UsageError(f"--baseline {path}, line {number}: {figure} {text!r} is not a number")
    return value


def against(
    plan: Plan, baseline: Baseline, figures: Sequence[str] | None = None, tolerance: float = TOLERANCE
) -> list[Verdict]:
    """Return a verdict for each study and figure, in the plan's order, by the rules of the module's docstring.

    Args:
        plan: the plan with the current records.
        baseline: the earlier scores.
        figures: names of scores, e.g. "mteb/STS12"; each additional one widens all intervals (Holm). The testbed's
            headline if None.
        tolerance: the tolerated loss on a 0 to 1 scale.

    Raises:
        UsageError: the tolerance is out of range, or the baseline lacks a figure.
    """
    if not 0 <= tolerance < TOO_MUCH:
        raise UsageError(
            f"--tolerance {tolerance:g}: must be at least 0 and less than {TOO_MUCH:g}, on a 0 to 1 scale: 0.5 points "
            "of a table are 0.005"
        )
    headline = plan.ablation.testbed.headline
    figures = (headline,) if figures is None else figures
    if not figures:
        raise UsageError(f"--figures: no score is named; the baseline has {', '.join(baseline.figures)}")
    for figure in figures:
        if figure not in baseline.figures:
            raise UsageError(f"--figures {figure}: not in the baseline, which has {', '.join(baseline.figures)}")
    planned = [UNTRAINED, *(study.name for study in plan.ablation.studies)]
    studies = [*planned, *(name for name in baseline.studies if name not in planned)]
    claims = [_claim(study, figure, baseline, tolerance, headline) for figure in figures for study in studies]
    comparisons = [_compared(plan, claim, baseline) for claim in claims]
    p_values = [1.0 if isinstance(sides, str) else sides.p_value(tolerance) for sides in comparisons]
    levels = intervals.holm_levels(p_values)
    return [
        _judge(claim, sides, level, _elsewhere(plan, baseline, claim.better))
        for claim, sides, level in zip(claims, comparisons, levels, strict=True)
    ]


@dataclass(frozen=True)
class _Sides:
    """A figure by seed, of the current runs and of the baseline."""

    now: Mapping[int, float]
    """Scores of the current runs."""
    then: Mapping[int, float]
    """Scores of the baseline."""
    constant: bool
    """True for the untrained model, which has one deterministic run."""

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
        return min(1.0, 2 * min(estimates.p_below(-tolerance, now, then), estimates.p_below(tolerance, then, now)))


def _claim(study: str, figure: str, baseline: Baseline, tolerance: float, headline: str) -> Claim:
    then = baseline.scores.get((study, figure))
    words = f"{study} not below the baseline" + ("" if figure == headline else f" ({figure})")
    mean = None if then is None else float(np.mean(list(then.values())))
    return Claim(words, study, None, -tolerance, figure, "baseline", mean)


def _compared(plan: Plan, claim: Claim, baseline: Baseline) -> _Sides | str:
    """Return both sides of a comparison, or a text that says what is missing."""
    then = baseline.scores.get((claim.better, claim.figure))
    if claim.better not in (UNTRAINED, *(study.name for study in plan.ablation.studies)):
        return "the study is in the baseline but not in the ablation; make a new baseline if it was removed on purpose"
    if lost := baseline.lost.get(claim.better):
        return (
            f"the baseline lacks seeds of it ({', '.join(lost)}), so its mean is over the others; make a new baseline"
        )
    if then is None:
        return "the baseline does not have it; make a new baseline"
    differing = None if plan.allow_mixed else of_studies(plan, [claim.better])
    if differing is not None:
        return f"its current runs were made under different conditions: {differing} (--allow-mixed judges them anyway)"
    current = finals(plan, claim.better, figure=claim.figure)
    if current.lacking:
        return "; ".join(current.lacking[:3])
    return _Sides({seed or 0: score for seed, score in current.scores.items()}, then, current.constant)


def _elsewhere(plan: Plan, baseline: Baseline, study: str) -> str:
    """Describe how a study's baseline differs from the plan in what was trained; empty if it does not."""
    own = next((run.id for run in plan.of(UNTRAINED)), None)
    if None not in (own, baseline.untrained_id) and own != baseline.untrained_id:
        return "The baseline was made on another testbed or recipe: the run of its untrained model has another id."
    declared = None if plan.present is None else plan.present.studies.get(study)
    then = baseline.subjects.get(study)
    if declared is not None and then not in (None, declared.subject):
        return "The baseline's runs trained on other rows, or with another loss or view."
    return ""


def _judge(claim: Claim, sides: _Sides | str, alpha: float, note: str) -> Verdict:
    if isinstance(sides, str):
        return verdict(claim, "incomplete", f"Nothing to compare: {sides}.", caveat=note)
    chance = not (sides.same or sides.constant)
    over_seeds = estimates.interval(*sides.values, alpha) if chance else None
    judgement, reason = _apply(claim.margin, sides, over_seeds)
    caveats = [note] if note else []
    if over_seeds is not None:
        caveats += [
            f"All seeds of {side} have the same score, which does not describe the spread of new seeds."
            for side, values in zip(("the current runs", "the baseline"), sides.values, strict=True)
            if len(set(values)) == 1
        ]
    return verdict(
        claim,
        judgement,
        reason,
        caveat=" ".join(caveats),
        seeds=len(sides.now),
        level=None if over_seeds is None else 1 - alpha,
        difference=sides.difference,
        interval=over_seeds,
        over_seeds=over_seeds,
    )


def _apply(limit: float, sides: _Sides, over_seeds: intervals.Interval | None) -> tuple[Judgement, str]:
    """Apply the module's rule; `limit` is minus the tolerated loss."""
    if sides.same:
        return "holds", "Every seed has exactly the baseline's score."
    if sides.constant:
        return "holds" if sides.difference >= limit else "violated", "There is one deterministic run on each side."
    if over_seeds is None:
        return "inconclusive", "With one seed the spread over seeds is unknown; use two or more seeds on both sides."
    tolerated = f"the tolerance of {100 * limit:g} points"
    if over_seeds.low >= limit:
        return "holds", f"The interval over seeds is above {tolerated}."
    if over_seeds.high < limit:
        return "violated", f"The interval over seeds is below {tolerated}."
    return "inconclusive", f"The interval over seeds contains {tolerated}; more seeds could decide."
