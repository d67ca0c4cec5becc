"""Sequential testing: add final seeds while a verdict is inconclusive (`harness run --until-decided`).

The plan stays a function of ablation and records. At a look every study has a known number of final seeds and all of
these runs have ended; then all claims are judged. A claim is open at a look if it is inconclusive and more seeds could
decide it. The studies of an open claim get one more seed, up to the budget's `max_seeds`. `grown` computes all looks
again from the first one at each call, and each look depends on records that no later run changes. So a driver that was
killed plans the same runs again, and no run's id depends on when it was planned. Verdicts are judged at levels that
spend 5 percent over all possible looks (see `harness.stats.repeated_looks`), in the driver and in every later `check`
or `report`, because the store's log of designs records the option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.planning.plan import ENDED, Plan
from harness.planning.planner import Planner
from harness.spec.ablation import Ablation
from harness.spec.study import UNTRAINED
from harness.stats.repeated_looks import looks_between
from harness.store.designs import Design
from harness.verdicts.claims import claims
from harness.verdicts.judge import judge
from harness.verdicts.rules import Verdict, misses, reaches


def grown(planner: Planner, designs: Iterable[Design] = (), *, allow_mixed: bool = False) -> Plan:
    """Return a planner's plan with the final seeds that open claims need, and the looks at which it is judged.

    A planner of only some studies gets no seeds, because a look needs every study.

    Args:
        planner: the planner, with all records; it is changed.
        designs: the store's log of designs.
        allow_mixed: also judge runs of several versions.
    """
    planner.designs = tuple(designs)
    planner.looks = looks(planner.ablation, planner.designs)
    planner.allow_mixed = allow_mixed
    grow(planner)
    return planner.plan()


def grow(planner: Planner) -> None:
    """Add the final seeds that open claims need to a planner.

    It continues from the planner's present seeds, because earlier looks depend on records that later runs do not
    change.
    """
    last = planner.ablation.budget.max_seeds
    if last is None or planner.only:
        return
    least = planner.ablation.budget.seeds
    seeds = {study.name: planner.seeds.get(study.name, least) for study in planner.ablation.studies}
    while _all_ended(plan := planner.plan()):
        following = _wanted(judge(plan), seeds, last)
        if following == seeds:
            return
        seeds = following
        planner.set_seeds(seeds)


def looks(ablation: Ablation, log: Sequence[Design] = ()) -> tuple[int, ...]:
    """Return the numbers of seeds at which verdicts are or could have been judged; empty without --until-decided.

    A store that was ever run with --until-decided is always judged so, from the smallest number of seeds in its log.
    """
    budget = ablation.budget
    planned = [entry for entry in log if entry.max_seeds is not None]
    most = [budget.max_seeds, *(entry.max_seeds for entry in planned)]
    last = max((number for number in most if number is not None), default=None)
    if last is None:
        return ()
    return looks_between(min([budget.seeds, *(entry.seeds for entry in planned)]), max(last, budget.seeds))


def _all_ended(plan: Plan) -> bool:
    """Return whether this look is complete: every final run that a claim is about has ended, successfully or not."""
    named = {(name, claim.at) for claim in claims(plan.ablation) for name in (claim.better, claim.worse) if name}
    runs = [run for study, at in named for run in plan.of(study, "final", "default" if at == "default" else "best")]
    tuned = all(run.state in ENDED for run in plan.runs if run.stage != "final")
    return tuned and all(run.state in ENDED for run in runs)


def _wanted(verdicts: Iterable[Verdict], seeds: Mapping[str, int], last: int) -> dict[str, int]:
    """Return the seeds of the next look: the studies of an open claim get one more than they have in common."""
    following = dict(seeds)
    for verdict in verdicts:
        if is_open(verdict):
            studies = [name for name in (verdict.better, verdict.worse) if name and name != UNTRAINED]
            count = min(last, 1 + min((seeds[name] for name in studies), default=last))
            following |= {name: max(following[name], count) for name in studies}
    return following


def is_open(verdict: Verdict) -> bool:
    """Return whether more seeds could decide a claim: it is inconclusive, and not only because of the test items.

    More seeds do not help identical studies. Default points get only the seeds of the budget.
    """
    if verdict.verdict != "inconclusive" or verdict.identical or verdict.at == "default":
        return False
    if verdict.kind != "beats":
        return True
    seeds_decide, pairs_decide = (
        interval is not None and (reaches(interval, verdict.margin) or misses(interval, verdict.margin))
        for interval in (verdict.over_seeds, verdict.over_items)
    )
    return pairs_decide or not seeds_decide


def saved(plan: Plan) -> str | None:
    """Describe the seeds saved by early stopping; None if the plan is unfinished or seeds are not added."""
    last = plan.ablation.budget.max_seeds
    if last is None or plan.unfinished():
        return None
    named = [s.name for s in plan.ablation.studies if any(s.name in e.studies for e in plan.ablation.expect)]
    used = {name: len(plan.of(name, "final", "best")) for name in named}
    if not used:
        return None
    counts = sorted(set(used.values()))
    each = " and ".join(
        f"{count} of {last} seeds for {sum(n == count for n in used.values())} of {len(used)} studies"
        for count in counts
    )
    return f"{each}: {sum(last - n for n in used.values())} runs saved"
