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
    """Everything that a worker needs to execute a run."""

    run: PlannedRun
    """The run."""
    ablation: Ablation
    """The ablation with the run's study; that of a tuning run has a sealed testbed, which names no test set."""
    tasks: tuple[str, ...]
    """mteb tasks to evaluate; none in a tuning run."""
    missing: Mapping[str, str]
    """Tasks whose data are not available, with the reason, for the record."""
    staging: Path
    """The run's own folder, for all files that it writes."""
    keep_model: bool = False
    """Whether to save the trained model."""
    report_to: tuple[str, ...] = ()
    """Integrations of the trainer: "tensorboard", "wandb", "mlflow"."""
    rivals: tuple[tuple[tuple[float, float], ...], ...] | None = None
    """Dev curves of earlier trials, which decide on pruning; None if the search does not prune."""
    progress_port: int | None = None
    """UDP port of the driver that receives progress."""
    progress_token: str = ""
    """Secret that authenticates progress."""
    provenance: Mapping[str, Any] | None = None
    """Provenance that the driver determined, for the record."""
    beside: str | None = None
    """Folder of the study file, whose modules each run imports again, so that runs do not share their state."""


def packed(what: Any, ablation: str) -> bytes:
    """Pickle an object for a worker, by value if it is defined in a study file or a notebook.

    Args:
        what: the object.
        ablation: name of the ablation, for the error message.

    Raises:
        StudyFileError: a study's loss cannot be pickled.
    """
    try:
        pickled: bytes = cloudpickle.dumps(what)
    except Exception as problem:  # the pickling methods of an object may raise anything
        raise StudyFileError(
            f"{ablation}: a study's loss cannot be sent to a worker ({problem}); "
            "create the objects that it holds inside the function, when it is called"
        ) from problem
    return pickled
