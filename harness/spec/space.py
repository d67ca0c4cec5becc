"""Search space of a study: dimensions, points, and the space of batch size and learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from harness.errors import StudyFileError

Value: TypeAlias = int | float | str


@dataclass(frozen=True)
class Choice:
    """A dimension of the space with a finite set of values."""

    values: tuple[Value, ...]
    """The values, each once."""
    default: Value | None = None
    """The value of an untuned run; the first one if None."""

    def __post_init__(self) -> None:
        if not self.values:
            raise StudyFileError("empty space: choice() has no values; give at least one, e.g. choice(16, 32)")
        unfit = [value for value in self.values if not isinstance(value, int | float | str)]
        if unfit:
            raise StudyFileError(
                f"choice(...) has the value {unfit[0]!r}; give numbers or texts one by one, e.g. choice(16, 32)"
            )
        if len(set(self.values)) < len(self.values):
            raise StudyFileError(f"choice{self.values} repeats a value; give each value once")

    def at(self, u: float) -> Value:
        """Map u in [0, 1) to a value."""
        return self.values[int(u * len(self.values))]

    @property
    def start(self) -> Value:
        """The value of an untuned run."""
        return self.values[0] if self.default is None else self.default


@dataclass(frozen=True)
class LogUniform:
    """A dimension of the space between two positive numbers, searched on a logarithmic scale."""

    low: float
    """The lowest value."""
    high: float
    """The highest value."""
    default: float | None = None
    """The value of an untuned run; the geometric mean of `low` and `high` if None."""

    def __post_init__(self) -> None:
        text = next((value for value in (self.low, self.high) if not isinstance(value, int | float)), None)
        if text is not None:
            raise StudyFileError(
                f"log_uniform({self.low!r}, {self.high!r}): {text!r} is not a number; "
                "write two numbers, e.g. log_uniform(1e-6, 2e-4)"
            )
        if not (0 < self.low <= self.high < math.inf):
            swapped = 0 < self.high < self.low < math.inf
            fix = f"; swap the two: log_uniform({self.high}, {self.low})" if swapped else ""
            raise StudyFileError(
                f"empty space: log_uniform({self.low}, {self.high}) holds no number; it needs 0 < low <= high{fix}"
            )
        if self.high < 1.1 * self.low:  # at four digits such a range has too few values to search
            raise StudyFileError(f"log_uniform({self.low}, {self.high}) is too narrow; use choice(...)")

    def at(self, u: float) -> float:
        """Map u in [0, 1) to a value, rounded to four digits to keep tables readable."""
        return float(f"{self.low * (self.high / self.low) ** u:.4g}")

    @property
    def start(self) -> float:
        """The value of an untuned run."""
        return math.sqrt(self.low * self.high) if self.default is None else self.default

    def scaled(self, factor: float) -> LogUniform:
        """Return the dimension with its bounds and default multiplied."""
        default = None if self.default is None else self.default * factor
        return LogUniform(self.low * factor, self.high * factor, default)


Dimension: TypeAlias = Choice | LogUniform

ROUNDED = 1e-3
"""More than what rounding a value to four digits changes it by: such a value at a bound still lies in the space."""


def outside(dimension: Dimension, value: Value) -> str | None:
    """Say as the end of a sentence that a dimension does not hold a value; None if it does.

    Args:
        dimension: the dimension.
        value: a value, e.g. of the default point, which may lie anywhere.
    """
    if isinstance(dimension, Choice):
        held = ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in dimension.values)
        return None if value in dimension.values else f"outside the space, which holds {held}"
    if not isinstance(value, str) and value < dimension.low * (1 - ROUNDED):
        return f"outside the space, which begins at {dimension.low:g}"
    if not isinstance(value, str) and value > dimension.high * (1 + ROUNDED):
        return f"outside the space, which ends at {dimension.high:g}"
    return None


def as_choice(value: Any) -> str:
    """Return how to write a plain value or list of values as a dimension, e.g. "write choice(16, 32)"."""
    values = value if isinstance(value, list | tuple | set | range) else [value]
    return f"write e.g. choice({', '.join(map(repr, values))})"


def choice(*values: Value, default: Value | None = None) -> Choice:
    """Return a dimension that takes one of these values.

    Args:
        values: the values, each once.
        default: the value of an untuned run; the first one if None.

    Raises:
        StudyFileError: there are no values, or one is repeated.
    """
    return Choice(values, default)


def log_uniform(low: float, high: float, default: float | None = None) -> LogUniform:
    """Return a dimension between two positive numbers, searched on a logarithmic scale.

    Args:
        low: the lowest value.
        high: the highest value.
        default: the value of an untuned run; the geometric mean of `low` and `high` if None.

    Raises:
        StudyFileError: the range is empty or too narrow.
    """
    return LogUniform(low, high, default)


@dataclass(frozen=True)
class Point:
    """One point of a search space."""

    batch_size: int
    """Batch size."""
    lr: float
    """Peak learning rate."""
    options: tuple[tuple[str, Value], ...] = ()
    """Options of the loss that the study searches, as (name, value) pairs."""

    def as_dict(self) -> dict[str, Value]:
        """Return all values by name, for JSON."""
        return {"batch_size": self.batch_size, "lr": self.lr, **dict(self.options)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Point:
        """Return the point that has these values by name."""
        options = {name: value for name, value in values.items() if name not in ("batch_size", "lr")}
        return cls(int(values["batch_size"]), float(values["lr"]), tuple(sorted(options.items())))

    def __str__(self) -> str:
        options = "".join(
            f", {name} {value:.3g}" if isinstance(value, float) else f", {name} {value}" for name, value in self.options
        )
        return f"batch {self.batch_size}, lr {self.lr:.3g}{options}"


BOOK_DEFAULT = Point(batch_size=32, lr=5e-5)


@dataclass(frozen=True)
class Space:
    """The search space of all studies of an ablation.

    A `default=` of a dimension is that of `Ablation.default`, the point of untuned runs.

    Raises:
        StudyFileError: a dimension is of the wrong type or has invalid values.
    """

    batch_size: Choice
    """Batch sizes."""
    lr: LogUniform | Choice
    """Peak learning rates for a BERT base; `Testbed.lr_scale` multiplies them."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "lr"):
            if not isinstance(getattr(self, name), (Choice, LogUniform)):
                raise StudyFileError(
                    f"space: {name} must be choice(...) or log_uniform(...), not {getattr(self, name)!r}; "
                    f"{as_choice(getattr(self, name))}"
                )
        if not isinstance(self.batch_size, Choice) or any(
            not isinstance(b, int) or b < 1 for b in self.batch_size.values
        ):
            raise StudyFileError("space: batch_size must be choice(...) of whole numbers of at least 1")
        if isinstance(self.lr, Choice) and any(isinstance(lr, str) or not 0 < lr < math.inf for lr in self.lr.values):
            raise StudyFileError("space: lr must be choice(...) of numbers above 0, or log_uniform(...)")
        size, lr = self.batch_size.default, self.lr.default
        if size is not None and (not isinstance(size, int) or size < 1):
            raise StudyFileError(f"space: batch_size has default={size!r}; give a whole number of at least 1")
        if lr is not None and (isinstance(lr, str) or not 0 < lr < math.inf):
            raise StudyFileError(f"space: lr has default={lr!r}; give a number above 0")

    def untuned(self, otherwise: Point) -> Point:
        """Return a point with the defaults that the space declares, and the other values of another point."""
        size, lr = self.batch_size.default, self.lr.default
        return replace(
            otherwise,
            batch_size=otherwise.batch_size if size is None else int(size),
            lr=otherwise.lr if lr is None else float(lr),
        )

    def scaled(self, factor: float) -> Space:
        """Return the space with its learning rates multiplied (see Testbed.lr_scale)."""
        if isinstance(self.lr, Choice):
            scaled = tuple(float(f"{float(value) * factor:.4g}") for value in self.lr.values)
            return replace(self, lr=Choice(scaled)) if factor != 1 else self  # Ablation.default holds the default
        return replace(self, lr=self.lr.scaled(factor))
