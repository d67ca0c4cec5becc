"""Compare evaluation with `mteb.evaluate` and sentence-transformers' evaluator, used as in their documentation.

    python benchmarks/evaluation.py --testbed embedded [--tasks A,B] [--repeats 3]

Both sides score STSB dev and test and the same mteb tasks with the same model (the untrained base model). They
alternate, with one thread each, in separate worker processes that stay alive. The first turn of each side reads the
data sets and is not counted. The benchmark prints medians with their spread, the ratio, and the difference between the
scores of both sides.

As a reference for that difference, the plain side also scores in batches of other sizes. That changes only the padding,
and so the order of some sums in float32: the resulting differences are rounding and not errors.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from training import plain_model

from harness.executors.processes import ProcessExecutor
from harness.provenance import hardware
from harness.testbeds import Testbed, by_name

Side = Literal["plain", "harness"]

OTHER_BATCH_SIZES = (24, 64)
"""The libraries' defaults are 16 (sentence-transformers' evaluator) and 32 (mteb)."""


def measure(side: Side, bed: Testbed, **options: Any) -> tuple[float, dict[str, float]]:
    """Evaluate once in this process.

    Args:
        side: which implementation to measure.
        bed: the testbed.
        options: options of the plain evaluators, e.g. `batch_size`.

    Returns:
        Seconds, and scores by name.
    """
    from harness.engine import worker
    from harness.executors.library_output import be_quiet
    from harness.reading import materials
    from harness.testbeds.measure_kinds import Sts

    be_quiet()
    if side == "harness":
        worker.tune_memory_management()
    sets = {each.name: materials.load_sts(each) for each in bed.measures if isinstance(each, Sts)}
    began = time.perf_counter()
    if side == "plain":
        scores = score_plainly(plain_model(bed, "cpu"), bed.tasks, sets, **options)
    else:
        scores = _by_harness(bed, sets)
    return time.perf_counter() - began, scores


def score_plainly(model: Any, tasks: Sequence[str], sets: dict[str, Any], **options: Any) -> dict[str, float]:
    """Score STS sets and mteb tasks with the libraries' own evaluators, their options and their defaults."""
    import mteb
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    from harness.evaluation.scoring import task

    scores = {}
    for name, pairs in sets.items():
        columns = list(pairs.sentence1), list(pairs.sentence2), list(pairs.gold)
        judge = EmbeddingSimilarityEvaluator(*columns, name=name, **options)
        scores[name] = float(judge(model)[f"{name}_spearman_cosine"])
    for name in tasks:
        extra: Any = {"encode_kwargs": options} if options else {}
        result = mteb.evaluate(model, task(name), cache=None, co2_tracker=False, show_progress_bar=False, **extra)
        scores[name] = float(result.task_results[0].get_score())
    return scores


def _by_harness(bed: Testbed, sets: dict[str, Any]) -> dict[str, float]:
    from harness.evaluation import scoring
    from harness.model.loading import fresh_model

    encoder = scoring.Encoder(fresh_model(bed).eval())
    scores = {name: scoring.score_sts(encoder, pairs)[1]["spearman_cosine"] for name, pairs in sets.items()}
    by_task, missing = scoring.score_tasks(
        encoder, bed.tasks, name="benchmark/untrained", run_id="0", folder=Path(tempfile.mkdtemp())
    )
    if missing:
        raise RuntimeError(f"tasks that could not be evaluated: {missing}")
    return scores | by_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", default="embedded")
    parser.add_argument("--tasks", help="comma-separated; the testbed's if not given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    bed = by_name(options.testbed)
    bed = bed if options.tasks is None else replace(bed, also=tuple(options.tasks.split(",")))
    environment = {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1"}
    sides: tuple[Side, ...] = ("plain", "harness")
    workers = {side: ProcessExecutor([environment]) for side in sides}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    scores: dict[str, dict[str, float]] = {}
    try:
        for repeat in range(-1, options.repeats):
            for side in sides:
                took, scores[side] = workers[side].submit(measure, side, bed).result()
                Console(stderr=True).print(f"{side}: {took:.2f} s{' (warming up)' if repeat < 0 else ''}")
                seconds[side] += [took] if repeat >= 0 else []
        for size in OTHER_BATCH_SIZES:
            again = workers["plain"].submit(partial(measure, "plain", bed, batch_size=size))
            scores[f"plain, batches of {size}"] = again.result()[1]
    finally:
        for worker in workers.values():
            worker.stop()
    _print(bed, seconds, scores)


def _print(bed: Testbed, seconds: dict[str, list[float]], scores: dict[str, dict[str, float]]) -> None:
    console = Console(width=120)
    table = Table(title=f"STSB dev and test, {', '.join(bed.tasks)}; {hardware()['cpu']}")
    for column in ("side", "seconds (median, range)", "plain / side"):
        table.add_column(column)
    plain = statistics.median(seconds["plain"])
    for side, taken in seconds.items():
        median, ordered = statistics.median(taken), sorted(taken)
        table.add_row(side, f"{median:.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})", f"{plain / median:.2f}")
    console.print(table)
    others = [side for side in scores if side != "plain"]
    gaps = Table("score", "plain", *others, title="differences from the plain scores")
    for name, score in scores["plain"].items():
        gaps.add_row(name, f"{score:.7f}", *(f"{abs(scores[side][name] - score):.1e}" for side in others))
    console.print(gaps)


if __name__ == "__main__":
    main()
