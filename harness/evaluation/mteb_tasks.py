"""mteb tasks: their names, the pinned snapshots of their data, and task objects that read these."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import mteb
import numpy as np
from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.sts import AbsTaskSTS

from harness import embedded
from harness.errors import RunFailed, UsageError
from harness.reading import materials
from harness.testbeds import embedded_task, fetching
from harness.testbeds.refs import Ref


def task_refs(names: Sequence[str]) -> dict[str, list[Ref]]:
    """Return the data sets that each mteb task needs, pinned as in mteb.

    Raises:
        UsageError: mteb does not know a task or subset.
    """
    refs: dict[str, list[Ref]] = {}
    for name in names:
        mteb_task = _declared(name)
        if isinstance(mteb_task, str):
            refs[name] = [embedded_task(mteb_task)]
        else:
            dataset = mteb_task.metadata.dataset
            refs[name] = [Ref(dataset["path"], dataset.get("revision") or "main")]
    return refs


def subsets(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the figures of each named task that has several, or whose name selects a subset, with their languages.

    "STS17" has eleven: {"STS17:en-en": "eng-Latn", "STS17:en-de": "eng-Latn, deu-Latn", ...}; "STS17:en-en" is one.
    """
    figures = {}
    for name in names:
        mteb_task = _declared(name)
        if not isinstance(mteb_task, str) and (":" in name or len(mteb_task.hf_subsets) > 1):
            languages = mteb_task.metadata.hf_subsets_to_langscripts
            task_name = name.partition(":")[0]
            figures[name] = {f"{task_name}:{s}": ", ".join(languages.get(s, ())) for s in sorted(mteb_task.hf_subsets)}
    return figures


def _declared(name: str) -> mteb.AbsTask | str:
    """Return mteb's task with the subset that the name selects, or all subsets; for an embedded task, its name."""
    if name in embedded.TASK_NAMES:
        return name
    task_name, colon, subset = name.partition(":")
    if task_name in embedded.TASK_NAMES:
        raise UsageError(f"--tasks {name}: {task_name} has no subsets; write it without {colon + subset!r}")
    try:
        mteb_task = mteb.get_task(task_name)
    except KeyError as problem:
        raise UsageError(
            f"--tasks: mteb {mteb.__version__} has no task {task_name!r}; see https://mteb.info for names"
        ) from problem
    if not colon:
        return mteb_task
    if subset not in mteb_task.hf_subsets:
        raise UsageError(
            f"--tasks {name}: {task_name} has no subset {subset!r}; choose from "
            f"{', '.join(sorted(mteb_task.hf_subsets))}"
        )
    return mteb.get_task(task_name, hf_subsets=[subset])


def task_pairs(name: str) -> materials.StsPairs | None:
    """Return the pairs of an STS task, of all splits and all subsets that the name selects; None for other tasks."""
    sets = parts(name)
    if not sets:
        return None
    return materials.StsPairs(
        tuple(text for part in sets for text in part.sentence1),
        tuple(text for part in sets for text in part.sentence2),
        tuple(score for part in sets for score in part.gold),
    )


@lru_cache(maxsize=32)
def parts(name: str) -> list[materials.StsPairs]:
    """Return the pairs of each subset and split of an STS task; an empty list for tasks of other kinds."""
    mteb_task = task(name)
    if not isinstance(mteb_task, AbsTaskSTS):
        return []
    mteb_task.load_data()
    data: Any = mteb_task.dataset
    sets = []
    for subset in mteb_task.hf_subsets:
        for each in mteb_task.eval_splits:
            split = data.get(subset, data)[each]  # tasks of one language may have no level for subsets
            left, right = (tuple(split[column][:]) for column in mteb_task.column_names)
            sets.append(materials.StsPairs(left, right, tuple(float(score) for score in split["score"][:])))
    return sets


def task(name: str, subsets: Sequence[str] = (), split: str | None = None) -> mteb.AbsTask:
    """Make a new task that reads its pinned snapshot by path, because offline `load_dataset` does not find it by id.

    Args:
        name: name of the task, with or without a subset.
        subsets: further subsets; all subsets are read if neither the name nor this selects any.
        split: the split to score; the task's own if None.
    """
    if name in embedded.TASK_NAMES:
        if split is not None:
            raise RunFailed(f"task {name} has one split; leave out split={split!r}")
        return embedded.make_task(name, embedded.build())
    task_name, _, subset = name.partition(":")
    requested = [each for each in (subset, *subsets) if each]
    chosen = requested if requested and "" not in subsets else None
    mteb_task = mteb.get_task(task_name, hf_subsets=chosen, eval_splits=None if split is None else [split])
    folder = fetching.locate(task_refs([name])[name][0])
    dataset = {**mteb_task.metadata.dataset, "path": str(folder)}
    mteb_task.metadata = mteb_task.metadata.model_copy(update={"dataset": dataset})
    return mteb_task


class _LabelsReadOnce:
    """A split that returns columns as lists; from a lazy column, mteb and sklearn would read one row after another."""

    def __init__(self, split: Any) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.split[column][:])

    def select(self, rows: Sequence[int]) -> Any:
        return self.split.select(rows)


def reading_labels_once(mteb_task: mteb.AbsTask) -> mteb.AbsTask:
    """Let a classification task sample its rows and score its predictions from labels in memory; return the task."""
    if isinstance(mteb_task, AbsTaskClassification):
        undersample, score = mteb_task._undersample_data, mteb_task._calculate_scores
        mteb_task._undersample_data = lambda split, *arguments: undersample(_LabelsReadOnce(split), *arguments)  # type: ignore
        mteb_task._calculate_scores = lambda truth, predicted: score(np.asarray(truth[:]), predicted)  # type: ignore
    return mteb_task
