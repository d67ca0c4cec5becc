"""Ablations on the tiny hub, driven to their end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import Ablation, Budget, Space, Study, choice, log_uniform, testbeds
from harness.api import run
from harness.engine.options import Options
from harness.spec import losses

MNR = losses.MultipleNegativesRankingLoss


def make_ablation(studies: dict[str, Any], trials: int = 2, **changes: Any) -> Ablation:
    fields: dict[str, Any] = {
        "name": "driven",
        "testbed": replace(testbeds.book, also=(), max_rows=120),
        "studies": [Study(name, loss, "pair") for name, loss in studies.items()],
        "space": Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        "budget": Budget(trials=trials, epochs=1, seeds=1),
        "precision": "fp32",
    }
    return Ablation(**{**fields, **changes})


def driven(ablation: Ablation, store: Path, **options: Any) -> str:
    """Run an ablation in this process; return what it told on the way."""
    told = io.StringIO()
    run(
        ablation,
        store,
        Options(**{"keep_models": "none", **options}),
        executor="inline",
        console=Console(file=told, width=200),
    )
    return told.getvalue()
