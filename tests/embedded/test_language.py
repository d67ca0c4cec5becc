"""The words and the grammar of the controlled language."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from harness.embedded import words
from harness.embedded.frames import Frame, Participant, random_frame
from harness.embedded.inference import ENTAILMENT, hypothesis
from harness.embedded.lexicon import lexicon
from harness.embedded.rows import NliRow, StsPair, word_list
from harness.embedded.similarity import rating, similarity
from harness.embedded.surface import say

Drawn = tuple[list[NliRow], list[StsPair], list[StsPair], list[str]]
SIMPLE = Frame("peel", Participant("boy", "one"), Participant("onion", "two"), manner="slowly")


@pytest.mark.parametrize("name", ["nouns", "events", "attributes", "places", "times", "manners", "numbers"])
def test_no_word_names_two_meanings(name: str) -> None:
    """Else a sentence would have two frames, and its label two values."""
    named = Counter(form for names in getattr(lexicon(), name).names.values() for forms in names for form in {*forms})
    assert [word for word, meanings in named.items() if meanings > 1] == []


def test_what_events_and_attributes_refer_to_exists() -> None:
    lex = lexicon()
    for selection in lex.selections.values():
        assert all(noun in lex.nouns.names for noun in selection.agents + selection.patients)
        assert selection.agents
        assert all(place in lex.places.names for place in selection.places)
    assert all(host in lex.nouns.names for hosts in lex.hosts.values() for host in hosts)
    assert set(words.HELD_OUT_DOMAINS) < set(lex.domains)


@pytest.mark.parametrize(
    ("event", "forms"),
    [
        ("chop", {("chop", "chopped", "chopped", "chopping"), ("dice", "diced", "diced", "dicing")}),
        ("fry", {("fry", "fried", "fried", "frying"), ("sear", "seared", "seared", "searing")}),
        ("mimic", {("mimic", "mimicked", "mimicked", "mimicking"), ("imitate", "imitated", "imitated", "imitating")}),
        (
            "tend",
            {("tend", "tended", "tended", "tending"), ("look after", "looked after", "looked after", "looking after")},
        ),
    ],
)
def test_verb_forms(event: str, forms: set[tuple[str, ...]]) -> None:
    assert set(lexicon().events.names[event]) == forms


def test_noun_forms() -> None:
    plurals = {one: several for names in lexicon().nouns.names.values() for one, several in names}
    expected = {
        "fisherman": "fishermen", "wolf": "wolves", "pastry": "pastries", "fox": "foxes", "deer": "deer",
        "boy": "boys", "child": "children", "bird of prey": "birds of prey", "toy": "toys",
    }  # fmt: skip
    assert {noun: plurals[noun] for noun in expected} == expected


def test_one_frame_has_many_sentences() -> None:
    said = {say(SIMPLE, random.Random(seed)).text for seed in range(3000)}
    assert {
        "A boy peeled two onions slowly.",
        "The lad slowly peeled a pair of onions.",
        "Two onions were unhurriedly skinned by one boy.",
        "There was a boy who peeled two onions slowly.",
    } <= said
    assert all(re.search("onions", text) and re.search("boy|lad", text) for text in said)
    denied = {say(replace(SIMPLE, negated=True), random.Random(seed)).text for seed in range(3000)}
    assert {"A boy did not slowly peel two onions.", "It is false that a boy slowly peeled two onions."} <= denied
    assert not said & denied


def test_keeping_all_choices_repeats_the_sentence() -> None:
    rng = random.Random(5)
    for _ in range(200):
        frame = random_frame(rng, lexicon().domains)
        first = say(frame, rng)
        assert say(frame, rng, first, keep=1.0).text == first.text


def test_agreement_and_articles(drawn: Drawn) -> None:
    text = " ".join(drawn[3][:8000]).lower()
    assert re.findall(r"\ba [aeiou]\w*", text) == []
    assert re.findall(r"\ban [^aeiou\W]\w*", text) == []
    assert re.findall(r"(?:^|\. )(?:two|three|four|twelve) \w+ (?:is|was)\b", text) == []
    assert re.findall(r"(?:^|\. )(?:a|an|one) \w+ (?:are|were)\b", text) == []
    assert re.findall(r"\b(\w+) \1\b", text) == []


def test_size_of_the_language(drawn: Drawn) -> None:
    training, dev, test, unlabelled = drawn
    sentences = {row.premise for row in training} | {row.hypothesis for row in training} | {*unlabelled}
    sentences |= {pair.sentence1 for pair in dev + test} | {pair.sentence2 for pair in dev + test}
    types = {word for sentence in sentences for word in word_list(sentence)}
    print(f"{len(types)} word types in {len(sentences)} distinct sentences")
    assert len(types) >= 1000
    assert len(sentences) >= 50_000


def test_a_frame_without_participants_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="participant"):
        say(Frame("sleep", None, None), random.Random(0))


def test_similarity_follows_its_table() -> None:
    assert similarity(SIMPLE, SIMPLE) == 1.0
    assert similarity(SIMPLE, replace(SIMPLE, negated=True)) == 0.5
    sister = replace(SIMPLE, event="boil")
    # Events: sisters at depth 3, kinship (2 * 2 / 6) ** 2 = 4 / 9; weights 3 event, .3 tense, 2 + 2 participants, .7
    # manner.
    assert similarity(SIMPLE, sister) == pytest.approx((3 * 4 / 9 + 0.3 + 4 + 0.7) / 8 * (0.4 + 0.6 * 4 / 9))
    without = replace(SIMPLE, manner=None)
    assert similarity(SIMPLE, without) == pytest.approx((3 + 0.3 + 4 + 0.35) / 8)
    unrelated = Frame("sing", Participant("trumpeter", "one"), Participant("hymn", "one"))
    assert similarity(SIMPLE, unrelated) < 0.1


def test_similarity_is_symmetric_and_graded() -> None:
    rng = random.Random(11)
    orders = []
    for _ in range(400):
        frame, far = random_frame(rng, lexicon().domains, 0.0), random_frame(rng, lexicon().domains, 0.0)
        near = hypothesis(frame, ENTAILMENT, rng)
        assert near is not None
        assert similarity(frame, near) == pytest.approx(similarity(near, frame))
        assert 0.0 <= similarity(frame, far) <= 1.0
        orders.append(similarity(frame, near) > similarity(frame, far))
    assert sum(orders) / len(orders) > 0.98


def test_raters_are_noisy_in_the_middle_and_stay_in_range() -> None:
    rng = random.Random(0)
    marks = [rating(0.5, rng) for _ in range(2000)]
    mean = sum(marks) / len(marks)
    spread = (sum((mark - mean) ** 2 for mark in marks) / len(marks)) ** 0.5
    assert mean == pytest.approx(2.5, abs=0.05)
    assert 0.3 < spread < 0.45  # .8 / sqrt(5) = .36, and rounding adds a little
    assert all(0 <= rating(value, rng) <= 5 for value in (0.0, 1.0) for _ in range(200))
