"""How a plan is executed. Light to import: the driver, which reads it, loads Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KeepModels: TypeAlias = Literal["best", "all", "none"]


@dataclass(frozen=True)
class Options:
    """How to execute a plan; no option changes the result of a run."""

    only: tuple[str, ...] = ()
    """Execute only the runs of these studies and of the studies that mine for them; all if empty."""
    retry_failed: bool = False
    """Repeat failed runs and those that ran out of memory."""
    fail_fast: bool = False
    """Start no more runs after one has failed."""
    prune: bool = False
    """Stop trials with a poor dev curve early; budgets are then unequal."""
    keep_models: KeepModels = "best"
    """Which final models to save."""
    report_to: tuple[str, ...] = ()
    """Trackers for the trainer, e.g. "tensorboard"."""
    storage: str | None = None
    """URL of the database for optuna-dashboard; None for SQLite in the store, "none" for no database."""
