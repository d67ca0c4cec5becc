"""Train one model with the sentence-transformers trainer, and detect silent failures of training."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from torch import Tensor, nn
from transformers import PrinterCallback

from harness.compat import losses, warm_up
from harness.errors import Diverged, FrozenLoss, FrozenModel, RunFailed
from harness.model.dropout import quick_dropout
from harness.model.fast import FastSentenceTransformer, Way
from harness.spec.parts import Mixing
from harness.spec.settings import Sampler, Settings
from harness.spec.space import Point
from harness.training.feeding import as_argument
from harness.training.lessons import lessons_of
from harness.training.trainer import REMEDY, Trainer, Watch

LOGS = 50
"""Number of times that a training logs its loss; NaN is detected at the next log."""

CROSS_ATTENTION = re.compile(r"(crossattention|encoder_attn)\..*(query|key|q_proj|k_proj)\b")
"""Names of the parameters by which a decoder chooses among several vectors of an encoder."""

DEFAULTS = Settings()


@dataclass(frozen=True)
class Schedule:
    """How long to train, and when to score the dev set."""

    epochs: float
    """Number of epochs."""
    examples: int | None = None
    """Number of training examples, if it is given instead of epochs."""
    looks: Sequence[float] = ()
    """Shares of the training, from 0 to 1, after which the dev set is scored."""

    def steps(self, rows: int, batch_size: int, accumulation: int = 1, batches: int | None = None) -> int:
        """Return the number of optimizer steps, at least 1 for epochs.

        Args:
            rows: number of rows.
            batch_size: rows of a batch.
            accumulation: batches of a step; an epoch's last step may have fewer.
            batches: batches of an epoch, if a sampler makes another number of them than there are without it.
        """
        steps_an_epoch = math.ceil((batches or math.ceil(rows / batch_size)) / accumulation)
        if self.examples is None:
            return max(1, math.ceil(self.epochs * steps_an_epoch))
        epochs, rest = divmod(self.examples, rows)  # each epoch's last batch is smaller
        return epochs * steps_an_epoch + math.ceil(rest / (batch_size * accumulation))


@dataclass(frozen=True)
class Training:
    """The cost of a training."""

    steps: int
    """Optimizer steps."""
    examples_seen: int
    """Training examples, over all epochs."""
    seconds: float
    """Wall time in seconds, without scoring the dev set."""
    passes: Mapping[str, int]
    """Number of the model's forward passes, by path; empty for a model without fast paths."""


def train(
    model: SentenceTransformer,
    loss: nn.Module | Mapping[str, nn.Module],
    rows: Dataset | Mapping[str, Dataset],
    point: Point,
    schedule: Schedule,
    *,
    seed: int,
    precision: str,
    folder: Path,
    way: Way = "plain",
    settings: Settings = DEFAULTS,
    sampler: Sampler | None = None,
    prompts: Mapping[str, Any] = MappingProxyType({}),
    mixing: Mixing = "proportional",
    report_to: Sequence[str] = (),
    run_name: str = "",
    on_step: Callable[[float], None] = lambda share: None,
    on_look: Callable[[float], bool] = lambda share: False,
) -> Training:
    """Train a model in place.

    Args:
        model: the model.
        loss: the loss of this model; several of them, by name, if it trains on several data sets at once.
        rows: training rows, with the columns in the loss's order; by the same names if there are several losses.
        point: batch size and learning rate.
        schedule: length of the training, and when the dev set is scored.
        seed: seed of shuffling and dropout. The caller must also seed before building model and loss.
        precision: "bf16", "fp16" or "fp32", as `precision.precision_here` returns it.
        folder: where the trainer and `report_to` may write.
        way: forward path of a FastSentenceTransformer, as `certificate.certify` chose it; ignored for other models.
        settings: warm-up, scheduler and the like; its `max_seq_length` stays in the model, and its `epochs` replaces
            the schedule's epochs and examples.
        sampler: how batches are drawn; at random if None.
        prompts: text that is put before all texts of a column, by column; of several data sets by
            name and column. `certify` has to be given the same.
        mixing: how the batches of several data sets follow each other.
        report_to: integrations of the trainer: "tensorboard", "wandb", "mlflow".
        run_name: name of the run in these.
        on_step: called after each step with the share of the steps that are done, from 0 to 1.
        on_look: called with that share at each of the schedule's looks; training stops when it returns True.

    Returns:
        The cost of the training.

    Raises:
        Diverged: the loss became NaN or infinite.
        FrozenLoss: a trainable parameter that belongs to the loss did not change.
        FrozenModel: no parameter of the model changed.
        RunFailed: the rows do not suit the sampler or the prompts, or one of several data sets had no batch.
    """
    if settings.epochs is not None:
        schedule = replace(schedule, epochs=settings.epochs, examples=None)
    if settings.max_seq_length is not None:
        model.max_seq_length = settings.max_seq_length
    lessons = lessons_of(loss, rows, prompts, mixing)
    lessons.check_prompts(model, way)
    batches = lessons.batches(point.batch_size, sampler, schedule.examples)
    steps = schedule.steps(lessons.rows, point.batch_size, settings.accumulation, batches)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        run_name=run_name or None,
        max_steps=steps,
        per_device_train_batch_size=point.batch_size,
        learning_rate=point.lr,
        # with a single step, the warm-up would train at a learning rate of 0
        **warm_up(settings.warmup if steps > 1 else 0),
        lr_scheduler_type=settings.scheduler,
        weight_decay=settings.weight_decay,
        gradient_accumulation_steps=settings.accumulation,
        max_grad_norm=settings.max_grad_norm,
        batch_sampler=as_argument(sampler),
        **lessons.of_arguments(),
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=max(1, steps // LOGS),
        logging_nan_inf_filter=False,  # the default logs 0.0 for NaN, and the run "succeeds"
        report_to=list(report_to) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        # by default the copy of each tensor waits until the GPU has finished all earlier work
        accelerator_config={"non_blocking": torch.cuda.is_available()},
    )
    watch = Watch(lessons.losses, schedule.looks, on_step, on_look)
    before = {name: _values(_owned_parameters(model, each.loss)) for name, each in lessons.by_name.items()}
    untrained = _sums(model)
    trainer = Trainer(model=model, args=arguments, callbacks=[watch], **lessons.of_trainer())
    trainer.remove_callback(PrinterCallback)
    began = time.perf_counter()
    with _cached_parameters(model), _forward_path(model, way) as ran, quick_dropout():
        result = trainer.train()
    seconds = time.perf_counter() - began - watch.seconds_looking
    # accelerate leaves its autocast around the model's forward, and evaluation must not run in bf16
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if not math.isfinite(result.training_loss):
        raise Diverged(f"{lessons.losses}: the mean loss of {steps} steps is {result.training_loss}; {REMEDY}")
    if not watch.stopped:
        lessons.require_all(trainer.last_step, steps)
    for name in lessons.changed(trainer.last_step):
        _require_change(model, lessons.by_name[name].loss, before[name], steps)
    if torch.equal(_sums(model), untrained):
        one_row = min(lessons.rows, point.batch_size) == 1
        fix = (
            "each batch has one row, so there are no in-batch negatives; give more rows or a larger batch"
            if one_row
            else "let the loss compute its value from the embeddings that it receives, with their gradients"
        )
        raise FrozenModel(
            f"{lessons.losses}: no parameter of the model changed in {steps} steps, so its scores would be those "
            f"of the untrained model; {fix}"
        )
    done = int(trainer.state.global_step)
    if done < steps and not watch.stopped:
        raise RunFailed(
            f"the training ended after {done} of {steps} steps, because the sampler {sampler!r} made fewer batches "
            "than it announced; use smaller batches"
        )
    return Training(done, trainer.rows_seen, seconds, dict(ran))


@contextmanager
def _cached_parameters(model: nn.Module) -> Iterator[None]:
    """Cache the list of parameters, which do not change during training.

    The trainer walks through all modules three times a step, which takes a noticeable share of a small model's step.
    At the end, release what a fast model holds for training.
    """
    parameters, train = list(model.parameters()), model.train
    model.train()  # a loaded model has `training` set, although its modules are in eval mode
    model.parameters = lambda recurse=True: iter(parameters if recurse else model._parameters.values())  # type: ignore
    model.train = lambda mode=True: model if model.training == mode else train(mode)  # type: ignore
    try:
        yield
    finally:
        del model.parameters, model.train
        if isinstance(model, FastSentenceTransformer):
            model.end_training()


@contextmanager
def _forward_path(model: SentenceTransformer, way: Way) -> Iterator[Mapping[Any, int]]:
    """Let a fast model train by one path, and yield its counter of passes by path; other models are not changed."""
    if not isinstance(model, FastSentenceTransformer):
        yield {}
        return
    before, model.way, model.ran = model.way, way, Counter()
    try:
        yield model.ran
    finally:
        model.way = before


def _require_change(model: SentenceTransformer, loss: nn.Module, before: Mapping[str, Tensor], steps: int) -> None:
    """Raise FrozenLoss if a parameter of a loss has the value from before the training."""
    owned = _owned_parameters(model, loss)
    frozen = [name for name, parameter in owned.items() if torch.equal(parameter.detach(), before[name])]
    if frozen:
        raise FrozenLoss(
            f"{type(loss).__name__}: its parameters {', '.join(frozen)} did not change in {steps} steps, so the "
            "optimizer does not update them; make them parameters of the loss module, and use them in its forward"
        )


def _values(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _sums(model: nn.Module) -> Tensor:
    """Return each parameter's sum, shape (parameters,), to detect changes without a second copy of the model."""
    return torch.stack([parameter.detach().sum(dtype=torch.float64) for parameter in model.parameters()])


def _owned_parameters(model: SentenceTransformer, loss: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of a loss that belong neither to the model nor to a guide model.

    TSDAE's decoder attends to a single vector, the embedding, so its weight is 1 whatever query and key are.
    """
    guides = [part for part in loss.modules() if isinstance(part, SentenceTransformer)]
    attends_to_one = any(isinstance(part, losses.DenoisingAutoEncoderLoss) for part in loss.modules())
    others = {id(parameter) for part in (model, *guides) for parameter in part.parameters()}
    return {
        name: parameter
        for name, parameter in loss.named_parameters()
        if parameter.requires_grad
        and id(parameter) not in others
        and not (attends_to_one and CROSS_ATTENTION.search(name))
    }
