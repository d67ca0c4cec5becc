"""What a worker process is asked to do. Light to import: the driver names these functions without loading torch."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache

import cloudpickle

from harness.job import Job
from harness.records import Record
from harness.testbeds import Ref, Testbed


def do(pickled: bytes) -> Record:
    """Execute a cloudpickled job in this process."""
    return _execute()(cloudpickle.loads(pickled))


@cache
def _execute() -> Callable[[Job], Record]:
    from harness import work  # seconds and hundreds of megabytes, for workers alone

    gc.freeze()  # the trainer collects garbage in each run: .4 s of looking through modules that never go
    return work.execute


def fetch(testbed: Testbed) -> dict[str, str]:
    """Fetch everything that a testbed names; returns the tasks whose data cannot be had, with the reason."""
    from harness.testbeds import materials

    def task_refs() -> dict[str, list[Ref]]:
        if not testbed.tasks:
            return {}
        from harness import evaluation  # seconds, which nobody should wait for to hear that the hub is away

        return evaluation.task_refs(testbed.tasks)

    return materials.fetch(testbed, task_refs, lambda line: print(line, file=sys.stderr, flush=True))
