"""The report's texts on orders as a whole, on repeated looks, and on the log of designs."""

from __future__ import annotations

from collections.abc import Iterable

from harness.planning.plan import Plan
from harness.report.tables import Table
from harness.text import NONE, escape
from harness.verdicts import hindsight
from harness.verdicts.order import orders, probability
from harness.verdicts.until_decided import saved


def orders_as_a_whole(plan: Plan) -> Iterable[str]:
    """Yield a table of each order's probability as a whole, and an explanation of its two figures."""
    in_order = orders(plan)
    if not in_order:
        return
    rows = tuple(
        (
            escape(order.expectation),
            NONE if order.over_items is None else probability(order.over_items).replace("<", "\\<").replace(">", "\\>"),
            NONE if order.over_seeds is None else probability(order.over_seeds).replace("<", "\\<").replace(">", "\\>"),
            str(order.seeds),
        )
        for order in in_order
    )
    yield Table(("order as a whole", "probability over test items", "probability over seeds", "seeds"), rows).markdown()
    yield (
        "Even if each step of an order is likely, all steps together may not be. *Over test items*: the share of "
        "bootstrap resamples in which the difference of every step is positive. *Over seeds*: the posterior "
        "probability that the true mean difference of every step is positive (each study's mean over seeds follows "
        "Student's t). No verdict rests on these two figures."
    )


def looks(plan: Plan) -> Iterable[str]:
    """Yield the number of looks at the verdicts and the seeds saved, if seeds are or were added until decided."""
    if len(plan.looks) < 2:
        return
    economy, first, last = saved(plan), plan.looks[0], plan.looks[-1]
    added = (
        f"Final seeds were once added one at a time while a verdict was inconclusive, up to {last}; this design adds "
        f"none, but verdicts may have been reached at any number of seeds from {first} on."
        if plan.ablation.budget.max_seeds is None
        else f"Final seeds are added one at a time while a verdict is inconclusive, up to {last}; verdicts may be "
        f"reached at any number of seeds from {first} on."
    )
    yield (
        f"{added} Each look uses a stricter level, so that the "
        "probability of a wrong decision over all looks stays at 5 percent."
        f"{f' Used: {economy}.' if economy else ''}"
    )


def designs(plan: Plan) -> Iterable[str]:
    """Yield the store's log of designs, and what was chosen after test scores were known."""
    yield (
        "Tuning runs have no access to test sets. Before the first run of each `harness run`, the harness logs what "
        "the study file declares and which studies already have test scores."
    )
    if not plan.designs:
        yield "The store's log is empty, so choices made after test scores were known cannot be detected."
        return
    rows = tuple(
        (
            str(number),
            str(len(entry.studies)),
            ", ".join(sorted({str(declared.trials) for declared in entry.studies.values()})),
            str(entry.seeds) + (f" to {entry.max_seeds}" if entry.max_seeds else ""),
            str(len(entry.claims)),
            str(entry.records),
            ", ".join(map(escape, entry.scored)) or "none",
        )
        for number, entry in enumerate(plan.designs, 1)
    )
    header = ("design", "studies", "trials", "final seeds", "claims", "runs in the store", "studies already scored")
    yield Table(header, rows).markdown()
    late = hindsight.notes(plan)
    yield "\n".join(f"- {escape(note)}" for note in late) or "According to this log, nothing was chosen in hindsight."
