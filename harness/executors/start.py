"""Start an executor, with processors and GPUs shared evenly among its workers."""

from __future__ import annotations

import os
from collections.abc import Callable

from harness import provenance
from harness.errors import UsageError
from harness.executors import Executor, ExecutorName

ENVIRONMENT = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",  # most shapes are new; 1,024 took 0.4 GB and were no faster
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",  # all data were fetched before the first run
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # required for deterministic matrix products on a GPU
}
"""Environment variables of all workers, besides their threads and GPU."""

SHARED = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Environment variables if there are several workers: spinning threads are many times slower if they share cores.

A single worker keeps the default: on small models, sleeping threads take twice as long.
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
        name: kind of executor.
        workers: number of concurrent runs; if None, `runs_per_gpu` per GPU, or one per `threads` cores.
        runs_per_gpu: number of runs that share a GPU.
        time_limit: seconds after which a run and its worker are stopped.
        prepare: function that local worker processes call as soon as they start.
        ahead: number of worker processes to start now, the others on demand; all if None.
        threads: threads per worker. If None, 1 for any number of workers: another order of summation changes scores by
            about 5e-5, and a search may then choose other points. A worker with a GPU gets its share of the cores
            instead, because its scores are computed on the GPU.

    Raises:
        UsageError: Ray is requested but not installed, or no cluster answers.
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
