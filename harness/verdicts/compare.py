"""Compare two stores, e.g. before and after a library upgrade, of two machines, or of two commits.

One plan of each store is compared: that of the last logged design. Runs are matched by study, stage, point and seed;
final runs at a study's best point also as such, because the best point itself may differ between the stores. Everything
that enters a run's id and differs is named, so that a difference of rows is not mistaken for one of versions. The study
file is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.errors import UsageError
from harness.planning import unlocking
from harness.planning.choice import best, by_trial, repeat_seeds
from harness.planning.mixing import mixed
from harness.spec.study import UNTRAINED
from harness.stats import estimates
from harness.store.designs import Design
from harness.store.folder import Store
from harness.store.records import TUNING, Record
from harness.text import counted

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("train_seconds", "peak_memory_mb")
COLUMNS = (
    "study",
    "stage",
    "runs",
    "metric",
    "left",
    "right",
    "difference",
    "low",
    "high",
    "n",
    "left_only",
    "right_only",
)

_TRAINED = ("subject", "search", "trained", "contents")
"""Keys of a record's provenance that describe what was trained, not the environment."""

Key: TypeAlias = tuple[str, str, str]
Group: TypeAlias = dict[int, Record]


def compare(left: Store, right: Store) -> pd.DataFrame:
    """Return one row per group of runs that both stores have and per metric.

    Columns: study; stage; runs ("best", or a point); metric (a score on a 0 to 1 scale, or train_seconds,
    peak_memory_mb); left and right (means over the n seeds that both have); difference (right - left) with low and
    high, its 95 percent t interval over seeds, NaN for one seed; left_only and right_only (unpaired seeds).
    """
    import pandas as pd  # slow to import, and `harness --help` needs none of it

    a, b = _groups(planned(left)), _groups(planned(right))
    rows = []
    for key in _matched(a, b):
        seeds = sorted(set(a[key]) & set(b[key]))
        unpaired = (len(a[key]) - len(seeds), len(b[key]) - len(seeds))
        for metric in _metrics([a[key][s] for s in seeds], [b[key][s] for s in seeds]):
            xs, ys = ([_value(group[key][seed], metric) for seed in seeds] for group in (a, b))
            change = np.subtract(ys, xs)
            interval = estimates.interval(change)
            low, high = (interval.low, interval.high) if interval else (np.nan, np.nan)
            rows.append((*key, metric, np.mean(xs), np.mean(ys), change.mean(), low, high, len(seeds), *unpaired))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def planned(store: Store) -> list[Record]:
    """Return the records of the plan of a store's last design; all records if no design was logged.

    Raises:
        UsageError: the store has no log and holds runs of several plans.
    """
    records, log = store.records(), unlocking.read(store.folder)
    if log:
        return [record for record in records if _belongs(record, log[-1])]
    subjects: dict[str, set[str]] = {}
    for record in records:
        subjects.setdefault(record.study, set()).add(str(record.provenance.get("subject")))
    mixture = sorted(study for study, ids in subjects.items() if len(ids) > 1)
    if mixture:
        raise UsageError(
            f"{store.folder}: the store holds runs of several plans ({', '.join(mixture)}) and has no log of designs "
            f"to show which was the last; restore {unlocking.LOG} from a copy of the store"
        )
    return records


def _belongs(record: Record, design: Design) -> bool:
    if record.study == UNTRAINED:
        return record.provenance.get("subject") == design.untrained
    declared, provenance = design.studies.get(record.study), record.provenance
    if declared is None or provenance.get("subject") != declared.subject:
        return False
    if record.stage == "repeat":
        return record.seed in repeat_seeds(record.tuning, design.repeats)
    if record.stage != "tune":
        return True
    return provenance.get("search") == declared.search and (record.trial or 0) < declared.trials


def lost(store: Store) -> list[str]:
    """Return the final runs of a store's plan that ended without scores, e.g. "mnr seed 2 diverged"."""
    finals = sorted((r for r in planned(store) if r.stage == "final" and r.outcome != "ok"), key=_named)
    return [_named(record) for record in finals]


def _named(record: Record) -> str:
    return f"{record.study} seed {record.seed} {record.outcome}"


def trained_differences(left: Store, right: Store) -> list[tuple[str, str, str]]:
    """Return (what, left's values, right's values) for everything that enters a run's id and differs."""
    a, b = ({r.study: dict(_flat(r.provenance.get("trained") or {})) for r in planned(s)} for s in (left, right))
    studies_by_difference: dict[tuple[str, str, str], list[str]] = {}
    for study in sorted(set(a) & set(b)):
        for what in sorted(a[study].keys() | b[study].keys()):
            values = (a[study].get(what, "not recorded"), b[study].get(what, "not recorded"))
            if values[0] != values[1]:
                studies_by_difference.setdefault((what, *values), []).append(study)
    return [(f"{what} ({', '.join(names)})", x, y) for (what, x, y), names in studies_by_difference.items()]


def differences(left: Store, right: Store) -> list[tuple[str, str, str]]:
    """Return `trained_differences`, then `provenance_differences`."""
    return [*trained_differences(left, right), *provenance_differences(left, right)]


def what_differs(left: Store, right: Store) -> str:
    """Describe in a sentence what differs between the stores and can explain a difference of scores."""
    conditions = mixed([*planned(left), *planned(right)])
    things = [what for what, _, _ in trained_differences(left, right)]
    things += [part.partition(" ")[0] for part in conditions.split("; ")] if conditions else []
    if not things:
        return "nothing that affects scores is known to differ: score differences are due to rounding or chance"
    if len(things) == 1:
        return f"one thing that affects scores differs: {things[0]}"
    return (
        f"{len(things)} things that affect scores differ, so a score difference cannot be attributed to one of them: "
        f"{', '.join(things)}"
    )


def _groups(records: Iterable[Record]) -> dict[Key, Group]:
    """Group the runs that have scores by study, stage and point (or "best"), then by seed."""
    ordered = sorted(records, key=lambda record: record.id)
    winners = _winners(ordered)
    groups: dict[Key, Group] = {}
    for record in ordered:
        if record.outcome == "ok":
            winner = winners.get((record.study, record.tuning))
            names = ["" if record.point is None else str(record.point)]
            if record.stage == "final" and winner is not None and record.point == winner.point:
                names.append("best")
            for name in names:
                groups.setdefault((record.study, record.stage, name), {})[record.seed] = record
    return groups


def _winners(records: Iterable[Record]) -> dict[tuple[str, int], Record]:
    """Return the best trial of each tuning of each study."""
    tuned: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        if record.stage in TUNING:
            tuned.setdefault((record.study, record.tuning), []).append(record)
    found = {
        (study, tuning): best(by_trial(each, study), [record for record in each if record.stage == "repeat"])
        for (study, tuning), each in tuned.items()
    }
    return {key: winner for key, winner in found.items() if winner is not None}


def _matched(a: dict[Key, Group], b: dict[Key, Group]) -> list[Key]:
    """Return the groups that both have; a point that is the best one in both is listed only as "best"."""

    def best_in(groups: dict[Key, Group], key: Key) -> bool:
        return key[2] != "best" and groups[key] == groups.get((*key[:2], "best"))

    return [key for key in sorted(set(a) & set(b)) if not (best_in(a, key) and best_in(b, key))]


def _metrics(left: Sequence[Record], right: Sequence[Record]) -> list[str]:
    """Return the metrics that all these runs have."""
    if not left:
        return []
    shared = set.intersection(*(set(record.scores) for record in (*left, *right)))
    return [*sorted(shared), *(COSTS if left[0].stage != "untrained" else ())]


def _value(record: Record, metric: str) -> float:
    return float(getattr(record, metric)) if metric in COSTS else record.scores[metric]


def provenance_differences(left: Store, right: Store) -> list[tuple[str, str, str]]:
    """Return (what, left's values, right's values) for everything in the records' provenance that differs."""
    a, b = _provenance(planned(left)), _provenance(planned(right))
    nothing = {"not recorded"}
    pairs = [(key, a.get(key, nothing), b.get(key, nothing)) for key in sorted(set(a) | set(b))]
    return [(key, ", ".join(sorted(x)), ", ".join(sorted(y))) for key, x, y in pairs if x != y]


def _provenance(records: Iterable[Record]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for record in records:
        conditions = {key: value for key, value in record.provenance.items() if key not in _TRAINED}
        for key, text in _flat(conditions):
            values.setdefault(key, set()).add(text)
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def as_text(left: Store, right: Store) -> str:
    """Return the comparison as plain text: differing conditions, unmatched runs, then all metrics.

    Scores and their differences are multiplied by 100; seconds and megabytes are not.
    """
    lines = [f"left:  {_title(left)}", f"right: {_title(right)}", ""]
    lines += [what_differs(left, right), ""]
    if other := trained_differences(left, right):
        lines += ["differences in training or scoring:", *_aligned([("", "left", "right"), *other], numbers=0), ""]
    differing = provenance_differences(left, right)
    if differing:
        lines += ["differences in versions, hardware or commit:"]
        lines += [*_aligned([("", "left", "right"), *differing], numbers=0), ""]
    else:
        lines += ["versions, hardware and commit are the same", ""]
    for side, store in (("left", left), ("right", right)):
        if (within := mixed(planned(store))) is not None:
            lines += [f"the runs of {side} were made under different conditions: {within}", ""]
    for side, store in (("left", left), ("right", right)):
        if without := lost(store):
            named = "; ".join(without)
            lines += [f"final runs of {side} without scores, so that its means are over the other seeds: {named}", ""]
    a, b = _groups(planned(left)), _groups(planned(right))
    for where, here, there in (("left", a, b), ("right", b, a)):
        unmatched = [" ".join(part for part in key if part) for key in sorted(set(here) - set(there))]
        if unmatched:
            lines += [f"only in {where}: {'; '.join(unmatched)}", ""]
    frame = compare(left, right)
    if frame.empty:
        return "\n".join([*lines, "no run of one store matches a run of the other"]) + "\n"
    header = ("study", "stage", "runs", "metric", "left", "right", "right - left", "95 % over seeds", "seeds")
    body = [_line(row) for row in frame.to_dict("records")]
    lines += _aligned([header, *body], numbers=5)
    if (frame["left_only"] + frame["right_only"]).any():
        lines += ["", "the means leave out seeds that only one store has"]
    return "\n".join(lines) + "\n"


def _title(store: Store) -> str:
    in_plan, stored = len(planned(store)), len(store.records())
    others = f" ({counted(stored - in_plan, 'run')} of other plans left out)" if stored > in_plan else ""
    return f"{store.folder}: {store.ablation} on {store.testbed}, {counted(in_plan, 'run')}{others}"


def _line(row: Mapping[Any, Any]) -> tuple[str, ...]:
    scale, digits = (1, 1) if row["metric"] in COSTS else (100, 2)
    left, right = (f"{scale * row[side]:.{digits}f}" for side in ("left", "right"))
    change = f"{scale * row['difference']:+.{digits}f}"
    over_seeds = (
        "-" if np.isnan(row["low"]) else f"{scale * row['low']:+.{digits}f} to {scale * row['high']:+.{digits}f}"
    )
    return row["study"], row["stage"], row["runs"], row["metric"], left, right, change, over_seeds, str(row["n"])


def _aligned(rows: Sequence[Sequence[str]], numbers: int) -> list[str]:
    """Return rows as lines in columns; the last `numbers` columns are aligned right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    first_number = len(widths) - numbers
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < first_number else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
