"""How a plan is executed. Light to import: the driver, which reads it, loads Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KeepModels: TypeAlias = Literal["best", "all", "none"]


@dataclass(frozen=True)
class Options:
    """How to execute a plan; none of this changes what a run's result is."""

    only: tuple[str, ...] = ()
    retry_failed: bool = False
    fail_fast: bool = False
    prune: bool = False
    keep_models: KeepModels = "best"
    report_to: tuple[str, ...] = ()
    storage: str | None = None
