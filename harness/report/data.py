"""The report's machine-readable files: scores.csv and records.json."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

from harness.files import as_json, finite
from harness.planning.pairing import share_seeds
from harness.planning.plan import PlannedRun
from harness.report.facts import Facts, Row, without_paths
from harness.spec.study import UNTRAINED
from harness.store.records import TUNING, Record
from harness.text import in_csv, in_json


def scores_csv(facts: Facts) -> str:
    """Return one line per untrained or final run: its point, outcome, and scores on a 0 to 1 scale.

    A run that ended without scores, or is not done, has a line as well, so that readers of the file know which seeds a
    mean lacks. A run without an id waits for the trials that decide its point, and one that is unfit has scores that
    no mean of the headline contains.
    """
    lines = [(row, run) for row in facts.rows for run in row.runs if run.stage not in TUNING]
    runs = [run for _, run in lines]
    records = [run.record for run in runs if run.record is not None]
    options = sorted({name for r in runs if r.point for name in r.point.as_dict()} - {"batch_size", "lr"})
    scores = sorted({name for record in records for name in record.scores})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    point_columns = ["batch_size", "lr", *options]
    header = ["study", "stage", "roles", "seed", "id", "outcome", "unfit", "subject", *point_columns, *scores]
    writer.writerow(map(in_csv, header))
    for row, run in lines:
        point, record = run.point.as_dict() if run.point else {}, run.record
        cells = [
            run.study,
            run.stage,
            "+".join(run.roles),
            run.seed,
            run.id or "",
            "not done" if record is None else record.outcome,
            "yes" if _is_unfit(row, run) else "",
            "" if record is None else record.provenance.get("subject", ""),
            *(point.get(name, "") for name in point_columns),
            *("" if record is None else finite(record.scores.get(name, "")) for name in scores),
        ]
        writer.writerow(map(in_csv, cells))
    return text.getvalue()


def _is_unfit(row: Row, run: PlannedRun) -> bool:
    """Return whether a run has scores that are not compared, e.g. because its predictions are missing."""
    seed = None if run.stage == UNTRAINED else run.seed
    both = (("best", row.finals), ("default", row.untuned))
    sides = [side for role, side in both if seed is None or role in run.roles]
    ended = run.record is not None and run.record.outcome == "ok"
    return ended and all(seed not in side.scores for side in sides)


def records_json(facts: Facts) -> str:
    """Return all records of the plan by id, one per line, without the predictions for each item.

    `seeds_shared` are the studies that are compared seed by seed, in groups.
    """
    ablation = facts.plan.ablation
    texts = {"ablation": ablation.name, "testbed": ablation.testbed.name, "seeds_shared": _sharing_seeds(facts)}
    head = f'{{{", ".join(f"{as_json(key)}: {as_json(value)}" for key, value in texts.items())}, "records": [\n'
    lines = [as_json(published(record)) for record in facts.records]
    return in_json(head + ",\n".join(lines) + "\n]}\n")


def published(record: Record) -> dict[str, Any]:
    """Return what records.json says of a record, as JSON's types: all but its predictions."""
    plain = replace(record, items={}).as_dict()  # drop the predictions before they are read from disk
    del plain["items"]
    of_record: dict[str, Any] = _shortened(finite(plain))
    return of_record


def _sharing_seeds(facts: Facts) -> list[list[str]]:
    groups: list[list[str]] = []
    for name in (row.name for row in facts.studies):
        group = next((group for group in groups if share_seeds(facts.plan.ablation, group[0], name)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [group for group in groups if len(group) > 1]


def _shortened(value: Any) -> Any:
    """Return JSON with its keys sorted and machine paths shortened in all texts."""
    if isinstance(value, dict):
        return {key: _shortened(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return without_paths(value) if isinstance(value, str) else value
