"""The vocabulary of the controlled language as trees of meanings with the words that name them.

A meaning is a node of a tree; `Tree.is_a` and `Tree.disjoint` are all that the labels of the rows rest on. The data are
in `words`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from . import words

Forms = tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    """Nodes under one root, the words that name them, and whether the root's children are independent facets.

    In a tree with facets (times: part of the day, day of the week, season, weather) nodes of two facets can hold
    together; in one without (kinds of things) two nodes are disjoint unless one is above the other.
    """

    root: str
    parent: Mapping[str, str]
    children: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[Forms, ...]]
    above: Mapping[str, tuple[str, ...]]
    facets: bool

    def is_a(self, node: str, kind: str) -> bool:
        """Whether `kind` is `node` itself or above it."""
        return kind == node or kind in self.above[node]

    def facet(self, node: str) -> str:
        """The child of the root that `node` is or lies under."""
        path = (node, *self.above[node])
        return path[-2] if len(path) > 1 else node

    def disjoint(self, one: str, other: str) -> bool:
        """Whether nothing can be both."""
        related = self.is_a(one, other) or self.is_a(other, one)
        return not related and not (self.facets and self.facet(one) != self.facet(other))

    def depth(self, node: str) -> int:
        """Steps from the root, which is at 0."""
        return len(self.above[node])

    def kinship(self, one: str, other: str) -> float:
        """Square of Wu and Palmer's similarity (ACL 1994), 0 to 1.

        Squared because sisters (plain: .67) are disjoint and should count for less than half of an identity (.44).
        """
        if one == other:
            return 1.0
        path = (other, *self.above[other])
        meet = next(node for node in (one, *self.above[one]) if node in path)
        return (2 * self.depth(meet) / (self.depth(one) + self.depth(other))) ** 2

    def more_general(self, node: str) -> str | None:
        """The nearest node above that has a name, or None."""
        return next((kind for kind in self.above[node] if kind in self.names), None)

    def under(self, node: str) -> tuple[str, ...]:
        """The leaves under a node, in the order of the data; a leaf is its own."""
        below = self.children.get(node, ())
        return tuple(leaf for child in below for leaf in self.under(child)) if below else (node,)


@dataclass(frozen=True)
class Selection:
    """Which participants and places an event takes; no patients means that it is intransitive."""

    domain: str
    agents: tuple[str, ...]
    patients: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """All trees, what each event selects, and which things each attribute dimension can be said of."""

    nouns: Tree
    events: Tree
    attributes: Tree
    places: Tree
    times: Tree
    manners: Tree
    numbers: Tree
    selections: Mapping[str, Selection]
    hosts: Mapping[str, tuple[str, ...]]
    domains: tuple[str, ...]
    held_out: tuple[str, ...]


def _plural(noun: str) -> str:
    if noun.endswith("man"):
        return noun[:-2] + "en"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def _noun_forms(entry: str) -> Forms:
    singular, _, plural = entry.replace("_", " ").partition("/")
    return singular, plural or _plural(singular)


def _suffixed(verb: str, suffix: str, doubled: bool) -> str:
    if doubled:
        return verb + verb[-1] + suffix
    if verb.endswith("e") and (suffix == "ed" or not verb.endswith(("ee", "oe", "ye", "ie"))):
        return verb[:-1] + suffix
    if suffix == "ing" and verb.endswith("ie"):
        return verb[:-2] + "ying"
    if suffix == "ed" and verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("k" if verb.endswith("c") else "") + suffix


def _verb_forms(entry: str) -> Forms:
    """Base, past, participle and -ing form; of a phrasal verb the first word is inflected."""
    base, *given = entry.replace("_", " ").split("/")
    doubled = base.endswith("+")
    base = base.removesuffix("+")
    verb, _, particle = base.partition(" ")
    tail = f" {particle}" if particle else ""
    past, participle = given or [_suffixed(verb, "ed", doubled) + tail] * 2
    return base, past, participle, _suffixed(verb, "ing", doubled) + tail


def _phrase_forms(entry: str) -> Forms:
    return (entry.replace("_", " "),)


def _node_id(entry: str) -> str:
    return entry.split("=")[0].split("/")[0].removesuffix("+")


def _tree(edges: list[tuple[str, str]], forms: dict[str, tuple[Forms, ...]], root: str, facets: bool) -> Tree:
    """Builds a tree from (parent, child) edges; a node that hangs under two parents is a mistake in the data."""
    parent: dict[str, str] = {}
    children: dict[str, tuple[str, ...]] = {}
    for above, node in edges:
        if node in parent:
            raise ValueError(f"{node!r} has two parents: {parent[node]!r} and {above!r}")
        parent[node] = above
        children[above] = (*children.get(above, ()), node)

    def path(node: str) -> tuple[str, ...]:
        return (parent[node], *path(parent[node])) if node in parent else ()

    nodes = [root, *parent]
    return Tree(root, parent, children, forms, {node: path(node) for node in nodes}, facets)


def _parse_tree(text: str, root: str, forms_of: str, facets: bool = False) -> Tree:
    make = {"noun": _noun_forms, "phrase": _phrase_forms}[forms_of]
    edges: list[tuple[str, str]] = []
    forms: dict[str, tuple[Forms, ...]] = {}
    for line in text.strip().splitlines():
        above, _, entries = line.partition(": ")
        if facets and above not in forms and (root, above) not in edges:
            edges.append((root, above))
        for entry in entries.split():
            edges.append((above, _node_id(entry)))
            forms[_node_id(entry)] = tuple(make(name) for name in entry.split("="))
    return _tree(edges, forms, root, facets)


def _parse_attributes(text: str) -> tuple[Tree, dict[str, tuple[str, ...]]]:
    """Values are named `dimension.word`, because one word may be a value of two dimensions in the data."""
    edges: list[tuple[str, str]] = []
    forms: dict[str, tuple[Forms, ...]] = {}
    hosts: dict[str, tuple[str, ...]] = {}
    for line in text.strip().splitlines():
        head, _, entries = line.partition(": ")
        dimension, _, nouns = head.partition(" of ")
        hosts[dimension] = tuple(nouns.split())
        edges.append(("quality", dimension))
        for entry in entries.split():
            node = f"{dimension}.{_node_id(entry)}"
            edges.append((dimension, node))
            forms[node] = tuple(_phrase_forms(name) for name in entry.split("="))
    return _tree(edges, forms, "quality", facets=True), hosts


def _parse_events(text: str) -> tuple[Tree, dict[str, Selection]]:
    """Events hang under their class, which has words too, and classes under `domain:...`, which have none."""
    edges: list[tuple[str, str]] = []
    forms: dict[str, tuple[Forms, ...]] = {}
    selections: dict[str, Selection] = {}
    lines = text.strip().splitlines()
    for header, members in zip(lines[::2], lines[1::2], strict=True):
        domain, class_entry, agents, patients, places = (part.strip() for part in header.split("|"))
        selection = Selection(
            domain, tuple(agents.split()), tuple(patients.replace("-", "").split()), tuple(places.split())
        )
        if ("event", f"domain:{domain}") not in edges:
            edges.append(("event", f"domain:{domain}"))
        kind = _node_id(class_entry)
        edges.append((f"domain:{domain}", kind))
        edges.extend((kind, _node_id(entry)) for entry in members.split())
        for entry in (class_entry, *members.split()):
            forms[_node_id(entry)] = tuple(_verb_forms(name) for name in entry.split("="))
            selections[_node_id(entry)] = selection
    return _tree(edges, forms, "event", facets=False), selections


@cache
def lexicon() -> Lexicon:
    """The one lexicon, parsed once.

    Raises:
        ValueError: when a node of the data has two parents.
    """
    events, selections = _parse_events(words.EVENTS)
    attributes, hosts = _parse_attributes(words.ATTRIBUTES)
    return Lexicon(
        nouns=_parse_tree(words.NOUNS, "thing", "noun"),
        events=events,
        attributes=attributes,
        places=_parse_tree(words.PLACES, "anywhere", "phrase"),
        times=_parse_tree(words.TIMES, "time", "phrase", facets=True),
        manners=_parse_tree(words.MANNERS, "manner", "phrase", facets=True),
        numbers=_parse_tree(words.NUMBERS, "number", "phrase"),
        selections=selections,
        hosts=hosts,
        domains=tuple(node.removeprefix("domain:") for node in events.children["event"]),
        held_out=words.HELD_OUT_DOMAINS,
    )


@cache
def dimensions(noun: str) -> tuple[str, ...]:
    """The attribute dimensions that can be said of a noun."""
    lex = lexicon()
    return tuple(d for d, hosts in lex.hosts.items() if any(lex.nouns.is_a(noun, host) for host in hosts))


@dataclass(frozen=True)
class Preference:
    """What an event prefers among its candidates: the candidates, and running sums of their weights."""

    candidates: tuple[str, ...]
    cumulative: tuple[float, ...]

    def draw(self, rng: random.Random) -> str:
        """One candidate, drawn by weight."""
        return rng.choices(self.candidates, cum_weights=self.cumulative)[0]


@cache
def preference(event: str, role: str) -> Preference:
    """The skewed choice of an event's agents, patients or places.

    Each event ranks its candidates in an order of its own and draws the one of rank r with weight 1 / (r + 2), as in
    Zipf's law. Without this, sister words would have the same contexts as synonyms, which no real corpus shows.
    """
    lex = lexicon()
    selection = lex.selections[event]
    tree, nodes = {
        "agent": (lex.nouns, selection.agents),
        "patient": (lex.nouns, selection.patients),
        "place": (lex.places, selection.places),
    }[role]
    candidates = [leaf for node in nodes for leaf in tree.under(node)]
    random.Random(f"{event}/{role}").shuffle(candidates)
    return Preference(tuple(candidates), tuple(accumulate(1 / (rank + 2) for rank in range(len(candidates)))))
