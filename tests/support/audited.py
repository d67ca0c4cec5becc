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
from harness.testbeds.sources import Hub, Source

MNR = losses.MultipleNegativesRankingLoss


def revision_of(name: str) -> str:
    """Return the revision of a planted data set."""
    return hashlib.sha1(name.encode()).hexdigest()


def plant(cache: Path, name: str, config: str, split: str, frame: pd.DataFrame) -> Hub:
    """Put a data set of one split into the hub's cache, as fetching it would."""
    revision = revision_of(name)
    folder = cache / "hub" / f"datasets--planted--{name}" / "snapshots" / revision
    if not folder.exists():
        _write_data(folder, {config: {split: frame}})
    return Hub(Ref(f"planted/{name}", revision, config, split))


def make(studies: list[Study], rows: Source | None = None, **parts: Any) -> Ablation:
    bed = replace(testbeds.book, also=(), max_rows=400, source=rows or testbeds.book.source, **parts)
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
