"""Budget: how many trials and final runs each study gets, and how long a run trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from harness.errors import StudyFileError

TUNING_STEP = 1000
"""The seeds of tuning number t are t times this: its trials have this very seed, its final runs the next ones."""

MANY, REPEATS = 12, 2
"""Budgets with so many trials train the best ones with so many further seeds, unless `repeats` says otherwise."""

Checkpoint: TypeAlias = Literal["last", "best"]


@dataclass(frozen=True)
class Budget:
    """The training budget of each study.

    Raises:
        StudyFileError: a number is out of range.
    """

    trials: int = 16
    """Tuning trials per study."""
    epochs: float = 1.0
    """Epochs per run; ignored if `examples` is given."""
    seeds: int = 5
    """Seeds of the final runs."""
    examples: int | None = None
    """Training examples per run instead of `epochs`."""
    tunings: int = 1
    """How often each study is tuned, with other start-up points and seeds; `seeds` final runs follow each tuning."""
    repeats: int | None = None
    """With how many further seeds the three best trials are trained before one is chosen; see `further_seeds`."""
    max_seeds: int | None = None
    """Add final seeds up to this number while a verdict is inconclusive; verdicts then use stricter levels."""

    checkpoint: Checkpoint = "last"
    """Which model of a training is scored: the last one, or the "best" of the dev scores after each tenth of it."""

    def __post_init__(self) -> None:
        if self.checkpoint not in get_args(Checkpoint):
            raise StudyFileError(
                f"budget: checkpoint={self.checkpoint!r}; choose from {', '.join(get_args(Checkpoint))}"
            )
        for name, least in (("trials", 1), ("seeds", 1), ("tunings", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise StudyFileError(f"budget: {name}={value!r}; every study needs at least {least}")
        if self.repeats is not None and (not isinstance(self.repeats, int) or self.repeats < 0):
            raise StudyFileError(f"budget: repeats={self.repeats!r}; give a number of seeds, 0 for none")
        if not 0 < self.epochs < math.inf:
            raise StudyFileError(
                f"budget: epochs={self.epochs!r}; training needs a number of more than 0 (0.5 is half the rows)"
            )
        if self.examples is not None and self.examples < 1:
            raise StudyFileError(f"budget: examples={self.examples!r}; training needs at least 1")
        if self.max_seeds is not None and not (isinstance(self.max_seeds, int) and self.max_seeds >= self.seeds):
            raise StudyFileError(
                f"budget: max_seeds={self.max_seeds!r}; give at least the {self.seeds} seeds that are planned at first"
            )
        if self.max_seeds is not None and self.tunings > 1:
            raise StudyFileError(
                f"budget: max_seeds={self.max_seeds} with tunings={self.tunings}; further seeds of the same tunings "
                "cannot decide a claim about tuning. Give more tunings instead"
            )
        if max(self.seeds, self.max_seeds or 0) + self.further_seeds >= TUNING_STEP:
            raise StudyFileError(
                f"budget: seeds={self.seeds} with {self.further_seeds} repeats; a study has at most {TUNING_STEP - 1} "
                "seeds after its trials"
            )

    @property
    def further_seeds(self) -> int:
        """With how many further seeds the best trials are trained: `repeats`, or 2 if there are at least 12 trials.

        Six further runs are worth as much as six further trials and leave less to luck, but with few trials those show
        more of the space (docs/statistics.md). From 12 trials on, they add at most half to the cost of the tuning.
        """
        return self.repeats if self.repeats is not None else REPEATS if self.trials >= MANY else 0
