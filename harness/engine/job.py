"""Job: everything that a worker needs to execute one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from harness.errors import StudyFileError
from harness.planning.plan import PlannedRun
from harness.spec.ablation import Ablation


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to know of a run.

    A tuning run's ablation has a sealed testbed, which names no test set. `tasks` are evaluated if the run is final or
    untrained (a tuning run has none); `missing` is recorded for those that are not available. `rivals` are the dev
    curves that decide on pruning (None: no pruning). `staging` is the run's own folder. `beside` is the study file's
    folder, whose modules each run imports again, so that runs do not share their state.
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
    progress_token: str = ""
    provenance: Mapping[str, Any] | None = None
    beside: str | None = None


def packed(what: Any, ablation: str) -> bytes:
    """Pickle an object for a worker, by value where it is defined in a study file or a notebook.

    Raises:
        StudyFileError: a study's loss cannot be pickled.
    """
    try:
        pickled: bytes = cloudpickle.dumps(what)
    except Exception as problem:  # any object's own
        raise StudyFileError(
            f"{ablation}: a study's loss cannot be sent to a worker ({problem}); "
            "create the objects that it holds inside the function, when it is called"
        ) from problem
    return pickled
