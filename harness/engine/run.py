"""One run from beginning to end: prepare the rows, train, evaluate, and return a record.

A run writes its files to its own staging folder, from which the driver moves them into the store.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from pandas import DataFrame
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from harness import provenance
from harness.engine.job import Job
from harness.engine.progress import Reporter
from harness.engine.rows import pairs_seen_before_test, study_rows
from harness.errors import Diverged, OutOfMemory, RunFailed, TokensWanted
from harness.evaluation import diagnostics, scoring
from harness.executors import library_output
from harness.model.certificate import Certificate, certify
from harness.model.loading import fresh_model, how_loaded
from harness.scores import DEV, OBJECTIVE, TEST
from harness.spec.beside import last_line
from harness.store.records import Pairs, Record
from harness.testbeds import EMBEDDED, hub, materials
from harness.testbeds.measure import verify
from harness.training.memory import ran_out_of_memory
from harness.training.precision import precision_here, prefer_deterministic_kernels
from harness.training.train import Schedule, Training, train

CHECKPOINTS = (0.25, 0.5, 0.75)
"""Shares of the training at which a search with pruning scores the dev set."""

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
    began = time.perf_counter()
    warnings: dict[str, None] = {}
    try:
        with library_output.warnings_collected(warnings):
            record = _run(job, record)
    except Diverged as problem:
        record = replace(record, outcome="diverged", error=str(problem), train_seconds=time.perf_counter() - began)
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
    bed = job.ablation.testbed
    verify(bed)
    dev = materials.load_sts(bed.dev)
    curve: list[tuple[float, float]] = []
    pruned = False
    with _memory_errors():
        # rows before seeding: mining may train a model, which uses random numbers
        rows = None if job.run.stage == "untrained" else study_rows(job.ablation, job.run.study)
        set_seed(job.run.seed)  # before model and loss are built, because heads are initialised at random
        bed_of_study = job.ablation.testbed_of(job.run.study).sealed()
        model = fresh_model(bed_of_study)
        record = replace(record, provenance={**record.provenance, "model_loaded": how_loaded(bed_of_study)})
        if rows is not None:
            try:
                training, pruned, certificate = _train(job, model, rows, dev, curve)
            except TokensWanted as reason:  # the loss needs the plain path: train again from the beginning
                curve.clear()
                set_seed(job.run.seed)
                model = fresh_model(bed_of_study)
                training, pruned, certificate = _train(job, model, rows, dev, curve, Certificate.plain(str(reason)))
            forward = {**certificate.as_record(), "passes": training.passes}
            record = replace(record, rows=len(rows), forward=forward, **_cost(training))
        model.eval()
        began = time.perf_counter()
        encoder = scoring.Encoder(model, tf32=job.ablation.precision != "fp32")
        scores: dict[str, float] = {}
        unshared: dict[str, float] = {}
        pairs: dict[str, Pairs] = {}
        missing: dict[str, str] = {}
        geometry: dict[str, float] = {}
        sets = {DEV: dev} if job.run.stage == "tune" else {DEV: dev, TEST: materials.load_sts(bed.test)}
        for name, sts in sets.items():
            predictions, figures = scoring.score_sts(encoder, sts)
            scores |= {f"{name}/{figure}": value for figure, value in figures.items()}
            if job.run.stage != "tune":
                pairs[name] = predictions
                scores |= {f"{name}/{figure}": value for figure, value in scoring.score_truncated(encoder, sts).items()}
        if job.run.stage != "tune":
            by_task, failed = scoring.score_tasks(
                encoder,
                job.tasks,
                name=f"{job.ablation.name}/{job.run.study}",
                run_id=record.id,
                folder=job.staging / "mteb",
            )
            scores |= {f"mteb/{task}": score for task, score in by_task.items()}
            missing = {**job.missing, **failed}
            if several := scoring.subsets(job.tasks):
                record = replace(record, provenance={**record.provenance, "subsets": several})
            geometry = diagnostics.geometry(*scoring.unit_embeddings(encoder, dev), dev.gold)
            unshared = scoring.score_unshared(encoder, by_task, pairs_seen_before_test(bed.sealed()))
        if job.keep_model:
            model.save_pretrained(str(job.staging / "model"), create_model_card=False)
    return replace(
        record,
        outcome="pruned" if pruned else "ok",
        scores=scores,
        unshared=unshared,
        pairs=pairs,
        missing=missing,
        diagnostics={name: round(value, scoring.DECIMALS) for name, value in geometry.items()},
        curve=(*curve, (1.0, scores[OBJECTIVE])) if not pruned else tuple(curve),
        eval_seconds=round(time.perf_counter() - began, 3),
    )


def _train(
    job: Job,
    model: SentenceTransformer,
    rows: DataFrame,
    dev: materials.StsPairs,
    curve: list[tuple[float, float]],
    certificate: Certificate | None = None,
) -> tuple[Training, bool, Certificate]:
    """Train a run's model in place. Scoring the dev set uses no random numbers, so it does not change the training.

    Args:
        job: the job of the run.
        model: the model.
        rows: training rows, with the columns in the loss's order.
        dev: the dev set.
        curve: receives (share of the training, dev Spearman) pairs.
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
    pruned = False

    def look(share: float) -> bool:
        nonlocal pruned
        model.eval()
        encoder = scoring.Encoder(model, tf32=ablation.precision != "fp32")
        curve.append((share, scoring.score_sts(encoder, dev)[1]["spearman_cosine"]))
        model.train()
        if job.rivals is not None:
            from harness.engine.search import should_prune  # imports optuna, which only searches with pruning need

            pruned = should_prune(job.rivals, curve)
        return pruned

    looks = () if run.stage == "tune" else LOOKS

    options = dict(run.point.options)
    columns = Dataset.from_pandas(rows, preserve_index=False)
    precision = precision_here(ablation.precision)
    certificate = certificate or certify(model, study.loss, options, columns, precision)
    loss = study.loss(model, **options)
    training = train(
        model,
        loss,
        columns,
        run.point,
        Schedule(ablation.budget.epochs, ablation.budget.examples, looks if job.rivals is None else CHECKPOINTS),
        seed=run.seed,
        precision=precision,
        way=certificate.path,
        folder=job.staging / "trainer",
        report_to=job.report_to,
        run_name=f"{run.study}-{run.stage}-{run.id}",
        on_step=reporter.tell,
        on_look=look,
    )
    return training, pruned, certificate


def _cost(training: Training) -> dict[str, Any]:
    return {
        "steps": training.steps,
        "examples_seen": training.examples_seen,
        "train_seconds": round(training.seconds, 3),
    }


def _provenance(job: Job) -> dict[str, Any]:
    bed = job.ablation.testbed_of(job.run.study)
    return {
        **(job.provenance or {}),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "revisions": bed.revisions(),
        "contents": dict(bed.contents),
        "rows_asked": bed.max_rows,
        "hub": None if bed.model.repo == EMBEDDED else provenance.without_secrets(hub.endpoint()),
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
