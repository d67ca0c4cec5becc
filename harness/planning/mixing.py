"""Which versions and precisions a claim's runs were made with: two of a kind are not compared without a word.

A library's upgrade can move scores by more than studies differ. So no verdict is given that rests on runs made by
several versions of a library that decides results, by several states of the harness's own code, or in several
precisions, unless that is asked for (`--allow-mixed`).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.planning.plan import Plan
from harness.provenance import CODE, DECIDING
from harness.store.records import Record

WAYS_OUT = (
    "Do the older runs again with today's versions (a new --store), go back to the versions that made the others, or "
    "judge all the same with --allow-mixed"
)


def mixed(records: Iterable[Record]) -> str | None:
    """Say in what records' makings differ, and which studies have which; None if they are all of one making."""
    found: dict[str, dict[str, set[str]]] = {}
    for record in records:
        for what, value in _making(record).items():
            found.setdefault(what, {}).setdefault(value, set()).add(record.study)
    told = [
        f"{what} " + ", ".join(f"{value} ({', '.join(sorted(studies))})" for value, studies in sorted(values.items()))
        for what, values in sorted(found.items())
        if len(values) > 1
    ]
    return "; ".join(told) or None


def of_studies(plan: Plan, studies: Iterable[str]) -> str | None:
    """Return `mixed` of all runs that a claim on these studies rests on, their tuning included."""
    return mixed(run.record for study in studies for run in plan.of(study) if run.record is not None)


def _making(record: Record) -> dict[str, str]:
    """Return what decides scores beside the run's id, less a build's suffix: torch 2.13.0+cpu is torch 2.13.0."""
    versions = record.provenance.get("versions") or {}
    sampler = ("optuna",) if record.stage == "tune" else ()  # it decides which points are tried, and no score
    found = {name: str(versions.get(name, "unknown")).partition("+")[0] for name in (*DECIDING, *sampler, CODE)}
    return {**found, "precision": str(record.provenance.get("precision", "unknown"))}


def made_otherwise(plan: Plan) -> list[str]:
    """Return a sentence for each way in which the plan's runs were made otherwise than one would think."""
    told = []
    differing = mixed(run.record for run in plan.runs if run.record is not None)
    if differing is not None:
        what = "They are compared all the same (--allow-mixed)" if plan.allow_mixed else WAYS_OUT
        told.append(f"runs were not all made alike: {differing}. {what}")
    if changed := plan.study_file_changed():
        made = sum(run.record is not None for run in plan.runs)
        told.append(
            f"the study file reads otherwise than when {changed} of these {made} runs were made; what decides their "
            "results is unchanged, or they would be new runs"
        )
    return told
