"""Judge the claims of a study file by its final runs: hypothesis tests with Holm's correction.

The score is the testbed's headline, or the figure that a claim names, at each study's best point; a claim made with
`at="default"` is about the runs at the untuned default point instead. Items are what the measure scores one by one:
pairs, queries, triplets or texts.

With one tuning, a claim is about the points that this tuning found. With several (`Budget(tunings=...)`) it is about
tuning with this budget: the mean over the final seeds after each tuning is one number, and what is said of seeds below
holds for tunings. A claim made with `at="tuned"` asks for several.

A claim is decided by one interval: the smallest that contains the interval over test items (paired bootstrap), the one
over seeds (Welch's t), and the one with both variances added up. For each claim "A beats B by m":

- holds: its lower end reaches m. If m is 0 it must exceed it: a study does not beat an identical one.
- violated: its upper end is below 0 (below m, if m is negative).
- inconclusive: neither. One final seed has no interval over seeds, so it decides nothing.
- incomplete: a planned final run of either study is missing, failed, or lacks its predictions; or runs of the two were
  made with different versions of code or libraries that affect scores, or in different precisions
  (`harness.planning.mixing`). A run that diverged is a result: it counts as a score of 0.

"A keeps B within t" is judged over seeds only, because it is about these very items: it holds if the lower end of the
interval of A - B is at least -t, and is violated if its upper end is below -t.

"A within t of s" and "A at least s" are about any figure of a record, and about A's mean over its final seeds. Figures
whose predictions are not stored, those of mteb's tasks, have no interval over items; the untrained model, one
deterministic run, has none over seeds.

- within holds: the interval over seeds is inside s - t to s + t, which is an equivalence test. It is violated if that
  interval is entirely outside. Items do not count: a published score is of the same items, so both numbers share
  their sampling error.
- at least holds: the lower end of the deciding interval reaches s. It is violated if the upper end is below s.
- If there is no interval, as for the untrained model, the number itself is compared.

The intervals have level 95 percent after Holm's correction over all claims of the ablation, incomplete ones included,
so that the chance of any wrong decision stays at 5 percent however many claims there are: the strongest evidence is
judged first, at 1 - 0.05/m, the next at 1 - 0.05/(m - 1), and so on. Seeds of two studies are independent, unless both
train the same loss on the same rows (`harness.planning.pairing`); then seed 1 of one is compared with seed 1 of the
other. The untrained model has one deterministic run; its score is a constant over seeds. If seeds are added until
decided, the claims are judged repeatedly (each time is a look): p is replaced by the probability of a p that small at
any look, and the level of the intervals is chosen such that all looks together have Holm's level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.planning.mixing import WAYS_OUT, of_studies
from harness.planning.pairing import share_seeds
from harness.planning.plan import Plan
from harness.spec.study import UNTRAINED
from harness.stats import intervals, repeated_looks
from harness.store.records import TUNING, Record
from harness.verdicts.claims import Claim, claims
from harness.verdicts.evidence import Evidence, difference, distance
from harness.verdicts.finals import Finals, finals
from harness.verdicts.hindsight import of_claim, uncounted
from harness.verdicts.rules import Verdict, p_value, verdict_on


def judge(plan: Plan) -> list[Verdict]:
    """Judge every claim of the ablation, in the order of its study file, by the rules of the module's docstring."""
    stated = claims(plan.ablation)
    evidence = [_evidence(plan, claim) for claim in stated]
    samples = [1 if isinstance(each, str) or each.old is None else 2 for each in evidence]
    spent = [
        1.0 if isinstance(each, str) else repeated_looks.spent(p_value(claim, each), plan.looks, number)
        for claim, each, number in zip(stated, evidence, samples, strict=True)
    ]
    spent += [1.0] * uncounted(plan)  # claims that were withdrawn, or could have been made instead
    levels = intervals.holm_levels(spent)
    return [
        replace(
            verdict_on(claim, each, repeated_looks.nominal(level, plan.looks, number)),
            late=tuple(of_claim(plan, claim)),
            unequal=_unequal(plan, claim),
            paired=_paired(plan, claim),
            about="procedures" if plan.ablation.budget.tunings > 1 and claim.at != "default" else "points",
        )
        for claim, each, number, level in zip(stated, evidence, samples, levels, strict=False)
    ]


def _paired(plan: Plan, claim: Claim) -> bool:
    return claim.worse is not None and share_seeds(plan.ablation, claim.better, claim.worse)


def _unequal(plan: Plan, claim: Claim) -> str:
    """Describe point values that only one of the claim's studies had fixed, or that differ between them."""
    trained = {study.name: dict(study.fixed) for study in plan.ablation.studies}
    fixed = [trained.get(name or UNTRAINED, {}) for name in (claim.better, claim.worse)]
    if claim.worse in (None, UNTRAINED) or fixed[0] == fixed[1]:
        return ""
    names = (claim.better, str(claim.worse))
    parts = [f"{name} {_values(values)}" for name, values in zip(names, fixed, strict=True)]
    return f"The studies were not tuned in the same space: {' and '.join(parts)}."


def _values(fixed: Mapping[str, object]) -> str:
    listed = ", ".join(f"{name} {value:g}" for name, value in fixed.items())
    return f"has {listed} fixed" if fixed else "has nothing fixed"


def _evidence(plan: Plan, claim: Claim) -> Evidence | str:
    """Return a claim's evidence if all planned runs of its studies are done, else the reason as sentences."""
    differing = None if plan.allow_mixed else of_studies(plan, filter(None, (claim.better, claim.worse)))
    if differing is not None:
        return f"Its runs were made under different conditions: {differing}. {WAYS_OUT}."
    if claim.at == "tuned" and plan.ablation.budget.tunings < 2:
        return "It is about tuning, and one tuning shows no spread of tunings. Use Budget(tunings=3), or --tunings 3."
    role = "default" if claim.at == "default" else "best"
    better = finals(plan, claim.better, role, claim.figure)
    if claim.worse is not None:
        worse = finals(plan, claim.worse, role, claim.figure)
        return _complete_difference(better, worse, claim, paired=_paired(plan, claim))
    if better.lacking:
        return _lacking(better)
    evidence = distance(better, claim.target or 0.0)
    if evidence is None:
        return "Its seeds were scored on different test items."
    if claim.kind == "within":
        return replace(evidence, resampled=None)  # the published score is of the same items
    return evidence


def _complete_difference(better: Finals, worse: Finals, claim: Claim, *, paired: bool) -> Evidence | str:
    sides = (better, worse) if worse.study != better.study else (better,)
    if any(side.lacking for side in sides):
        return _lacking(*sides)
    evidence = difference(better, worse, paired=paired)
    if evidence is None:
        return "The studies have no common seeds that were scored on the same test items."
    if claim.kind == "keeps":
        return replace(evidence, resampled=None)  # a claim about these items, on which both studies were scored
    if evidence.resampled is None:
        return (
            f"Records keep no values per item of {claim.figure}, so the difference has no interval over items. "
            "Return a value for each item from measures.of(...), or claim keeps(...), which is judged over seeds."
        )
    return evidence


def _lacking(*sides: Finals) -> str:
    """Say which runs are missing, or that all are there and which of them cannot be compared."""
    lacking = [reason for side in sides for reason in side.lacking]
    unfit = [reason for side in sides for reason in side.unfit]
    more = f", and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    start = "No run is missing, but some cannot be compared" if lacking == unfit else "Runs are missing"
    return f"{start}: {'; '.join(lacking[:3])}{more}."


def exit_code(verdicts: Sequence[Verdict], plan: Plan, strict: bool = False) -> int:
    """Return the exit code: 1 if a claim is violated, 3 if anything is incomplete or (strict) undecided, else 0.

    Args:
        verdicts: the verdicts on the plan.
        plan: incomplete if runs of it are `unfinished`, or a claim is incomplete.
        strict: treat claims as undecided if they are inconclusive or chosen after their test scores were known.
    """
    judgements = {verdict.verdict for verdict in verdicts}
    if "violated" in judgements:
        return 1
    incomplete = "incomplete" in judgements or bool(unfinished(plan))
    decided = all(verdict.verdict != "inconclusive" and not verdict.late for verdict in verdicts)
    return 3 if incomplete or (strict and not decided) else 0


def unfinished(plan: Plan) -> list[str]:
    """Return one line for everything that the plan still lacks; empty if nothing is missing.

    That is: a planned run that is not done or failed; a final run, or the untrained model's, that ended without scores
    (unless it diverged) or lacks a test task or measure; a study that was tuned and has no best point.
    """
    lines = []
    for run in plan.runs:
        named = f"{run.study} {run.stage}" + (f" {run.trial}" if run.trial is not None else f" seed {run.seed}")
        if run.state != "done":
            lines.append(f"{named} is {run.state}")
        elif run.stage not in TUNING and lacks_scores(run.record, plan):
            lines.append(f"{named} lacks scores")
    tuned = dict.fromkeys(run.study for run in plan.runs if run.stage == "tune")
    return lines + [f"{study} has no best point" for study in tuned if not plan.of(study, "final", "best")]


def lacks_scores(record: Record | None, plan: Plan) -> bool:
    """Return whether a run that should have been tested lacks its scores or those of a task of the testbed.

    A run that diverged lacks nothing: it would diverge again, and claims count it.
    """
    bed = plan.ablation.testbed
    if record is not None and record.outcome == "diverged":
        return False
    if record is None or record.outcome != "ok" or any(record.lacks(task) for task in bed.tasks):
        return True
    return any(record.lacks_measure(measure.name, bed.content_of(measure)) for measure in bed.besides)
