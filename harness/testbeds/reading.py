"""TEMPORARY, replaced at merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import AuditFailed
from harness.testbeds import files
from harness.testbeds.fetching import locate
from harness.testbeds.labels import known
from harness.testbeds.refs import EMBEDDED
from harness.testbeds.sources import Frame, Hub, Mix, Nli, Source, Taken


@dataclass(frozen=True)
class Rows:
    rows: pd.DataFrame
    names: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: tuple[int, ...] = ()


@lru_cache(maxsize=8)
def read(source: Source) -> Rows:
    if isinstance(source, Hub):
        if source.ref.repo == EMBEDDED:
            return Rows(pd.read_parquet(locate(source.ref) / f"{source.ref.split}.parquet"))
        frame, names = files.read(locate(source.ref), source.ref)
        return Rows(frame, names)
    if isinstance(source, Nli):
        inner = read(source.of)
        data = inner.rows
        lacks = [n for n in ("premise", "hypothesis", "label") if n not in data]
        if lacks:
            raise AuditFailed(
                f"{source}: no column {', '.join(lacks)}; it has {', '.join(map(str, data))}. Name another set or config"
            )
        labels = known(data["label"], source.labels or inner.names.get("label", ()), str(source))
        texts = {}
        for n in ("premise", "hypothesis"):
            other = next((v for v in data[n][data[n].notna()] if not isinstance(v, str)), None)
            if other is not None:
                raise AuditFailed(f"{source}: column {n!r} holds {other!r} ({type(other).__name__}), not a text")
            texts[n] = data[n].fillna("")
        return Rows(
            pd.DataFrame({**texts, "label": labels}), unlabelled=tuple(np.flatnonzero(data["label"].isna()).tolist())
        )
    if isinstance(source, Mix):
        parts = [read(p) for p in source.parts]
        place = np.concatenate([(np.arange(len(p.rows)) + 0.5) / len(p.rows) for p in parts])
        order = np.argsort(place, kind="stable")
        nulls = np.concatenate([np.isin(np.arange(len(p.rows)), p.unlabelled) for p in parts])[order]
        mixed = pd.concat([p.rows for p in parts], ignore_index=True).iloc[order].reset_index(drop=True)
        return Rows(mixed, unlabelled=tuple(np.flatnonzero(nulls).tolist()))
    if isinstance(source, Taken):
        inner = read(source.of)
        return Rows(inner.rows.head(source.number), inner.names)
    if isinstance(source, Frame):
        return Rows(source.rows)
    raise NotImplementedError(type(source))
