"""Detect runs that were made with different versions or precisions and must not be compared silently.

A library upgrade can change scores by more than studies differ. So no verdict is given on runs made by several versions
of a library that affects results, by several states of the harness's own code, or in several precisions, unless
`--allow-mixed` is given.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.planning.plan import Plan
from harness.provenance import CODE, DECIDING
from harness.store.records import Record

WAYS_OUT = (
    "Repeat the older runs with the current versions (in a new --store), return to the versions of the other runs, or "
    "judge them anyway with --allow-mixed"
)


def mixed(records: Iterable[Record]) -> str | None:
    """Describe the versions and precisions in which records differ, with their studies; None if there are none.

    A failed run has no scores to compare, and none of these if its worker died.
    """
    studies_by_value: dict[str, dict[str, set[str]]] = {}
    for record in (record for record in records if record.outcome != "failed"):
        for what, value in _making(record).items():
            studies_by_value.setdefault(what, {}).setdefault(value, set()).add(record.study)
    texts = [
        f"{what} " + ", ".join(f"{value} ({', '.join(sorted(studies))})" for value, studies in sorted(values.items()))
        for what, values in sorted(studies_by_value.items())
        if len(values) > 1
    ]
    return "; ".join(texts) or None


def of_studies(plan: Plan, studies: Iterable[str]) -> str | None:
    """Return `mixed` of all runs that a claim on these studies rests on, their tuning included."""
    return mixed(run.record for study in studies for run in plan.of(study) if run.record is not None)


def _making(record: Record) -> dict[str, str]:
    """Return what affects scores besides the run's id; build suffixes are dropped (torch 2.13.0+cpu is 2.13.0)."""
    versions = record.provenance.get("versions") or {}
    sampler = ("optuna",) if record.stage == "tune" else ()  # it affects which points are tried, but no score
    conditions = {name: str(versions.get(name, "unknown")).partition("+")[0] for name in (*DECIDING, *sampler, CODE)}
    return {**conditions, "precision": str(record.provenance.get("precision", "unknown"))}


def condition_notes(plan: Plan) -> list[str]:
    """Return a sentence if the plan's runs were made under different conditions, or by another study file."""
    sentences = []
    differing = mixed(run.record for run in plan.runs if run.record is not None)
    if differing is not None:
        what = "They are compared anyway (--allow-mixed)" if plan.allow_mixed else WAYS_OUT
        sentences.append(f"runs were made under different conditions: {differing}. {what}")
    if changed := plan.study_file_changed():
        executed = sum(run.record is not None for run in plan.runs)
        sentences.append(
            f"the study file was edited after {changed} of these {executed} runs were made; nothing that affects their "
            "results changed, or their ids would be new"
        )
    return sentences
