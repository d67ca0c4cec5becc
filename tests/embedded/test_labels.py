"""The labels of the rows are right, shown by a judge that shares no logic with the generator."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from checker import CONTRADICTION, ENTAILMENT, NEUTRAL, constraints, entails, judge

from harness.embedded.frames import Frame, Participant, random_frame
from harness.embedded.inference import subsumes, swapped_roles
from harness.embedded.lexicon import lexicon
from harness.embedded.rows import NliRow, StsPair, nli_rows

Drawn = tuple[list[NliRow], list[StsPair], list[StsPair], list[str]]

CHASE = Frame(
    "chase",
    Participant("policeman", "two", ("mood.happy",)),
    Participant("thief", "one"),
    "in_the_cave",
    "on_Monday",
    "quickly",
)


@pytest.mark.parametrize(
    ("hypothesis", "label"),
    [
        (CHASE, ENTAILMENT),
        (replace(CHASE, event="pursue", place="in_the_forest", time="on_a_weekday", manner=None), ENTAILMENT),
        (replace(CHASE, agent=Participant("officer", "plural")), ENTAILMENT),
        (replace(CHASE, agent=None, patient=Participant("person", "one")), ENTAILMENT),
        (replace(CHASE, event="hunt"), CONTRADICTION),
        (replace(CHASE, agent=Participant("policeman", "three")), CONTRADICTION),
        (replace(CHASE, agent=Participant("policeman", "two", ("mood.sad",))), CONTRADICTION),
        (replace(CHASE, manner="slowly"), CONTRADICTION),
        (replace(CHASE, negated=True, manner=None), CONTRADICTION),
        (replace(CHASE, negated=True, patient=Participant("thief", "one", ("mood.sad",))), NEUTRAL),
        (replace(CHASE, manner="quietly"), NEUTRAL),
        (replace(CHASE, time="in_spring"), NEUTRAL),
        (replace(CHASE, patient=Participant("thief", "one", ("fame.famous",))), NEUTRAL),
    ],
)
def test_judge_knows_the_plain_cases(hypothesis: Frame, label: int) -> None:
    assert judge(CHASE, hypothesis) == label


def test_judge_turns_round_under_negation() -> None:
    denied = replace(CHASE, negated=True)
    wider = replace(denied, event="pursue")
    narrower = replace(denied, agent=Participant("policeman", "two", ("mood.happy", "wealth.rich")))
    assert judge(denied, wider) == NEUTRAL
    assert judge(denied, narrower) == ENTAILMENT
    assert judge(denied, replace(narrower, negated=False)) == CONTRADICTION
    assert judge(denied, replace(wider, negated=False)) == NEUTRAL


def test_every_label_of_the_training_rows(drawn: Drawn) -> None:
    wrong = [row for row in drawn[0] if judge(row.premise_frame, row.hypothesis_frame) != row.label]
    assert wrong == []


def test_every_label_of_rows_from_another_seed() -> None:
    """With the training rows, over fifteen thousand rows without a disagreement."""
    rows = nli_rows(2000, set(), seed=7)
    judged = Counter(row.label == judge(row.premise_frame, row.hypothesis_frame) for row in rows)
    assert judged == {True: 6000}


def test_each_label_covers_affirmed_and_denied_sentences(drawn: Drawn) -> None:
    kinds = Counter((row.label, row.premise_frame.negated, row.hypothesis_frame.negated) for row in drawn[0])
    assert min(kinds[label, True, True] for label in (ENTAILMENT, NEUTRAL)) > 100
    assert min(kinds[label, False, True] for label in (NEUTRAL, CONTRADICTION)) > 100
    assert kinds[CONTRADICTION, True, False] > 100
    assert kinds[ENTAILMENT, False, True] == kinds[CONTRADICTION, True, True] == 0


def test_subsumption_agrees_with_the_judge(drawn: Drawn) -> None:
    """The retrieval task's relevance rests on `subsumes`; tried on related frames and on unrelated ones."""
    rng = random.Random(3)
    frames = [row.premise_frame for row in drawn[0][::60]]
    pairs = [(row.hypothesis_frame, row.premise_frame) for row in drawn[0]]
    pairs += [(rng.choice(frames), rng.choice(frames)) for _ in range(5000)]
    verdicts = [entails(constraints(specific), constraints(general)) for general, specific in pairs]
    assert [subsumes(general, specific) for general, specific in pairs] == verdicts
    assert 2000 < sum(verdicts) < len(pairs) - 2000


def test_exchanged_roles_contradict() -> None:
    rng = random.Random(0)
    frames = (random_frame(rng, lexicon().domains, negated_share=0.0) for _ in range(4000))
    turned = [(frame, other) for frame in frames if (other := swapped_roles(frame)) is not None]
    assert len(turned) > 20
    assert {judge(frame, other) for frame, other in turned} == {CONTRADICTION}
