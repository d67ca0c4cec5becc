"""Predictions that a record keeps for each item of a measure, so that differences have an interval over items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Pairs:
    """A model's predictions for pairs of texts, in the order of the set."""

    gold: tuple[float, ...]
    """Gold scores or labels, from 0 to 1."""
    cosine: tuple[float, ...]
    """Cosine similarities of the model."""

    def as_dict(self) -> dict[str, Any]:
        """Return the predictions as JSON's types."""
        return {"gold": self.gold, "cosine": self.cosine}


@dataclass(frozen=True)
class Values:
    """A model's value for each item, whose mean is the figure: for a query its nDCG, for a text 1 if it is right."""

    ids: tuple[str, ...]
    """Names of the items, in the order of the set."""
    by_figure: Mapping[str, tuple[float, ...]]
    """The values of each figure, in the same order."""

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON's types."""
        return {"ids": self.ids, "by_figure": dict(self.by_figure)}


Items: TypeAlias = Pairs | Values


def from_dict(plain: Mapping[str, Any]) -> Items:
    """Return what `as_dict` returned.

    Raises:
        ValueError: the numbers of items differ.
        KeyError, TypeError: the form is another.
    """
    if "gold" in plain:
        return Pairs(tuple(plain["gold"]), tuple(plain["cosine"]))
    values = Values(tuple(plain["ids"]), {name: tuple(column) for name, column in plain["by_figure"].items()})
    if any(len(column) != len(values.ids) for column in values.by_figure.values()):
        raise ValueError("its values are not one for each item")
    return values


def numbers(items: Items) -> Iterator[float]:
    """Yield every number of the predictions."""
    if isinstance(items, Pairs):
        yield from (*items.gold, *items.cosine)
    else:
        yield from (number for column in items.by_figure.values() for number in column)
