"""What claims at best points owe to the luck of tuning, as long as each study was tuned once."""

from __future__ import annotations

import numpy as np

from harness.planning.choice import RIVALS
from harness.planning.plan import Plan, winner_of
from harness.stats.selection import Luck, luck_of_choice
from harness.verdicts.claims import claims

LEAST = 0.0005
"""A spread that is not worth a number: 0.05 points."""


def of_study(plan: Plan, study: str) -> Luck | None:
    """Estimate the luck of a study's tuning from its trials and from the spread of its final runs' dev scores.

    Returns:
        The estimate, scores on a 0 to 1 scale; None with fewer than two scored trials or final runs.
    """
    records = [run.record for run in plan.trials(study) if run.record is not None]
    trials = [record for record in records if record.dev_score is not None]
    finals = [run.record.dev_score for run in plan.of(study, "final", "best") if run.record is not None]
    repeated, winner = [score for score in finals if score is not None], winner_of(plan.tuned(study))
    if len(repeated) < 2 or winner is None:
        return None
    return luck_of_choice(
        [record.dev_score or 0.0 for record in trials],
        float(np.std(repeated, ddof=1)),
        chosen=trials.index(winner),
        repeats=plan.ablation.budget.further_seeds,
        rivals=RIVALS,
    )


def note(plan: Plan) -> str | None:
    """Return a sentence on the luck of tuning for the study where it is largest; None if nothing can be said."""
    if plan.ablation.budget.tunings > 1 or not any(
        claim.at == "best" and claim.worse for claim in claims(plan.ablation)
    ):
        return None
    known = {study.name: luck for study in plan.ablation.studies if (luck := of_study(plan, study.name)) is not None}
    if not known:
        return None
    name = max(known, key=lambda study: known[study].spread)
    luck = known[name]
    about = "Each study was tuned once, so claims at best points are about the points that this tuning found."
    if luck.spread < LEAST:
        return f"{about} The trials do not suggest that another tuning would find others. --tunings 3 would show it."
    return (
        f"{about} Another tuning of {name} would choose another point with a probability of about "
        f"{100 * luck.another:.0f} percent, which moves its score by about {100 * luck.spread:.1f} points (one "
        "standard deviation, estimated from its trials). --tunings 3 measures it."
    )
