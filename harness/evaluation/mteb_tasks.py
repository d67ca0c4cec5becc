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
from harness.errors import UsageError
from harness.testbeds import Ref, embedded_task, materials


def task_refs(names: Sequence[str]) -> dict[str, list[Ref]]:
    """Return the data sets that each mteb task needs, pinned as mteb pins them.

    Raises UsageError for a task or subset that mteb does not know.
    """
    refs: dict[str, list[Ref]] = {}
    for name in names:
        made = _declared(name)
        if isinstance(made, str):
            refs[name] = [embedded_task(made)]
        else:
            dataset = made.metadata.dataset
            refs[name] = [Ref(dataset["path"], dataset.get("revision") or "main")]
    return refs


def subsets(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return, of each named task that is not one figure under its own name, its figures with their languages.

    "STS17" is eleven: {"STS17:en-en": "eng-Latn", "STS17:en-de": "eng-Latn, deu-Latn", ...}; "STS17:en-en" is one.
    """
    found = {}
    for name in names:
        made = _declared(name)
        if not isinstance(made, str) and (":" in name or len(made.hf_subsets) > 1):
            written = made.metadata.hf_subsets_to_langscripts
            task_name = name.partition(":")[0]
            found[name] = {f"{task_name}:{s}": ", ".join(written.get(s, ())) for s in sorted(made.hf_subsets)}
    return found


def _declared(name: str) -> mteb.AbsTask | str:
    """Return a task of mteb with the one subset that its name gives, or all; an embedded task's name as it is."""
    if name in embedded.TASK_NAMES:
        return name
    task_name, colon, subset = name.partition(":")
    if task_name in embedded.TASK_NAMES:
        raise UsageError(f"--tasks: {task_name} has no subsets; write it without {colon + subset!r}")
    try:
        made = mteb.get_task(task_name)
    except KeyError as problem:
        raise UsageError(
            f"--tasks: mteb {mteb.__version__} knows no task {task_name!r}; see https://mteb.info for names"
        ) from problem
    if not colon:
        return made
    if subset not in made.hf_subsets:
        raise UsageError(f"--tasks {name}: {task_name} has the subsets {', '.join(sorted(made.hf_subsets))}")
    return mteb.get_task(task_name, hf_subsets=[subset])


def task_pairs(name: str) -> materials.StsPairs | None:
    """Return the pairs of an STS task, of all its subsets that are named and of all splits; None for other kinds."""
    known = parts(name)
    if not known:
        return None
    return materials.StsPairs(
        tuple(text for part in known for text in part.sentence1),
        tuple(text for part in known for text in part.sentence2),
        tuple(score for part in known for score in part.gold),
    )


@lru_cache(maxsize=32)
def parts(name: str) -> list[materials.StsPairs]:
    """Return the pairs of each subset and split of an STS task; none for tasks of other kinds."""
    made = task(name)
    if not isinstance(made, AbsTaskSTS):
        return []
    made.load_data()
    data: Any = made.dataset
    found = []
    for subset in made.hf_subsets:
        for each in made.eval_splits:
            split = data.get(subset, data)[each]  # tasks of one language may do without a level
            left, right = (tuple(split[column][:]) for column in made.column_names)
            found.append(materials.StsPairs(left, right, tuple(float(score) for score in split["score"][:])))
    return found


def task(name: str, subsets: Sequence[str] = ()) -> mteb.AbsTask:
    """Make a new task that reads its pinned snapshot by path: offline, `load_dataset` does not find it by id.

    Only the named subsets are read: that of the name itself, and those given.
    """
    if name in embedded.TASK_NAMES:
        return embedded.make_task(name, embedded.build())
    task_name, _, subset = name.partition(":")
    wanted = [each for each in (subset, *subsets) if each]
    made = mteb.get_task(task_name, hf_subsets=wanted if wanted and "" not in subsets else None)
    folder = materials.locate(task_refs([name])[name][0])
    made.metadata = made.metadata.model_copy(update={"dataset": {**made.metadata.dataset, "path": str(folder)}})
    return made


class _LabelsReadOnce:
    """A split of a data set that hands out a column as a list: of a lazy one, mteb and sklearn read row after row."""

    def __init__(self, split: Any) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.split[column][:])

    def select(self, rows: Sequence[int]) -> Any:
        return self.split.select(rows)


def reading_labels_once(made: mteb.AbsTask) -> mteb.AbsTask:
    """Make a classification task draw its samples and score its predictions from labels in memory; nothing else."""
    if isinstance(made, AbsTaskClassification):
        draw, judge = made._undersample_data, made._calculate_scores
        made._undersample_data = lambda split, *arguments: draw(_LabelsReadOnce(split), *arguments)  # type: ignore
        made._calculate_scores = lambda truth, predicted: judge(np.asarray(truth[:]), predicted)  # type: ignore
    return made
