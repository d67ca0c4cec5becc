"""Training rows, STS pairs, task data and unlabelled text, all drawn from the language with one seed.

Each kind of data has a generator of its own, seeded by name, so that changing one leaves the others as they were. No
frame of dev, test or a task occurs in training, whatever its polarity and tense, and none occurs in two of them.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .frames import Frame, random_frame
from .inference import CONTRADICTION, ENTAILMENT, NEUTRAL, altered, hypothesis
from .lexicon import lexicon
from .similarity import rating, similarity
from .surface import Wording, say

SEED = 20240
NLI_PREMISES = 3200
DEV_PAIRS = 900
TEST_PAIRS = 2000
"""More than dev's: verdicts rest on them, and 900 cannot show a difference below 4 points."""
UNLABELLED = 150_000

_LABELS = (ENTAILMENT, NEUTRAL, CONTRADICTION)
# One premise in ten has no entailment or no contradiction, so that nothing may rely on a triplet for each premise.
_FULL_SHARE = 0.9
# Hypotheses drawn for each row, of which the one nearest to a target that does not depend on the label is kept.
_CANDIDATES = 3


@dataclass(frozen=True)
class NliRow:
    """A premise, a hypothesis, their label (0 entailment, 1 neutral, 2 contradiction) and the frames behind them."""

    premise: str
    hypothesis: str
    label: int
    premise_frame: Frame
    hypothesis_frame: Frame


@dataclass(frozen=True)
class StsPair:
    """Two sentences and a score of 0 to 5; `exact` is the score without the raters' noise."""

    sentence1: str
    sentence2: str
    score: float
    exact: float
    frame1: Frame
    frame2: Frame


def source(name: str, seed: int = SEED) -> random.Random:
    """The random generator of one kind of data; the same in every process."""
    return random.Random(f"{seed}/{name}")


def seen_domains() -> tuple[str, ...]:
    """The domains of training, dev and test: all but the held-out ones."""
    lex = lexicon()
    return tuple(domain for domain in lex.domains if domain not in lex.held_out)


def word_list(text: str) -> list[str]:
    """Lower-case words of a sentence, hyphens and apostrophes kept."""
    return re.findall(r"[\w'-]+", text.lower())


def overlap(premise: str, hypothesis: str) -> tuple[float, float]:
    """Share of the hypothesis's word types that the premise has, and the hypothesis's length over the premise's."""
    first, second = word_list(premise), word_list(hypothesis)
    types = set(second)
    return len(types.intersection(first)) / len(types), len(second) / len(first)


def fresh_frames(rng: random.Random, domains: tuple[str, ...], taken: set[Frame], **options: float) -> Iterator[Frame]:
    """Endless frames whose cores are not in `taken`; each core is added to it."""
    while True:
        frame = random_frame(rng, domains, **options)
        if frame.core() not in taken:
            taken.add(frame.core())
            yield frame


def _worded_hypothesis(premise: Wording, frame: Frame, label: int, rng: random.Random) -> tuple[Frame, Wording]:
    """A hypothesis whose overlap and length follow one distribution for all labels, as nearly as a few draws allow."""
    target_overlap, target_length = rng.triangular(0.15, 1.0, 0.6), rng.triangular(0.45, 1.35, 0.85)
    best: tuple[float, Frame, Wording] | None = None
    drawn = 0
    while drawn < _CANDIDATES or best is None:
        drawn += 1
        meant = hypothesis(frame, label, rng)
        if meant is None:
            continue
        wording = say(meant, rng, premise, keep=rng.random())
        if wording.text == premise.text:
            continue
        share, length = overlap(premise.text, wording.text)
        miss = abs(share - target_overlap) + abs(length - target_length)
        if best is None or miss < best[0]:
            best = (miss, meant, wording)
    return best[1], best[2]


def nli_rows(premises: int, taken: set[Frame], seed: int = SEED) -> list[NliRow]:
    """Three rows for each premise, adjacent and in random order; every frame used is added to `taken`."""
    rng = source("nli", seed)
    rows: list[NliRow] = []
    frames = fresh_frames(rng, seen_domains(), taken)
    for _ in range(premises):
        frame = next(frames)
        premise = say(frame, rng)
        labels = list(_LABELS) if rng.random() < _FULL_SHARE else rng.choices(_LABELS, k=len(_LABELS))
        rng.shuffle(labels)
        for label in labels:
            meant, wording = _worded_hypothesis(premise, frame, label, rng)
            taken.add(meant.core())
            rows.append(NliRow(premise.text, wording.text, label, frame, meant))
    return rows


def sts_pairs(name: str, number: int, domains: tuple[str, ...], taken: set[Frame], seed: int = SEED) -> list[StsPair]:
    """Pairs spread evenly over the six whole marks, as STSB's were chosen to be; no frame is in `taken`, all are added.

    The second sentence keeps a random share of the first one's wording, so word overlap and similarity are loosely
    tied.
    """
    rng = source(name, seed)
    blocked = frozenset(taken)
    pairs: list[StsPair] = []
    room: Counter[int] = Counter(dict.fromkeys(range(6), -(-number // 6)))
    frames = fresh_frames(rng, domains, taken)
    while len(pairs) < number:
        first = next(frames)
        second = altered(first, rng, domains)
        exact = 5 * similarity(first, second)
        if second.core() in blocked or not room[round(exact)]:
            continue
        room[round(exact)] -= 1
        taken.add(second.core())
        wording = say(first, rng)
        other = say(second, rng, wording, keep=rng.random())
        pairs.append(StsPair(wording.text, other.text, rating(exact / 5, rng), exact, first, second))
    rng.shuffle(pairs)
    return pairs


def unlabelled_sentences(number: int, taken: set[Frame], seed: int = SEED) -> list[str]:
    """Distinct sentences of all domains, for masked language modelling; no frame is in `taken`."""
    rng = source("unlabelled", seed)
    blocked = frozenset(taken)
    lines: dict[str, None] = {}
    while len(lines) < number:
        frame = random_frame(rng, lexicon().domains)
        if frame.core() not in blocked:
            lines[say(frame, rng).text] = None
    return list(lines)
