"""The document that a probe writes and a comparison reads: what was seen of the first steps of a study's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.upgrading.sketches import Sketch

VERSION = 1
"""Version of the document; another one is not read."""

LOSS_OWN = "loss."
"""How the name of a parameter begins that belongs to the loss and not to the model."""

STEPS, CURVE = 3, 20
"""Steps of which gradients and weights are seen, and of which the loss is."""

EVALUATION = "evaluation of the untrained model"
"""Name of the stage that does not depend on the ones before it, except on the initial weights."""


@dataclass(frozen=True)
class Job:
    """What a probe does."""

    testbed: str | None
    """Name of a testbed in place of the file's."""
    rows: int | None
    """Training rows in place of the testbed's."""
    epochs: float | None
    """Epochs in place of the file's."""
    precision: str | None
    """Precision in place of the file's."""
    study: str
    """The study."""
    point: Mapping[str, int | float | str]
    """Its point: batch size, learning rate and options."""
    seed: int
    """The seed."""


@dataclass(frozen=True)
class Stage:
    """What was seen at one moment, in the order of a training."""

    name: str
    """Which moment, e.g. "gradients at step 1"."""
    seen: Mapping[str, Sketch]
    """What was seen, by name, e.g. by parameter; the loss's own parameters begin with "loss."."""


@dataclass(frozen=True)
class Probe:
    """Everything that a probe saw of a study."""

    version: int
    """Version of the document."""
    study: str
    """The study."""
    precision: str
    """Precision of the training."""
    stages: tuple[Stage, ...]
    """The stages in order; that of the evaluation comes last."""
