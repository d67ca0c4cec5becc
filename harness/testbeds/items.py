"""TEMPORARY."""

from __future__ import annotations

from dataclasses import dataclass

from harness.testbeds import materials
from harness.testbeds.measure_kinds import Measure, Sts


@dataclass(frozen=True)
class Texts:
    pairs: tuple[tuple[str, str], ...] = ()
    singles: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


def texts_of(measure: Measure) -> Texts:
    if isinstance(measure, Sts):
        pairs = materials.load_sts(measure)
        return Texts(tuple(zip(pairs.sentence1, pairs.sentence2, strict=True)))
    return Texts()
