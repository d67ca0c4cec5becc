"""Options of executing a plan. Light to import, unlike the driver, which loads Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KeepModels: TypeAlias = Literal["best", "all", "none"]


@dataclass(frozen=True)
class Options:
    """How to execute a plan. None of the options changes the result of a run."""

    only: tuple[str, ...] = ()
    """Names of the studies to run; all if empty."""
    retry_failed: bool = False
    """Repeat runs that failed or ran out of memory."""
    fail_fast: bool = False
    """Start no further run after one has failed."""
    prune: bool = False
    """Stop trials early whose dev scores are below the median of earlier trials."""
    keep_models: KeepModels = "best"
    """Which models of final runs are kept."""
    report_to: tuple[str, ...] = ()
    """Integrations of the trainer: "tensorboard", "wandb", "mlflow"."""
    storage: str | None = None
    """Address of Optuna's database, or "none"; a file in the store if None."""
