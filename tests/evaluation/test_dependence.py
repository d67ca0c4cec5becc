"""Items that depend on each other: which are joined, and that intervals of groups keep their level."""

from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.dependence import groups_of
from harness.stats.resampled import resampled_mean
from harness.texts.templates import templates
from harness.verdicts.evidence import Evidence
from harness.verdicts.predictions import Predictions

ASKED = ["What are the symptoms of {}?", "How do doctors treat {}?", "Who is likely to have {}?"]
ILLNESSES = ["gout", "mumps", "Crohn's disease", "Überfunktion", "type 2 diabetes", "狂犬病"]


def questions(of_each: int) -> list[str]:
    return [f"What are the causes of illness{n}?" for n in range(of_each)] + [f"word{n} alone" for n in range(20)]


def test_items_with_the_same_documents_or_the_same_text_are_one_group() -> None:
    documents = [frozenset(each) for each in ("a", "b", "a", "ab", "b")]
    assert groups_of(["p", "q", "r", "s", "t"], documents) == (0, 1, 0, 2, 1)
    assert groups_of(["p", "q", "r"], [frozenset(each) for each in ("a", "b", "ab")]) == (), "some in common is too few"
    assert groups_of(["Where is it?", "why", "where is it"]) == (0, 1, 0)
    assert groups_of(["p", "q", "p"], [1, 2, 2]) == (0, 0, 0), "the second joins the others"
    assert groups_of([]) == ()
    assert groups_of(["one"]) == ()


def test_questions_of_one_template_are_one_group() -> None:
    groups = groups_of(questions(30))
    assert len(set(groups)) == 21
    assert set(groups[:30]) == {0}
    assert len(set(groups_of([*questions(30), "What are the causes of illness 7?"]))) == 21


def test_templates_are_left_apart_where_too_few_groups_would_be_left() -> None:
    only = [template.format(f"illness{n}") for template in ASKED for n in range(20)]
    assert groups_of(only) == ()
    assert groups_of([*only, only[0]]) != (), "equal texts are joined nevertheless"


@pytest.mark.parametrize("illness", ILLNESSES)
def test_a_template_is_the_longest_shared_beginning(illness: str) -> None:
    texts = [f"What are the symptoms of {name}?" for name in ILLNESSES] + ["WHAT ARE THE treatments for gout?"] * 2
    found = dict(zip(texts, templates(texts), strict=True))
    assert found[f"What are the symptoms of {illness}?"] == "what are the symptoms of"
    assert found["WHAT ARE THE treatments for gout?"] == "what are the"


def test_short_beginnings_and_rare_ones_are_no_templates() -> None:
    assert templates([f"What is {name}?" for name in "abcdefgh"]) == [None] * 8
    assert templates([f"What is the {name}?" for name in "abcd"]) == [None] * 4, "four texts are too few"
    many = [f"What is the {n}?" for n in range(9)] + [f"word{n} by itself" for n in range(191)]
    assert templates(many) == [None] * 200, "fewer than 5 percent"
    assert templates(["", "?", "   "]) == [None] * 3
    assert templates([]) == []


@pytest.mark.parametrize(("sizes", "least"), [((100, 95, 58, 41, 36, *[1] * 70), 0.88), ((10,) * 40, 0.92)])
def test_intervals_over_items_hold_for_questions_of_other_templates(sizes: tuple[int, ...], least: float) -> None:
    """Two equal studies, one of which is better at some templates and worse at others, by chance."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(len(sizes)), sizes)
    covered = {"groups": 0, "apart": 0}
    for _ in range(200):
        values = rng.normal(0, 0.05, len(sizes))[number] + rng.normal(0, 0.05, len(number))
        seeds = values.mean() + rng.normal(0, 0.001, 5)
        for way, groups in (("groups", tuple(number.tolist())), ("apart", ())):
            predictions = Predictions("ndcg@10", tuple(map(str, range(len(number)))), tuple(values), groups)
            evidence = Evidence(
                tuple(seeds), None, resampled_mean(values, groups, resamples=400), effective=predictions.effective
            )
            interval = evidence.deciding()
            assert interval is not None
            covered[way] += interval.low <= 0 <= interval.high
    assert covered["groups"] / 200 >= least
    assert covered["apart"] / 200 < 0.75


def test_groups_of_equal_size_say_as_much_as_their_number() -> None:
    def effective(*groups: int) -> float:
        return Predictions("ndcg@10", tuple("abcdef"), (0.5,) * 6, groups).effective

    assert effective() == 6
    assert effective(0, 0, 1, 1, 2, 2) == 3
    assert effective(0, 0, 0, 0, 0, 1) == pytest.approx(36 / 26)
