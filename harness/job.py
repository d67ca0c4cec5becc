"""What a worker is given. Light to import: the driver names these without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from harness.plan import PlannedRun
from harness.records import Record
from harness.study import Ablation
from harness.testbeds import Ref, Testbed


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to know of a run.

    `tasks` are evaluated if the run is final or untrained; `missing` is recorded for those that cannot be had. `rivals`
    are the dev curves that decide on pruning (None: no pruning). `staging` is the run's own folder.
    """

    run: PlannedRun
    ablation: Ablation
    tasks: tuple[str, ...]
    missing: Mapping[str, str]
    staging: Path
    keep_model: bool = False
    report_to: tuple[str, ...] = ()
    rivals: tuple[tuple[tuple[float, float], ...], ...] | None = None
    progress_port: int | None = None
    provenance: Mapping[str, Any] | None = None


def do(pickled: bytes) -> Record:
    """Execute a cloudpickled job in this process."""
    from harness import work  # seconds and hundreds of megabytes, for workers alone

    return work.execute(cloudpickle.loads(pickled))


def fetch(testbed: Testbed) -> dict[str, str]:
    """Fetch everything that a testbed names; returns the tasks whose data cannot be had, with the reason."""
    import sys

    from harness.testbeds import materials

    def task_refs() -> dict[str, list[Ref]]:
        if not testbed.tasks:
            return {}
        from harness import evaluation  # seconds, which nobody should wait for to hear that the hub is away

        return evaluation.task_refs(testbed.tasks)

    return materials.fetch(testbed, task_refs, lambda line: print(line, file=sys.stderr, flush=True))
