"""Lessons: the data sets of one training, each with its loss, and the number of batches that they make."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentence_transformers import SentenceTransformer
from torch import nn

from harness.errors import RunFailed
from harness.model.fast import Way
from harness.spec.parts import Mixing
from harness.spec.settings import Sampler
from harness.training.feeding import batches_an_epoch, check_prompts

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Lesson:
    """A data set and its loss."""

    loss: nn.Module
    """The loss."""
    rows: Dataset
    """The rows, with the columns in the loss's order."""
    prompts: Mapping[str, str]
    """Text before the texts of a column, by column."""


@dataclass(frozen=True)
class Lessons:
    """What one training learns: one data set, or several of which each batch is taken from one."""

    by_name: Mapping[str, Lesson]
    """The data sets by the names of a study's parts; a single one's name is empty."""
    mixing: Mixing | None
    """How the batches of several follow each other; None for a single data set."""

    @property
    def rows(self) -> int:
        """The number of rows of all data sets."""
        return sum(len(lesson.rows) for lesson in self.by_name.values())

    @property
    def losses(self) -> str:
        """The losses' names, for messages."""
        return " + ".join(type(lesson.loss).__name__ for lesson in self.by_name.values())

    def check_prompts(self, model: SentenceTransformer, way: Way) -> None:
        """Raise RunFailed for a prompt of no text column, or one for which the model needs the plain path."""
        for lesson in self.by_name.values():
            check_prompts(model, lesson.rows, lesson.prompts, way)

    def batches(self, batch_size: int, sampler: Sampler | None, examples: int | None) -> int | None:
        """Return the number of batches of an epoch; None if it is the usual one of a single data set.

        Args:
            batch_size: rows of a batch.
            sampler: how the batches of a data set are drawn.
            examples: the budget of examples, if there is one instead of epochs.

        Raises:
            RunFailed: the sampler does not suit the rows, or the budget cannot be kept.
        """
        each = [batches_an_epoch(lesson.rows, batch_size, sampler, examples) for lesson in self.by_name.values()]
        if self.mixing is None:
            return each[0]
        if examples is not None:
            raise RunFailed(
                f"{examples:,} examples cannot be divided among several data sets, whose batches differ in size; give "
                "the budget in epochs"
            )
        lessons = self.by_name.values()
        counts = [n or math.ceil(len(lesson.rows) / batch_size) for n, lesson in zip(each, lessons, strict=True)]
        return sum(counts) if self.mixing == "proportional" else min(counts) * len(counts)

    def of_trainer(self) -> dict[str, Any]:
        """Return the trainer's arguments `train_dataset` and `loss`.

        Several data sets have the keys of `key`, and are copies, because the trainer changes their format.
        """
        if self.mixing is None:
            (only,) = self.by_name.values()
            return {"train_dataset": only.rows, "loss": only.loss}
        numbered = {key(number): lesson for number, lesson in enumerate(self.by_name.values())}
        return {
            "train_dataset": {name: copy.copy(lesson.rows) for name, lesson in numbered.items()},
            "loss": {name: lesson.loss for name, lesson in numbered.items()},
        }

    def of_arguments(self) -> dict[str, Any]:
        """Return the training arguments `prompts` and, for several data sets, `multi_dataset_batch_sampler`."""
        prompts = [dict(lesson.prompts) for lesson in self.by_name.values()]
        if self.mixing is None:
            return {"prompts": prompts[0] or None}
        by_key = {key(number): each for number, each in enumerate(prompts)}
        return {"prompts": by_key if any(prompts) else None, "multi_dataset_batch_sampler": self.mixing}

    def require_all(self, last_step: Mapping[str | None, int], steps: int) -> None:
        """Raise RunFailed if a data set had no batch in a training that ran to its end.

        Args:
            last_step: the step of the last batch by the trainer's name of a data set.
            steps: number of steps, for the message.
        """
        unseen = [name for number, name in enumerate(self.by_name) if key(number) not in last_step]
        if self.mixing is not None and unseen:
            raise RunFailed(
                f"part {unseen[0]!r} had no batch in {steps} steps, so the model was not trained on it; train for more "
                'epochs, or with mixing="round_robin"'
            )

    def changed(self, last_step: Mapping[str | None, int]) -> list[str]:
        """Return the names of the data sets whose losses' own parameters must have changed.

        Of several, one without a batch after the first step is left out: warm-up makes that step's learning rate 0.

        Args:
            last_step: the step of the last batch by the trainer's name of a data set.
        """
        if self.mixing is None:
            return list(self.by_name)
        return [name for number, name in enumerate(self.by_name) if last_step.get(key(number), 0) > 0]


def key(number: int) -> str:
    """Return the trainer's name of a data set.

    It is not the part's, because the trainer makes modules' names of it: "train" would be refused, and "bias" would
    turn weight decay off for all parameters.
    """
    return f"part{number}"


def lessons_of(
    loss: nn.Module | Mapping[str, nn.Module],
    rows: Dataset | Mapping[str, Dataset],
    prompts: Mapping[str, Any],
    mixing: Mixing,
) -> Lessons:
    """Return the lessons of a training from the arguments of `train`."""
    if isinstance(loss, nn.Module):
        return Lessons({"": Lesson(loss, rows, prompts)}, None)
    if not isinstance(rows, Mapping) or list(loss) != list(rows):
        raise RunFailed(f"losses are given for {', '.join(loss)}; give rows for the same names in the same order")
    return Lessons({name: Lesson(loss[name], rows[name], prompts.get(name, {})) for name in loss}, mixing)
