"""What a plan still lacks, why, and what helps: printed by every command whose exit code says "incomplete"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.planning.plan import Plan, PlannedRun
from harness.scores import UNFIT
from harness.spec.study import UNTRAINED
from harness.store.records import TUNING, Record
from harness.text import counted, failure
from harness.verdicts.judge import lacks_scores

AGAIN = "the same `harness run` command goes on with them"
HELP = {
    "failed": "`harness run FILE --retry-failed` repeats it",
    "infeasible": "smaller batch sizes in the study's space need less memory; if another program held the memory, "
    "`harness run FILE --retry-failed` repeats it",
    "diverged": "the same run would diverge again, so it is not repeated and counts as a score of 0; give the study "
    "lower learning rates, or train with --precision fp32",
}
"""What helps a run of an outcome that has no scores."""

UNTRAINED_DIVERGED = (
    "no training changed this model: use a base model that knows the words of the texts (`harness run FILE "
    "--audit-only` tells of unknown ones) and whose weights are sound"
)
"""What helps if the base model itself embeds all texts alike, or gives no finite numbers."""

NOUNS = {"tune": "trial", "repeat": "repeat", "final": "final run"}

NAMED = 3
"""Runs of one kind that are named one by one; of more, the number is given."""


def remaining(plan: Plan) -> list[str]:
    """Return a line for everything that a plan still lacks, with the reason and what helps; none if it is complete."""
    alike: dict[tuple[str, str, str, str], list[PlannedRun]] = {}
    for run in plan.runs:
        if (lack := _lack(run, plan)) is not None:
            alike.setdefault((run.study, *lack), []).append(run)
    return [*(_line(*key, runs) for key, runs in alike.items()), *_without_best_point(plan)]


def _lack(run: PlannedRun, plan: Plan) -> tuple[str, str, str] | None:
    """Return what a run lacks, why, and what helps; None if it lacks nothing."""
    record = run.record
    if record is not None and (run.state == "failed" or (run.stage not in TUNING and record.outcome != "ok")):
        untrained = run.stage == UNTRAINED and record.outcome == "diverged"
        helps = UNTRAINED_DIVERGED if untrained else HELP.get(record.outcome, AGAIN)
        return record.outcome, failure(record.error) or "the record names no reason", helps
    if record is not None and run.state == "done":
        return _without_scores(record) if run.stage not in TUNING and lacks_scores(record, plan) else None
    return "not done", "", AGAIN


def _without_scores(record: Record) -> tuple[str, str, str]:
    reasons = "; ".join(f"{name}: {why}" for name, why in record.missing.items()) or "they were not asked for yet"
    if record.missing and all(why.startswith(UNFIT) for why in record.missing.values()):
        return "lacks scores", reasons, "the model is the cause, so repeating the run would not help"
    return "lacks scores", reasons, "once the data are there (`harness fetch FILE`), the same `harness run` adds them"


def _line(study: str, word: str, why: str, helps: str, runs: list[PlannedRun]) -> str:
    because = f": {why}" if why else ""
    return f"{word}: {study}{_named(runs)}{because}; {helps}."


def _named(runs: Iterable[PlannedRun]) -> str:
    by_stage: dict[str, list[PlannedRun]] = {}
    for run in runs:
        by_stage.setdefault(run.stage, []).append(run)
    return "".join(f" {part}" for part in [", ".join(_of_stage(stage, of) for stage, of in by_stage.items())] if part)


def _of_stage(stage: str, runs: list[PlannedRun]) -> str:
    if stage == UNTRAINED:
        return ""
    noun = NOUNS[stage]
    if len(runs) > NAMED:
        return counted(len(runs), noun)
    numbers = [f"{run.trial if stage == 'tune' else f'seed {run.seed}'}" for run in runs]
    ids = [f" ({run.id})" if run.id and run.record is not None else "" for run in runs]
    return f"{noun} {', '.join(f'{number}{of}' for number, of in zip(numbers, ids, strict=True))}"


def _without_best_point(plan: Plan) -> Iterator[str]:
    for study in dict.fromkeys(run.study for run in plan.runs if run.stage == "tune"):
        trials = plan.of(study, "tune")
        if plan.of(study, "final", "best") or any(run.state in ("to do", "waiting") for run in trials):
            continue
        records = [run.record for run in trials if run.record is not None]
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in Counter(r.outcome for r in records).items())
        why = next((failure(record.error) for record in records if record.error), "no reason is recorded")
        yield (
            f"no best point: {study}: none of its {counted(len(trials), 'trial')} has a score ({outcomes}; the first: "
            f"{why}); {HELP.get(records[0].outcome if records else '', AGAIN)}."
        )
