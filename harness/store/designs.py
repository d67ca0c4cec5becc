"""Designs: what study files declared when drivers started, as the store's log keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_RUNS = 10_000
"""Maximum number of trials or final seeds of a study that a store may name: a larger one would take hours to plan."""


@dataclass(frozen=True)
class Declared:
    """A study in a design."""

    subject: str
    """Identity of what it trains and is scored on (`plan.subject_id`)."""
    search: str
    """Identity of its search (`plan.search_id`)."""
    trials: int
    """Number of trials."""


@dataclass(frozen=True)
class Design:
    """A design: what a study file declared when a driver started.

    Attributes:
        studies: by name, what each was given.
        untrained: identity of what the untrained model is scored on, like `Declared.subject`.
        claims: the claims as `unlocking.claims` writes them, each with its studies.
        seeds: number of final seeds.
        max_seeds: maximum number of final seeds if they are added until decided.
        tunings: how often each study is tuned.
        repeats: number of further seeds with which the best trials are trained before one is chosen.
        measures: content hashes of the measures' data by name, where they were read; older logs have none.
        scored: the studies that already had test scores, so that this design was not blind to them; "untrained" is
            among them if that model had. Older logs do not name it.
        records: number of records in the store.
        at: the time (UTC, ISO 8601); reports do not print it.
        study_file: hash of the study file, None if it is unknown.
    """

    studies: Mapping[str, Declared]
    untrained: str
    claims: Mapping[str, tuple[str, ...]]
    seeds: int
    max_seeds: int | None = None
    scored: tuple[str, ...] = ()
    records: int = 0
    at: str = ""
    study_file: str | None = None
    tunings: int = 1
    repeats: int = 0
    measures: Mapping[str, str] = field(default_factory=dict)
