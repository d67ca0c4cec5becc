"""What a check found, and how it compares what it expects with what the libraries give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from harness.errors import CheckFailed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

State: TypeAlias = Literal["ok", "FAILED", "skipped"]

ROUNDING = 1e-5
"""How far numbers in float32 may differ by rounding, as a share of the largest: the bound of the fast forward paths."""

BOUND = 1e-6
"""How far a score may be from that of a library; scores are on a 0 to 1 scale."""


@dataclass(frozen=True)
class Outcome:
    """What a check found."""

    state: State
    """Whether the libraries passed, or why nothing was shown."""
    detail: str
    """What was compared and how far it agreed, what was expected and found instead, or why the check was skipped."""


def passed(detail: str) -> Outcome:
    return Outcome("ok", detail)


def skipped(why: str) -> Outcome:
    return Outcome("skipped", why)


def require(holds: bool, expected: str, found: str) -> None:
    """Raise CheckFailed, with what was expected and what was found, unless a condition holds."""
    if not holds:
        raise CheckFailed(f"expected {expected}; found {found}")


def require_equal_numbers(what: str, found: ArrayLike, expected: ArrayLike, bound: float) -> float:
    """Compare numbers, and return the largest difference.

    Args:
        what: what the numbers are, for the message: "embeddings of 12 texts alone and beside longer texts".
        found: the numbers, of any shape.
        expected: what they should be, of the same shape.
        bound: the largest difference that is allowed.

    Raises:
        CheckFailed: a difference exceeds the bound or is not a number, or the shapes differ.
    """
    one, other = np.asarray(found, float), np.asarray(expected, float)
    require(one.shape == other.shape, f"{what} of shape {other.shape}", f"shape {one.shape}")
    gaps = np.abs(one - other)
    largest = float(gaps.max(initial=0.0))
    if not largest <= bound:  # also for NaN
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps))), gaps.shape)
        require(False, f"{what}: {other[place]:.6g} up to {bound:.0e}", f"{one[place]:.6g}, off by {gaps[place]:.2g}")
    return largest


def require_equal_figures(what: str, found: Mapping[str, float], expected: Mapping[str, float], bound: float) -> float:
    """Compare figures by name, as `require_equal_numbers` does; figures that are only found are not compared."""
    return max(
        require_equal_numbers(f"{what}, {name}", found.get(name, float("nan")), value, bound)
        for name, value in expected.items()
    )
