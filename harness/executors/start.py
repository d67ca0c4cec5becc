"""Starts the executor that a run was asked for, its workers sharing processors and GPUs evenly."""

from __future__ import annotations

import os
from collections.abc import Callable

from harness import provenance
from harness.errors import UsageError
from harness.executors import Executor, ExecutorName

ENVIRONMENT = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",  # every batch has new shapes: 1,024 kept .4 GB of them, no faster
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",  # everything was fetched before the first run
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # with which a GPU's products are summed in one order
}
"""What workers are given before they import anything heavy, beside their threads and their GPU."""

SHARED = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For a worker that is not alone: threads that spin while they wait are many times slower when another has the core.

Alone, it is the other way round: threads that sleep take twice as long on small models.
"""


def start(
    name: ExecutorName,
    workers: int | None = None,
    runs_per_gpu: int = 1,
    time_limit: float | None = None,
    prepare: Callable[[], None] | None = None,
    ahead: int | None = None,
    threads: int | None = None,
) -> Executor:
    """Start an executor.

    Args:
        workers: how many runs at once; if None, `runs_per_gpu` a GPU, or one for every `threads` cores.
        time_limit: seconds that a run may take; a longer one is stopped, with its worker.
        prepare: what worker processes of this machine do as soon as they start, which is now.
        ahead: how many of them start now, the others when they are needed; all if None.
        threads: of each worker. If None, 1, whatever the number of workers: sums in another order give scores that
            differ by some 5e-5, and with them a search may ask for other points. A worker that has a GPU gets its
            share of the cores instead, since no score is summed on them.

    Raises UsageError if Ray is asked for and cannot be had.
    """
    if name == "inline":
        from harness.executors.inline import InlineExecutor

        return InlineExecutor()
    if name == "ray":
        return _ray(workers, runs_per_gpu, time_limit, threads or 1)
    from harness.executors.processes import ProcessExecutor

    gpus = len(provenance.gpus())
    count = workers or provenance.default_workers(threads or 1) * (runs_per_gpu if gpus else 1)
    threads = threads or (max(1, provenance.cores() // count) if gpus else 1)
    environment = ENVIRONMENT | _threads(threads) | (SHARED if count > 1 else {})
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    return ProcessExecutor(
        [
            environment | ({"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} if gpus else {})
            for slot in range(count)
        ],
        time_limit,
        prepare,
        ahead,
    )


def _ray(workers: int | None, runs_per_gpu: int, time_limit: float | None, threads: int) -> Executor:
    try:
        from harness.executors.ray import RayExecutor
    except ImportError as problem:
        raise UsageError(
            "--executor ray: Ray is not installed; pip install 'harness-embeddings[ray]' on every node"
        ) from problem
    return RayExecutor(
        ENVIRONMENT | SHARED | _threads(threads),
        threads=threads,
        share=1 / runs_per_gpu,
        slots=workers,
        time_limit=time_limit,
    )


def _threads(count: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(count), "MKL_NUM_THREADS": str(count)}
