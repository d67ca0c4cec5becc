"""The report's texts on where its numbers come from: data, base model, commits, hardware and versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.report import tables
from harness.report.facts import PUBLIC_HUB, Facts, without_paths
from harness.testbeds.refs import EMBEDDED
from harness.text import counted, escape


def data_and_model(facts: Facts) -> Iterable[str]:
    """Yield the revisions of model, rows and sets, the rows used, and a warning if they are not from the public hub."""
    bed = facts.plan.ablation.testbed
    if bed.base.repo == EMBEDDED:
        yield (
            "> **Generated sentences.** A grammar makes all sentences of this testbed, and its base model has read no "
            "other. The scores are not scores on STSB or MTEB, and no measure of how good a loss is on real text."
        )
    hubs = [str(hub) for hub, _ in facts.provenance("hub") if str(hub).rstrip("/") != PUBLIC_HUB]
    if hubs:
        served = ", ".join(escape(without_paths(hub)) for hub in hubs)
        yield (
            f"> **Not from the public hub.** Model and data came from {served}, which may serve other content under "
            "the names below. In that case the numbers are not those of the public weights and rows."
        )
    parts = {
        **bed.revisions(),
        **{name: text for run in facts.untrained.records for name, text in run.provenance.get("revisions", {}).items()},
    }
    lines = tuple((escape(part), escape(without_paths(str(text)))) for part, text in parts.items())
    yield tables.Table(("part", f"testbed {escape(bed.name)}"), lines, left=2).markdown()
    yield tables.rows_used(facts).markdown()


def reproduction(facts: Facts, command: str) -> Iterable[str]:
    """Yield the command that reproduces the runs, and the commits, hardware and versions that made them."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
    yield f"{fence}sh\n{command}\n{fence}"
    yield (
        "Give this command in the folder that has the study file at this path. It repeats the same runs, with the same "
        "ids, in a store of its own, if study file, data and base model are those named here."
    )
    lines = []
    for key, what in (("harness_git", "harness"), ("git", "repository of the study file")):
        for git, runs in facts.provenance(key):
            at = f"at commit {escape(git['commit'])}" if git.get("commit") else "not under version control"
            lines.append(
                f"{what} {at}{', with uncommitted changes' if git.get('dirty') else ''} ({counted(runs, 'run')})"
            )
    for digest, runs in facts.provenance("study_file"):
        lines.append(f"study file with SHA-256 {escape(str(digest)[:16])} ({counted(runs, 'run')})")
    for hardware, runs in facts.provenance("hardware"):
        lines.append(f"{_items(hardware)} ({counted(runs, 'run')})")
    for key, words in (("precision", "precision"), ("threads", "threads"), ("hub", "hub")):
        lines += [
            f"{words} {escape(without_paths(str(value)))} ({counted(runs, 'run')})"
            for value, runs in facts.provenance(key)
        ]
    lines += [f"{_items(versions)} ({counted(runs, 'run')})" for versions, runs in facts.provenance("versions")]
    yield "\n".join(f"- {line}" for line in lines) or "The records contain no provenance."


def _items(values: Any) -> str:
    if isinstance(values, Mapping):
        return ", ".join(f"{escape(str(key))} {_items(value)}" for key, value in sorted(values.items()) if value)
    if isinstance(values, list | tuple):
        return " and ".join(map(_items, values))
    return escape(without_paths(str(values)))
