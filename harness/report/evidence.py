"""The report's sentences on orders as a whole, on repeated looks and on when the test sets were unlocked."""

from __future__ import annotations

from collections.abc import Iterable

from harness import lock
from harness.order import orders, probability
from harness.plan import Plan
from harness.report.tables import NONE, Table, escape
from harness.sequential import saved


def orders_as_a_whole(plan: Plan) -> Iterable[str]:
    """Yield a table of each order's probability as a whole, and what its two figures are."""
    found = orders(plan)
    if not found:
        return
    rows = tuple(
        (
            escape(order.expectation),
            NONE if order.over_pairs is None else probability(order.over_pairs).replace("<", "\\<").replace(">", "\\>"),
            NONE if order.over_seeds is None else probability(order.over_seeds).replace("<", "\\<").replace(">", "\\>"),
            str(order.seeds),
        )
        for order in found
    )
    yield Table(("order as a whole", "probability over test pairs", "probability over seeds", "seeds"), rows).markdown()
    yield (
        "Each step of an order may be likely and all of them together not. *Over test pairs*: the share of bootstrap "
        "resamples in which every step is positive. *Over seeds*: the posterior probability that every step's true "
        "mean is (multivariate t, from the differences seed by seed). No verdict rests on these two."
    )


def looks(plan: Plan) -> Iterable[str]:
    """Yield how often verdicts were looked at, and what that saved, where seeds are added until decided."""
    if len(plan.looks) < 2:
        return
    economy = saved(plan)
    yield (
        f"Final seeds are added one at a time where a verdict is open, up to {plan.looks[-1]}: verdicts may fall at "
        f"any number of seeds from {plan.looks[0]} on. Each look is judged at a stricter level, so that all of them "
        f"together spend the 5 percent.{f' Used: {economy}.' if economy else ''}"
    )


def unlockings(plan: Plan) -> Iterable[str]:
    """Yield what the store's log says about when test scores came within reach of whom."""
    yield (
        "Tuning runs are given no test set: their jobs name none. Before the first run of a study that scores the test "
        "sets, the store logs what the study had been given by then."
    )
    found = lock.of_plan(plan)
    if not found:
        yield "The store's log has no entry for these runs: what was added after their scores were known is not told."
        return
    rows = tuple(
        (
            escape(study),
            str(entry.trials) if plan.of(study, "tune") else NONE,
            str(entry.ended) if plan.of(study, "tune") else NONE,
            (str(entry.seeds) + (f" to {entry.max_seeds}" if entry.max_seeds else ""))
            if plan.of(study, "tune")
            else NONE,
            str(entry.records),
            escape(entry.run),
        )
        for study, entries in found.items()
        for entry in entries
    )
    header = ("unlocked for", "trials planned", "trials ended", "final seeds planned", "runs in the store", "by run")
    yield Table(header, rows).markdown()
    late = lock.notes(plan)
    yield "\n".join(f"- {escape(note)}" for note in late) or "Nothing was added to a study after that."
