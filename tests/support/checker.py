"""An independent judge of entailment between frames: it reads the vocabulary itself and reasons with sets, not with
trees.

A frame becomes a table of constraints, one for each thing that can be said (the agent's noun, its number, one attribute
dimension of it, the part of the day, ...), each the set of finest meanings that it allows. One frame entails another
when it has every constraint of the other at least as narrow; two frames of one situation contradict each other when a
shared constraint allows nothing in common. Of the package it uses the tables of `words` and the fields of `Frame`, and
none of its functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.embedded import words
from harness.embedded.frames import Frame, Participant

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
Constraints = Mapping[tuple[str, ...], frozenset[str]]


def _identity(entry: str) -> str:
    for mark in ("=", "/", "+"):
        entry = entry.split(mark)[0]
    return entry


def _below(text: str) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {}
    for line in text.strip().splitlines():
        above, entries = line.split(": ")
        below.setdefault(above, []).extend(_identity(entry) for entry in entries.split())
    return below


def _extension(node: str, below: Mapping[str, list[str]]) -> frozenset[str]:
    if node not in below:
        return frozenset([node])
    return frozenset().union(*(_extension(child, below) for child in below[node]))


NOUNS, PLACES, TIMES, MANNERS, NUMBERS = (
    _below(text) for text in (words.NOUNS, words.PLACES, words.TIMES, words.MANNERS, words.NUMBERS)
)
_LINES = words.EVENTS.strip().splitlines()
EVENTS = {
    _identity(header.split("|")[1].strip()): [_identity(entry) for entry in members.split()]
    for header, members in zip(_LINES[::2], _LINES[1::2], strict=True)
}
_TIME_FACETS = ("day", "week", "season", "weather")


def _facet(node: str, below: Mapping[str, list[str]], facets: tuple[str, ...]) -> str:
    finest = next(iter(_extension(node, below)))
    return next(facet for facet in facets if finest in _extension(facet, below))


def _participant(role: str, who: Participant | None) -> dict[tuple[str, ...], frozenset[str]]:
    if who is None:
        return {}
    constraints: dict[tuple[str, ...], frozenset[str]] = {
        (role, "noun"): _extension(who.noun, NOUNS),
        (role, "number"): _extension(who.number, NUMBERS),
    }
    for value in who.attributes:
        dimension, quality = value.split(".")
        assert (role, dimension) not in constraints, f"two values of one dimension: {who}"
        constraints[role, dimension] = frozenset([quality])
    return constraints


def constraints(frame: Frame) -> Constraints:
    """What an affirmed frame says, as a table of sets."""
    table: dict[tuple[str, ...], frozenset[str]] = {("event",): _extension(frame.event, EVENTS)}
    table |= _participant("agent", frame.agent) | _participant("patient", frame.patient)
    if frame.place is not None:
        table["place",] = _extension(frame.place, PLACES)
    if frame.time is not None:
        table["time", _facet(frame.time, TIMES, _TIME_FACETS)] = _extension(frame.time, TIMES)
    if frame.manner is not None:
        table["manner", _facet(frame.manner, MANNERS, tuple(MANNERS))] = _extension(frame.manner, MANNERS)
    return table


def entails(specific: Constraints, general: Constraints) -> bool:
    """Whether whatever satisfies the one satisfies the other."""
    return all(key in specific and specific[key] <= allowed for key, allowed in general.items())


def clash(one: Constraints, other: Constraints) -> bool:
    """Whether one situation cannot satisfy both."""
    return any(not one[key] & other[key] for key in one.keys() & other.keys())


def judge(premise: Frame, hypothesis: Frame) -> int:
    """The label of a row: 0 entailment, 1 neutral, 2 contradiction.

    Raises:
        ValueError: where the convention of one situation leaves it open (tenses differ; a denial of something that
            clashes).
    """
    if premise.tense != hypothesis.tense:
        raise ValueError("frames of two tenses describe two situations")
    said, asked = constraints(premise), constraints(hypothesis)
    if not premise.negated and not hypothesis.negated:
        return CONTRADICTION if clash(said, asked) else ENTAILMENT if entails(said, asked) else NEUTRAL
    if not premise.negated:
        if clash(said, asked):
            raise ValueError("the denial of a clashing event")
        return CONTRADICTION if entails(said, asked) else NEUTRAL
    if hypothesis.negated:
        return ENTAILMENT if entails(asked, said) else NEUTRAL
    return CONTRADICTION if entails(asked, said) else NEUTRAL
