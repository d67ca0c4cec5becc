"""What was chosen after test scores were known, read off the store's log of designs (`harness.lock`).

A claim is as good as the design that it was tested by, if that was declared before its scores were known. For each
study and each claim the last design that was declared blindly is the reference; whatever the present one has otherwise
is told in the verdict's own line. Under `--strict` such a claim does not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.lock import claims
from harness.plan import Plan
from harness.records import Declared, Design
from harness.study import UNTRAINED


def notes(plan: Plan) -> list[str]:
    """Return a sentence for everything that was chosen after test scores were known."""
    made, declared = claims(plan.ablation), {study.name for study in plan.ablation.studies}
    return [
        *(note for study in plan.ablation.studies for note in of_study(plan, study.name)),
        *(note for claim, studies in made.items() for note in _late(plan, claim, studies)),
        *(f"'{claim}' was claimed before its test scores were known, and is no longer." for claim in withdrawn(plan)),
        *(f"study {study} was scored on the test sets, and is no longer declared." for study in plan.scored - declared),
    ]


def of_claim(plan: Plan, claim: str, studies: Collection[str]) -> list[str]:
    """Return a sentence for each thing about a claim, and its studies, that was chosen after their scores were known.

    Args:
        claim: as `lock.claims` writes it.
    """
    declared = [study for study in dict.fromkeys(studies) if study != UNTRAINED]
    return [*(note for study in declared for note in of_study(plan, study)), *_late(plan, claim, studies)]


def of_study(plan: Plan, study: str) -> list[str]:
    """Return a sentence for each thing about a study that was chosen after its test scores were known."""
    reference, present = _reference(plan, [study]), plan.present
    if present is None or reference is None or study not in plan.scored or study not in reference.studies:
        return []
    log = [entry for entry in plan.designs if study in entry.studies]
    told = (*_of_search(study, present, reference, log), *_of_seeds(present, reference, log))
    return [f"{study}: {words} after its test scores were known." for words in told]


def withdrawn(plan: Plan) -> list[str]:
    """Return the claims that were made blindly and are no longer made: Holm's correction still counts them."""
    return sorted(_withdrawn(plan))


def _withdrawn(plan: Plan) -> dict[str, tuple[str, ...]]:
    made, ever = claims(plan.ablation), {c: studies for entry in plan.designs for c, studies in entry.claims.items()}
    return {
        claim: studies
        for claim, studies in ever.items()
        if claim not in made and _known(plan, studies) and claim in getattr(_reference(plan, studies), "claims", ())
    }


def _late(plan: Plan, claim: str, studies: Collection[str]) -> Iterator[str]:
    reference = _reference(plan, studies)
    if reference is not None and _known(plan, studies) and claim not in reference.claims:
        yield f"'{claim}' was claimed after its test scores were known."
    # Whoever puts one claim in another's place until one holds spends the whole level each time.
    first = next((entry for entry in plan.designs if claim in entry.claims), None)
    known = plan.scored if first is None else set(first.scored)
    for other, named in sorted(_withdrawn(plan).items()):
        if {study for study in named if study != UNTRAINED} <= known:
            yield f"'{claim}' was claimed after the scores of '{other}' were known, which is no longer claimed."


def _reference(plan: Plan, studies: Collection[str]) -> Design | None:
    """Return the last design that was declared while one of these studies had no test score; None without a log."""
    trained = [study for study in studies if study != UNTRAINED]
    return next((entry for entry in reversed(plan.designs) if not set(trained) <= set(entry.scored)), None)


def _known(plan: Plan, studies: Collection[str]) -> bool:
    return all(study in plan.scored for study in studies if study != UNTRAINED)


def _of_search(study: str, present: Design, reference: Design, log: list[Design]) -> Iterator[str]:
    """Yield what was changed of a study and its search."""
    now, then = present.studies[study], reference.studies[study]
    most = max(_trials(entry.studies[study], now) for entry in log)
    if now.subject != then.subject:
        yield "what it trains or is scored on (loss, view, rows, model, sets, precision) was changed"
    elif now.search != then.search:
        yield "its search (space, default point, options) was changed"
    elif now.trials > then.trials:
        yield f"{now.trials - then.trials} of {now.trials} trials were added"
    elif now.trials < most:
        yield f"its trials were cut from {most} to {now.trials}"


def _trials(given: Declared, now: Declared) -> int:
    return given.trials if given.search == now.search else 0


def _of_seeds(present: Design, reference: Design, log: list[Design]) -> Iterator[str]:
    """Yield what was changed of the number of final seeds."""
    most = max(entry.seeds for entry in log)
    limits = {entry.max_seeds for entry in (*log, present) if entry.max_seeds is not None}
    if present.seeds > reference.seeds and reference.max_seeds is None:
        yield f"final seeds were raised from {reference.seeds} to {present.seeds}"
    elif present.seeds < most:
        yield f"final seeds were lowered from {most} to {present.seeds}"
    if limits - {reference.max_seeds}:
        yield f"the most final seeds were changed from {reference.max_seeds} to {max(limits)}"
