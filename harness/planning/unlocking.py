"""Test-set lock: tuning runs have no access to test sets, and the store logs every design with known test scores.

A tuning run's job carries a testbed whose test set and tasks are taken out (`Testbed.sealed`), so no code in its worker
can name them; `dev_only` refuses a tuning record that has test scores anyway. Before a driver starts its first run it
appends what the study file declares (`Design`) to `designs.json`, and which studies already have test scores. Entries
are only added, never changed: `harness.verdicts.hindsight` compares the present design with the last one that was
declared blindly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from harness.errors import StoreError
from harness.files import as_json, write_atomically
from harness.planning.plan import search_id, subject_id
from harness.spec.ablation import Ablation
from harness.spec.expectations import AtLeast, Beats, InOrder, Keeps, Within
from harness.spec.study import UNTRAINED
from harness.store import reading
from harness.store.designs import MOST_RUNS, Declared, Design
from harness.store.records import TUNING, Record

LOG = "designs.json"


def claims(ablation: Ablation) -> dict[str, tuple[str, ...]]:
    """Return each claim of the expectations in one form, with its studies: an order is several, "b beats a" each."""
    studies: dict[str, tuple[str, ...]] = {}
    for expectation in ablation.expect:
        if isinstance(expectation, InOrder):
            studies |= {claim_of(step): step.studies for step in expectation.steps()}
        else:
            studies[claim_of(expectation)] = expectation.studies
    return studies


def claim_of(expectation: Beats | Keeps | Within | AtLeast) -> str:
    """Return the text of a claim in the log.

    Names of several words are quoted: a study "b at the default point" must not read like a claim about that point.
    """
    if not isinstance(expectation, (Beats, Keeps)):
        return str(expectation)
    better, worse = _quoted(expectation.better), _quoted(expectation.worse)
    return str(replace(expectation, better=better, worse=worse))


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if " " in name else name


def design(ablation: Ablation, records: Iterable[Record] = (), at: str = "", study_file: str | None = None) -> Design:
    """Return what an ablation declares, and what these records hold test scores of."""
    stored, bed = list(records), ablation.testbed
    return Design(
        {
            study.name: Declared(
                subject_id(ablation, study.name), search_id(ablation, study.name), ablation.trials(study)
            )
            for study in ablation.studies
        },
        subject_id(ablation, UNTRAINED),
        claims(ablation),
        ablation.budget.seeds,
        ablation.budget.max_seeds,
        tuple(sorted(scored(stored))),
        len(stored),
        at,
        study_file,
        ablation.budget.tunings,
        ablation.budget.further_seeds,
        {each.name: content for each in bed.measures if (content := bed.content_of(each)) is not None},
    )


def scored(records: Iterable[Record]) -> frozenset[str]:
    """Return the studies that have test scores, of any version, and "untrained" if that model has."""
    return frozenset(record.study for record in records if record.stage not in TUNING and record.scores)


def read(folder: Path) -> tuple[Design, ...]:
    """Return a store's log, oldest first, empty if it has none; raise StoreError if it cannot be read."""
    try:
        log: tuple[Design, ...] = reading.document(tuple[Design, ...], folder, LOG)
        for entry in log:
            if (
                max(
                    *(entry.seeds, entry.max_seeds or 0, entry.tunings, entry.repeats),
                    *(each.trials for each in entry.studies.values()),
                )
                > MOST_RUNS
            ):
                raise reading.Unreadable(f"a design has more than {MOST_RUNS:,} trials, repeats, seeds or tunings")
        return log
    except FileNotFoundError:
        return ()
    except reading.Unreadable as problem:
        raise StoreError(
            f"{folder / LOG}: the log of designs cannot be read ({problem}); restore it from a copy of the store"
        ) from problem


def append(folder: Path, entry: Design) -> None:
    """Add an entry to the log so that a crash leaves it with or without the entry. Call it with the store locked."""
    entries = [as_json(asdict(each)) for each in (*read(folder), entry)]
    write_atomically(folder / LOG, "[\n" + ",\n".join(entries) + "\n]\n")


def is_news(entry: Design, log: Sequence[Design]) -> bool:
    """Return whether a design differs from the last one in the log."""
    return not log or _declares(log[-1]) != _declares(entry)


def _declares(entry: Design) -> Design:
    return replace(entry, scored=(), records=0, at="", study_file=None)


def dev_only(record: Record, dev: str) -> Record:
    """Return a tuning record unchanged if it has only dev scores, else as a failed record without scores.

    Args:
        record: the record of a run of any stage.
        dev: name of the measure that tuning may score.
    """
    if record.stage not in TUNING:
        return record
    names = {name for name in record.scores if name != dev and not name.startswith(f"{dev}/")}
    foreign = sorted(names | set(record.items))
    if not foreign:
        return record
    return replace(
        record,
        outcome="failed",
        scores={},
        items={},
        curve=(),
        error=f"TestSetReached: a tuning run gave {', '.join(foreign)}; tuning may score {dev} only",
    )
