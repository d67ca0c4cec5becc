"""From a frame to an English sentence: one of many, chosen by a random generator or like an earlier one.

A sentence has a voice, adjuncts in front or behind, a plain or a "there was ... who" opening, attributes before the
noun or in a relative clause, and one synonym for each meaning. `say` can keep a share of an earlier sentence's choices,
so that how many words two sentences share says little about how much of their meaning they share.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TypeVar

from .frames import Frame, Participant
from .lexicon import lexicon

_T = TypeVar("_T")

_BE = {"past": ("was", "were"), "present": ("is", "are")}
_DO = {"past": ("did not", "didn't"), "future": ("will not", "won't")}
_NOT_BE = {
    ("past", 0): ("was not", "wasn't"),
    ("past", 1): ("were not", "weren't"),
    ("present", 0): ("is not", "isn't"),
    ("present", 1): ("are not", "aren't"),
}
_DETERMINERS = {
    "one": ("a", "the", "a", "one"),
    "plural": ("some", "the", "several", "a group of"),
    "two": ("two", "a pair of", "two"),
    "three": ("three",),
    "four": ("four",),
    "twelve": ("twelve", "a dozen"),
}
_DENIALS = ("it is not true that ", "it is false that ")


@dataclass(frozen=True)
class Wording:
    """A sentence and the choices that made it: pairs of what was chosen and the number drawn for it, in 0..1."""

    text: str
    choices: tuple[tuple[str, float], ...]


class _Chooser:
    """Draws a number for each choice, or takes the one of an earlier sentence with probability `keep`."""

    def __init__(self, rng: random.Random, like: Wording | None, keep: float) -> None:
        self._rng = rng
        self._earlier = dict(like.choices) if like else {}
        self._keep = keep
        self.drawn: dict[str, float] = {}

    def number(self, what: str) -> float:
        if what not in self.drawn:
            number = self._rng.random()
            if what in self._earlier and self._rng.random() < self._keep:
                number = self._earlier[what]
            self.drawn[what] = number
        return self.drawn[what]

    def pick(self, what: str, options: tuple[_T, ...]) -> _T:
        return options[int(self.number(what) * len(options))]


def _article(determiner: str, following: str) -> str:
    """`an` before a vowel sound; the only exceptions among the words of this language are the u- of unhappy and the
    like.
    """
    sounds_like_vowel = following[0] in "aeiou" and not following.startswith(("uni", "eu", "one"))
    return "an" if determiner == "a" and sounds_like_vowel else determiner


def _noun_phrase(who: Participant, role: str, tense: str, choose: _Chooser) -> tuple[str, bool]:
    """The phrase, and whether it is plural."""
    lex = lexicon()
    plural = who.number != "one"
    noun = choose.pick(f"noun {who.noun}", lex.nouns.names[who.noun])[plural]
    adjectives = [choose.pick(f"attribute {value}", lex.attributes.names[value])[0] for value in who.attributes]
    clause = ""
    if adjectives and choose.number(f"relative {role}") < 0.25:
        pronoun = "who" if lex.nouns.is_a(who.noun, "person") else "that"
        be = _BE.get(tense, _BE["present"])[plural]
        clause = f" {pronoun} {be} {adjectives.pop()}"
    phrase = " ".join((*adjectives, noun))
    determiner = _article(choose.pick(f"determiner {role} {who.number}", _DETERMINERS[who.number]), phrase)
    return f"{determiner} {phrase}{clause}", plural


def _active(frame: Frame, plural: bool, manner: str, choose: _Chooser) -> str:
    """The verb group in the active voice, `manner` inside it."""
    base, past, _, gerund = choose.pick(f"event {frame.event}", lexicon().events.names[frame.event])
    contracted = choose.number("contraction") < 0.5
    if frame.tense == "present":
        be = _NOT_BE["present", plural][contracted] if frame.negated else _BE["present"][plural]
        return f"{be} {manner}{gerund}"
    if frame.negated:
        return f"{_DO[frame.tense][contracted]} {manner}{base}"
    return f"{manner}{past}" if frame.tense == "past" else f"will {manner}{base}"


def _passive(frame: Frame, plural: bool, manner: str, choose: _Chooser) -> str:
    """The verb group in the passive voice, `manner` inside it."""
    participle = choose.pick(f"event {frame.event}", lexicon().events.names[frame.event])[2]
    contracted = choose.number("contraction") < 0.5
    if frame.tense == "future":
        return f"{_DO['future'][contracted] if frame.negated else 'will'} be {manner}{participle}"
    be = _NOT_BE[frame.tense, plural][contracted] if frame.negated else _BE[frame.tense][plural]
    return f"{be} {'being ' if frame.tense == 'present' else ''}{manner}{participle}"


def _clause(frame: Frame, choose: _Chooser) -> str:
    """Subject, verb group, object or by-phrase, and the adjuncts that stand behind."""
    lex = lexicon()
    if frame.agent is None and frame.patient is None:
        raise ValueError(f"a frame needs a participant: {frame}")
    passive = frame.agent is None or (frame.patient is not None and choose.number("voice") < 0.3)
    subject, other = (frame.patient, frame.agent) if passive else (frame.agent, frame.patient)
    assert subject is not None
    role, other_role = ("patient", "agent") if passive else ("agent", "patient")
    phrase, plural = _noun_phrase(subject, role, frame.tense, choose)
    manner = choose.pick(f"manner {frame.manner}", lex.manners.names[frame.manner])[0] if frame.manner else ""
    inside = bool(manner) and choose.number("manner place") < 0.5
    verb = (_passive if passive else _active)(frame, plural, f"{manner} " if inside else "", choose)
    there = not frame.negated and frame.tense != "future" and choose.number("opening") < 0.1
    if there:
        pronoun = "who" if lex.nouns.is_a(subject.noun, "person") else "that"
        if phrase.startswith(("the ", "a group of ", "a pair of ")) or f" {pronoun} " in phrase:
            there = False
        else:
            phrase = f"there {_BE[frame.tense][plural]} {phrase} {pronoun}"
    parts = [phrase, verb]
    if other is not None:
        parts.append(("by " if passive else "") + _noun_phrase(other, other_role, frame.tense, choose)[0])
    if manner and not inside:
        parts.append(manner)
    behind = [
        choose.pick(f"adjunct {node}", tree.names[node])[0]
        for node, tree in ((frame.place, lex.places), (frame.time, lex.times))
        if node
    ]
    front = ""
    if behind and not there and choose.number("front") < 0.3:
        front = behind.pop(0 if choose.number("front") < 0.15 else -1) + ", "
    return front + " ".join(parts + behind)


def say(frame: Frame, rng: random.Random, like: Wording | None = None, keep: float = 0.0) -> Wording:
    """One sentence for `frame`.

    Args:
        frame: what to say.
        rng: decides every choice that is not kept.
        like: an earlier sentence, of this frame or of another.
        keep: the probability with which each choice of `like` (voice, order, each synonym) is made again, 0 to 1.

    Raises:
        ValueError: when the frame has no participant.
    """
    choose = _Chooser(rng, like, keep)
    if frame.negated and choose.number("denial") < 0.3:
        text = choose.pick("which denial", _DENIALS) + _clause(replace(frame, negated=False), choose)
    else:
        text = _clause(frame, choose)
    return Wording(text[0].upper() + text[1:] + ".", tuple(choose.drawn.items()))
