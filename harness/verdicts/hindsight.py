"""Detect what was chosen after test scores were known, from the store's log of designs (`harness.planning.unlocking`).

For each study and each claim the reference is the last design that was declared blindly, i.e. before its test scores
were known. Every deviation of the present design from the reference is printed with the verdict. Under `--strict` a
claim with such a deviation does not hold.

A study's reference covers what it trains, its search and seeds, and the sets of the testbed's dev and test measure. The
set of a further measure concerns only the claims about its figures (`_of_set`).

Renaming does not hide a study: if the same loss and data were scored under another name, their scores are known. A
study that was added after other studies were scored and removed may be one of these, slightly changed. If a claim was
chosen when one of its studies was already scored, Holm's correction counts it as many times as there were studies to
choose from (`uncounted`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.store.designs import Declared, Design
from harness.text import counted
from harness.verdicts.claims import Claim, claims


def notes(plan: Plan) -> list[str]:
    """Return a sentence for everything that was chosen after test scores were known."""
    gone = sorted(plan.scored - {UNTRAINED, *(study.name for study in plan.ablation.studies)})
    found = [
        *(note for study in plan.ablation.studies for note in of_study(plan, study.name)),
        *(note for claim in claims(plan.ablation) for note in of_claim(plan, claim)),
        *(f"'{claim}' was claimed before its test scores were known, then withdrawn." for claim in withdrawn(plan)),
        *(f"study {name} was scored on the test sets and is no longer declared." for name in gone),
    ]
    return list(dict.fromkeys(found))


def of_claim(plan: Plan, claim: Claim) -> list[str]:
    """Return a sentence for each thing about a claim, and its studies, that was chosen after their scores were known.

    Args:
        plan: the plan with the log of designs.
        claim: the claim.
    """
    studies = [study for study in (claim.worse, claim.better) if study is not None]
    return [
        *(note for study in studies if study in _deciding(studies) for note in of_study(plan, study)),
        *_of_set(plan, claim.figure, studies),
        *_late(plan, claim.logged, studies),
    ]


def of_study(plan: Plan, study: str) -> list[str]:
    """Return a sentence for each thing about a study that was chosen after its test scores were known.

    The untrained model has no search and no seeds: only what it is scored on can be chosen.
    """
    reference, present = _reference(plan, [study]), plan.present
    if present is None or not plan.designs:
        return []
    if study == UNTRAINED:
        changed = reference is not None and study in plan.scored and present.untrained != reference.untrained
        what = "the base model, rows, sets or precision were changed after its test scores were known"
        return [f"{study}: {what}."] if changed else []
    named = [f"{study}: {words}." for words in _of_name(plan, study, present.studies[study].subject)]
    if reference is None or study not in plan.scored or study not in reference.studies:
        return named
    # What was declared before the reference was as blind, so it is no measure of what was changed.
    log = [e for e in plan.designs if study in e.studies and (e is reference or study in _scored_in(e))]
    left = plan.left_out.get(study, 0)
    changes = [*_of_search(study, present, reference, log), *_of_seeds(present, reference, log, left)]
    if study in plan.otherwise and not changes:
        changes = ["another trial became its best one (some trials were repeated)"]
    return [*named, *(f"{study}: {words} after its test scores were known." for words in changes)]


def uncounted(plan: Plan) -> int:
    """Return the number of further claims that Holm's correction has to count.

    These are the `withdrawn` claims; and if a study was added and compared with one whose scores were known, one claim
    for each other study that it could have been compared with.
    """
    chosen: dict[str, list[int]] = {}
    for claim, studies in unlocking.claims(plan.ablation).items():
        deciding = _deciding(studies)
        entry, blind = _reference(plan, studies), _blind(plan, deciding)
        if entry is not None and deciding & _scored_in(entry) and (blind is None or claim not in blind.claims):
            (added,) = deciding - _scored_in(entry)
            chosen.setdefault(added, []).append(len(_scored_in(entry) - {UNTRAINED}))
    return len(withdrawn(plan)) + sum(max(0, max(counts) - len(counts)) for counts in chosen.values())


def withdrawn(plan: Plan) -> list[str]:
    """Return the claims that were made blindly and withdrawn after one of their studies was scored."""
    return sorted(_withdrawn(plan))


def _withdrawn(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the studies of each claim that is `withdrawn`."""
    present, dropped_claims = unlocking.claims(plan.ablation), {}
    following = [*(entry.claims for entry in plan.designs[1:]), present]
    blind: set[str] = set()
    for number, entry in enumerate(plan.designs):
        for claim, studies in entry.claims.items():
            deciding = _deciding(studies)
            blind |= set() if deciding <= _scored_in(entry) else {claim}
            dropped = claim not in following[number] and deciding & _scored_at(plan, number + 1)
            if claim in blind and claim not in present and dropped:
                dropped_claims[claim] = studies
    return dropped_claims


def _late(plan: Plan, claim: str, studies: Collection[str]) -> Iterator[str]:
    reference = _reference(plan, studies)
    if reference is not None and _deciding(studies) <= plan.scored and claim not in reference.claims:
        yield f"'{claim}' was claimed after its test scores were known."
    # Replacing one claim by another until one holds would spend the whole level each time.
    first = next((entry for entry in plan.designs if claim in entry.claims), None)
    scored = plan.scored if first is None else _scored_in(first)
    for other, named in sorted(_withdrawn(plan).items()):
        if _deciding(named) <= scored:
            yield f"'{claim}' was first claimed after the scores of the withdrawn claim '{other}' were known."


def _reference(plan: Plan, studies: Collection[str]) -> Design | None:
    """Return the last design that was declared while one of these studies had no test score; None without a log."""
    return next((entry for entry in reversed(plan.designs) if not _deciding(studies) <= _scored_in(entry)), None)


def _blind(plan: Plan, deciding: Collection[str]) -> Design | None:
    """Return the last design that was declared while none of these studies had a test score; None if there is none."""
    return next((entry for entry in reversed(plan.designs) if not _scored_in(entry) & set(deciding)), None)


def _deciding(studies: Collection[str]) -> set[str]:
    """Return the studies whose scores make a claim known: the trained ones, or the untrained model if it is alone.

    That model is scored before anything is tuned, which makes no claim known that is about a study as well.
    """
    return set(studies) - {UNTRAINED} or {UNTRAINED}


def _scored_in(entry: Design) -> frozenset[str]:
    """Return what had test scores when a design was declared.

    Older logs do not name the untrained model; it is scored first, so it was if any study was.
    """
    return frozenset([*entry.scored, UNTRAINED] if entry.scored else ())


def _of_set(plan: Plan, figure: str, studies: Collection[str]) -> Iterator[str]:
    """Yield that a figure's set has other content than when one of these studies was first scored on it."""
    measure = plan.ablation.testbed.measure_of(figure)
    if plan.present is None or measure is None:
        return
    now = plan.present.measures.get(measure.name)
    changed = [study for study in studies if _first_content(plan, study, measure.name) not in (None, now)]
    if now is not None and changed:
        yield f"{measure.name}: its data were changed after test scores of {' and '.join(changed)} were known."


def _first_content(plan: Plan, study: str, measure: str) -> str | None:
    """Return the content of a measure when a study was first scored on it; None if it was not, or the log has none."""
    reference = _reference(plan, [study])
    log = plan.designs if reference is None else plan.designs[plan.designs.index(reference) :]
    known = (entry.measures[measure] for entry in log if measure in entry.measures)
    return next(known, None) if study in plan.scored else None


def _of_name(plan: Plan, study: str, subject: str) -> Iterator[str]:
    """Yield what was scored before a study was first declared: itself under another name, or studies now removed."""
    began = next((n for n, e in enumerate(plan.designs) if _subject(e, study) == subject), len(plan.designs))
    scored = _scored_at(plan, began) - {study, UNTRAINED}
    twins = {name for name in scored for entry in plan.designs[: began + 1] if _subject(entry, name) == subject}
    gone = scored - {declared.name for declared in plan.ablation.studies}
    if twins:
        yield f"the same loss and data were scored on the test sets before, as {', '.join(sorted(twins))}"
    elif gone:
        yield (
            f"when it was first declared, test scores were known of {', '.join(sorted(gone))}, which the study file no "
            "longer declares"
        )


def _scored_at(plan: Plan, number: int) -> frozenset[str]:
    """Return the studies that had test scores when a design was declared; the present one comes after the log's."""
    return _scored_in(plan.designs[number]) if number < len(plan.designs) else plan.scored


def _subject(entry: Design, study: str) -> str | None:
    declared = entry.studies.get(study)
    return None if declared is None else declared.subject


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


def _of_seeds(present: Design, reference: Design, log: list[Design], left: int) -> Iterator[str]:
    """Yield what was changed of the number of final seeds and tunings.

    Args:
        present: the present design.
        reference: the last blind one.
        log: the reference and the designs that were not blind.
        left: number of scored final runs that the plan does not use.
    """
    most = max(entry.seeds for entry in log)
    limits = {entry.max_seeds for entry in (*log, present) if entry.max_seeds is not None}
    if present.seeds > max(reference.seeds, reference.max_seeds or 0):
        yield f"final seeds were raised from {reference.seeds} to {present.seeds}"
    elif present.seeds < most:
        yield f"final seeds were lowered from {most} to {present.seeds}"
    elif left:
        was, is_ = ("was", "is") if left == 1 else ("were", "are")
        yield f"{counted(left, 'final run')} that {was} scored {is_} left out"
    if present.tunings != reference.tunings:
        yield f"the number of tunings was changed from {reference.tunings} to {present.tunings}"
    if present.repeats != reference.repeats:
        yield f"the further seeds of its best trials were changed from {reference.repeats} to {present.repeats}"
    changed = max(limits - {reference.max_seeds}, default=present.max_seeds)
    if changed != reference.max_seeds:
        most_before, most_now = reference.max_seeds or "none", changed or "none"
        yield f"the maximum number of final seeds was changed from {most_before} to {most_now}"
