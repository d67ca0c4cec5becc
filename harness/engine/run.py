"""One run from beginning to end: rows, training and evaluation, which give a record.

What a run leaves on disk goes to its own staging folder, which the driver publishes; the record is returned.
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
from harness.store.records import Pairs, Record
from harness.testbeds import EMBEDDED, hub, materials
from harness.testbeds.measure import verify
from harness.training.precision import precision_here, prefer_deterministic_kernels
from harness.training.train import Schedule, Training, train

CHECKPOINTS = (0.25, 0.5, 0.75)
"""Shares of the training at which a pruned search looks at the dev set."""

NO_MEMORY = ("out of memory", "can't allocate memory", "status_alloc_failed")
"""What torch says on a GPU, on a CPU, and for NVIDIA's libraries, when memory ran out."""

LOOKS = (1 / 16, 1 / 4, 1 / 2)
"""Shares of the training at which a final run does, for the report: most happens early."""


def execute(job: Job) -> Record:
    """Do a run; a failed one gives a record, too, that tells how it failed."""
    library_output.be_quiet()
    provenance.reset_peak_memory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        prefer_deterministic_kernels()
    run = job.run
    assert run.id is not None
    record = Record(run.id, run.study, run.stage, run.seed, run.point, run.trial, "failed", provenance=_provenance(job))
    began = time.perf_counter()
    warned: dict[str, None] = {}
    try:
        with library_output.warnings_collected(warned):
            record = _run(job, record)
    except Diverged as problem:
        record = replace(record, outcome="diverged", error=str(problem), train_seconds=time.perf_counter() - began)
    except OutOfMemory as problem:
        record = replace(record, outcome="infeasible", error=str(problem), train_seconds=time.perf_counter() - began)
    except RunFailed as problem:
        record = replace(
            record, error=f"{type(problem).__name__}: {problem}", train_seconds=time.perf_counter() - began
        )
    except Exception:
        record = replace(
            record, error=_head_and_tail(traceback.format_exc()), train_seconds=time.perf_counter() - began
        )
    peak = round(_peak_memory_mb(), 1)
    if record.outcome == "infeasible":  # and only now, that the error no longer holds what the run had made
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    error = None if record.error is None else provenance.without_secrets(record.error)
    missing = {task: provenance.without_secrets(why) for task, why in record.missing.items()}
    record = replace(record, warnings=library_output.shortened(warned))
    return replace(record, error=error, missing=missing, peak_memory_mb=peak)


def _run(job: Job, record: Record) -> Record:
    """Train and evaluate. Training reads a sealed testbed in every stage, so that caches serve all stages alike."""
    bed = job.ablation.testbed
    verify(bed)
    dev = materials.load_sts(bed.dev)
    curve: list[tuple[float, float]] = []
    pruned = False
    with _memory_errors():
        # rows first: where negatives are mined by a trained model, that may train it, which draws random numbers
        rows = None if job.run.stage == "untrained" else study_rows(job.ablation, job.run.study)
        set_seed(job.run.seed)  # before anything is built: heads start from it
        bed_of_study = job.ablation.testbed_of(job.run.study).sealed()
        model = fresh_model(bed_of_study)
        record = replace(record, provenance={**record.provenance, "model_loaded": how_loaded(bed_of_study)})
        if rows is not None:
            try:
                training, pruned, certificate = _train(job, model, rows, dev, curve)
            except TokensWanted as wanted:  # only now: from the beginning again, the plain way
                curve.clear()
                set_seed(job.run.seed)
                model = fresh_model(bed_of_study)
                training, pruned, certificate = _train(job, model, rows, dev, curve, Certificate.plain(str(wanted)))
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
    """Train the model in place, filling the dev curve; tell its cost, whether a pruned search stopped it, and its way.

    Without a certificate one is made. Raises TokensWanted where a loss turns out to read what a fast forward lacks.
    A look at the dev set draws no random number, so it changes nothing of the training.
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
            from harness.engine.search import should_prune  # optuna, needed only where a search prunes

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
    """Turn every way in which torch says that memory ran out into OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        message = str(problem).lower()
        if isinstance(problem, RuntimeError) and not any(words in message for words in NO_MEMORY):
            raise
        raise OutOfMemory(f"out of memory: {str(problem).splitlines()[0]}") from problem


def _peak_memory_mb() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else provenance.peak_memory_mb()


def _head_and_tail(text: str, lines: int = 12) -> str:
    """Keep what tells most of a traceback: its end, and where it began."""
    all_lines = text.strip().splitlines()
    return "\n".join(all_lines if len(all_lines) <= 2 * lines else [*all_lines[:3], "  ...", *all_lines[-lines:]])
