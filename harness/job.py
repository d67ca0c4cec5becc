"""What a worker is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.plan import PlannedRun
from harness.study import Ablation


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to know of a run.

    A tuning run's ablation has a sealed testbed, which names no test set. `tasks` are evaluated if the run is final or
    untrained (a tuning run has none); `missing` is recorded for those that cannot be had. `rivals`
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
