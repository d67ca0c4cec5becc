"""Detect what was chosen after test scores were known, from the store's log of designs (`harness.planning.unlocking`).

For each study and each claim the reference is the last design that was declared blindly, i.e. before its test scores
were known. Every deviation of the present design from the reference is printed with the verdict. Under `--strict` a
claim with such a deviation does not hold.

Renaming does not hide a study: if the same loss and data were scored under another name, their scores are known. A
study that was added after other studies were scored and removed may be one of these, slightly changed. If a claim was
chosen when one of its studies was already scored, Holm's correction counts it as many times as there were studies to
choose from (`uncounted`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.planning.plan import Plan
from harness.planning.unlocking import claims
from harness.spec.study import UNTRAINED
from harness.store.designs import Declared, Design
from harness.text import counted


def notes(plan: Plan) -> list[str]:
    """Return a sentence for everything that was chosen after test scores were known."""
    present, gone = claims(plan.ablation), sorted(plan.scored - {study.name for study in plan.ablation.studies})
    return [
        *(note for study in plan.ablation.studies for note in of_study(plan, study.name)),
        *(note for claim, studies in present.items() for note in _late(plan, claim, studies)),
        *(f"'{claim}' was claimed before its test scores were known, then withdrawn." for claim in withdrawn(plan)),
        *(f"study {name} was scored on the test sets and is no longer declared." for name in gone),
    ]


def of_claim(plan: Plan, claim: str, studies: Collection[str]) -> list[str]:
    """Return a sentence for each thing about a claim, and its studies, that was chosen after their scores were known.

    Args:
        plan: the plan with the log of designs.
        claim: the text of the claim, as `unlocking.claims` writes it.
        studies: names of the claim's studies.
    """
    declared = [study for study in dict.fromkeys(studies) if study != UNTRAINED]
    return [*(note for study in declared for note in of_study(plan, study)), *_late(plan, claim, studies)]


def of_study(plan: Plan, study: str) -> list[str]:
    """Return a sentence for each thing about a study that was chosen after its test scores were known."""
    reference, present = _reference(plan, [study]), plan.present
    if present is None or not plan.designs:
        return []
    named = [f"{study}: {words}." for words in _of_name(plan, study, present.studies[study].subject)]
    if reference is None or study not in plan.scored or study not in reference.studies:
        return named
    log = [entry for entry in plan.designs if study in entry.studies]
    changes = [*_of_search(study, present, reference, log), *_of_seeds(present, reference, log)]
    if study in plan.otherwise and not changes:
        changes = ["another trial became its best one (some trials were repeated)"]
    return [*named, *(f"{study}: {words} after its test scores were known." for words in changes)]


def uncounted(plan: Plan) -> int:
    """Return the number of further claims that Holm's correction has to count.

    These are the `withdrawn` claims; and if a study was added and compared with one whose scores were known, one claim
    for each other study that it could have been compared with.
    """
    chosen: dict[str, list[int]] = {}
    for claim, studies in claims(plan.ablation).items():
        trained = set(studies) - {UNTRAINED}
        entry, blind = _reference(plan, studies), _blind(plan, trained)
        if entry is not None and trained & set(entry.scored) and (blind is None or claim not in blind.claims):
            (added,) = trained - set(entry.scored)
            chosen.setdefault(added, []).append(len(entry.scored))
    return len(withdrawn(plan)) + sum(max(0, max(counts) - len(counts)) for counts in chosen.values())


def withdrawn(plan: Plan) -> list[str]:
    """Return the claims that were made blindly and withdrawn after one of their studies was scored."""
    return sorted(_withdrawn(plan))


def _withdrawn(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the studies of each claim that is `withdrawn`."""
    present, dropped_claims = claims(plan.ablation), {}
    following = [*(entry.claims for entry in plan.designs[1:]), present]
    blind: set[str] = set()
    for number, entry in enumerate(plan.designs):
        for claim, studies in entry.claims.items():
            trained = set(studies) - {UNTRAINED}
            blind |= set() if trained <= set(entry.scored) else {claim}
            dropped = claim not in following[number] and trained & {*_scored_at(plan, number + 1)}
            if claim in blind and claim not in present and dropped:
                dropped_claims[claim] = studies
    return dropped_claims


def _late(plan: Plan, claim: str, studies: Collection[str]) -> Iterator[str]:
    reference = _reference(plan, studies)
    if reference is not None and _known(plan, studies) and claim not in reference.claims:
        yield f"'{claim}' was claimed after its test scores were known."
    # Replacing one claim by another until one holds would spend the whole level each time.
    first = next((entry for entry in plan.designs if claim in entry.claims), None)
    scored = plan.scored if first is None else set(first.scored)
    for other, named in sorted(_withdrawn(plan).items()):
        if {study for study in named if study != UNTRAINED} <= scored:
            yield f"'{claim}' was first claimed after the scores of the withdrawn claim '{other}' were known."


def _reference(plan: Plan, studies: Collection[str]) -> Design | None:
    """Return the last design that was declared while one of these studies had no test score; None without a log."""
    trained = [study for study in studies if study != UNTRAINED]
    return next((entry for entry in reversed(plan.designs) if not set(trained) <= set(entry.scored)), None)


def _blind(plan: Plan, trained: Collection[str]) -> Design | None:
    """Return the last design that was declared while none of these studies had a test score; None if there is none."""
    return next((entry for entry in reversed(plan.designs) if not set(trained) & set(entry.scored)), None)


def _of_name(plan: Plan, study: str, subject: str) -> Iterator[str]:
    """Yield what was scored before a study was first declared: itself under another name, or studies now removed."""
    began = next((n for n, e in enumerate(plan.designs) if _subject(e, study) == subject), len(plan.designs))
    scored = {*_scored_at(plan, began)} - {study}
    twins = {name for name in scored for entry in plan.designs[: began + 1] if _subject(entry, name) == subject}
    gone = scored - {declared.name for declared in plan.ablation.studies}
    if twins:
        yield f"the same loss and data were scored on the test sets before, as {', '.join(sorted(twins))}"
    elif gone:
        yield (
            f"when it was first declared, test scores were known of {', '.join(sorted(gone))}, which the study file no "
            "longer declares"
        )


def _scored_at(plan: Plan, number: int) -> Collection[str]:
    """Return the studies that had test scores when a design was declared; the present one comes after the log's."""
    return plan.designs[number].scored if number < len(plan.designs) else plan.scored


def _subject(entry: Design, study: str) -> str | None:
    declared = entry.studies.get(study)
    return None if declared is None else declared.subject


def _known(plan: Plan, studies: Collection[str]) -> bool:
    return all(study in plan.scored for study in studies if study != UNTRAINED)


def _of_search(study: str, present: Design, reference: Design, log: list[Design]) -> Iterator[str]:
    """Yield what was changed of a study and its search."""
    now, then = present.studies[study], reference.studies[study]
    most = max(_trials(entry.studies[study], now) for entry in log)
    if now.subject != then.subject:
        yield "its training or scoring (loss, view, rows, model, sets, precision) was changed"
    elif now.search != then.search:
        yield "its search (space, default point, options) was changed"
    elif now.trials > then.trials:
        added = now.trials - then.trials
        yield f"{added} of {counted(now.trials, 'trial')} {'was' if added == 1 else 'were'} added"
    elif now.trials < most:
        yield f"its trials were cut from {most} to {now.trials}"


def _trials(then: Declared, now: Declared) -> int:
    return then.trials if then.search == now.search else 0


def _of_seeds(present: Design, reference: Design, log: list[Design]) -> Iterator[str]:
    """Yield what was changed of the number of final seeds."""
    most = max(entry.seeds for entry in log)
    limits = {entry.max_seeds for entry in (*log, present) if entry.max_seeds is not None}
    if present.seeds > max(reference.seeds, reference.max_seeds or 0):
        yield f"final seeds were raised from {reference.seeds} to {present.seeds}"
    elif present.seeds < most:
        yield f"final seeds were lowered from {most} to {present.seeds}"
    if present.repeats != reference.repeats:
        yield f"the further seeds of its best trials were changed from {reference.repeats} to {present.repeats}"
    if limits - {reference.max_seeds}:
        changed = max(limits - {reference.max_seeds})
        yield f"the maximum number of final seeds was changed from {reference.max_seeds} to {changed}"
