"""What follows from what: edits of frames whose effect on the label is known, the relation of two frames, their
similarity.

The reading of a row is that of SNLI and MNLI: premise and hypothesis describe the same situation, so a sister (a cat
for the dog, an antonym, another number) contradicts, and numbers are exact. Negation is "there was no such event", so
under it the direction of generalising turns round: no animal slept entails that no dog slept.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .frames import (
    Frame,
    Participant,
    random_attribute,
    random_frame,
    random_manner,
    random_participant,
    random_place,
    random_time,
)
from .lexicon import Tree, dimensions, lexicon, preference

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
ROLES = ("agent", "patient")
SLOTS = (
    "event", "agent", "patient", "agent.number", "patient.number", "agent.attributes", "patient.attributes",
    "place", "time", "manner",
)  # fmt: skip

Edit = Callable[[Frame, str, random.Random], Frame | None]


def _trees() -> dict[str, Tree]:
    lex = lexicon()
    return {"event": lex.events, "place": lex.places, "time": lex.times, "manner": lex.manners}


def _applicable(noun: str, attributes: tuple[str, ...]) -> tuple[str, ...]:
    parent = lexicon().attributes.parent
    return tuple(value for value in attributes if parent[value] in dimensions(noun))


def _with_noun(who: Participant, noun: str) -> Participant:
    """The participant under another noun, without the attributes that cannot be said of it."""
    return Participant(noun, who.number, _applicable(noun, who.attributes))


def _with(frame: Frame, slot: str, node: str | None) -> Frame:
    """The frame with another event, place, time or manner."""
    changes: dict[str, Any] = {slot: node}
    return replace(frame, **changes)


def _put(frame: Frame, role: str, who: Participant | None) -> Frame:
    return replace(frame, agent=who) if role == "agent" else replace(frame, patient=who)


def _get(frame: Frame, role: str) -> Participant | None:
    return frame.agent if role == "agent" else frame.patient


def weaken(frame: Frame, slot: str, rng: random.Random) -> Frame | None:
    """A frame that `frame` entails, one step more general or one detail shorter in `slot`; None if there is none."""
    role, _, part = slot.partition(".")
    if role in ROLES:
        who = _get(frame, role)
        if who is None:
            return None
        if part == "number":
            more = lexicon().numbers.more_general(who.number)
            return _put(frame, role, replace(who, number=more)) if more else None
        if part == "attributes":
            if not who.attributes:
                return None
            dropped = rng.choice(who.attributes)
            kept = tuple(value for value in who.attributes if value != dropped)
            return _put(frame, role, replace(who, attributes=kept))
        if role == "agent" and frame.patient is not None and rng.random() < 0.2:
            return replace(frame, agent=None)
        noun = lexicon().nouns.more_general(who.noun)
        return _put(frame, role, _with_noun(who, noun)) if noun else None
    node = getattr(frame, slot)
    if node is None:
        return None
    more = _trees()[slot].more_general(node)
    if slot == "event" and more is None:
        return None
    if slot != "event" and (more is None or rng.random() < 0.5):
        return _with(frame, slot, None)
    return _with(frame, slot, more)


def strengthen(frame: Frame, slot: str, rng: random.Random) -> Frame | None:
    """A frame that adds to `slot` what `frame` does not say; None where nothing can be added.

    The affirmative result entails `frame`, except that a time may be exchanged for one of another facet (the day of the
    week for the season), which leaves both open.
    """
    lex = lexicon()
    role, _, part = slot.partition(".")
    if role in ROLES:
        who = _get(frame, role)
        if who is None:
            return replace(frame, agent=random_participant(frame.event, "agent", rng)) if slot == "agent" else None
        if part == "number":
            finer = lex.numbers.children.get(who.number)
            return _put(frame, role, replace(who, number=rng.choice(finer))) if finer else None
        if part == "attributes":
            value = random_attribute(who.noun, who.attributes, rng)
            if value is None or len(who.attributes) > 2:
                return None
            return _put(frame, role, replace(who, attributes=tuple(sorted((*who.attributes, value)))))
        kinds = lex.nouns.children.get(who.noun)
        return _put(frame, role, replace(who, noun=rng.choice(kinds))) if kinds else None
    node = getattr(frame, slot)
    if slot == "time" and node is not None and rng.random() < 0.5:
        times = [time for time in lex.times.names if lex.times.facet(time) != lex.times.facet(node)]
        return replace(frame, time=rng.choice(times))
    if node is not None:
        finer = _trees()[slot].children.get(node)
        return _with(frame, slot, rng.choice(finer)) if finer else None
    if slot == "place":
        return _with(frame, slot, random_place(frame.event, rng))
    return _with(frame, slot, random_time(rng) if slot == "time" else random_manner(rng))


def _other(tree: Tree, node: str, rng: random.Random, candidates: tuple[str, ...] = ()) -> str | None:
    """A node disjoint from `node`: mostly a sister, else one of `candidates` (default: any node with a name)."""
    sisters = [n for n in tree.children[tree.parent[node]] if n in tree.names and tree.disjoint(n, node)]
    pool = [n for n in candidates or tuple(tree.names) if tree.disjoint(n, node)]
    if candidates:
        sisters = [n for n in sisters if n in candidates]
    if sisters and (not pool or rng.random() < 0.7):
        return rng.choice(sisters)
    return rng.choice(pool) if pool else None


def conflict(frame: Frame, slot: str, rng: random.Random) -> Frame | None:
    """A frame of the same situation that cannot be true when `frame` is, by a change in `slot`; None where none is
    known.
    """
    lex = lexicon()
    role, _, part = slot.partition(".")
    if role in ROLES:
        who = _get(frame, role)
        if who is None:
            return None
        if part == "number":
            return _put(frame, role, replace(who, number=str(_other(lex.numbers, who.number, rng))))
        if part == "attributes":
            if not who.attributes:
                return None
            old = rng.choice(who.attributes)
            new = rng.choice([v for v in lex.attributes.children[lex.attributes.parent[old]] if v != old])
            changed = sorted(new if value == old else value for value in who.attributes)
            return _put(frame, role, replace(who, attributes=tuple(changed)))
        noun = _other(lex.nouns, who.noun, rng, preference(frame.event, role).candidates)
        return _put(frame, role, _with_noun(who, noun)) if noun else None
    node = getattr(frame, slot)
    if node is None or node in lex.events.children:
        return None
    if slot == "event":
        return replace(frame, event=rng.choice([n for n in lex.events.children[lex.events.parent[node]] if n != node]))
    other = _other(_trees()[slot], node, rng)
    return _with(frame, slot, other) if other else None


def swapped_roles(frame: Frame) -> Frame | None:
    """Agent and patient exchanged where the event allows it and the two are of disjoint kinds: a contradiction."""
    nouns = lexicon().nouns
    if frame.agent is None or frame.patient is None or not nouns.disjoint(frame.agent.noun, frame.patient.noun):
        return None
    selection = lexicon().selections[frame.event]
    fits = any(nouns.is_a(frame.patient.noun, kind) for kind in selection.agents) and any(
        nouns.is_a(frame.agent.noun, kind) for kind in selection.patients
    )
    return replace(frame, agent=frame.patient, patient=frame.agent) if fits else None


def _group(slot: str) -> str:
    return slot.partition(".")[0]


def _edited(
    frame: Frame, edit: Edit, steps: int, rng: random.Random, kept: frozenset[str] = frozenset(), once: bool = False
) -> tuple[Frame, frozenset[str]]:
    """Up to `steps` edits in slots outside the groups `kept`; also the groups (event, agent, ...) that were edited.

    With `once` no group is edited twice: two conflicts in one slot may undo each other.
    """
    touched: set[str] = set()
    slots = list(SLOTS)
    for _ in range(steps):
        rng.shuffle(slots)
        for slot in slots:
            barred = _group(slot) in kept or (once and _group(slot) in touched)
            if not barred and (edited := edit(frame, slot, rng)) is not None:
                frame = edited
                touched.add(_group(slot))
                break
    return frame, frozenset(touched)


def _few(rng: random.Random, *sums: int) -> int:
    """0, 1, 2 ... with the cumulative percentages `sums`."""
    return rng.choices(range(len(sums)), cum_weights=sums)[0]


def _weakened(frame: Frame, rng: random.Random, kept: frozenset[str] = frozenset()) -> Frame:
    return _edited(frame, weaken, _few(rng, 25, 65, 90, 100), rng, kept)[0]


def hypothesis(premise: Frame, label: int, rng: random.Random) -> Frame | None:
    """A frame that stands in the relation `label` to `premise`; None when this draw found none, so draw again.

    From a negated premise entailments and neutrals are negated too; contradictions affirm what it denies.
    """
    if premise.negated:
        return _hypothesis_of_denial(premise, label, rng)
    if label == ENTAILMENT:
        return _weakened(premise, rng)
    denial = rng.random() < 0.15
    if label == CONTRADICTION and denial:
        return replace(_weakened(premise, rng), negated=True)
    if label == CONTRADICTION:
        if rng.random() < 0.1 and (turned := swapped_roles(premise)):
            return _weakened(turned, rng, frozenset(ROLES))
        changed, touched = _edited(premise, conflict, 1 + _few(rng, 80, 100), rng, once=True)
        return _weakened(changed, rng, touched) if touched else None
    changed, touched = _edited(premise, strengthen, 1 + _few(rng, 70, 100), rng, once=True)
    if not touched:
        return None
    return replace(changed, negated=True) if denial else _weakened(changed, rng, touched)


def _hypothesis_of_denial(premise: Frame, label: int, rng: random.Random) -> Frame | None:
    affirmed = replace(premise, negated=False)
    if label == NEUTRAL:
        changed, touched = _edited(affirmed, weaken, 1 + _few(rng, 60, 100), rng)
        return replace(changed, negated=rng.random() < 0.7) if touched else None
    stronger, _ = _edited(affirmed, _strictly_strengthen, _few(rng, 40, 80, 100), rng)
    return replace(stronger, negated=label == ENTAILMENT)


def subsumes(general: Frame, specific: Frame) -> bool:
    """Whether the affirmed `specific` entails the affirmed `general`; polarity is not looked at."""
    trees = _trees()
    for slot, tree in trees.items():
        kind, node = getattr(general, slot), getattr(specific, slot)
        if kind is not None and (node is None or not tree.is_a(node, kind)):
            return False
    return all(_covers(_get(general, role), _get(specific, role)) for role in ROLES)


def _covers(kind: Participant | None, who: Participant | None) -> bool:
    if kind is None or who is None:
        return kind is None
    lex = lexicon()
    return (
        lex.nouns.is_a(who.noun, kind.noun)
        and lex.numbers.is_a(who.number, kind.number)
        and all(value in who.attributes for value in kind.attributes)
    )


def _strictly_strengthen(frame: Frame, slot: str, rng: random.Random) -> Frame | None:
    if slot == "time" and frame.time is not None:
        return None
    return strengthen(frame, slot, rng)


def altered(frame: Frame, rng: random.Random, domains: tuple[str, ...]) -> Frame:
    """A frame anywhere between the same and unrelated: some edits of each kind, a denial, other roles, or another
    frame.
    """
    draw = rng.random()
    if draw < 0.2:
        return random_frame(rng, domains)
    if draw < 0.35:
        near = random_frame(rng, (lexicon().selections[frame.event].domain,))
        return replace(near, place=frame.place, time=frame.time, manner=frame.manner, tense=frame.tense)
    if draw < 0.4 and (turned := swapped_roles(frame)):
        frame = turned
    changed = frame
    for edit, steps in (
        (conflict, _few(rng, 40, 65, 85, 100)),
        (strengthen, _few(rng, 65, 90, 100)),
        (weaken, _few(rng, 35, 65, 85, 100)),
    ):
        changed, _ = _edited(changed, edit, steps, rng)
    if rng.random() < 0.12:
        changed = replace(changed, negated=not changed.negated)
    if rng.random() < 0.1:
        changed = replace(changed, tense=rng.choice(("past", "present", "future")))
    return changed
