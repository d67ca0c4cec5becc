"""Sketches of tensors: a few numbers that show by how much two tensors in different processes differ.

A sketch is a linear map to `WIDTH` numbers: each element gets a fixed sign, and elements whose positions are equal
modulo `WIDTH` are added up (a count sketch; Charikar, Chen and Farach-Colton, 2002). The squared length of the
difference of two sketches has the expectation of the squared length of the tensors' difference over random signs, so
that two files of a few kilobytes are compared in place of gigabytes of gradients.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WIDTH = 32
"""Numbers of a sketch: with 32, the estimated length of a difference has a standard deviation of an eighth."""


@dataclass(frozen=True)
class Sketch:
    """What is kept of a tensor."""

    shape: tuple[int, ...]
    """Its shape."""
    digest: str
    """Hash of its bytes: equal hashes mean identical tensors."""
    norm: float | None = None
    """Its Euclidean length; None of a text, and if an element is not finite."""
    numbers: tuple[float, ...] = ()
    """The sketch; empty without a length."""


def of_texts(texts: Sequence[object]) -> Sketch:
    """Return what is kept of a list of texts or labels: their number and a hash."""
    return Sketch((len(texts),), hashlib.sha256(repr(list(texts)).encode(errors="replace")).hexdigest()[:16])


def sketch(values: NDArray[np.generic]) -> Sketch:
    """Return the sketch of an array of numbers of any shape."""
    flat = np.ascontiguousarray(values).reshape(-1)
    digest = hashlib.sha256(str(flat.dtype).encode() + flat.tobytes()).hexdigest()[:16]
    numbers = flat.astype(np.float64)
    if not np.isfinite(numbers).all():
        return Sketch(values.shape, digest)
    padded = np.zeros(-(-len(numbers) // WIDTH) * WIDTH)
    padded[: len(numbers)] = numbers * _signs(len(numbers))
    return Sketch(
        values.shape, digest, float(np.linalg.norm(numbers)), tuple(padded.reshape(-1, WIDTH).sum(axis=0).tolist())
    )


def distance(one: Sketch, other: Sketch, least: float = 0.0) -> float:
    """Return the estimated length of the difference of two tensors, relative to the longer one.

    Args:
        one: a tensor's sketch.
        other: the other's.
        least: length to which the difference is relative if both tensors are shorter.

    Returns:
        0 for identical tensors; infinity if their shapes differ or one of them has elements that are not finite.
    """
    if one.digest == other.digest and one.shape == other.shape:
        return 0.0
    if one.shape != other.shape or one.norm is None or other.norm is None:
        return math.inf
    difference = math.dist(one.numbers, other.numbers)
    return difference / max(one.norm, other.norm, least) if difference else 0.0


@lru_cache(maxsize=8)
def _signs(count: int) -> NDArray[np.float64]:
    """Return the signs of a tensor's elements, shape (count,): those of a fixed stream, on any machine."""
    bits = np.random.PCG64(0).random_raw(-(-count // 64))
    ones = np.unpackbits(bits.astype("<u8").view(np.uint8))[:count]
    return ones.astype(np.float64) * 2 - 1
