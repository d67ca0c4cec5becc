"""The lock on the test sets: tuning runs cannot reach them, and the store logs when they are first scored.

A tuning run's job carries a testbed whose test set and tasks are taken out (`Testbed.sealed`), so no code in its worker
can name them; `dev_only` refuses a tuning record that holds test scores all the same. Before the driver starts a run
that scores the test sets, it appends to `unlocked.json` what the study had been given by then: trials and seeds added
after that were added by someone who could know test scores, and `notes` says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StoreError
from harness.records import DEV, Record, Unlocking, as_json
from harness.store import write_atomically

if TYPE_CHECKING:
    from harness.plan import Plan, PlannedRun

LOG = "unlocked.json"


def read(folder: Path) -> tuple[Unlocking, ...]:
    """Return a store's log, oldest first, empty if it has none; raise StoreError if it cannot be read."""
    path = folder / LOG
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Unlocking(**{field.name: entry[field.name] for field in fields(Unlocking)}) for entry in entries)
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise StoreError(
            f"{path}: the log of unlockings cannot be read ({problem}); restore it from a copy of the store"
        ) from problem


def append(folder: Path, entry: Unlocking) -> None:
    """Add an entry to the log so that a crash leaves it with or without the entry. Call it with the store locked."""
    entries = [as_json(asdict(known)) for known in (*read(folder), entry)]
    write_atomically(folder / LOG, "[\n" + ",\n".join(entries) + "\n]\n")


def due(run: PlannedRun, plan: Plan, log: Sequence[Unlocking], records: int, now: str) -> Unlocking | None:
    """Return the entry to append before a run starts; None if it scores no test set, or as the last entry says."""
    if run.stage == "tune" or run.id is None:
        return None
    trials, budget = plan.of(run.study, "tune"), plan.ablation.budget
    ended = sum(trial.state in ("done", "failed") for trial in trials)
    of = next((trial.id for trial in trials if trial.trial == 0 and trial.id), run.id)
    entry = Unlocking(
        run.study, of, run.id, len(trials), ended, budget.seeds, getattr(budget, "max_seeds", None), records, now
    )
    last = next((known for known in reversed(log) if (known.study, known.of) == (entry.study, entry.of)), None)
    unchanged = last is not None and _given(last) == _given(entry)
    return None if unchanged else entry


def _given(entry: Unlocking) -> tuple[int, int, int | None]:
    return entry.trials, entry.seeds, entry.max_seeds


def of_plan(plan: Plan) -> dict[str, list[Unlocking]]:
    """Return the unlockings that bear on a plan's runs, by study, oldest first."""
    found: dict[str, list[Unlocking]] = {}
    for study in dict.fromkeys(run.study for run in plan.runs):
        runs = plan.of(study)
        ids = {runs[0].id} if runs else set()  # the first trial, or the untrained model's run
        entries = [entry for entry in plan.unlocked if entry.study == study and entry.of in ids]
        if entries:
            found[study] = entries
    return found


def notes(plan: Plan) -> list[str]:
    """Return a sentence for each study whose trials or seeds were changed after its test scores came within reach."""
    found = []
    for study, entries in of_plan(plan).items():
        first, trials = entries[0], plan.of(study, "tune")
        late = sum(run.record is not None and (run.trial or 0) >= first.trials for run in trials)
        if late:
            found.append(
                f"{study}: {late} of {len(trials)} trials were added after its test set was unlocked, at "
                f"{first.trials}; its best point was chosen by someone who could know test scores."
            )
        elif trials and len(trials) < max(entry.trials for entry in entries):
            most = max(entry.trials for entry in entries)
            found.append(
                f"{study}: {len(trials)} of the {most} trials are used that it had when its test set was unlocked; "
                "leaving trials out changes the best point after its test scores could be known."
            )
        seeds = plan.ablation.budget.seeds
        if trials and entries[0].max_seeds is None and seeds > first.seeds:
            found.append(
                f"{study}: {seeds - first.seeds} of {seeds} final seeds were added after its test set was unlocked, "
                f"at {first.seeds}; intervals for one look are too narrow for two (--until-decided allows for it)."
            )
    return found


def dev_only(record: Record) -> Record:
    """Return a tuning record as it is if it holds dev scores alone, else as a failed one without any scores."""
    if record.stage != "tune":
        return record
    foreign = sorted({name for name in record.scores if name.split("/")[0] != DEV} | set(record.pairs))
    if not foreign:
        return record
    return replace(
        record,
        outcome="failed",
        scores={},
        pairs={},
        curve=(),
        error=f"TestSetReached: a tuning run gave {', '.join(foreign)}; tuning may score {DEV} only",
    )
