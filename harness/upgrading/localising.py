"""Where two trainings begin to differ: two probes of one study are compared stage by stage. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.text import shown
from harness.upgrading.probing import EVALUATION, LOSS_OWN, Probe, Stage
from harness.upgrading.sketches import Sketch, distance

ROUNDING = 1e-4
"""Largest relative difference that counts as rounding in float32: sums in another order differ by about 1e-6."""

COARSE = 5e-2
"""The same in a training in bf16 or fp16: other kernels (5.2.0 and 6.2.0) gave gradients that differ by .023."""

SMALLEST = 1e-2
"""A gradient shorter than this share of the longest is compared with that share: those of keys' biases are rounding."""

IN_TRAINING = ("batch of step", "loss at step", "gradients at step", "weights after step", "loss curve")
"""How the names of the stages begin that are computed in the precision of the training."""

GROUPS = (
    ("the loss's own parameters", re.compile(re.escape(LOSS_OWN))),
    ("the embeddings", re.compile(r".*embeddings?\b")),
    ("the layers", re.compile(r".*\blayers?\.\d+\.")),
)
"""Groups of parameters, by the beginning of their names; a parameter belongs to the first that fits."""

OTHERS = "the other parameters"


@dataclass(frozen=True)
class Difference:
    """What differs in one stage."""

    stage: str
    """Name of the stage."""
    name: str
    """What differs most in it, e.g. a parameter."""
    relative: float | None
    """By how much, relative to its length; None if it is no number, has another shape or is only on one side."""
    old: float | None
    """Its length on the old side; None if it has none."""
    new: float | None
    """Its length on the new side."""
    groups: tuple[str, ...] = ()
    """Groups of parameters that differ; none if the stage is not about parameters."""
    agreeing: tuple[str, ...] = ()
    """Groups of parameters that agree up to rounding."""

    def __str__(self) -> str:
        where = f", of {' and '.join(self.groups)}" if self.groups else ""
        lengths = f"norm {self.old:.4g} against {self.new:.4g}" if None not in (self.old, self.new) else "not the same"
        by = "" if self.relative is None else f", {self.relative:.2g} relative"
        rest = f"; {' and '.join(self.agreeing)} agree" if self.agreeing else ""
        return shown(f"{self.stage}{where} ({self.name}: {lengths}{by}){rest}")


@dataclass(frozen=True)
class Location:
    """Where two trainings begin to differ."""

    study: str
    """The study."""
    identical: tuple[str, ...]
    """Stages before the first difference that are identical bit by bit."""
    rounded: tuple[str, ...]
    """Stages before the first difference that are equal up to rounding."""
    first: Difference | None
    """The first difference beyond rounding; None if no stage differs."""
    evaluation: Difference | None
    """What differs in the evaluation of the untrained model; None if nothing does."""

    def __str__(self) -> str:
        if self.first is None:
            rounding = f", but for rounding in {self.rounded[0]} and after it" if self.rounded else ""
            text = f"no difference in the first steps of a training{rounding}"
        else:
            last = (*self.identical, *self.rounded)
            until = f"identical until: {self.identical[-1]}; " if self.identical else ""
            until += f"equal up to rounding until: {last[-1]}; " if self.rounded else ""
            text = f"{until}first difference: {self.first}"
        if self.evaluation is None:
            return f"{text}; the untrained model is evaluated alike"
        return f"{text}; evaluation differs, too: {self.evaluation}"


def location(old: Probe, new: Probe) -> Location:
    """Return where the first steps of a study differ between two environments."""
    by_name = {stage.name: stage for stage in new.stages}
    identical: list[str] = []
    rounded: list[str] = []
    first = evaluation = None
    for stage in old.stages:
        in_training = stage.name.startswith(IN_TRAINING) and {old.precision, new.precision} != {"fp32"}
        other = by_name.get(stage.name, Stage(stage.name, {}))
        difference = _difference(stage, other, COARSE if in_training else ROUNDING)
        if stage.name == EVALUATION:
            evaluation = difference
        elif first is None and difference is not None:
            first = difference
        elif first is None:
            (identical if stage == other and not rounded else rounded).append(stage.name)
    return Location(old.study, tuple(identical), tuple(rounded), first, evaluation)


def _difference(old: Stage, new: Stage, limit: float) -> Difference | None:
    """Return what differs most in a stage; None if everything agrees up to rounding."""
    names = dict.fromkeys((*old.seen, *new.seen))
    lengths_of_all = [each.norm or 0.0 for side in (old, new) for each in side.seen.values()]
    least = SMALLEST * max(lengths_of_all, default=0.0) if old.name.startswith("gradients") else 0.0
    distances = {name: _distance(name, old.seen, new.seen, least) for name in names}
    differing = [name for name, by in distances.items() if by > limit]
    if not differing:
        return None
    worst = max(differing, key=lambda name: distances[name])
    agreeing: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    if old.name.startswith(("gradients", "weights", "initial weights")):
        groups = tuple(dict.fromkeys(map(group, differing)))
        agreeing = tuple(each for each in dict.fromkeys(map(group, distances)) if each not in groups)
    by = distances[worst] if math.isfinite(distances[worst]) else None
    lengths = [side.seen[worst].norm if worst in side.seen else None for side in (old, new)]
    return Difference(old.name, worst, by, lengths[0], lengths[1], groups, agreeing)


def _distance(name: str, old: Mapping[str, Sketch], new: Mapping[str, Sketch], least: float) -> float:
    return distance(old[name], new[name], least) if name in old and name in new else math.inf


def group(name: str) -> str:
    """Return the group of a parameter, by its name."""
    return next((label for label, pattern in GROUPS if pattern.match(name)), OTHERS)
