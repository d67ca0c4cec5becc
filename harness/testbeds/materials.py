"""Fetch the parts of a testbed once, then read them from local folders.

`fetch` is the only step that may take long or use the network; everything else reads local files, so runs do not depend
on the hub, and a machine without a network works once the cache is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import constants
from rich.console import Console
from rich.progress import Progress

from harness import embedded
from harness.errors import AuditFailed, TestbedUnavailable
from harness.testbeds import EMBEDDED, MODEL, SEALED, Ref, Testbed, files, hub
from harness.testbeds.labels import known


@dataclass(frozen=True)
class StsPairs:
    """An STS set: pairs of sentences with gold similarities between 0 and 1."""

    sentence1: tuple[str, ...]
    sentence2: tuple[str, ...]
    gold: tuple[float, ...]


def fetch(
    testbed: Testbed, task_refs: Callable[[], Mapping[str, list[Ref]]], tell: Callable[[str], None] = lambda line: None
) -> dict[str, str]:
    """Make or download everything that a testbed names.

    Args:
        testbed: the testbed.
        task_refs: returns the data sets of each test task; called once the testbed's own parts are there.
        tell: receives a line at the start of each download.

    Returns:
        The tasks whose data are not available, with the reason.

    Raises:
        TestbedUnavailable: the model, the rows, the dev set or the test set cannot be fetched.
    """
    online = cache(partial(_online, tell))
    parts = {
        "base model": testbed.model,
        **{f"training rows{f' {n}' if n > 1 else ''}": ref for n, ref in enumerate(testbed.sources, 1)},
        "dev set": testbed.dev,
        "test set": testbed.test,
    }
    for part, ref in parts.items():
        tell(f"{part}: {ref}")
        try:
            _fetch_one(ref, is_model=part == "base model", online=online)
        except hub.CannotHave as problem:
            raise TestbedUnavailable(
                f"testbed {testbed.name!r}: cannot get the {part}, {ref}: {problem}. Where there is a network, run "
                "`harness fetch FILE` (and copy HF_HOME to machines without one); without any, use --testbed embedded."
            ) from problem
    missing = {}
    for task, refs in task_refs().items():
        tell(f"task: {task}")
        try:
            for ref in refs:
                _fetch_one(ref, is_model=False, online=online)
        except hub.CannotHave as problem:
            missing[task] = f"{refs[0].repo}: {problem}"
    return missing


def _online(tell: Callable[[str], None]) -> bool:
    online = hub.reachable()
    if not online:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{hub.endpoint()} does not answer"
        tell(f"{why}: using only the cache")
    return online


def _fetch_one(ref: Ref, *, is_model: bool, online: Callable[[], bool]) -> None:
    if ref.repo != EMBEDDED:
        hub.snapshot(ref, is_model=is_model, online=online())
        return
    if ref.config == MODEL:
        embedded.base_model()
        return
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("making the embedded testbed, once", total=1.0)
        embedded.build(progress=lambda what, share: bar.update(row, description=what, completed=share))


def locate(ref: Ref, *, is_model: bool = False) -> Path:
    """Return the absolute path of a fetched folder; raise TestbedUnavailable if it is not there, or sealed."""
    if ref == SEALED:
        raise TestbedUnavailable("the test set is sealed: only final runs and the untrained model's may read it")
    if ref.repo == EMBEDDED:
        return embedded.base_model() if ref.config == MODEL else embedded.build() / (ref.config or "")
    try:
        return hub.snapshot(ref, is_model=is_model, online=False).resolve()
    except hub.CannotHave as problem:
        raise TestbedUnavailable(f"{ref}: {problem}; run `harness fetch FILE` where there is a network") from problem


def _load_split(ref: Ref) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return a split's rows and the names of its class labels, by column."""
    if ref.repo == EMBEDDED:
        return pd.read_parquet(locate(ref) / f"{ref.split}.parquet"), {}
    return files.read(locate(ref), ref)


def load_rows(testbed: Testbed) -> pd.DataFrame:
    """Return all NLI rows of a testbed: premise, hypothesis, label (0 entailment, 1 neutral, 2 contradiction, -1 none).

    A text that is null is empty here, and a null label is -1. Raises AuditFailed for columns of another form.
    """
    return _load_rows(testbed.sources)[0]


def null_labels(testbed: Testbed) -> tuple[int, ...]:
    """Return which of `load_rows`' rows have null for a label: by their place, counted from 0."""
    return _load_rows(testbed.sources)[1]


@lru_cache(maxsize=2)
def _load_rows(sources: tuple[Ref, ...]) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Read the sources and mix them: whatever number of first rows is taken, each source has its share of them."""
    read = [_nli(ref) for ref in sources]
    place = np.concatenate([(np.arange(len(rows)) + 0.5) / len(rows) for rows in read])
    mixed = pd.concat(read, ignore_index=True).iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
    return mixed.drop(columns="null"), tuple(np.flatnonzero(mixed["null"]).tolist())


def _nli(ref: Ref) -> pd.DataFrame:
    """Return an NLI set's texts as strings, its labels as integers, and whether each label was null."""
    data, names = _load_split(ref)
    data = _columns(data, ("premise", "hypothesis", "label"), ref)
    labels = known(data["label"], ref.labels or names.get("label", ()), str(ref))
    texts = {name: _texts(data[name], ref).fillna("") for name in ("premise", "hypothesis")}
    return pd.DataFrame({**texts, "label": labels, "null": data["label"].isna()})


def _columns(data: pd.DataFrame, wanted: tuple[str, ...], ref: Ref) -> pd.DataFrame:
    lacks = [name for name in wanted if name not in data]
    if lacks:
        raise AuditFailed(
            f"{ref}: no column {', '.join(lacks)}; it has {', '.join(map(str, data))}. Name another set or config"
        )
    return data[list(wanted)]


def _texts(column: pd.Series[Any], ref: Ref) -> pd.Series[Any]:
    """Return a column of texts and nulls; raise AuditFailed, with an example, if it holds anything else."""
    other = next((value for value in column[column.notna()] if not isinstance(value, str)), None)
    if other is not None:
        raise AuditFailed(f"{ref}: column {column.name!r} holds {other!r} ({type(other).__name__}), not a text")
    return column


@lru_cache(maxsize=4)
def load_sts(ref: Ref) -> StsPairs:
    """Return an STS set with its scores brought to between 0 and 1; the audit judges whether they lie there."""
    data, _ = _load_split(ref)
    score = "score" if "score" in data else "label"
    data = _columns(data, ("sentence1", "sentence2", score), ref)
    low, high = ref.score_range
    try:
        gold = (data[score].astype(float) - low) / (high - low)
    except (ValueError, TypeError) as problem:
        raise AuditFailed(f"{ref}: column {score!r} holds a value that is not a number: {problem}") from problem
    return StsPairs(tuple(_texts(data["sentence1"], ref)), tuple(_texts(data["sentence2"], ref)), tuple(gold))


def embedded_pairs(task: str) -> StsPairs | None:
    """Return the pairs of an embedded task that is an STS set, None for another: without mteb, whose import is slow."""
    file = embedded.build() / "tasks" / task / "test.parquet"
    data = pd.read_parquet(file) if file.exists() else pd.DataFrame()
    if not {"sentence1", "sentence2", "score"} <= set(data):
        return None
    return StsPairs(tuple(data["sentence1"]), tuple(data["sentence2"]), tuple(data["score"].astype(float)))
