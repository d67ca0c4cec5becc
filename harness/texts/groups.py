"""Groups: which of numbered things belong together, directly or through others."""

from __future__ import annotations


class Groups:
    """A disjoint-set forest with path halving (Tarjan and van Leeuwen, 1984)."""

    def __init__(self, number: int) -> None:
        """Start with `number` things, each in a group of its own."""
        self._above = list(range(number))

    def of(self, thing: int) -> int:
        """Return the thing that stands for the group: the smallest of it."""
        above = self._above
        while above[thing] != thing:
            above[thing] = above[above[thing]]
            thing = above[thing]
        return thing

    def join(self, one: int, other: int) -> None:
        """Make the groups of two things one."""
        low, high = sorted((self.of(one), self.of(other)))
        self._above[high] = low
