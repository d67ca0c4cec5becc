"""Meanings: a frame says which event took place, who took part, where, when and how, and whether it is denied."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .lexicon import dimensions, lexicon, preference


@dataclass(frozen=True)
class Participant:
    """A noun node, a number node, and attribute values: at most one of each dimension, in sorted order."""

    noun: str
    number: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One meaning. An affirmative frame says that there was such an event; a negated one that there was none.

    `agent` is None when nobody is named as the doer, `patient` is None for intransitive events. `tense` is past,
    present or future, and never differs within an NLI row.
    """

    event: str
    agent: Participant | None
    patient: Participant | None
    place: str | None = None
    time: str | None = None
    manner: str | None = None
    negated: bool = False
    tense: str = "past"

    def core(self) -> Frame:
        """The frame without tense and polarity: what has to differ between training, dev and test."""
        return replace(self, negated=False, tense="past")


NUMBERS = ("one", "plural", "two", "three", "four", "twelve")
_NUMBER_SUMS = (60, 75, 85, 92, 97, 100)
_TENSES = ("past", "present", "future")
_TENSE_SUMS = (50, 85, 100)
_ATTRIBUTE_COUNT_SUMS = (50, 93, 100)

# Shares of frames that carry each adjunct: sentences of 10 to 11 words on average, between MNLI's hypotheses (8.5) and
# STSB.
_PLACE_SHARE, _TIME_SHARE, _MANNER_SHARE = 0.45, 0.35, 0.25
_AGENTLESS_SHARE = 0.08
_NEGATED_SHARE = 0.08
# Part of the premises must be general, or nothing could be made more specific without adding words.
_GENERAL_NOUN_SHARE, _GENERAL_EVENT_SHARE = 0.2, 0.1
_USUAL_PLACE_SHARE = 0.75


def random_attribute(noun: str, taken: tuple[str, ...], rng: random.Random) -> str | None:
    """A value of a dimension that can be said of `noun` and is not among `taken`, or None when there is none left."""
    lex = lexicon()
    used = [lex.attributes.parent[value] for value in taken]
    free = [dimension for dimension in dimensions(noun) if dimension not in used]
    return rng.choice(lex.attributes.children[rng.choice(free)]) if free else None


def random_participant(event: str, role: str, rng: random.Random) -> Participant:
    """A participant of the kind that `event` takes as `role` ("agent" or "patient")."""
    nouns = lexicon().nouns
    noun = preference(event, role).draw(rng)
    if rng.random() < _GENERAL_NOUN_SHARE:
        noun = nouns.more_general(noun) or noun
    attributes: tuple[str, ...] = ()
    for _ in range(rng.choices((0, 1, 2), cum_weights=_ATTRIBUTE_COUNT_SUMS)[0]):
        value = random_attribute(noun, attributes, rng)
        attributes = attributes if value is None else tuple(sorted((*attributes, value)))
    return Participant(noun, rng.choices(NUMBERS, cum_weights=_NUMBER_SUMS)[0], attributes)


def random_place(event: str, rng: random.Random) -> str:
    """A place where `event` is at home, or, in a quarter of the draws, any place."""
    if rng.random() < _USUAL_PLACE_SHARE:
        return preference(event, "place").draw(rng)
    return rng.choice(tuple(lexicon().places.names))


def random_time(rng: random.Random) -> str:
    """Any time that has a name."""
    return rng.choice(tuple(lexicon().times.names))


def random_manner(rng: random.Random) -> str:
    """Any manner."""
    return rng.choice(tuple(lexicon().manners.names))


def random_frame(rng: random.Random, domains: tuple[str, ...], negated_share: float = _NEGATED_SHARE) -> Frame:
    """A frame whose event is of one of `domains`, drawn by the preferences of the language."""
    lex = lexicon()
    domain = rng.choice(domains)
    kind = rng.choice(lex.events.children[f"domain:{domain}"])
    event = rng.choice(lex.events.children[kind])
    selection = lex.selections[event]
    transitive = bool(selection.patients)
    agentless = transitive and rng.random() < _AGENTLESS_SHARE
    return Frame(
        event=kind if rng.random() < _GENERAL_EVENT_SHARE else event,
        agent=None if agentless else random_participant(event, "agent", rng),
        patient=random_participant(event, "patient", rng) if transitive else None,
        place=random_place(event, rng) if rng.random() < _PLACE_SHARE else None,
        time=random_time(rng) if rng.random() < _TIME_SHARE else None,
        manner=random_manner(rng) if rng.random() < _MANNER_SHARE else None,
        negated=rng.random() < negated_share,
        tense=rng.choices(_TENSES, cum_weights=_TENSE_SUMS)[0],
    )
