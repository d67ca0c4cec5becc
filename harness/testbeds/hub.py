"""Fetching and loading what a testbed names. Everything is a pinned snapshot in the hub's cache, read by its path.

`fetch` is the one step that may use the network; `load_*` only read what it left, so runs cannot depend on the hub's
mood, and a machine without a network works once the cache is filled.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from harness.errors import TestbedUnavailable
from harness.testbeds import Ref, Testbed

if TYPE_CHECKING:
    from pandas import DataFrame

PATIENCE = 5.0
"""Seconds to wait for the hub's first answer before working from the cache alone."""

WEIGHTS = ("*.json", "*.txt", "*.model", "model.safetensors")
"""What a base model is made of; other formats of the same weights (and pickles) stay where they are."""


@dataclass(frozen=True)
class StsPairs:
    """An STS set: pairs of sentences with gold similarities between 0 and 1."""

    sentence1: tuple[str, ...]
    sentence2: tuple[str, ...]
    gold: tuple[float, ...]


def fetch(
    testbed: Testbed, task_refs: dict[str, list[Ref]], tell: Callable[[str], None] = lambda line: None
) -> dict[str, str]:
    """Bring everything that a testbed names into the cache.

    Args:
        task_refs: for each test task the data sets it needs.
        tell: given a line for each thing as it is begun.

    Returns the tasks whose data cannot be had, with the reason. Raises TestbedUnavailable, naming what is missing and
    the ways out, if it is the model, the rows, the dev or the test set.
    """
    online = reachable()
    if not online:
        tell(f"{endpoint()} does not answer: working from the cache alone")
    for part, ref in (
        ("base model", testbed.model),
        ("training rows", testbed.rows),
        ("dev set", testbed.dev),
        ("test set", testbed.test),
    ):
        tell(f"{part}: {ref}")
        try:
            _snapshot(ref, is_model=part == "base model", online=online)
        except _CannotHave as problem:
            raise TestbedUnavailable(
                f"testbed {testbed.name!r}: cannot get the {part}, {ref}: {problem}. Where there is a network, run "
                "`harness fetch FILE` (and copy HF_HOME to machines without one); without any, use --testbed embedded."
            ) from problem
    missing = {}
    for task, refs in task_refs.items():
        tell(f"task: {task}")
        try:
            for ref in refs:
                _snapshot(ref, is_model=False, online=online)
        except _CannotHave as problem:
            missing[task] = f"{refs[0].repo}: {problem}"
    return missing


class _CannotHave(Exception):
    pass


def endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT or the public one."""
    return huggingface_hub.constants.ENDPOINT


def reachable() -> bool:
    """Tell whether the hub answers within PATIENCE seconds (never, where HF_HUB_OFFLINE is set)."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(endpoint(), timeout=PATIENCE)
        return True
    except Exception:  # whatever the client in use raises: no answer is no answer
        return False


def _snapshot(ref: Ref, *, is_model: bool, online: bool) -> Path:
    """Return the folder of a pinned snapshot, downloading what it lacks if `online`; raise _CannotHave if it cannot."""
    patterns = ref.patterns or (WEIGHTS if is_model else ())
    try:
        folder = huggingface_hub.snapshot_download(
            ref.repo,
            repo_type="model" if is_model else "dataset",
            revision=ref.revision,
            allow_patterns=list(patterns) or None,
            local_files_only=not online,
        )
    except RepositoryNotFoundError as problem:
        raise _CannotHave(f"{endpoint()} has no such repository") from problem
    except LocalEntryNotFoundError as problem:
        raise _CannotHave(
            "it is not in the cache" + ("" if online else f", and {endpoint()} cannot be asked")
        ) from problem
    except HfHubHTTPError as problem:
        raise _CannotHave(f"{endpoint()} answered: {str(problem).splitlines()[0]}") from problem
    except OSError as problem:
        raise _CannotHave(f"the download stopped: {problem}") from problem
    except Exception as problem:  # the HTTP library's own errors, which huggingface_hub does not wrap
        raise _CannotHave(f"the download stopped: {type(problem).__name__}: {problem}") from problem
    names = [str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()]
    for pattern in ref.patterns:
        if not fnmatch.filter(names, pattern):
            raise _CannotHave(f"its snapshot in the cache lacks {pattern}")
    if not names:
        raise _CannotHave("its snapshot in the cache is empty")
    return Path(folder)


def locate(ref: Ref, *, is_model: bool = False) -> Path:
    """Return the absolute path of a fetched snapshot; raise TestbedUnavailable if it is not in the cache."""
    try:
        return _snapshot(ref, is_model=is_model, online=False).resolve()
    except _CannotHave as problem:
        raise TestbedUnavailable(f"{ref}: {problem}; run `harness fetch FILE` where there is a network") from problem


def _load_split(ref: Ref) -> DataFrame:
    from datasets import load_dataset  # imports torch where it can; `fetch` must stay light

    try:
        data: Any = load_dataset(str(locate(ref)), ref.config, split=ref.split)
    except TestbedUnavailable:
        raise
    except Exception as problem:
        raise TestbedUnavailable(
            f"{ref}: its files in {locate(ref)} cannot be read ({str(problem)[:300]}); delete it and fetch again"
        ) from problem
    frame: DataFrame = data.to_pandas()
    return frame


@lru_cache(maxsize=2)
def load_rows(testbed: Testbed) -> DataFrame:
    """Return all NLI rows of a testbed: premise, hypothesis, label (0 entailment, 1 neutral, 2 contradiction)."""
    return _load_split(testbed.rows)[["premise", "hypothesis", "label"]]


@lru_cache(maxsize=4)
def load_sts(ref: Ref) -> StsPairs:
    """Return an STS set with its scores brought to between 0 and 1."""
    data = _load_split(ref)
    low, high = ref.score_range
    gold = (data["score" if "score" in data else "label"].astype(float) - low) / (high - low)
    return StsPairs(tuple(data["sentence1"]), tuple(data["sentence2"]), tuple(gold))
