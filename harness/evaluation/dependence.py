"""Which items of a measure depend on each other, so that a bootstrap has to draw them together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.stats.bootstrap import effective_number
from harness.texts.groups import Groups
from harness.texts.normal import normalise
from harness.texts.templates import templates

NEARLY_ALL = 0.99
"""Share of its number of items that a set with copies says at least, for its items to be drawn one by one."""


def groups_of(texts: Sequence[str], *others: Sequence[Hashable]) -> tuple[int, ...]:
    """Return the number of each item's group.

    Items are joined if their texts are equal up to case and punctuation, if they are equal in one of `others`, or if
    their texts follow one template: a model that places one of them badly places the others badly, too, and another
    sample of questions would have other templates (Cameron and Miller, 2015, "A practitioner's guide to
    cluster-robust inference").

    Args:
        texts: the texts that ask: queries or anchors.
        others: further properties, one value an item each, e.g. the set of a query's relevant documents.

    Returns:
        Numbers from 0 in the order of the items; empty if every item is a group of its own.
    """
    groups = joined(len(texts), [normalise(text) for text in texts], *others, templates(texts))
    return () if len(set(groups)) == len(groups) else groups


def groups_of_equal(keys: Sequence[Hashable]) -> tuple[int, ...]:
    """Return the number of each item's group, where only equal items are joined: a copy is no further evidence.

    Args:
        keys: what equal items share, one value an item, e.g. the normalised text.

    Returns:
        Numbers from 0 in the order of the items; empty if the groups say `NEARLY_ALL` of what as many different items
        would, because an interval is then at most half a percent too narrow (STSB test: 2 copies among 1,379 pairs).
    """
    groups = joined(len(keys), keys)
    return groups if effective_number(groups) < NEARLY_ALL * len(groups) else ()


def joined(count: int, *properties: Sequence[Hashable]) -> tuple[int, ...]:
    """Return the number of each item's group: items with an equal property that is not None are in one.

    Args:
        count: number of items.
        properties: one value an item each.
    """
    groups = Groups(count)
    for values in properties:
        first: dict[Hashable, int] = {}
        for item, value in enumerate(values):
            if value is not None:
                groups.join(first.setdefault(value, item), item)
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(groups.of(item), len(numbers)) for item in range(count))
