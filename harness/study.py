"""What a study file declares: studies, their space and budget, and what is expected of them.

Everything here is a frozen dataclass that checks itself when it is made, without importing torch, sentence-transformers
or optuna: a mistake in a study file is reported in milliseconds, before anything is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from harness.data.views import VIEWS
from harness.errors import StudyFileError
from harness.expectations import Expectation
from harness.space import BOOK_DEFAULT, Choice, Dimension, LogUniform, Point, Space, Value
from harness.testbeds import Testbed


@dataclass(frozen=True)
class Budget:
    """What each study may spend: tuning trials, epochs (or examples) a run, and seeds of its final runs.

    `max_seeds`: where a verdict is still open after `seeds`, add final seeds one at a time up to this number; verdicts
    are then judged at stricter levels, so that looking repeatedly decides no more wrongly (None: add none).
    """

    trials: int = 16
    epochs: float = 1.0
    seeds: int = 5
    examples: int | None = None
    max_seeds: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("seeds", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise StudyFileError(f"budget: {name}={value!r}; every study needs at least {least}")
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


@dataclass(frozen=True)
class Study:
    """One loss/data variant. `options` are dimensions of its own, handed to the loss by name (e.g. `scale`)."""

    name: str
    loss: Callable[..., Any]
    view: str
    options: Mapping[str, Dimension] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"study {self.name!r}"
        if not self.name or self.name == UNTRAINED or any(c in self.name for c in "/\\\n|") or self.name[0] == ".":
            raise StudyFileError(
                f"{where}: a name needs at least one character, none of / \\ |, no leading dot; not {UNTRAINED!r}"
            )
        if not callable(self.loss):
            raise StudyFileError(
                f"{where}: loss={self.loss!r} is not callable; give losses.NAME or a function of the model"
            )
        if self.view not in VIEWS:
            raise StudyFileError(f"{where}: unknown view {self.view!r}; choose from {', '.join(VIEWS)}")
        for name, dimension in self.options.items():
            if not isinstance(dimension, (Choice, LogUniform)) or name in ("batch_size", "lr"):
                raise StudyFileError(
                    f"{where}: option {name!r} must be choice(...) or log_uniform(...) under a name of its own"
                )
        inputs = getattr(self.loss, "inputs", None)
        view = VIEWS[self.view]
        if inputs is not None and not view.feeds(inputs):
            mend = next((f'view="{other.name}"' for other in VIEWS.values() if other.feeds(inputs)), "another loss")
            raise StudyFileError(
                f"{where}: the loss needs {inputs}; view {view.name!r} has {', '.join(view.columns)}. Use {mend}."
            )


UNTRAINED = "untrained"
"""The base model's name in tables; expectations may use it like a study's."""

Precision: TypeAlias = Literal["auto", "fp32"]


@dataclass(frozen=True)
class Ablation:
    """What one study file declares. Raises StudyFileError, saying what is wrong and the mend, when it is inconsistent.

    `default` is the point that every study tries first and is also reported at, untuned: the book's. `precision` "auto"
    trains in bf16 or fp16 where the device has it.
    """

    name: str
    testbed: Testbed
    studies: Sequence[Study]
    space: Space
    budget: Budget = Budget()
    expect: Sequence[Expectation] = ()
    default: Point = BOOK_DEFAULT
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "studies", tuple(self.studies))
        object.__setattr__(self, "expect", tuple(self.expect))
        if not self.name or any(c in self.name for c in "/\\\n|") or self.name.startswith("."):
            raise StudyFileError(f"ablation name {self.name!r}: it names folders, so no / \\ | and no leading dot")
        if not isinstance(self.testbed, Testbed):
            raise StudyFileError(
                f"ablation {self.name!r}: testbed={self.testbed!r}; give one of harness.testbeds, e.g. testbeds.book"
            )
        if not self.studies:
            raise StudyFileError(f"ablation {self.name!r}: no studies; declare at least one Study(...)")
        names = [study.name for study in self.studies]
        for name in names:
            if names.count(name) > 1:
                raise StudyFileError(
                    f"ablation {self.name!r}: two studies are named {name!r}; give each a name of its own"
                )
        for expectation in self.expect:
            for name in expectation.studies:
                if name not in (*names, UNTRAINED):
                    raise StudyFileError(
                        f"expectation '{expectation}': no study {name!r}; there are {', '.join((*names, UNTRAINED))}"
                    )

    def study(self, name: str) -> Study:
        return next(study for study in self.studies if study.name == name)

    def dimensions(self, study: Study) -> dict[str, Dimension]:
        """Return everything that a study is tuned over on this testbed, by name: batch_size, lr, its own options."""
        space = self.space.scaled(self.testbed.lr_scale)
        return {"batch_size": space.batch_size, "lr": space.lr, **dict(sorted(study.options.items()))}

    def default_point(self, study: Study) -> Point:
        """Return the untuned point of a study on this testbed."""
        options = {name: dimension.start for name, dimension in study.options.items()}
        lr = float(f"{self.default.lr * self.testbed.lr_scale:.4g}")
        return Point.from_dict(
            {**options, **dict(self.default.options), "batch_size": self.default.batch_size, "lr": lr}
        )

    def distinct_points(self, study: Study) -> float:
        """Return how many points a study's space holds, infinity if a dimension is continuous."""
        if any(isinstance(dimension, LogUniform) for dimension in self.dimensions(study).values()):
            return math.inf
        return len({*self.grid(study), self.default_point(study)})

    def grid(self, study: Study) -> list[Point]:
        """Return every point of a space that has no continuous dimension."""
        points: list[dict[str, Value]] = [{}]
        for name, dimension in self.dimensions(study).items():
            assert isinstance(dimension, Choice)
            points = [{**point, name: value} for point in points for value in dimension.values]
        return [Point.from_dict(point) for point in points]

    def trials(self, study: Study) -> int:
        """Return how many trials a study gets: the budget's, or fewer where its space has no more points."""
        return int(min(self.budget.trials, self.distinct_points(study)))


def restrict(
    ablation: Ablation,
    *,
    testbed: Testbed | None = None,
    rows: int | None = None,
    tasks: Sequence[str] | None = None,
    trials: int | None = None,
    seeds: int | None = None,
    epochs: float | None = None,
    precision: Precision | None = None,
    max_seeds: int | None = None,
) -> Ablation:
    """Return the ablation with the command line's options in place of what its file says."""
    bed = testbed or ablation.testbed
    bed = replace(
        bed, max_rows=bed.max_rows if rows is None else rows, tasks=bed.tasks if tasks is None else tuple(tasks)
    )
    given: dict[str, Any] = {"trials": trials, "seeds": seeds, "epochs": epochs, "max_seeds": max_seeds}
    if testbed is not None:
        given = {**given, "trials": trials or testbed.trials, "seeds": seeds or testbed.seeds}
    budget = replace(ablation.budget, **{name: value for name, value in given.items() if value is not None})
    return replace(ablation, testbed=bed, budget=budget, precision=precision or ablation.precision)
