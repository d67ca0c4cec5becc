"""Train one model with the sentence-transformers trainer, and detect silent failures of training."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState

from harness.errors import Diverged, FrozenLoss, FrozenModel
from harness.model.dropout import quick_dropout
from harness.model.fast import FastSentenceTransformer, Way
from harness.model.packing import padded_on_the_right
from harness.spec.space import Point
from harness.training.optimizer import ClippedAdamW

WARM_UP = 0.1
"""Share of the steps over which the learning rate rises; it then falls linearly to zero."""

LENGTHS = "lengths"
"""Feature name under which the collator passes a column's lengths in tokens, so that nothing has to wait for a GPU."""

LOGS = 50
"""Number of times that a training logs its loss; NaN is detected at the next log."""


if find_spec("lomo_optim") is None:
    sys.modules["lomo_optim"] = None  # type: ignore  # otherwise accelerate searches the disk for it twice a step


@dataclass(frozen=True)
class Schedule:
    """How long to train, and when to score the dev set."""

    epochs: float
    """Number of epochs."""
    examples: int | None = None
    """Number of training examples, if it is given instead of epochs."""
    looks: Sequence[float] = ()
    """Shares of the training, from 0 to 1, after which the dev set is scored."""

    def steps(self, rows: int, batch_size: int) -> int:
        """Return the number of optimizer steps, at least 1 for epochs."""
        steps_an_epoch = math.ceil(rows / batch_size)
        if self.examples is None:
            return max(1, math.ceil(self.epochs * steps_an_epoch))
        epochs, rest = divmod(self.examples, rows)  # each epoch's last batch is smaller
        return epochs * steps_an_epoch + math.ceil(rest / batch_size)


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
    loss: nn.Module,
    rows: Dataset,
    point: Point,
    schedule: Schedule,
    *,
    seed: int,
    precision: str,
    folder: Path,
    way: Way = "plain",
    report_to: Sequence[str] = (),
    run_name: str = "",
    on_step: Callable[[float], None] = lambda share: None,
    on_look: Callable[[float], bool] = lambda share: False,
) -> Training:
    """Train a model in place.

    Args:
        model: the model.
        loss: the loss of this model.
        rows: training rows, with the columns in the loss's order.
        point: batch size and learning rate.
        schedule: length of the training, and when the dev set is scored.
        seed: seed of shuffling and dropout. The caller must also seed before building model and loss.
        precision: "bf16", "fp16" or "fp32", as `precision.precision_here` returns it.
        folder: where the trainer and `report_to` may write.
        way: forward path of a FastSentenceTransformer, as `certificate.certify` chose it; ignored for other models.
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
    """
    steps = schedule.steps(len(rows), point.batch_size)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        run_name=run_name or None,
        max_steps=steps,
        per_device_train_batch_size=point.batch_size,
        learning_rate=point.lr,
        warmup_steps=WARM_UP if steps > 1 else 0,  # with a single step, the warm-up would train at a learning rate of 0
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
    watch = _Watch(schedule.looks, on_step, on_look)
    owned = _owned_parameters(model, loss)
    before = {name: parameter.detach().clone() for name, parameter in owned.items()}
    untrained = _sums(model)
    trainer = _Trainer(model=model, args=arguments, train_dataset=rows, loss=loss, callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    began = time.perf_counter()
    with _cached_parameters(model), _forward_path(model, way) as ran, quick_dropout():
        result = trainer.train()
    seconds = time.perf_counter() - began - watch.seconds_looking
    # accelerate leaves its autocast around the model's forward, and evaluation must not run in bf16
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if not math.isfinite(result.training_loss):
        raise Diverged(f"training diverged: the mean training loss is {result.training_loss}; lower the learning rate")
    frozen = [name for name, parameter in owned.items() if torch.equal(parameter.detach(), before[name])]
    if frozen:
        raise FrozenLoss(
            f"{type(loss).__name__}: its parameters {', '.join(frozen)} did not change in {steps} steps, so the "
            "optimizer does not update them; make them parameters of the loss module, and use them in its forward"
        )
    if torch.equal(_sums(model), untrained):
        one_row = min(len(rows), point.batch_size) == 1
        fix = (
            "each batch has one row, so there are no in-batch negatives; give more rows or a larger batch"
            if one_row
            else "let the loss compute its value from the embeddings that it receives, with their gradients"
        )
        raise FrozenModel(
            f"{type(loss).__name__}: no parameter of the model changed in {steps} steps, so its scores would be those "
            f"of the untrained model; {fix}"
        )
    done = int(trainer.state.global_step)
    return Training(done, _examples(done, len(rows), point.batch_size), seconds, dict(ran))


class _Collator(SentenceTransformerDataCollator):
    """The collator, which also passes the sentences' lengths in tokens for columns that are padded on the right."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().__call__(features)
        masks = {name: value for name, value in batch.items() if name.endswith("_attention_mask") and value.ndim == 2}
        for name, mask in masks.items():
            if padded_on_the_right(mask):
                # an array, because the trainer moves tensors to the GPU and walks through lists element by element
                batch[name.removesuffix("attention_mask") + LENGTHS] = mask.sum(dim=1).numpy()
        return batch


class _Trainer(SentenceTransformerTrainer):
    """The trainer without its model card, which queries the hub; it announces each batch to a fast model."""

    data_collator_class = _Collator

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Tensor]], Tensor | None]:
        features, labels = super().collect_features(inputs)
        lengths: list[Any] = [column.pop(LENGTHS, None) for column in features]
        if isinstance(self.model, FastSentenceTransformer):
            self.model.announce_batch(features, None if any(part is None for part in lengths) else lengths)
        return features, labels

    def get_optimizer_cls_and_kwargs(self, args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:  # type: ignore
        chosen, options = super().get_optimizer_cls_and_kwargs(args, model)
        if args.use_cpu and chosen is torch.optim.AdamW and options.pop("fused", False):
            return ClippedAdamW, options
        return chosen, options

    def _clip_grad_norm(self, model: Any) -> Any:
        optimizer = getattr(self.optimizer, "optimizer", None)  # accelerate wraps the optimizer
        if isinstance(optimizer, ClippedAdamW):
            return optimizer.clip(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        # the fast model merges all columns itself and needs each of them; the library merges only some
        merges = isinstance(self.model, FastSentenceTransformer) and self.model.way != "plain"
        with column_merging_disabled() if merges else nullcontext():
            return super().compute_loss(model, inputs, *arguments, **options)


class _Watch(TrainerCallback):
    """Checks the logged loss, reports progress, and has the dev set scored at the schedule's looks."""

    def __init__(
        self, looks: Sequence[float], on_step: Callable[[float], None], on_look: Callable[[float], bool]
    ) -> None:
        self.looks = sorted(looks)
        self.on_step = on_step
        self.on_look = on_look
        self.seconds_looking = 0.0

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(float(loss)):
            raise Diverged(
                f"training diverged: the loss was {loss} by step {state.global_step}; lower the learning rate"
            )

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        share = state.global_step / state.max_steps
        self.on_step(share)
        if self.looks and self.looks[0] <= share < 1:
            self.looks = [look for look in self.looks if look > share]
            began = time.perf_counter()
            control.should_training_stop |= self.on_look(share)
            self.seconds_looking += time.perf_counter() - began


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


def _sums(model: nn.Module) -> Tensor:
    """Return each parameter's sum, shape (parameters,), to detect changes without a second copy of the model."""
    return torch.stack([parameter.detach().sum(dtype=torch.float64) for parameter in model.parameters()])


def _owned_parameters(model: SentenceTransformer, loss: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of a loss that belong neither to the model nor to a guide model."""
    guides = [part for part in loss.modules() if isinstance(part, SentenceTransformer)]
    others = {id(parameter) for part in (model, *guides) for parameter in part.parameters()}
    return {
        name: parameter
        for name, parameter in loss.named_parameters()
        if parameter.requires_grad and id(parameter) not in others
    }


def _examples(steps: int, rows: int, batch_size: int) -> int:
    """Return the number of training examples in so many steps; the last batch of each epoch may be smaller."""
    epochs, rest = divmod(steps, math.ceil(rows / batch_size))
    return epochs * rows + min(rest * batch_size, rows)
