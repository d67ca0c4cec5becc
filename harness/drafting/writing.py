"""Write a draft into its file, and keep it only if its rows can be trained on and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness.drafting.cells import LeftOut, left_out
from harness.drafting.draft import Draft, Wanted, draft, reasons_of
from harness.drafting.recognise import FEWEST, Recognised
from harness.drafting.rehearsal import rehearse
from harness.errors import AuditFailed
from harness.files import write_atomically
from harness.testbeds.sources import Source
from harness.texts.normal import normalise, pair_keys
from harness.waiting import announced

FEWEST_OF_CLASS = (3, 5, 10)
"""Rows that a class needs, else it is left out: the first of these with which train has each class of dev and test."""

MOST_LEFT_OUT = 0.5
"""Share of the rows that a draft may leave out."""


def write(file: Path, wanted: Wanted, rows: pd.DataFrame, source: Source) -> Draft:
    """Write a study file for the rows, and return what was written.

    Args:
        file: the study file, which does not exist.
        wanted: what the draft is made from, without the rows that it leaves out.
        rows: the rows.
        source: where they were read.

    Raises:
        AuditFailed: the rows cannot be trained on or scored, or too few of them are left. Nothing is written.
        UsageError: the rows alone give no measure, and no other was given.
    """
    fault = None
    for fewest in FEWEST_OF_CLASS if wanted.rows.form == "labelled texts" else FEWEST_OF_CLASS[:1]:
        out = left_out(rows, wanted.rows, source, fewest)
        if fault is not None and out == wanted.left_out:
            break
        wanted = replace(wanted, left_out=out, different=_different(rows, wanted.rows, out))
        if wanted.used < max(FEWEST, (1 - MOST_LEFT_OUT) * len(rows)):
            raise AuditFailed(f"{wanted.source}: {fault or _too_few(wanted)}")
        made = draft(wanted)
        fault = _fault_of(file, made.text)
        if fault is None:
            return made
    stopped = str(fault).rstrip(".")
    raise AuditFailed(
        f"{wanted.source}: no study file was written, because `harness run` would stop: {stopped}. Correct the rows, "
        "or write the study file by hand"
    )


def _fault_of(file: Path, text: str) -> str | None:
    """Write a study file; remove it if its rows cannot be trained on or scored, and return why."""
    write_atomically(file, text)
    fault: str | None = "it was interrupted"
    try:
        with announced("the check of the drafted study file, which divides its rows; Ctrl-C ends it"):
            fault = rehearse(file)
    finally:
        if fault is not None:
            file.unlink(missing_ok=True)
    return fault


def _different(rows: pd.DataFrame, recognised: Recognised, out: Sequence[LeftOut]) -> int:
    """Return how many different items the rows have, without those that are left out; case does not count."""
    used = rows.drop(rows.index[[place for each in out for place in each.places]])
    first, *others = (used[name].tolist() for name in recognised.texts[:2])
    return len({*(pair_keys(first, *others) if recognised.label and others else map(normalise, first))})


def _too_few(wanted: Wanted) -> str:
    return f"{'; '.join(reasons_of(wanted))}: too few are left. Correct them, or give other rows"
