"""What a worker process is asked to do. Light to import: the driver names these functions without loading torch."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from functools import cache

import cloudpickle
from tqdm import tqdm

from harness import provenance
from harness.data.findings import Audit, Finding
from harness.embedded import TASK_NAMES
from harness.job import Job
from harness.records import Record
from harness.testbeds import Ref, Testbed, embedded_task

PATIENCE = 3.0
"""Seconds that an audit may take without a word."""


def do(pickled: bytes) -> Record:
    """Execute a cloudpickled job in this process."""
    return _execute()(cloudpickle.loads(pickled))


def prepare() -> None:
    """Import what a run needs: a worker does, as soon as it is started, while the data are fetched and audited."""
    _execute()


@cache
def _execute() -> Callable[[Job], Record]:
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed worker would leave behind
    from harness import work  # seconds and hundreds of megabytes, for workers alone

    gc.freeze()  # the trainer collects garbage in each run: .4 s of looking through modules that never go
    return work.execute


def fetch(testbed: Testbed) -> dict[str, str]:
    """Fetch everything that a testbed names; returns the tasks whose data cannot be had, with the reason."""
    from harness.testbeds import materials

    def task_refs() -> dict[str, list[Ref]]:
        if set(testbed.tasks) <= set(TASK_NAMES):
            return {name: [embedded_task(name)] for name in testbed.tasks}
        from harness import evaluation  # seconds, which nobody should wait for to hear that the hub is away

        return evaluation.task_refs(testbed.tasks)

    def tell(line: str) -> None:
        print(provenance.without_secrets(line), file=sys.stderr, flush=True)

    found = materials.fetch(testbed, task_refs, tell)
    return {task: provenance.without_secrets(why) for task, why in found.items()}


def audit(pickled: bytes, key: str, missing: Collection[str]) -> Audit:
    """Audit the data of a cloudpickled ablation; its parts are told on stderr once it takes long."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything was fetched before
    os.environ["TQDM_DISABLE"] = "1"
    tqdm.set_lock(threading.RLock())
    from harness.examine import examine

    began = time.monotonic()

    def tell(line: str) -> None:
        if time.monotonic() - began > PATIENCE:
            print(f"audit: {line}", file=sys.stderr, flush=True)

    return examine(cloudpickle.loads(pickled), key, missing, tell)


def probe(pickled: bytes, study: str) -> list[Finding]:
    """Try whether a loss reads its labels. A process of its own, because a loss may end it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness.examine import probe as tried

    return tried(cloudpickle.loads(pickled), study)
