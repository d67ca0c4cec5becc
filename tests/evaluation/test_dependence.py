"""Items that depend on each other: which are joined, and that intervals of groups keep their level."""

from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.dependence import groups_of, groups_of_equal
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


def test_questions_of_two_templates_are_drawn_one_by_one_and_the_verdict_says_so() -> None:
    only = [template.format(f"illness{n}") for template in ASKED[:2] for n in range(20)]
    groups = groups_of(only)
    assert len(set(groups)) == 2
    predictions = Predictions("ndcg@10", tuple(only), (0.5,) * 40, groups)
    assert (predictions.drawn, predictions.effective) == ((), 40)
    third = [*only, *(ASKED[2].format(f"illness{n}") for n in range(20))]
    assert Predictions("ndcg@10", tuple(third), (0.5,) * 60, groups_of(third)).effective == pytest.approx(3)


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
    assert templates([f"我得了病{n}有什么症状？" for n in range(9)]) == ["我 得 了 病"] * 9


@pytest.mark.parametrize("families", [5, 6, 12])
def test_what_fills_a_slot_makes_no_template_of_its_own(families: int) -> None:
    texts = [f"What are the symptoms of family{n % families} disease number {n}?" for n in range(120)]
    assert set(templates(texts)) == {"what are the symptoms of"}
    assert len(set(groups_of(texts))) == 1


def test_nothing_has_no_template() -> None:
    assert templates([]) == []


@pytest.mark.parametrize("sizes", [(100, 95, 58, 41, 36, *[1] * 70), (10,) * 40, (80,) * 5, (130,) * 3])
def test_intervals_over_items_hold_for_questions_of_other_templates(sizes: tuple[int, ...]) -> None:
    """Two equal studies, one of which is better at some templates and worse at others, by chance."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(len(sizes)), sizes)
    covered = {"groups": 0, "apart": 0}
    for _ in range(200):
        values = rng.normal(0, 0.05, len(sizes))[number] + rng.normal(0, 0.05, len(number))
        seeds = values.mean() + rng.normal(0, 0.001, 5)
        for way, groups in (("groups", tuple(number.tolist())), ("apart", ())):
            predictions = Predictions("ndcg@10", tuple(map(str, range(len(number)))), tuple(values), groups)
            resampled = resampled_mean(values, predictions.drawn, resamples=400)
            evidence = Evidence(tuple(seeds), None, resampled, items=len(number), effective=predictions.effective)
            interval = evidence.deciding()
            assert interval is not None
            covered[way] += interval.low <= 0 <= interval.high
    assert covered["groups"] / 200 >= 0.9
    assert covered["apart"] / 200 < 0.75


def test_a_few_copies_in_a_large_set_make_no_groups_and_many_copies_of_one_item_do() -> None:
    assert groups_of_equal([]) == ()
    assert groups_of_equal([*range(1377), 0, 1]) == ()
    assert groups_of_equal([*range(20), 0]) == (*range(20), 0)
    assert groups_of_equal([*range(1366), *[0] * 13])[-1] == 0  # as few copies as a hundredth, but all of one item
    assert groups_of_equal([7] * 4) == (0, 0, 0, 0)


def test_groups_of_equal_size_say_as_much_as_their_number() -> None:
    def effective(*groups: int) -> float:
        return Predictions("ndcg@10", tuple("abcdef"), (0.5,) * 6, groups).effective

    assert effective() == 6
    assert effective(0, 0, 1, 1, 2, 2) == 3
    assert effective(0, 0, 0, 0, 1, 2) == pytest.approx(36 / 18)
