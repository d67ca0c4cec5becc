"""Questions and answers in the few words that the tiny hub's tokenizer knows."""

from __future__ import annotations

import random

from hub import ADJECTIVES, OBJECTS, PLACES, SUBJECTS, VERBS


def answers(number: int, seed: int) -> list[tuple[str, str]]:
    """Return distinct questions, each with an answer that says more."""
    rng = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < number:
        adjective, subject, verb, thing, place = map(rng.choice, (ADJECTIVES, SUBJECTS, VERBS, OBJECTS, PLACES))
        pairs[f"{subject} {verb} {thing} {rng.choice(ADJECTIVES)}"] = (
            f"the {adjective} {subject} {verb} the {thing} {place} ."
        )
    return list(pairs.items())
