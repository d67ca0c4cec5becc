"""Predictions that a record keeps for each item of a measure, so that differences have an interval over items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Pairs:
    """A model's predictions for pairs of texts, in the order of the set."""

    gold: tuple[float, ...]
    """Gold scores or labels, from 0 to 1."""
    cosine: tuple[float, ...]
    """Cosine similarities of the model."""
    groups: tuple[int, ...] = ()
    """The number of each pair's group, in the same order, if some pairs are equal; empty otherwise, and in records
    from before equal pairs were drawn together."""

    def __post_init__(self) -> None:
        if len(self.gold) != len(self.cosine):
            raise ValueError("its cosines are not one for each pair")
        if self.groups and len(self.groups) != len(self.gold):
            raise ValueError("its groups are not one for each pair")

    def as_dict(self) -> dict[str, Any]:
        """Return the predictions as JSON's types."""
        groups = {"groups": self.groups} if self.groups else {}
        return {"gold": self.gold, "cosine": self.cosine, **groups}


@dataclass(frozen=True)
class Values:
    """A model's value for each item, whose mean is the figure: for a query its nDCG, for a text 1 if it is right."""

    ids: tuple[str, ...]
    """Names of the items, in the order of the set."""
    by_figure: Mapping[str, tuple[float, ...]]
    """The values of each figure, in the same order."""
    groups: tuple[int, ...] = ()
    """The number of each item's group, in the same order, if some items depend on each other; empty otherwise."""

    def __post_init__(self) -> None:
        columns = (*self.by_figure.values(), *([self.groups] if self.groups else ()))
        if any(len(column) != len(self.ids) for column in columns):
            raise ValueError("its values are not one for each item")

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON's types."""
        groups = {"groups": self.groups} if self.groups else {}
        return {"ids": self.ids, "by_figure": dict(self.by_figure), **groups}


Items: TypeAlias = Pairs | Values
