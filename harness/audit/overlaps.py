"""Overlap of dev, test, further measures and tasks with the training rows, and with the dev set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import pandas as pd

from harness.data.findings import Overlap
from harness.data.overlap import DEV_SET, ROWS, overlap
from harness.embedded import TASK_NAMES
from harness.errors import TestbedUnavailable
from harness.reading import materials
from harness.reading.items import labelled, texts_of
from harness.spec.views import View
from harness.testbeds import Testbed
from harness.testbeds.measure_kinds import Classification, Measure, Retrieval
from harness.texts.near import near_duplicates
from harness.texts.normal import PairKey, normalise, pair_keys

A_LABEL = "a label"
"""What a text that has a label is paired with. Labels are not compared: those of rows are numbered by the view."""


@dataclass(frozen=True)
class Held:
    """What an evaluation set holds, normalised."""

    pairs: tuple[PairKey, ...]
    """Its pairs of texts that belong together: of a retrieval set each query with each relevant document, of labelled
    texts each one with `A_LABEL`."""
    sentences: frozenset[str]
    """Its texts; of a retrieval set only its queries, because a corpus may well hold what was trained on."""
    labels: tuple[PairKey, ...] = ()
    """Labelled texts as pairs with the names of their labels, in the order of `pairs`."""

    @classmethod
    def of_pairs(cls, pairs: Sequence[PairKey]) -> Held:
        return cls(tuple(pairs), frozenset(text for pair in pairs for text in pair))

    @classmethod
    def of_labelled(cls, texts: Sequence[str], labels: Sequence[object]) -> Held:
        """Return what a set of labelled texts holds."""
        keys = [*map(normalise, texts)]
        return cls(tuple((key, A_LABEL) for key in keys), frozenset(keys), tuple(pair_keys(texts, map(str, labels))))

    def trained_pairs(self, trained: Set[PairKey]) -> Sequence[PairKey]:
        """Return the pairs, in which a text that was trained in a pair with its label's name is that pair."""
        if not self.labels:
            return self.pairs
        return [named if named in trained else pair for pair, named in zip(self.pairs, self.labels, strict=True)]


def of_measure(measure: Measure) -> dict[str, Held]:
    """Return what a measure is scored with, by the name of each part; nothing for one whose texts are not known."""
    if isinstance(measure, Classification):
        (labelled_texts,), labels = labelled(measure.test, (measure.text,), measure.label, f"measure {measure.name!r}")
        return {measure.name: Held.of_labelled(labelled_texts, labels)}
    texts = texts_of(measure)
    keys = tuple(pair_keys(*zip(*texts.pairs, strict=True))) if texts.pairs else ()
    if isinstance(measure, Retrieval):
        answers = frozenset(normalise(answer) for _, answer in texts.pairs)
        queries = frozenset(map(normalise, texts.queries))
        return {measure.name: Held(keys, queries), f"{measure.name} (relevant documents)": Held((), answers)}
    return {measure.name: Held.of_pairs(keys)} if keys else {}


def of_tasks(
    names: Sequence[str], missing: Collection[str], tell: Callable[[str], None]
) -> tuple[dict[str, Held], list[tuple[str, str]]]:
    """Return the pairs of each mteb task that is an STS task, and why each other task is left out."""
    by_task, left_out = {}, [(task, "its data are not available") for task in names if task in missing]
    for task in (task for task in names if task not in missing):
        tell(f"task {task}")
        try:
            pairs = _task_pairs(task)
        except TestbedUnavailable:
            raise
        except Exception as problem:  # a task's data or code can fail in any way; its evaluation will report it
            left_out.append((task, f"reading it raised {type(problem).__name__}"))
            continue
        if pairs is None:
            left_out.append((task, "it is not an STS task"))
        else:
            by_task[f"mteb/{task}"] = Held.of_pairs(pair_keys(pairs.sentence1, pairs.sentence2))
    return by_task, left_out


def _task_pairs(task: str) -> materials.StsPairs | None:
    if task in TASK_NAMES:
        return materials.embedded_pairs(task)
    from harness.evaluation import scoring  # mteb: seconds that the embedded testbed's users need not wait

    return scoring.task_pairs(task)


def between(
    bed: Testbed,
    built: Sequence[tuple[View, pd.DataFrame]],
    sets: Mapping[str, Held],
    tasks: Mapping[str, Held],
    tell: Callable[[str], None],
) -> Iterator[Overlap]:
    """Yield the overlap of every evaluation set with the training rows, and of all but the dev set with the dev set.

    Args:
        bed: the testbed.
        built: each view with its rows.
        sets: what the testbed's measures hold.
        tasks: what mteb tasks hold.
        tell: receives a line at the start of each part.
    """
    tell("overlap with dev set, test set and tasks")
    trained: set[PairKey] = set()
    in_rows: set[str] = set()
    for view, rows in built:
        first, *others = view.columns[: view.texts]
        in_rows.update(map(normalise, rows[first]))
        if not others and view.has_plain_label:
            trained.update((text, A_LABEL) for text in map(normalise, rows[first]))
        for other in others:
            trained.update(pair_keys(rows[first].tolist(), rows[other].tolist()))
    in_rows |= {sentence for key in trained for sentence in key} - {A_LABEL}
    new = {sentence for held in sets.values() for sentence in held.sentences} - in_rows
    tell("near-duplicates")
    near = near_duplicates(new, in_rows)
    for name, held in {**sets, **tasks}.items():
        shared = overlap(name, held.trained_pairs(trained), held.sentences, ROWS, trained, in_rows)
        near_ones = len(held.sentences & near) if name in sets else None
        yield replace(shared, near=near_ones, labelled=bool(held.labels))
    if bed.dev.name not in sets:
        return
    dev = sets[bed.dev.name]
    pairs = set(dev.pairs)
    for name, held in {**sets, **tasks}.items():
        if not (name == bed.dev.name or name.startswith(f"{bed.dev.name} (")):
            shared = overlap(name, held.pairs, held.sentences, DEV_SET, pairs, dev.sentences)
            yield replace(shared, labelled=bool(held.labels))
