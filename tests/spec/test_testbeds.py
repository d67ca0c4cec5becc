"""Testbeds of one's own: what they refuse, what a tuning run is given, and which sources decide which run ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle
import pandas as pd
import pytest

from harness import Ablation, Budget, Space, Study, Testbed, choice, log_uniform, measures, sources, testbeds
from harness.errors import StudyFileError
from harness.planning.plan import run_id, subject_id
from harness.planning.planner import make_plan
from harness.reading.hashes import contents_of
from harness.spec import losses
from harness.spec.ablation import restrict
from harness.store.contents import Contents, resolved, updated
from harness.testbeds.sources import Source

MNR = losses.MultipleNegativesRankingLoss
ROWS, DEV, TEST, MORE = (sources.hub(f"own/{name}") for name in ("rows", "dev", "test", "more"))


def bed(**changes: Any) -> Testbed:
    parts: dict[str, Any] = {
        "name": "own",
        "model": "own/model",
        "source": sources.nli(ROWS),
        "dev": measures.sts(DEV, "pairs-dev"),
        "test": measures.sts(TEST, "pairs-test"),
    }
    return Testbed(**{**parts, **changes})


def first(model: object) -> float:
    return 1.0


def second(model: object) -> float:
    return 2.0


TWICE: dict[str, dict[str, Any]] = {
    "dev and test": {"test": measures.sts(TEST, "pairs-dev")},
    "test and a further measure": {"also": [measures.sts(MORE, "pairs-test")]},
    "two further measures": {"also": [measures.of(first, "mine"), "STS12", measures.of(second, "mine")]},
    "two of another kind": {"also": [measures.sts(MORE, "mine"), measures.of(first, "mine")]},
    "one task twice": {"also": ["STS12", "STS13", "STS12"]},
    "a task as dev and besides": {"dev": measures.mteb("STS12"), "also": ["STS12"]},
}


@pytest.mark.parametrize("case", TWICE)
def test_two_measures_of_one_name_are_refused(case: str) -> None:
    with pytest.raises(StudyFileError, match=r"two of its measures have the name '.*'; give each its own with name="):
        bed(**TWICE[case])


def test_measures_of_different_names_are_not() -> None:
    also = [measures.of(first, "mine"), "STS12", measures.of(first, "mine too"), measures.mteb("STS12", split="dev")]
    made = bed(also=also)
    assert made.tasks == ("STS12",)
    assert [measure.name for measure in made.besides] == ["mine", "mine too", "mteb/STS12:dev"]
    assert [measure.name for measure in made.measures] == [
        "pairs-dev",
        "pairs-test",
        "mine",
        "mine too",
        "mteb/STS12:dev",
    ]
    assert made.with_tasks(["STS13"]).besides == made.besides
    assert made.with_tasks(["STS13"]).tasks == ("STS13",)
    assert replace(made, also=()).measures == made.measures[:2]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"test": "STSBenchmark"}, r"write test=measures.mteb\('STSBenchmark'\)"),
    ({"dev": None}, "dev=None; give one of harness.measures"),
    ({"source": "rows.csv"}, "give one of harness.sources"),
    ({"also": "STS12"}, "give a list of measures and names of mteb tasks"),
    ({"also": [3]}, "also contains 3"),
    ({"model": 3}, "give an id of the hub"),
    ({"max_rows": 0}, "at least 1 row"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_parts_of_another_type_are_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyFileError, match=f"testbed 'own': .*{words}"):
        bed(**changes)


def test_a_sealed_testbed_holds_nothing_of_its_tests() -> None:
    secret = measures.sts(sources.hub("own/secret"), "secret")
    made = bed(test=measures.sts(sources.hub("own/hidden"), "hidden"), also=(secret, "STS12"))
    made = replace(made, contents=tuple((repr(part), f"{part.name} content") for part in made.measures))
    sealed = made.sealed()

    assert (sealed.test, sealed.also, sealed.tasks) == (None, (), ())
    assert sealed.content_of(made.dev) == "pairs-dev content"
    pickled = cloudpickle.dumps(sealed).decode("latin-1")
    assert not [word for word in ("secret", "hidden", "STS12") if word in pickled]
    assert sealed.objective == made.objective == "pairs-dev/spearman_cosine"
    with pytest.raises(StudyFileError, match="has no test measure; give test="):
        _ = sealed.headline
    with pytest.raises(StudyFileError, match="has no test measure; give test="):
        make_plan(ablation(testbed=sealed), [])


def ablation(studies: dict[str, Source | None] | None = None, **changes: Any) -> Ablation:
    listed = {"a": None, "b": None} if studies is None else studies
    parts: dict[str, Any] = {
        "name": "own",
        "testbed": bed(),
        "studies": [Study(name, MNR, "pair", source=source) for name, source in listed.items()],
        "space": Space(batch_size=choice(16), lr=log_uniform(1e-5, 1e-4)),
        "budget": Budget(trials=1, seeds=1),
    }
    return Ablation(**{**parts, **changes})


def frame(word: str) -> Source:
    data = pd.DataFrame({"premise": [f"{word} {n}" for n in range(4)], "hypothesis": "h", "label": [0, 1, 2, 0]})
    return sources.nli(sources.frame(data))


def ids(made: Ablation) -> dict[str, tuple[str, str, str]]:
    """By study, the ids of its first trial, of a final run and of its subject."""
    found = {}
    for study in made.studies:
        point = made.default_point(study)
        tuned, final = run_id(made, study.name, "tune", 0, point), run_id(made, study.name, "final", 1, point)
        found[study.name] = (tuned, final, subject_id(made, study.name))
    return found


def changed(before: Ablation, after: Ablation) -> set[str]:
    """The studies with other ids; all three ids of a study change together or not at all."""
    old, new = ids(before), ids(after)
    for study in old:
        assert len({one == other for one, other in zip(old[study], new[study], strict=True)}) == 1
    return {study for study in old if old[study] != new[study]}


def test_a_source_of_its_own_makes_new_runs_of_that_study_and_of_no_other() -> None:
    plain = ablation()
    own = ablation({"a": frame("x"), "b": None})
    assert changed(plain, own) == {"a"}
    assert changed(own, ablation({"a": frame("y"), "b": None})) == {"a"}
    assert changed(own, ablation({"a": frame("x"), "b": frame("z")})) == {"b"}
    assert changed(own, ablation({"a": frame("x"), "b": None})) == set(), "an equal frame is the same"
    other = ablation({"a": frame("x"), "b": None}, testbed=bed(source=sources.nli(MORE)))
    assert changed(own, other) == {"b"}, "only b trains on the testbed's rows"
    assert ids(ablation({"a": sources.nli(ROWS), "b": None}))["a"] == ids(plain)["a"], "the testbed's own rows"


def test_runs_follow_the_content_of_their_own_source_once_it_was_read() -> None:
    plain = ablation({"a": sources.nli(MORE), "b": None})

    def read(**by_part: str) -> Ablation:
        parts = {"rows": repr(sources.nli(ROWS)), "more": repr(sources.nli(MORE)), "dev": repr(plain.testbed.dev)}
        hashes = {parts[name]: content for name, content in by_part.items()}
        return resolved(plain, updated(Contents(), hashes, {}))

    before = read(rows="1", more="1", dev="1")
    assert changed(before, read(rows="1", more="1", dev="1")) == set()
    assert changed(before, read(rows="1", more="2", dev="1")) == {"a"}
    assert changed(before, read(rows="2", more="1", dev="1")) == {"b"}
    assert changed(before, read(rows="1", more="1", dev="2")) == {"a", "b"}
    assert before.testbed_of("a").hashes()["rows"] == "1"


def test_an_own_source_that_was_renamed_but_holds_the_same_rows_gives_the_same_runs() -> None:
    one, other = (ablation({"a": sources.nli(sources.hub(f"own/{name}")), "b": None}) for name in ("one", "two"))
    resolve: Callable[[Ablation], Ablation] = lambda made: resolved(  # noqa: E731
        made, updated(Contents(), {repr(source): "same" for source in made.sources}, {})
    )
    assert changed(one, other) == {"a"}
    assert changed(resolve(one), resolve(other)) == set()


def test_the_contents_of_sources_are_read_once_each_and_those_of_measures_that_are_not_there_left_out() -> None:
    own, more = frame("x"), measures.sts(sources.hub("own/nowhere"), "more")
    frames = {
        name: sources.frame(pd.DataFrame({"sentence1": ["a"], "sentence2": [name], "score": [0.5]})) for name in "dt"
    }
    mine = measures.of(first, "mine")
    made = bed(
        model=testbeds.embedded.base,
        source=frame("y"),
        dev=measures.sts(frames["d"], "dev"),
        test=measures.sts(frames["t"], "test"),
        also=(more, mine),
    )
    found = contents_of(made, [own])
    assert set(found) == {repr(part) for part in (made.base, made.source, own, made.dev, made.test, mine)}
    assert len(set(found.values())) == len(found)
    assert found[repr(own)] != found[repr(made.source)]
    assert found[repr(own)] == contents_of(made, [frame("x")])[repr(own)]


def test_what_is_scored_besides_does_not_make_new_runs() -> None:
    plain = ablation()
    more = ablation(testbed=bed(also=(measures.of(first, "mine"), "STS12")))
    assert changed(plain, more) == set()
    assert changed(plain, ablation(testbed=bed(test=measures.sts(TEST, "pairs-test", range=(0, 5))))) == {"a", "b"}


def test_the_number_of_rows_is_the_smaller_of_both_and_all_without_either() -> None:
    def rows(study: int | None, testbed: int | None) -> int | None:
        made = ablation(testbed=bed(max_rows=testbed), studies=None)
        made = replace(made, studies=[Study("a", MNR, "pair", rows=study)])
        return made.testbed_of("a").max_rows

    assert [rows(None, None), rows(5, None), rows(None, 7), rows(5, 7), rows(9, 7)] == [None, 5, 7, 5, 7]
    assert bed().limit > 10**9
    assert restrict(ablation(), rows=3).testbed.max_rows == 3
