"""The report's sentences on orders as a whole, on repeated looks and on what was declared when."""

from __future__ import annotations

from collections.abc import Iterable

from harness.planning.plan import Plan
from harness.report.tables import NONE, Table, escape
from harness.verdicts import hindsight
from harness.verdicts.order import orders, probability
from harness.verdicts.until_decided import saved


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


def designs(plan: Plan) -> Iterable[str]:
    """Yield what the store's log says about what was declared when, and what was chosen in hindsight."""
    yield (
        "Tuning runs are given no test set: their jobs name none. Before its first run a driver logs what the study "
        "file declares, and of which studies test scores are known by then."
    )
    if not plan.designs:
        yield "The store's log is empty: what was chosen after scores were known is not told."
        return
    rows = tuple(
        (
            str(number),
            str(len(entry.studies)),
            ", ".join(sorted({str(given.trials) for given in entry.studies.values()})),
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
    yield "\n".join(f"- {escape(note)}" for note in late) or "Nothing that this store knows of was chosen in hindsight."
