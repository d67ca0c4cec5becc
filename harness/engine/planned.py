"""The plan of an ablation, from its records and the options of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.audit import cache
from harness.engine.options import Options
from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.planning.planner import Planner
from harness.spec.ablation import Ablation
from harness.store.records import Record
from harness.verdicts import until_decided

PRUNED_COUNT = Options(prune=True)
"""The options of reading a store: trials that a run with --prune stopped are done."""


def planner_of(
    ablation: Ablation, records: Sequence[Record], options: Options, unavailable: Iterable[str] = ()
) -> Planner:
    """Return the planner of a run with these options.

    Args:
        ablation: the ablation, with the contents of its data.
        records: the store's records.
        options: which studies it runs, and whether it repeats failed runs and accepts pruned trials.
        unavailable: tasks whose data are not available.
    """
    retrying = [record.id for record in records if options.retry_failed and record.retryable]
    return Planner(
        ablation, records, pruning=options.prune, only=options.only, unavailable=unavailable, retrying=retrying
    )


def plan_of(
    ablation: Ablation,
    records: Sequence[Record],
    folder: Path,
    options: Options = PRUNED_COUNT,
    *,
    study_file: str | None,
    allow_mixed: bool,
) -> Plan:
    """Return a plan from the store alone, where tasks that records name as missing are unavailable.

    Args:
        ablation: the ablation, with the contents of its data.
        records: the store's records.
        folder: the store's folder, with its log of designs and its audit.
        options: those of the run that is planned.
        study_file: hash of the file that the ablation was read from; None if there is none.
        allow_mixed: also judge runs that were made with different library versions or precisions.
    """
    unavailable = {task for record in records for task in record.missing}
    planner = planner_of(ablation, records, options, unavailable)
    grown = until_decided.grown(planner, unlocking.read(folder), allow_mixed=allow_mixed)
    return replace(grown, audit=cache.read(folder), study_file=study_file)
