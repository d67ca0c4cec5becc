"""The result table: each study's score and its distance to the best, and the answer in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.planning.pairing import share_seeds
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.stats import estimates
from harness.stats.intervals import Interval
from harness.store.records import Record
from harness.testbeds.measure_kinds import headline
from harness.verdicts.evidence import difference
from harness.verdicts.finals import Finals, finals
from harness.verdicts.rules import Verdict
from harness.verdicts.words import bounds


@dataclass(frozen=True)
class Result:
    """One study's line of the result table. Scores are on a 0 to 1 scale; what is not known is None."""

    study: str
    """Name of the study, or "untrained"."""
    rank: int | None
    """Place by mean score, shared by equal means; None for the untrained model and for an unfinished study."""
    mean: float | None
    """Mean of the headline over the final seeds at the best point that have a score."""
    interval: Interval | None
    """Its 95 percent interval over seeds, or over tunings if there are several; None if a seed diverged."""
    to_best: float | None
    """Its distance to the highest mean, negative or 0; None for the best study itself."""
    to_best_interval: Interval | None
    """The 95 percent interval of that distance, over seeds and test items, not corrected for the number of studies."""
    default: float | None
    """Mean at the untuned default point."""
    seeds: int
    """Final seeds at the best point that have a score."""
    planned: int
    """Final seeds that are planned there."""
    diverged: int
    """Those that diverged."""
    minutes: float
    """Training and evaluation of all its runs."""

    @property
    def is_whole(self) -> bool:
        """Whether every planned final seed has a score."""
        return self.mean is not None and self.seeds == self.planned


def results(plan: Plan) -> list[Result]:
    """Return the result table, best first; studies that lack a final run come last."""
    sides = [finals(plan, name) for name in (UNTRAINED, *(study.name for study in plan.ablation.studies))]
    sides = [side for side in sides if plan.of(side.study)]
    whole = [side for side in sides if side.scores and len(side.scores) == side.planned and not side.constant]
    best = max(whole, key=_mean, default=None)
    lines = [_result(plan, side, best, ranked=side in whole, rivals=whole) for side in sides]
    return sorted(lines, key=lambda line: (not line.is_whole, -(line.mean or 0.0)))


def _result(plan: Plan, side: Finals, best: Finals | None, *, ranked: bool, rivals: Sequence[Finals]) -> Result:
    scores = list(side.scores.values())
    apart = None
    if best is not None and side.study != best.study and side.scores:
        apart = difference(side, best, paired=share_seeds(plan.ablation, side.study, best.study))
    records = {run.record.id: run.record for run in plan.of(side.study) if run.record is not None}.values()
    default = None if side.constant else finals(plan, side.study, "default")
    return Result(
        side.study,
        1 + sum(_printed(_mean(rival)) > _printed(_mean(side)) for rival in rivals) if ranked else None,
        float(np.mean(scores)) if scores else None,
        spread(side),
        None if apart is None else apart.mean,
        None if apart is None else apart.deciding(),
        float(np.mean(list(default.scores.values()))) if default is not None and default.scores else None,
        len(scores),
        side.planned,
        len(side.diverged),
        sum(record.train_seconds + record.eval_seconds for record in records) / 60,
    )


def spread(side: Finals) -> Interval | None:
    """Return the 95 percent interval of a study's mean over seeds or tunings; None for one, or if a seed diverged."""
    known = side.scores and not (side.constant or side.diverged)
    return estimates.interval(side.counted) if known else None


def _mean(side: Finals) -> float:
    return float(np.mean(side.counted)) if side.ended else 0.0


def _printed(mean: float) -> float:
    """Return a mean as tables print it: equal numbers of a page are not ranked by digits that it does not show."""
    return round(100 * mean, 2)


def answer(plan: Plan, lines: Sequence[Result], verdicts: Sequence[Verdict] = ()) -> list[str]:
    """Return what the result table says in a few sentences: the best, how sure that is, and what speaks against it.

    Args:
        plan: the plan with its records.
        lines: its result table.
        verdicts: the verdicts on its claims, whose levels may be stricter than those of the table.
    """
    ranked = sorted((line for line in lines if line.rank is not None), key=lambda line: line.rank or 0)
    if not ranked:
        return ["No study has all of its final runs yet."]
    first = [line for line in ranked if line.rank == 1]
    best, following = first[0], [line for line in ranked if line.rank != 1]
    names = " and ".join(line.study for line in first)
    spread = f", 95 % {bounds(best.interval)} over {_repetitions(plan, best)}" if best.interval else ", with one seed"
    sentences = [f"Highest mean: {names} with {_points(best.mean)}{spread}."]
    if following:
        sentences.append(_lead(best, following, best_alone=len(first) == 1))
        sentences += _undecided(plan, best, following, verdicts)
    sentences += _against(plan, lines, best)
    return sentences


def _lead(best: Result, following: Sequence[Result], *, best_alone: bool) -> str:
    """Describe the lead over the next study, and over which studies no lead is shown."""
    close = [line for line in following if not _is_lower(line)]
    second = following[0]
    whose = "Its lead" if best_alone else "Their lead"
    lead = f"{whose} over the next, {second.study}, is {-100 * (second.to_best or 0.0):.1f} points"
    if second.to_best_interval is not None:
        low, high = -second.to_best_interval.high, -second.to_best_interval.low
        lead += f", 95 % [{100 * low:.1f}, {100 * high:.1f}]"
    if not close:
        return f"{lead}: each other study is shown to be lower."
    others = ", ".join(line.study for line in close)
    return f"{lead}: it is not shown that {best.study} is better than {others}."


def _undecided(plan: Plan, best: Result, following: Sequence[Result], verdicts: Sequence[Verdict]) -> list[str]:
    """Name the studies over which the table shows a lead although the claim about it is undecided."""
    headline, undecided = plan.ablation.testbed.headline, set()
    for each in verdicts:
        of_lead = each.kind == "beats" and each.at == "best" and not each.margin and each.figure == headline
        if of_lead and each.verdict == "inconclusive" and best.study in (each.better, each.worse):
            undecided |= {each.better, each.worse or ""}
    names = [line.study for line in following if line.study in undecided and _is_lower(line)]
    stricter = (
        "Verdicts are judged at stricter levels, because there are several claims or looks: by them it is undecided"
    )
    return [f"{stricter} whether {best.study} is better than {', '.join(names)}."] if names else []


def _is_lower(line: Result) -> bool:
    return line.to_best_interval is not None and line.to_best_interval.high < 0


def _against(plan: Plan, lines: Sequence[Result], best: Result) -> list[str]:
    """Return what speaks against the leader: other measures that prefer another study, lost seeds, the base model."""
    sentences = []
    untrained = next((line for line in lines if line.study == UNTRAINED), None)
    if untrained is not None and untrained.mean is not None and untrained.mean > (best.mean or 0.0):
        sentences.append(f"The untrained model scores higher: {_points(untrained.mean)}.")
    names = [line.study for line in lines if line.rank is not None]
    for figure, means in _other_figures(plan, names).items():
        top = max(names, key=lambda name: means[name])
        if _points(means[top]) != _points(means[best.study]):
            sentences.append(
                f"By {figure} {top} is highest: {_points(means[top])}, {best.study} {_points(means[best.study])}."
            )
    unranked = [line for line in lines if line.rank is None and line.study != UNTRAINED]
    for line in unranked:
        if line.diverged:
            sentences.append(
                f"{line.study} has no rank: {line.diverged} of its {line.planned} final runs diverged. Its mean is "
                "over the others; its distance to the best counts what diverged as 0."
            )
    lacking = [
        f"{line.study} ({f'{line.seeds} of {line.planned}' if line.planned else 'no best point'})"
        for line in unranked
        if not line.diverged
    ]
    if lacking:
        sentences.append(f"Not ranked, because final runs have no score that can be compared: {', '.join(lacking)}.")
    return sentences


def _other_figures(plan: Plan, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the means by study of the mean over tasks, and of what each further measure stands for."""
    bed = plan.ablation.testbed
    records: dict[str, list[Record]] = {
        name: [run.record for run in plan.of(name, "final", "best") if run.record is not None and run.record.scores]
        for name in names
    }
    everyone = [record for of_study in records.values() for record in of_study]
    tasks = [
        figure
        for figure in dict.fromkeys(name for record in everyone for name in record.scores if name.startswith("mteb/"))
        if all(figure in record.scores for record in everyone)
    ]
    groups = {figure: [figure] for figure in map(headline, bed.besides)}
    if tasks:
        groups[f"the mean of {len(tasks)} tasks" if len(tasks) > 1 else tasks[0]] = tasks
    return {
        words: {name: float(np.mean([[r.scores[f] for f in figures] for r in records[name]])) for name in names}
        for words, figures in groups.items()
        if all(figure in record.scores for figure in figures for record in everyone) and everyone
    }


def _repetitions(plan: Plan, line: Result) -> str:
    tunings = plan.ablation.budget.tunings
    if tunings > 1:
        return f"{tunings} tunings with {line.planned // tunings} final seed{'s' * (line.planned > tunings)} each"
    return f"{line.seeds} seeds"


def _points(mean: float | None) -> str:
    return "no score" if mean is None else f"{100 * mean:.1f}"
