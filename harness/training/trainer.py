"""The sentence-transformers trainer with the harness's batches and callback."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState

from harness.compat import Router, SentenceTransformerDataCollator, column_merging_disabled
from harness.errors import Diverged, RunFailed
from harness.model.fast import FastSentenceTransformer
from harness.model.packing import padded_on_the_right
from harness.model.prompts import prepended, prompts_are_text
from harness.training.feeding import LABEL_COLUMNS

LENGTHS = "lengths"
"""Feature name under which the collator passes a column's lengths in tokens, so that nothing has to wait for a GPU."""

ROWS = "rows"
"""Key under which the collator passes the number of rows, which not every kind of features shows."""

REMEDY = 'lower the learning rate, warm up for longer, or train with precision="fp32"'
"""What to try where a loss diverges."""

if find_spec("lomo_optim") is None:
    sys.modules["lomo_optim"] = None  # type: ignore  # otherwise accelerate searches the disk for it twice a step


class Collator(SentenceTransformerDataCollator):
    """The collator, which also passes the number of rows.

    For columns that are padded on the right it passes the sentences' lengths in tokens, too.
    """

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().__call__(features)
        masks = {name: value for name, value in batch.items() if name.endswith("_attention_mask") and value.ndim == 2}
        for name, mask in masks.items():
            if padded_on_the_right(mask):
                # an array, because the trainer moves tensors to the GPU and walks through lists element by element
                batch[name.removesuffix("attention_mask") + LENGTHS] = mask.sum(dim=1).numpy()
        batch[ROWS] = len(features)
        return batch


def collator_of(model: SentenceTransformer, args: SentenceTransformerTrainingArguments) -> Collator:
    """Return the collator; it puts a prompt before the texts if that is all that the model does with it.

    Raises:
        RunFailed: the model has a module for queries and another one for documents.
    """
    if any(isinstance(module, Router) for module in model.children()):
        raise RunFailed(
            "the base model has a Router, whose modules for queries and documents training would have to choose "
            "between; use a base model without one"
        )
    preprocess = model.preprocess
    if args.prompts and prompts_are_text(model):
        preprocess = prepended(preprocess)
    return Collator(preprocess, valid_label_columns=list(LABEL_COLUMNS), prompts=args.prompts)


class Trainer(SentenceTransformerTrainer):
    """The trainer without its model card, which queries the hub; it announces each batch to a fast model."""

    rows_seen = 0
    """Rows on which the model was trained, over all epochs."""

    def __init__(self, model: SentenceTransformer, args: SentenceTransformerTrainingArguments, **options: Any) -> None:
        self.last_step: dict[str | None, int] = {}
        """The step, from 0, of the last batch of each data set by its name; None if there is only one."""
        super().__init__(model, args, data_collator=collator_of(model, args), **options)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Do nothing: the callback would query the hub."""

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Tensor]], Tensor | None]:
        """Return the columns and labels of a batch, and announce the columns to a fast model."""
        features, labels = super().collect_features(inputs)
        lengths: list[Any] = [column.pop(LENGTHS, None) for column in features]
        if isinstance(self.model, FastSentenceTransformer):
            self.model.announce_batch(features, None if any(part is None for part in lengths) else lengths)
        return features, labels

    def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        self.rows_seen += inputs.pop(ROWS)
        self.last_step[inputs.get("dataset_name")] = int(self.state.global_step)
        # the fast model merges all columns itself and needs each of them; the library merges only some
        merges = isinstance(self.model, FastSentenceTransformer) and self.model.way != "plain"
        with column_merging_disabled() if merges else nullcontext():
            return super().compute_loss(model, inputs, *arguments, **options)


class Watch(TrainerCallback):
    """Checks the logged loss, reports progress, and has the dev set scored at the schedule's looks."""

    def __init__(
        self, losses: str, looks: Sequence[float], on_step: Callable[[float], None], on_look: Callable[[float], bool]
    ) -> None:
        """Store the schedule and the callbacks.

        Args:
            losses: names of the losses, for messages.
            looks: shares of the training, from 0 to 1, after which the dev set is scored.
            on_step: called after each step with the share of the steps that are done.
            on_look: called with that share at each look; training stops when it returns True.
        """
        self.losses = losses
        self.looks = sorted(looks)
        self.on_step = on_step
        self.on_look = on_look
        self.seconds_looking = 0.0
        self.stopped = False

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(float(loss)):
            step = f"by step {state.global_step} of {state.max_steps}"
            raise Diverged(f"{self.losses}: the training loss became {loss} {step}; {REMEDY}")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        share = state.global_step / state.max_steps
        self.on_step(share)
        if self.looks and self.looks[0] <= share < 1:
            self.looks = [look for look in self.looks if look > share]
            began = time.perf_counter()
            self.stopped = self.on_look(share)
            control.should_training_stop |= self.stopped
            self.seconds_looking += time.perf_counter() - began
