"""Rows with planted faults, and the audit of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from hub import _write_data

from harness import Ablation, Budget, Space, Study, choice, log_uniform, testbeds
from harness.audit import cache
from harness.audit.examine import examine
from harness.audit.losses import try_loss
from harness.data.findings import Audit
from harness.spec import losses
from harness.testbeds.refs import Ref

MNR = losses.MultipleNegativesRankingLoss


def plant(cache: Path, name: str, config: str, split: str, frame: pd.DataFrame) -> Ref:
    """Put a data set of one split into the hub's cache, as fetching it would."""
    revision = hashlib.sha1(name.encode()).hexdigest()
    folder = cache / "hub" / f"datasets--planted--{name}" / "snapshots" / revision
    if not folder.exists():
        _write_data(folder, {config: {split: frame}})
    return Ref(f"planted/{name}", revision, config, split)


def make(studies: list[Study], rows: Ref | None = None, **parts: Any) -> Ablation:
    bed = replace(testbeds.book, also=(), max_rows=400, rows=rows or testbeds.book.rows, **parts)
    return Ablation(
        name="audited",
        testbed=bed,
        studies=studies,
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        budget=Budget(trials=1, epochs=1, seeds=1),
    )


def examined(ablation: Ablation) -> Audit:
    found = examine(ablation, "key", ())
    return replace(
        found,
        findings=(*found.findings, *(f for s in cache.own_losses(ablation) for f in try_loss(ablation, s.name))),
    )
