"""Entry points of worker processes. Light to import: the driver refers to these functions without loading torch."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache

import cloudpickle
from tqdm import tqdm

from harness import provenance
from harness.data.findings import Audit, Finding
from harness.embedded import TASK_NAMES
from harness.engine.job import Job
from harness.spec.ablation import Precision
from harness.store.records import Record
from harness.testbeds import embedded_task
from harness.testbeds.measure_kinds import Mteb
from harness.testbeds.refs import Ref
from harness.text import shown

PATIENCE = 3.0
"""Seconds after which an audit prints its progress."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>, glibc


def execute_job(pickled: bytes) -> Record:
    """Execute a cloudpickled job in this process."""
    from harness.spec.loading import imported_anew

    job: Job = cloudpickle.loads(pickled)
    with imported_anew(job.beside):
        return _imported_execute()(job)


def prepare() -> None:
    """Import the modules that a run needs; workers call this while the data are fetched and audited."""
    _imported_execute()


@cache
def _imported_execute() -> Callable[[Job], Record]:
    """Import and return `run.execute`."""
    tqdm.set_lock(threading.RLock())  # the default is a semaphore of the system, which a killed worker would leak
    gc.disable()  # garbage collection during the imports frees nothing and took 1.5 of 6.4 s
    try:
        from harness.engine import run  # only workers import it: it takes seconds and hundreds of megabytes
    finally:
        gc.enable()
    tune_memory_management()
    return run.execute


def tune_memory_management() -> None:
    """Tune garbage collection and malloc for many short runs; call it once all imports are done.

    Existing objects are excluded from garbage collection, which took 0.4 s in each run. Freed memory stays with the
    process. Otherwise each step of a larger model would return pages to the kernel and receive them again, zeroed,
    which took 7 percent of a step at width 192. The peak does not change. Only glibc has these options.
    """
    gc.freeze()
    if sys.platform.startswith("linux"):
        with suppress(AttributeError):  # another C library
            for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
                ctypes.CDLL(None).mallopt(option, 2**31 - 1)


def fetch(pickled: bytes) -> dict[str, str]:
    """Fetch everything that a cloudpickled testbed and studies' sources name.

    Returns:
        The tasks and further measures whose data are not available, with the reason.
    """
    from harness.testbeds import fetching

    testbed, sources = cloudpickle.loads(pickled)
    of_measures = {measure.name: measure.task for measure in testbed.measures if isinstance(measure, Mteb)}
    tasks = {**{task: task for task in testbed.tasks}, **of_measures}

    def task_refs() -> dict[str, list[Ref]]:
        if set(tasks.values()) <= set(TASK_NAMES):
            return {name: [embedded_task(task)] for name, task in tasks.items()}
        from harness.evaluation import mteb_tasks  # slow import: skipped when the hub is unreachable

        refs = mteb_tasks.task_refs(list(tasks.values()))
        return {name: refs[task] for name, task in tasks.items()}

    def tell(line: str) -> None:
        print(shown(provenance.without_secrets(line)), file=sys.stderr, flush=True)

    missing = fetching.fetch(testbed, sources, task_refs, tell)
    return {task: provenance.without_secrets(why) for task, why in missing.items()}


def measure(pickled: bytes, only_there: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hashes of a cloudpickled testbed's parts and studies' sources, and of named files."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # all data were fetched before
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
    tqdm.set_lock(threading.RLock())
    from harness.reading.hashes import contents_of, of_names

    testbed, sources, names = cloudpickle.loads(pickled)
    return contents_of(testbed, sources, only_there), of_names(names)


def precision(requested: Precision) -> str:
    """Return the training precision on this worker's device."""
    from harness.training.precision import precision_here

    return precision_here(requested)


def audit(pickled: bytes, key: str, missing: Collection[str]) -> Audit:
    """Audit the data of a cloudpickled ablation; print progress to stderr if it takes long.

    Args:
        pickled: the ablation.
        key: key of the audit in the store.
        missing: tasks whose data are not available.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # all data were fetched before
    os.environ["TQDM_DISABLE"] = "1"
    tqdm.set_lock(threading.RLock())
    from harness.audit.examine import examine

    began = time.monotonic()

    def tell(line: str) -> None:
        if time.monotonic() - began > PATIENCE:
            print(f"audit: {line}", file=sys.stderr, flush=True)

    return examine(cloudpickle.loads(pickled), key, missing, tell)


def load_base_model(pickled: bytes) -> list[Finding]:
    """Load a base model as the studies do; in a worker, whose environment is set, or in the user's own process.

    Args:
        pickled: the arguments of `harness.audit.base_model.of_base_model`.
    """
    tqdm.set_lock(threading.RLock())
    from harness.audit.base_model import of_base_model

    return of_base_model(*cloudpickle.loads(pickled))


def try_loss(pickled: bytes, study: str, folder: str | None) -> list[Finding]:
    """Try the loss of a study of a cloudpickled ablation; in a separate process, because a loss may crash it.

    Args:
        pickled: the ablation.
        study: name of the study.
        folder: the study file's folder, whose modules are imported again, so that studies do not share their state.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
    tqdm.set_lock(threading.RLock())
    from harness.audit import losses
    from harness.spec.loading import imported_anew

    ablation = cloudpickle.loads(pickled)
    with imported_anew(folder):
        return losses.try_loss(ablation, study, folder)
