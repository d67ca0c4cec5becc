"""Load the rows of sources and the pairs of STS sets, in the form that studies train on and models are scored with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from harness import embedded
from harness.errors import AuditFailed
from harness.reading.rows import read
from harness.testbeds.measure_kinds import Sts
from harness.testbeds.sources import Source


@dataclass(frozen=True)
class StsPairs:
    """An STS set: pairs of sentences with gold similarities between 0 and 1."""

    sentence1: tuple[str, ...]
    sentence2: tuple[str, ...]
    gold: tuple[float, ...]


def load_rows(source: Source) -> pd.DataFrame:
    """Return all rows of a source; those of an NLI source have texts, labels of 0 to 2 and -1, and no null.

    Raises:
        AuditFailed: the columns or values have another form.
    """
    return read(source).rows


@lru_cache(maxsize=4)
def load_sts(measure: Sts) -> StsPairs:
    """Return an STS set with its scores brought to between 0 and 1; the audit judges whether they lie there."""
    wanted = (measure.sentence1, measure.sentence2, measure.score)
    data = read(measure.source).rows
    lacks = [name for name in wanted if name not in data]
    if lacks:
        raise AuditFailed(
            f"{measure.name}: {measure.source} has no column {', '.join(lacks)}; it has {', '.join(map(str, data))}. "
            "Name other columns: measures.sts(..., columns=(FIRST, SECOND, SCORE))"
        )
    low, high = measure.range
    try:
        gold = (data[measure.score].astype(float) - low) / (high - low)
    except (ValueError, TypeError) as problem:
        raise AuditFailed(
            f"{measure.name}: column {measure.score!r} of {measure.source} holds a value that is no number: {problem}"
        ) from problem
    left, right = (_texts(data[name], measure.source) for name in wanted[:2])
    return StsPairs(tuple(left), tuple(right), tuple(gold))


def _texts(column: pd.Series[Any], source: Source) -> pd.Series[Any]:
    """Return a column of texts and nulls; raise AuditFailed, with an example, if it holds anything else."""
    other = next((value for value in column[column.notna()] if not isinstance(value, str)), None)
    if other is not None:
        raise AuditFailed(f"{source}: column {column.name!r} holds {other!r} ({type(other).__name__}), not a text")
    return column


def embedded_pairs(task: str) -> StsPairs | None:
    """Return the pairs of an embedded task that is an STS set, None for another: without mteb, whose import is slow."""
    file = embedded.build() / "tasks" / task / "test.parquet"
    data = pd.read_parquet(file) if file.exists() else pd.DataFrame()
    if not {"sentence1", "sentence2", "score"} <= set(data):
        return None
    return StsPairs(tuple(data["sentence1"]), tuple(data["sentence2"]), tuple(data["score"].astype(float)))
