"""How similar two meanings are, and what a handful of human-like raters would say.

`similarity(a, b)` is a weighted mean over the slots that either frame fills, times .5 if one denies what the other
affirms:

| slot | weight | similarity of the slot |
|---|---|---|
| event | 3 | squared Wu-Palmer kinship in the tree of events |
| agent, patient | 2 each | kinship of the nouns x number x attributes |
| place, time, manner | 1, .7, .7 | kinship |
| tense | .3 | 1 or 0 |

A slot that one frame leaves open counts .5 (STSB's guideline: a missing detail costs less than a different one), a
missing agent or patient .3. The number factor is 1 for equal numbers, .9 when one covers the other, .75 otherwise; the
attribute factor is 1 - .4 x the mean dissimilarity of the dimensions that either has (equal 0, missing .5, another
value 1). The mean is then multiplied by `.4 + .6 x event`, because sentences about different happenings are judged to
have little in common whoever takes part. The constants were set once, from the wording of STSB's guideline, before any
model was trained.
"""

from __future__ import annotations

import random

from .frames import Frame, Participant
from .lexicon import Tree, lexicon

_MISSING, _MISSING_PARTICIPANT = 0.5, 0.3
_DENIED = 0.5
_RATERS = 5
_RATER_SPREAD = 0.8


def _adjunct(tree: Tree, one: str | None, other: str | None) -> float:
    return _MISSING if one is None or other is None else tree.kinship(one, other)


def _attributes(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """The attribute factor, .6 to 1."""
    parent = lexicon().attributes.parent
    first = {parent[value]: value for value in one}
    second = {parent[value]: value for value in other}
    dimensions = sorted({*first, *second})
    if not dimensions:
        return 1.0
    costs = [0.5 if d not in first or d not in second else float(first[d] != second[d]) for d in dimensions]
    return 1 - 0.4 * sum(costs) / len(costs)


def _participant(one: Participant | None, other: Participant | None) -> float:
    if one is None or other is None:
        return _MISSING_PARTICIPANT
    lex = lexicon()
    covered = lex.numbers.is_a(one.number, other.number) or lex.numbers.is_a(other.number, one.number)
    number = 1.0 if one.number == other.number else 0.9 if covered else 0.75
    return lex.nouns.kinship(one.noun, other.noun) * number * _attributes(one.attributes, other.attributes)


def similarity(one: Frame, other: Frame) -> float:
    """Similarity of two frames, 0 to 1, symmetric, 1 for equal frames; the formula stands at the top of this module."""
    lex = lexicon()
    event = lex.events.kinship(one.event, other.event)
    parts = [(3.0, event), (0.3, float(one.tense == other.tense))]
    for first, second in ((one.agent, other.agent), (one.patient, other.patient)):
        if first is not None or second is not None:
            parts.append((2.0, _participant(first, second)))
    for weight, tree, here, there in (
        (1.0, lex.places, one.place, other.place),
        (0.7, lex.times, one.time, other.time),
        (0.7, lex.manners, one.manner, other.manner),
    ):
        if here is not None or there is not None:
            parts.append((weight, _adjunct(tree, here, there)))
    mean = sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)
    return mean * (0.4 + 0.6 * event) * (_DENIED if one.negated != other.negated else 1.0)


def rating(value: float, rng: random.Random) -> float:
    """The mean of five raters' whole marks, 0 to 5, for a similarity of 0 to 1.

    Each rater is off by a normal error with a standard deviation of .8 marks, then rounds and stays in range, as STSB's
    scores are means of five marks; the ends of the scale are therefore less noisy than its middle.
    """
    marks = [min(5, max(0, round(5 * value + rng.gauss(0, _RATER_SPREAD)))) for _ in range(_RATERS)]
    return sum(marks) / _RATERS
