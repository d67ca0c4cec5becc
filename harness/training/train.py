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
"""The collator's name for a column's lengths in tokens: known before the batch is on a GPU, which need not be asked."""

LOGS = 50
"""How often a run looks at its loss: a NaN is noticed at the next look."""


if find_spec("lomo_optim") is None:
    sys.modules["lomo_optim"] = None  # type: ignore  # accelerate looks for it on the disk, twice a step


@dataclass(frozen=True)
class Schedule:
    """How long to train: epochs, or examples if given; when to look at the dev set, in shares of the training."""

    epochs: float
    examples: int | None = None
    looks: Sequence[float] = ()

    def steps(self, rows: int, batch_size: int) -> int:
        steps_an_epoch = math.ceil(rows / batch_size)
        if self.examples is None:
            return max(1, math.ceil(self.epochs * steps_an_epoch))
        epochs, rest = divmod(self.examples, rows)  # each epoch's last batch is smaller
        return epochs * steps_an_epoch + math.ceil(rest / batch_size)


@dataclass(frozen=True)
class Training:
    """What training took: steps, examples (rows seen), wall seconds; and the model's passes, by the way they went."""

    steps: int
    examples_seen: int
    seconds: float
    passes: Mapping[str, int]


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
    """Train `model` in place with `loss` on `rows`, whose columns are in the loss's order.

    Args:
        seed: of shuffling and dropout; model and loss must have been built after seeding, too.
        precision: "bf16", "fp16" or "fp32", as `precision.precision_here` gives it.
        way: how a FastSentenceTransformer runs, as `certificate.certify` found it; any other model runs as it is.
        folder: where the trainer and `report_to` (tensorboard, wandb, mlflow) may write.
        on_step: told the share of steps done after each.
        on_look: called at each of the schedule's looks; training stops early when it returns True.

    Raises Diverged if the loss becomes NaN or infinite, FrozenLoss if a parameter that the loss owns never moved,
    FrozenModel if none of the model's did.
    """
    steps = schedule.steps(len(rows), point.batch_size)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        run_name=run_name or None,
        max_steps=steps,
        per_device_train_batch_size=point.batch_size,
        learning_rate=point.lr,
        warmup_steps=WARM_UP if steps > 1 else 0,  # a rise of one step begins at 0, and is all there is
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
        # by default each tensor of a batch waits until the GPU has done all that it was given
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
    # accelerate leaves its autocast around the model's forward: what came after would be made in bf16, too
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if not math.isfinite(result.training_loss):
        raise Diverged(f"the mean training loss is {result.training_loss}; lower the learning rate")
    frozen = [name for name, parameter in owned.items() if torch.equal(parameter.detach(), before[name])]
    if frozen:
        raise FrozenLoss(
            f"{type(loss).__name__} owns {', '.join(frozen)}, which did not move in {steps} steps; "
            "the optimizer never saw it (is it reachable as a parameter of the loss?)"
        )
    if torch.equal(_sums(model), untrained):
        alone = min(len(rows), point.batch_size) == 1
        cause = (
            "a batch held one row, which has no other to be told from; give more rows or a larger batch"
            if alone
            else "does the loss use the embeddings that it is given, with their gradients?"
        )
        raise FrozenModel(
            f"no parameter of the model moved in {steps} steps with {type(loss).__name__}: its scores would be the "
            f"untrained model's ({cause})"
        )
    done = int(trainer.state.global_step)
    return Training(done, _examples(done, len(rows), point.batch_size), seconds, dict(ran))


class _Collator(SentenceTransformerDataCollator):
    """The collator, telling each column's lengths besides, where it is padded on the right."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().__call__(features)
        masks = {name: value for name, value in batch.items() if name.endswith("_attention_mask") and value.ndim == 2}
        for name, mask in masks.items():
            if padded_on_the_right(mask):
                # an array stays where it is: a tensor would travel, and a list is walked through number by number
                batch[name.removesuffix("attention_mask") + LENGTHS] = mask.sum(dim=1).numpy()
        return batch


class _Trainer(SentenceTransformerTrainer):
    """The trainer without its model card, which would ask the hub about model and data, telling the model its batch."""

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
        optimizer = getattr(self.optimizer, "optimizer", None)  # accelerate's, around ours
        if isinstance(optimizer, ClippedAdamW):
            return optimizer.clip(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        # the fast model merges all columns itself, for which it must be handed each; the library merges but some
        merges = isinstance(self.model, FastSentenceTransformer) and self.model.way != "plain"
        with column_merging_disabled() if merges else nullcontext():
            return super().compute_loss(model, inputs, *arguments, **options)


class _Watch(TrainerCallback):
    """Looks at the loss, tells progress, and calls for dev scores at the schedule's looks."""

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
            raise Diverged(f"the training loss became {loss} by step {state.global_step}; lower the learning rate")

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
    """Spare the trainer the walks through all modules, three a step, that a small model's step feels.

    While the optimizer holds the parameters, they and the modules stay the same.
    """
    parameters, train = list(model.parameters()), model.train
    model.train()  # a model as loaded is told to be training, though its modules are not
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
    """Let a model train one way, counting its passes by the way that each went; any other but the fast one as it is."""
    if not isinstance(model, FastSentenceTransformer):
        yield {}
        return
    before, model.way, model.ran = model.way, way, Counter()
    try:
        yield model.ran
    finally:
        model.way = before


def _sums(model: nn.Module) -> Tensor:
    """Return each parameter's sum, shape (parameters,): a fingerprint that costs no second copy of the model."""
    return torch.stack([parameter.detach().sum(dtype=torch.float64) for parameter in model.parameters()])


def _owned_parameters(model: SentenceTransformer, loss: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters that are the loss's own: not the model's, nor those of a guide model."""
    guides = [part for part in loss.modules() if isinstance(part, SentenceTransformer)]
    others = {id(parameter) for part in (model, *guides) for parameter in part.parameters()}
    return {
        name: parameter
        for name, parameter in loss.named_parameters()
        if parameter.requires_grad and id(parameter) not in others
    }


def _examples(steps: int, rows: int, batch_size: int) -> int:
    """Count the rows seen: each epoch's last batch is smaller."""
    epochs, rest = divmod(steps, math.ceil(rows / batch_size))
    return epochs * rows + min(rest * batch_size, rows)
