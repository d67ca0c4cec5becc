"""See the first steps of a study under this Python: `python -m harness.upgrading.probe FILE JOB OUTPUT`.

The first stages are taken with dropout off and in float32 on a few small batches, those of a training as the library's
trainer goes, up to the moment when the optimizer reads the gradients. Everything runs by the library's own forward.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from transformers import set_seed

from harness.engine.rows import part_rows
from harness.evaluation import scoring
from harness.executors import library_output
from harness.files import as_json, write_atomically
from harness.model.agreement import GRADIENT, LOSS
from harness.model.fast import FastSentenceTransformer
from harness.model.loading import fresh_model
from harness.model.trial import Trial
from harness.model.variants import prepare
from harness.spec.ablation import Ablation, restrict
from harness.spec.loading import load_study_file
from harness.spec.space import Point
from harness.spec.study import Study
from harness.store import reading
from harness.store.items import Pairs
from harness.testbeds import by_name
from harness.training.precision import precision_here, prefer_deterministic_kernels
from harness.training.train import Schedule, train
from harness.upgrading.probing import CURVE, EVALUATION, LOSS_OWN, STEPS, VERSION, Job, Probe, Stage
from harness.upgrading.sketches import Sketch, of_texts, sketch

ROWS = 32
"""Rows whose tokens are compared."""

OLD_NAME, NAME = "0.auto_model.", "0.model."
"""How the names of a transformer's parameters begin in older versions of sentence-transformers, and in newer ones."""


class _Enough(Exception):
    """The steps that are looked at are over."""


def probe(file: Path, job: Job) -> Probe:
    """Return what is seen of a study's first steps.

    Raises:
        HarnessError: the study file is wrong, or the training fails.
    """
    testbed = by_name(job.testbed) if job.testbed else None
    precision: Any = job.precision
    ablation = restrict(load_study_file(file), testbed=testbed, rows=job.rows, precision=precision, epochs=job.epochs)
    study, point = ablation.study(job.study), Point.from_dict(job.point)
    frames = part_rows(ablation, study.name)
    rows = {name: Dataset.from_pandas(frame, preserve_index=False) for name, frame in frames.items()}
    in_precision = precision_here(ablation.precision)
    stages = [
        Stage(
            "training rows",
            {f"{part}.{c}": of_texts(data[c]) for part, data in rows.items() for c in data.column_names},
        ),
        *_without_dropout(ablation, study, point, rows, job.seed),
        *_steps(ablation, study, point, rows, job.seed, in_precision),
        _evaluation(ablation, study, point),
    ]
    return Probe(VERSION, study.name, in_precision, tuple(stages))


def _model(ablation: Ablation, study: Study, point: Point) -> FastSentenceTransformer:
    """Return the study's model before training, as a run makes it."""
    model = fresh_model(ablation.testbed_of(study.name).sealed())
    prepare(model, study.adapters, study.frozen, study.at(point)[1].max_seq_length)
    return model


def _without_dropout(
    ablation: Ablation, study: Study, point: Point, rows: Mapping[str, Dataset], seed: int
) -> Iterator[Stage]:
    """Give tokens, initial weights, embeddings, loss and gradients of a few rows, with dropout off and in float32."""
    set_seed(seed)
    model = _model(ablation, study, point)
    columns = {f"{part}.{c}": data[:ROWS][c] for part, data in rows.items() for c in data.column_names}
    texts = {name: list(column) for name, column in columns.items() if isinstance(column[0], str)}
    yield Stage(
        "tokens",
        {
            f"{column}.{name}": sketch(value.numpy())
            for column, sentences in texts.items()
            for name, value in model.preprocess(sentences).items()
            if isinstance(value, Tensor)
        },
    )
    yield Stage("initial weights", _sketches(dict(model.named_parameters())))
    options, _ = study.at(point)
    seen: dict[str, dict[str, Sketch]] = {
        "initial weights of the loss": {},
        "embeddings": {},
        "loss": {},
        "gradients": {},
    }
    for part in study.all_parts:
        prefix = f"{part.name}." if study.parts else ""
        try:
            trial = Trial(model, partial(part.loss, **options), rows[part.name], "fp32")
            embedded, *_, by_loss = trial.plain_outcomes()
        except Exception as problem:  # a loss may raise anything on a small batch; the training's own steps are seen
            library_output.notify_listeners([f"{part.name}: {problem}"])
            continue
        own = {name: value for name, value in trial.parameters.items() if name.startswith(LOSS_OWN)}
        gradients = {n.removeprefix(GRADIENT): value for n, value in by_loss.items() if n.startswith(GRADIENT)}
        seen["initial weights of the loss"] |= _sketches(own, prefix)
        seen["embeddings"] |= _sketches({n: v for n, v in embedded.items() if not n.startswith(GRADIENT)}, prefix)
        seen["loss"] |= _sketches({"value": by_loss[LOSS]}, prefix)
        seen["gradients"] |= _sketches(gradients, prefix)
    for name, of_stage in seen.items():
        yield Stage(name if name.startswith("initial") else f"{name} of a few rows without dropout", of_stage)


def _steps(
    ablation: Ablation, study: Study, point: Point, rows: Mapping[str, Dataset], seed: int, precision: str
) -> list[Stage]:
    """Return the batches, losses, gradients and weights of the first steps of a run's training, and its loss curve."""
    set_seed(seed)
    model = _model(ablation, study, point)
    options, settings = study.at(point)
    losses = {part.name: part.loss(model, **options) for part in study.all_parts}
    steps = _Steps(model, losses)
    prompts: Any = {part.name: part.prompts for part in study.all_parts} if study.parts else study.prompts
    with TemporaryDirectory() as folder, steps.watched():
        train(
            model,
            losses if study.parts else losses[study.name],
            rows if study.parts else rows[study.name],
            point,
            Schedule(ablation.budget.epochs, ablation.budget.examples),
            seed=seed,
            precision=precision,
            settings=settings,
            sampler=study.sampler,
            prompts=prompts,
            mixing=study.mixing,
            folder=Path(folder),
        )
    return [*steps.stages, Stage(f"loss curve to step {len(steps.curve)}", dict(steps.curve))]


class _Steps:
    """Sees the steps of a training by hooks of torch, which are the same under every version of the libraries."""

    def __init__(self, model: SentenceTransformer, losses: Mapping[str, nn.Module]) -> None:
        self.stages: list[Stage] = []
        """The stages so far."""
        self.curve: dict[str, Sketch] = {}
        """The losses so far, by step."""
        self._model, self._losses = model, losses
        self._batch: dict[str, Sketch] = {}
        self._loss: dict[str, Sketch] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See the steps of a training within the block, and end it after the last one that is seen."""
        with ExitStack() as hooks:
            first = next(self._model.children())
            hooks.callback(first.register_forward_pre_hook(self._embedding).remove)
            for name, loss in self._losses.items():
                hooks.callback(loss.register_forward_hook(partial(self._lost, name)).remove)
            hooks.callback(register_optimizer_step_pre_hook(self._before).remove)
            hooks.callback(register_optimizer_step_post_hook(self._after).remove)
            with suppress(_Enough):
                yield

    def _embedding(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        for name, value in (arguments[0] if arguments else {}).items():
            if isinstance(value, Tensor) and not value.is_floating_point():
                self._batch[f"pass {len(self._batch)} {name}"] = sketch(_array(value))

    def _lost(self, name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        parts = output if isinstance(output, Mapping) else {"value": output}
        for part, value in parts.items():
            self._loss[f"{name}.{part} {len(self._loss)}"] = sketch(_array(value))

    def _before(self, optimizer: Any, *arguments: Any) -> None:
        step = len(self.curve) + 1
        self.curve[f"step {step}"] = next(iter(self._loss.values()), of_texts(["the loss was not called"]))
        if step <= STEPS:
            gradients = {n: p.grad for n, p in self._parameters().items() if p.grad is not None}
            self.stages += [
                Stage(f"batch of step {step}", self._batch),
                Stage(f"loss at step {step}", self._loss),
                Stage(f"gradients at step {step}", _sketches(gradients)),
            ]
        self._batch, self._loss = {}, {}

    def _after(self, optimizer: Any, *arguments: Any) -> None:
        step = len(self.curve)
        if step <= STEPS:
            self.stages.append(Stage(f"weights after step {step}", _sketches(self._parameters())))
        if step >= CURVE:
            raise _Enough

    def _parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters of the model and of the losses; one that both have is the model's."""
        named = {**dict(self._model.named_parameters())}
        of_model = {id(parameter) for parameter in named.values()}
        for part, loss in self._losses.items():
            prefix = f"{LOSS_OWN}{part}." if len(self._losses) > 1 else LOSS_OWN
            named |= {f"{prefix}{n}": p for n, p in loss.named_parameters() if id(p) not in of_model}
        return {name: parameter for name, parameter in named.items() if parameter.requires_grad}


def _evaluation(ablation: Ablation, study: Study, point: Point) -> Stage:
    """Return the figures and predictions of the untrained model on the dev and the test measure."""
    encoder = scoring.Encoder(_model(ablation, study, point))
    seen: dict[str, Sketch] = {}
    for measure in (ablation.testbed.dev, ablation.testbed.test):
        if measure is None:
            continue
        scored = scoring.score_measure(encoder, measure, in_full=True)
        seen |= {name: sketch(np.array([value])) for name, value in scored.scores.items()}
        if isinstance(scored.items, Pairs):
            seen[f"{measure.name}/cosines"] = sketch(np.array(scored.items.cosine))
        elif scored.items is not None:
            seen |= {f"{measure.name}/{n} of items": sketch(np.array(v)) for n, v in scored.items.by_figure.items()}
    return Stage(EVALUATION, seen)


def _sketches(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Sketch]:
    """Return the sketch of each tensor by its name; what belongs to a loss keeps its beginning before the prefix."""
    seen = {}
    for name, value in tensors.items():
        own = LOSS_OWN if name.startswith(LOSS_OWN) else ""
        seen[f"{own}{prefix}{name.removeprefix(own)}".replace(OLD_NAME, NAME)] = sketch(_array(value))
    return seen


def _array(value: Tensor) -> np.ndarray:
    plain = value.detach().cpu()
    return (plain.float() if plain.is_floating_point() else plain).numpy()


def main() -> None:
    library_output.be_quiet()
    prefer_deterministic_kernels()
    file, job, output = sys.argv[1:]
    seen = probe(Path(file), reading.typed(reading.parsed(job), Job))
    write_atomically(Path(output), as_json(asdict(seen)) + "\n")


if __name__ == "__main__":
    main()
