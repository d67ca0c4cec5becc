"""What is chosen after test scores are known is told where the verdict stands, and does not hold under --strict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import harness
from stores import NAMES, Store, budget, declared

from harness import testbeds
from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.report.facts import gather
from harness.report.markdown import page
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.expectations import Expectation, at_least, beats, within
from harness.spec.space import Point, Space, choice, log_uniform
from harness.testbeds.measure_kinds import Sts
from harness.verdicts import hindsight
from harness.verdicts.judge import exit_code, judge
from harness.verdicts.junit import junit_xml


def page_of(plan: Plan) -> str:
    return page(gather(plan), (), "harness run study.py")


BENDS: dict[str, tuple[Callable[[Ablation], Ablation], str]] = {
    "trials added": (lambda a: budget(a, trials=6), "2 of 6 trials were added"),
    "trials cut": (lambda a: budget(a, trials=2), "trials were cut from 4 to 2"),
    "seeds raised": (lambda a: budget(a, seeds=5), "raised from 3 to 5"),
    "seeds lowered": (lambda a: budget(a, seeds=2), "lowered from 3 to 2"),
    "space narrowed": (
        lambda a: replace(a, space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(2e-5, 1e-4))),
        "its search (space, default point, options) was changed",
    ),
    "default moved": (lambda a: replace(a, default=Point(32, 4e-5)), "its search"),
    "option added": (
        lambda a: replace(
            a, studies=[replace(s, options={"scale": choice(10, 20)} if s.name == "mnr" else {}) for s in a.studies]
        ),
        "its search",
    ),
    "loss changed": (
        lambda a: replace(
            a,
            studies=[
                replace(s, loss=losses.MultipleNegativesRankingLoss.given(scale=5)) if s.name == "mnr" else s
                for s in a.studies
            ],
        ),
        "its training or scoring",
    ),
    "claim turned": (lambda a: replace(a, expect=[beats("cosine", "mnr")]), "'cosine beats mnr' was claimed after"),
    "margin lowered": (lambda a: replace(a, expect=[beats("mnr", "cosine", -0.01)]), "was claimed after"),
    "claim added": (
        lambda a: replace(a, expect=[*a.expect, beats("mnr", "softmax")]),
        "'mnr beats softmax' was claimed",
    ),
    "score claimed": (lambda a: replace(a, expect=[*a.expect, within("mnr", 0.7, 0.2)]), "was claimed after"),
    "seeds until decided": (
        lambda a: budget(a, max_seeds=8),
        "maximum number of final seeds was changed from none to 8",
    ),
    "tunings added": (lambda a: budget(a, tunings=2), "the number of tunings was changed from 1 to 2"),
}


@pytest.mark.parametrize("bend", BENDS)
def test_every_change_after_the_look_stands_in_the_verdicts_line_and_is_not_held_by_strict(bend: str) -> None:
    change, words = BENDS[bend]
    store, blind = Store(), Store()
    first = store.run(declared())
    assert hindsight.notes(first) == []
    assert all(not verdict.late for verdict in judge(first))
    bent = change(declared())
    for plan in (store.plan(bent), store.run(bent)):  # edited alone, and run again
        touched = [verdict for verdict in judge(plan) if verdict.late]
        assert touched, bend
        assert any(words in str(verdict) for verdict in touched)
        assert any(words in note for note in hindsight.notes(plan))
    assert exit_code(touched, replace(plan, runs=()), strict=True) != 0
    # whoever reads the report's first line, its table, or JUnit's result, is told, too
    text, junit = page_of(plan), junit_xml(plan, touched, strict=True)
    assert "chosen in hindsight" in text.splitlines()[2]
    assert text.count("Chosen in hindsight:") == len(touched)
    assert junit.count("<failure") == len(touched)
    assert junit_xml(plan, touched).count("<failure") == sum(v.verdict == "violated" for v in touched)
    # who declares the same before any score is known is told nothing
    assert hindsight.notes(blind.run(bent)) == []
    # the log cannot be emptied by going back and forth
    assert any(words in note for note in hindsight.notes(store.run(bent)))


def test_going_back_to_the_blind_design_takes_the_notes_away_but_for_seeds_that_are_known() -> None:
    store = Store()
    store.run(declared())
    store.run(budget(declared(), seeds=6))
    told = hindsight.notes(store.plan(declared()))
    assert all("lowered from 6 to 3" in note for note in told)
    assert len(told) == len(NAMES)
    store = Store()
    store.run(declared())
    store.run(replace(declared(), default=Point(32, 4e-5)))
    assert hindsight.notes(store.plan(declared())) == []
    store = Store()
    store.run(declared())
    store.run(budget(declared(), tunings=2))
    dropped = "3 final runs that were scored are left out after its test scores were known."
    assert hindsight.notes(store.plan(declared())) == [f"{name}: {dropped}" for name in NAMES]


def test_edits_before_any_test_score_are_free() -> None:
    store = Store()
    earlier = (budget(declared(), trials=2), budget(declared(), trials=6, seeds=5, max_seeds=8), declared())
    store.designs = tuple(unlocking.design(each) for each in earlier)
    store.run(declared())
    assert hindsight.notes(store.plan(declared())) == []


def test_a_study_added_later_is_judged_blindly_and_one_that_is_gone_is_told() -> None:
    store = Store()
    two = replace(declared(), studies=list(declared().studies)[:2], expect=[beats("cosine", "softmax")])
    store.run(two)
    later = replace(declared(), expect=[beats("cosine", "softmax"), beats("mnr", "cosine")])
    assert hindsight.notes(store.run(later)) == []
    told = hindsight.notes(store.plan(two))
    assert any("study mnr was scored on the test sets and is no longer declared" in note for note in told)
    assert any("'mnr beats cosine' was claimed before" in note for note in told)


def test_a_claim_that_is_dropped_after_the_look_still_counts_in_holm_s_correction() -> None:
    store = Store()
    both = replace(declared(), expect=[beats("mnr", "softmax"), beats("cosine", "softmax")])
    one = replace(declared(), expect=[beats("mnr", "softmax")])
    store.run(both)
    (kept,) = judge(store.plan(one))
    assert kept.level == max(verdict.level or 0 for verdict in judge(store.plan(both)))
    (alone,) = judge(Store().run(one))
    assert (kept.level or 0) > (alone.level or 0)


assert isinstance(testbeds.book.test, Sts)
HARD = replace(testbeds.book.test, name="hard")
"""A further set of the testbed."""


def with_sets(*expect: Expectation, test: str = "old", hard: str = "old", names: Sequence[str] = NAMES) -> Ablation:
    """Return an ablation whose test set and further set were read, with these contents."""
    contents = ((repr(testbeds.book.test), test), (repr(HARD), hard))
    bed = replace(declared().testbed, also=(HARD,), contents=contents)
    studies = [study for study in declared().studies if study.name in names]
    return replace(declared(), testbed=bed, studies=studies, expect=expect)


def test_a_claim_on_a_further_set_that_was_edited_after_the_look_is_told() -> None:
    """The items that spoke against the claim were deleted, by their scores in the records of the first run."""
    expect = beats("mnr", "untrained", figure="hard/spearman_cosine"), beats("mnr", "cosine")
    before, after = with_sets(*expect), with_sets(*expect, hard="new")
    store, blind = Store(), Store()
    assert hindsight.notes(store.run(before)) == []
    told = "hard: its data were changed after test scores of untrained and mnr were known."
    for plan in (store.plan(after), store.run(after)):
        assert [verdict.late for verdict in judge(plan)] == [(told,), ()]
        assert hindsight.notes(plan) == [told]
    assert hindsight.notes(store.plan(before)) == []
    blind.designs = (unlocking.design(before),)
    assert hindsight.notes(blind.run(after)) == []
    # a log that does not say what the set was cannot tell
    store.designs = tuple(replace(entry, measures={}) for entry in store.designs)
    assert hindsight.notes(store.plan(after)) == []


def test_a_further_set_is_known_from_its_first_scores_on() -> None:
    store, known = Store(), beats("cosine", "softmax")
    with_hard = with_sets(known, names=NAMES[:2])
    store.run(replace(with_hard, testbed=replace(with_hard.testbed, also=())))
    assert hindsight.notes(store.run(with_hard)) == [], "it was added, and nobody claims it"
    edited = with_sets(known, beats("mnr", "cosine", figure="hard/spearman_cosine"), hard="new")
    (told,) = hindsight.notes(store.run(edited))
    assert told == "hard: its data were changed after test scores of cosine were known."


def test_a_claim_on_the_untrained_model_alone_is_known_once_that_model_is_scored() -> None:
    reached = at_least("untrained", 0.4)
    before, after, lower = with_sets(reached), with_sets(reached, test="new"), with_sets(at_least("untrained", 0.3))
    own, store, blind = "untrained: the base model, rows, sets or precision were changed", Store(), Store()
    store.run(before)
    first_run = [record for record in store.records.values() if record.study == "untrained"]
    killed = Store()  # before any trial
    killed.designs, killed.records = store.designs, {record.id: record for record in first_run}
    old = Store()
    old.records, old.designs = store.records, (*store.designs, unlocking.design(after, store.records.values()))
    old.designs = tuple(replace(entry, scored=tuple({*entry.scored} - {"untrained"})) for entry in old.designs)
    for at in (store, killed, old):
        assert judge(at.plan(before))[0].late == ()
        assert own in " ".join(judge(at.plan(after))[0].late)
        assert "'untrained at least 0.3' was claimed after" in " ".join(judge(at.plan(lower))[0].late)
    assert own in " ".join(judge(store.run(after))[0].late)
    blind.designs = (unlocking.design(before),)
    assert hindsight.notes(blind.run(after)) == []
    more = replace(before, expect=[reached, beats("mnr", "untrained")])
    assert hindsight.notes(killed.run(more)) == [], "no score of mnr was known"


def test_a_name_that_reads_like_a_claim_hides_none() -> None:
    named = [replace(s, name="mnr at the default point") if s.name == "cosine" else s for s in declared().studies]
    odd = beats("softmax", "mnr at the default point")
    store = Store()
    store.run(replace(declared(), studies=named, expect=[odd]))
    store.run(replace(declared(), studies=named, expect=[odd]))
    bent = replace(declared(), studies=named, expect=[beats("softmax", "mnr", at="default")])
    assert any("was claimed after its test scores" in note for note in hindsight.notes(store.plan(bent)))


def test_more_seeds_than_were_declared_as_the_most_are_told() -> None:
    """Whoever declares at most 3, looks, and then asks for 4, has looked more often than the levels allow for."""
    store = Store()
    at_most = budget(declared(), max_seeds=3)
    store.run(at_most)
    assert hindsight.notes(store.plan(at_most)) == []
    more = replace(declared(), budget=replace(declared().budget, seeds=4, max_seeds=None))
    assert any("final seeds were raised from 3 to 4" in note for note in hindsight.notes(store.plan(more)))
    assert all(verdict.late for verdict in judge(store.run(more)))


def test_a_claim_in_the_place_of_another_that_did_not_hold_is_told() -> None:
    """Each new claim is tested blindly, at its own level: whoever goes on until one holds spends more than that."""
    store = Store()
    two = replace(declared(), studies=list(declared().studies)[:2], expect=[beats("cosine", "softmax")])
    store.run(two)
    swapped = replace(declared(), expect=[beats("mnr", "softmax")])
    for plan in (store.plan(swapped), store.run(swapped)):
        told = [
            "'mnr beats softmax' was first claimed after the scores of the withdrawn claim 'cosine beats softmax' were "
            "known."
        ]
        assert [note for note in hindsight.notes(plan) if "withdrawn claim" in note] == told
    (verdict,) = judge(plan)
    assert list(verdict.late) == told
    # whoever keeps the old claim shows it, too
    both = replace(declared(), expect=[beats("cosine", "softmax"), beats("mnr", "softmax")])
    assert not any(verdict.late for verdict in judge(store.plan(both)))


def test_check_with_fewer_seeds_than_the_log_knows_says_so_and_strict_does_not_hold(copy: Path) -> None:
    before = harness("check", "study.py", "--strict", cwd=copy)
    fewer = harness("check", "study.py", "--seeds", "1", "--strict", cwd=copy)
    assert "lowered from 2 to 1 after its test scores were known" not in before.stdout
    assert "lowered from 2 to 1 after its test scores were known" in fewer.stdout
    assert fewer.returncode != 0
