"""One run from beginning to end: prepare the rows, train, evaluate, and return a record.

A run writes its files to its own staging folder, from which the driver moves them into the store.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from pandas import DataFrame
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from harness import provenance
from harness.engine import testing
from harness.engine.job import Job
from harness.engine.progress import Reporter
from harness.engine.rows import part_rows, part_testbeds, rows_by_part
from harness.errors import Diverged, OutOfMemory, RunFailed, TokensWanted
from harness.evaluation import scoring
from harness.executors import library_output
from harness.model.certificate import Certificate, certify
from harness.model.keeper import Keeper
from harness.model.loading import fresh_model, how_loaded
from harness.model.variants import prepare
from harness.reading.hashes import verify
from harness.spec.ablation import Ablation
from harness.spec.beside import last_line
from harness.spec.study import UNTRAINED
from harness.store.records import TUNING, Record
from harness.testbeds import Testbed, hub
from harness.testbeds.measure_kinds import Sts
from harness.testbeds.refs import EMBEDDED
from harness.training.memory import ran_out_of_memory
from harness.training.precision import precision_here, prefer_deterministic_kernels
from harness.training.train import Schedule, Training, train

CHECKPOINTS = (0.25, 0.5, 0.75)
"""Shares of the training at which a search with pruning scores the dev set."""

TENTHS = tuple(tenth / 10 for tenth in range(1, 10))
"""Shares of the training after which the dev set is scored to keep the best model."""

LOOKS = (1 / 16, 1 / 4, 1 / 2)
"""Shares of the training at which a final run scores the dev set for the report: scores change most early on."""


def execute(job: Job) -> Record:
    """Execute a run and return its record; if the run failed, the record has the error."""
    library_output.be_quiet()
    provenance.reset_peak_memory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        prefer_deterministic_kernels()
    run = job.run
    assert run.id is not None
    record = Record(run.id, run.study, run.stage, run.seed, run.point, run.trial, "failed", provenance=_provenance(job))
    record = replace(record, objective=job.ablation.testbed.objective)  # the driver adds the headline
    began = time.perf_counter()
    warnings: dict[str, None] = {}
    try:
        with library_output.warnings_collected(warnings):
            record = _run(job, record)
    except Diverged as problem:
        record = replace(
            record,
            outcome="diverged",
            error=f"study {run.study!r}: {problem}",
            train_seconds=time.perf_counter() - began,
        )
    except OutOfMemory as problem:
        record = replace(record, outcome="infeasible", error=str(problem), train_seconds=time.perf_counter() - began)
    except RunFailed as problem:
        record = replace(
            record,
            error=f"{type(problem).__name__}: {problem}{_place(problem, job)}",
            train_seconds=time.perf_counter() - began,
        )
    except Exception as problem:
        record = replace(
            record,
            error=_head_and_tail(traceback.format_exc()) + _place(problem, job),
            train_seconds=time.perf_counter() - began,
        )
    peak = round(_peak_memory_mb(), 1)
    if record.outcome == "infeasible":  # only here, because the exception held references to the run's tensors
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    error = None if record.error is None else provenance.without_secrets(record.error)
    missing = {task: provenance.without_secrets(why) for task, why in record.missing.items()}
    record = replace(record, warnings=library_output.shortened(warnings))
    return replace(record, error=error, missing=missing, peak_memory_mb=peak)


def _run(job: Job, record: Record) -> Record:
    """Train and evaluate. Training reads a sealed testbed in every stage, so that all stages share the caches."""
    for bed in part_testbeds(job.ablation, job.run.study).values():
        verify(bed)
    curve: list[tuple[float, float]] = []
    pruned = False
    with _memory_errors():
        # rows before seeding: mining may train a model, which uses random numbers
        rows = None if job.run.stage == "untrained" else part_rows(job.ablation, job.run.study)
        set_seed(job.run.seed)  # before model and loss are built, because heads are initialised at random
        bed_of_study = job.ablation.testbed_of(job.run.study).sealed()
        model = _prepared(job, bed_of_study)
        record = replace(record, provenance={**record.provenance, "model_loaded": how_loaded(bed_of_study)})
        if rows is not None:
            try:
                training, pruned, certificate = _train(job, model, rows, curve)
            except TokensWanted as reason:  # the loss needs the plain path: train again from the beginning
                curve.clear()
                set_seed(job.run.seed)
                model = _prepared(job, bed_of_study)
                training, pruned, certificate = _train(job, model, rows, curve, Certificate.plain(str(reason)))
            forward = {**certificate.as_record(), "passes": training.passes}
            record = replace(record, rows=sum(map(len, rows.values())), forward=forward, **_cost(training))
        model.eval()
        began = time.perf_counter()
        encoder = scoring.Encoder(model, tf32=job.ablation.precision != "fp32")
        tuning = job.run.stage in TUNING
        scored = testing.score_dev(encoder, bed_of_study) if tuning else testing.score_all(encoder, job, record.id)
        if scored.subsets:
            record = replace(record, provenance={**record.provenance, "subsets": scored.subsets})
        if job.keep_model:
            model.save_pretrained(str(job.staging / "model"), create_model_card=False)
    return replace(
        record,
        outcome="pruned" if pruned else "ok",
        scores=scored.scores,
        unshared=scored.unshared,
        items=scored.items,
        missing=scored.missing,
        diagnostics=scored.diagnostics,
        curve=(*curve, (1.0, scored.scores[record.objective])) if not pruned else tuple(curve),
        eval_seconds=round(time.perf_counter() - began, 3),
    )


def _train(
    job: Job,
    model: SentenceTransformer,
    rows: Mapping[str, DataFrame],
    curve: list[tuple[float, float]],
    certificate: Certificate | None = None,
) -> tuple[Training, bool, Certificate]:
    """Train a run's model in place. Scoring the dev set uses no random numbers, so it does not change the training.

    Args:
        job: the job of the run.
        model: the model.
        rows: training rows of each part of the study by name, with the columns in its loss's order.
        curve: receives (share of the training, score that tuning maximises) pairs.
        certificate: decides the forward path; computed if None.

    Returns:
        The cost of the training, whether pruning stopped it, and the certificate.

    Raises:
        TokensWanted: the loss reads outputs that the fast path omits.
    """
    run, ablation = job.run, job.ablation
    assert run.point is not None
    assert run.id is not None
    study = ablation.study(run.study)
    reporter = Reporter(job.progress_port, run.id, job.progress_token)
    pruned, keeper = False, Keeper(model) if ablation.budget.checkpoint == "best" else None

    def look(share: float) -> bool:
        nonlocal pruned
        score = _dev_score(ablation, model)
        curve.append((share, score))
        if keeper is not None:
            keeper.offer(score)
        if job.rivals is not None:
            from harness.engine.search import should_prune  # imports optuna, which only searches with pruning need

            pruned = should_prune(job.rivals, curve)
        return pruned

    # a retrieval measure embeds its whole corpus at each look, which may take longer than the training
    looks: Sequence[float] = LOOKS if run.stage not in TUNING and isinstance(ablation.testbed.dev, Sts) else ()
    looks = TENTHS if keeper is not None else looks if job.rivals is None else CHECKPOINTS

    options, settings = study.at(run.point)
    columns = {name: Dataset.from_pandas(frame, preserve_index=False) for name, frame in rows.items()}
    precision = precision_here(ablation.precision)
    parts = {part.name: part for part in study.all_parts}
    certificate = certificate or Certificate.of_all(
        {n: certify(model, part.loss, options, columns[n], precision, part.prompts) for n, part in parts.items()}
    )
    losses = {name: part.loss(model, **options) for name, part in parts.items()}
    training = train(
        model,
        losses if study.parts else losses[study.name],
        columns if study.parts else columns[study.name],
        run.point,
        Schedule(ablation.budget.epochs, ablation.budget.examples, looks),
        seed=run.seed,
        precision=precision,
        way=certificate.path,
        settings=settings,
        sampler=study.sampler,
        prompts={name: part.prompts for name, part in parts.items()} if study.parts else study.prompts,
        mixing=study.mixing,
        folder=job.staging / "trainer",
        report_to=job.report_to,
        run_name=f"{run.study}-{run.stage}-{run.id}",
        on_step=reporter.tell,
        on_look=look,
    )
    if keeper is not None and not pruned:
        keeper.offer(_dev_score(ablation, model))
        keeper.restore()
    return training, pruned, certificate


def _dev_score(ablation: Ablation, model: SentenceTransformer) -> float:
    """Return the score that tuning maximises, in the midst of a training."""
    model.eval()
    encoder = scoring.Encoder(model, tf32=ablation.precision != "fp32")
    score = testing.objective(encoder, ablation.testbed)
    model.train()
    return score


def _prepared(job: Job, bed: Testbed) -> SentenceTransformer:
    """Return the base model with the adapters and frozen parameters of the run's study."""
    model = fresh_model(bed)
    if job.run.study != UNTRAINED:
        study = job.ablation.study(job.run.study)
        assert job.run.point is not None
        prepare(model, study.adapters, study.frozen, study.at(job.run.point)[1].max_seq_length)
    return model


def _cost(training: Training) -> dict[str, Any]:
    return {
        "steps": training.steps,
        "examples_seen": training.examples_seen,
        "train_seconds": round(training.seconds, 3),
    }


def _provenance(job: Job) -> dict[str, Any]:
    beds = part_testbeds(job.ablation, job.run.study)
    bed = next(iter(beds.values()))
    return {
        **(job.provenance or {}),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "revisions": {**bed.revisions(), **rows_by_part(beds, Testbed.revisions)},
        "contents": {**bed.hashes(), **rows_by_part(beds, Testbed.hashes)},
        "rows_asked": None if bed.max_rows is None else bed.max_rows * len(beds),
        "hub": None if bed.base.repo == EMBEDDED or bed.base.local else provenance.without_secrets(hub.endpoint()),
        "precision": precision_here(job.ablation.precision),
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn all exceptions by which torch reports that memory ran out into OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        if not ran_out_of_memory(problem):
            raise
        raise OutOfMemory(f"the run ran out of memory: {str(problem).splitlines()[0]}") from problem


def _peak_memory_mb() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else provenance.peak_memory_mb()


def _place(problem: Exception, job: Job) -> str:
    """Return the last line of the traceback in the study file or beside it; the driver prints an error's end."""
    line = last_line(problem, job.beside)
    return f" (at {line})" if line else ""


def _head_and_tail(text: str, lines: int = 12) -> str:
    """Return the first three and the last `lines` lines of a long traceback."""
    all_lines = text.strip().splitlines()
    return "\n".join(all_lines if len(all_lines) <= 2 * lines else [*all_lines[:3], "  ...", *all_lines[-lines:]])
