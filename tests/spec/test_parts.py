"""Studies of several data sets: what they refuse, what tables and findings call them, and what decides their ids."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import pytest

from harness import Ablation, Budget, Part, Settings, Space, Study, Testbed, choice, columns, log_uniform, measures
from harness import sources as origins
from harness.errors import StudyFileError
from harness.planning.plan import run_id, search_id, subject_id
from harness.planning.planner import make_plan
from harness.spec import losses, views
from harness.store.contents import Contents, resolved, updated
from harness.testbeds.sources import Source

MNR, COSENT = losses.MultipleNegativesRankingLoss, losses.CoSENTLoss
SCORED = origins.hub("own/scored")
OTHER = origins.hub("own/other")

pairs = Part("pairs", loss=MNR, view=columns("question", "answer"))
scored = Part("scored", loss=COSENT, view=columns("one", "two", score="score"), source=SCORED)
both = Study("both", parts=[pairs, scored])
plain = Study("plain", loss=MNR, view=columns("question", "answer"))


def ablation(*studies: Study, **changes: Any) -> Ablation:
    bed = Testbed(
        name="own",
        model="own/model",
        source=origins.hub("own/rows"),
        dev=measures.sts(origins.hub("own/dev"), "dev"),
        test=measures.sts(origins.hub("own/test"), "test"),
    )
    fields: dict[str, Any] = {
        "name": "own",
        "testbed": bed,
        "studies": list(studies),
        "space": Space(batch_size=choice(16), lr=log_uniform(1e-5, 1e-4)),
        "budget": Budget(trials=1, seeds=1),
    }
    return Ablation(**{**fields, **changes})


BAD_STUDIES: list[tuple[dict[str, Any], str]] = [
    ({"parts": ()}, r"nothing to train; give loss= and view=, or parts=\[Part"),
    ({"loss": MNR}, "leave out loss= of the study"),
    ({"view": "pair"}, "leave out view= of the study"),
    ({"parts": [pairs, replace(scored, name="pairs")]}, "two of its parts are named 'pairs'"),
    ({"parts": [pairs, plain]}, r"parts contains Study\(.*declare each as Part"),
    ({"parts": [pairs, ("scored", COSENT)]}, "parts contains .*declare each as Part"),
    ({"parts": pairs}, r"parts=Part\(.* is not a list; write parts="),
    ({"mixing": "alternating"}, "mixing='alternating'; choose from proportional, round_robin"),
    ({"parts": (), "loss": MNR, "view": "pair", "mixing": "round_robin"}, r"is for a study with parts"),
    ({"prompts": {"question": "query: "}}, r"give it to the parts: Part\(\.\.\., prompts"),
    ({"options": {"scale": choice(10, 20)}}, "not known which part's loss the option 'scale' is for"),
    ({"options": {"warmup": choice(2.0)}}, "option 'warmup'"),
    ({"parts": [replace(pairs, view=views.mined("pair-of-triplet"))]}, "part 'pairs' has mined negatives"),
    ({"source": "rows.csv"}, "source='rows.csv'"),
    ({"fixed": {"scale": 3}}, "only batch_size or lr can be fixed"),
]


@pytest.mark.parametrize(("changes", "says"), BAD_STUDIES)
def test_a_study_that_is_inconsistent_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyFileError, match=f"^study 'both': .*{says}"):
        replace(both, **changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "a/b"}, "its name must be like that of a study"),
        ({"name": ""}, "its name must be"),
        ({"name": 3}, "its name must be"),
        ({"loss": None}, "loss=None is not callable"),
        ({"view": "pears"}, "unknown view 'pears'; choose from"),
        ({"view": ["question"]}, "unknown view"),
        ({"view": columns("question")}, "the loss needs .* has question"),
        ({"loss": COSENT}, "the loss needs"),
        ({"source": "rows.csv"}, "source='rows.csv'; give e.g. sources.file"),
        ({"prompts": {"q": "query: "}}, "prompts names no text column 'q'; .* has question, answer"),
    ],
)
def test_a_part_that_is_inconsistent_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyFileError, match=f"^part .*: .*{says}"):
        replace(pairs, **changes)


def test_a_study_without_parts_needs_loss_and_view() -> None:
    with pytest.raises(StudyFileError, match=r"it has no view; give view=columns"):
        Study("a", loss=MNR)
    with pytest.raises(StudyFileError, match=r"loss=None is not callable; give losses\.NAME"):
        Study("a", view="pair")


def test_what_an_ablation_refuses() -> None:
    with pytest.raises(StudyFileError, match="examples=100 cannot be divided among its parts"):
        ablation(both, budget=Budget(examples=100))
    assert ablation(replace(both, settings=Settings(epochs=1)), plain, budget=Budget(examples=100))
    assert ablation(replace(both, options={"epochs": choice(1, 2)}), budget=Budget(examples=100))
    with pytest.raises(StudyFileError, match=r"mined by 'both'; choose 'untrained' or .*: plain"):
        ablation(both, plain, Study("mined", loss=MNR, view=views.mined("pair-of-triplet", by="both")))
    same_name = replace(columns("answer", "question"), name=columns("question", "answer").name)
    with pytest.raises(StudyFileError, match=r"study 'both/pairs': its view has the name .* makes other rows"):
        ablation(plain, replace(both, parts=[replace(pairs, view=same_name), scored]))


def test_tables_and_findings_name_the_parts() -> None:
    loss = partial(COSENT, scale=10)
    study = replace(both, parts=[pairs, replace(scored, loss=loss, prompts={"one": "q: "})], mixing="round_robin")

    assert study.label == "pairs: MultipleNegativesRankingLoss + scored: CoSENTLoss(scale=10)"
    assert study.reads.startswith("pairs (question, answer) + scored (one, two")
    assert study.reads.endswith(f"{SCORED}, prompt 'q: ' for one), mixed round_robin")
    assert list(study.by_title) == ["both/pairs", "both/scored"]
    assert list(plain.by_title) == ["plain"]
    assert (plain.label, plain.reads) == ("MultipleNegativesRankingLoss", "question, answer")


def test_each_part_has_its_own_rows_or_the_studys_or_the_testbeds() -> None:
    def rows(study: Study) -> list[Source]:
        made = ablation(study)
        return [made.testbed_of_part(study.name, part).source for part in study.all_parts]

    assert rows(both) == [origins.hub("own/rows"), SCORED]
    assert rows(replace(both, source=OTHER)) == [OTHER, SCORED]
    assert rows(plain) == [origins.hub("own/rows")]
    assert ablation(both, plain).sources == (SCORED,)
    assert ablation(replace(both, source=OTHER)).sources == (OTHER, SCORED)


def test_sweeps_are_of_settings_and_fields_and_not_of_a_losss_arguments() -> None:
    assert [study.settings.warmup for study in both.sweep(warmup=[0.0, 0.2])] == [0.0, 0.2]
    assert [(study.name, study.rows) for study in both.sweep(rows=[10])] == [("both rows=10", 10)]
    assert [study.mixing for study in both.sweep(mixing=["round_robin"])] == ["round_robin"]
    assert both.sweep(batch_size=[8])[0].fixed == {"batch_size": 8}
    with pytest.raises(StudyFileError, match="not known which part's loss scale is for"):
        both.sweep(scale=[10, 20])
    with pytest.raises(StudyFileError, match="leave out view="):
        both.sweep(view=["pair"])


def ids(made: Ablation, name: str) -> tuple[str, str, str]:
    """Return the ids of a study's first trial, of a final run and of its subject."""
    point = made.default_point(made.study(name))
    return run_id(made, name, "tune", 0, point), run_id(made, name, "final", 1, point), subject_id(made, name)


CHANGES: dict[str, dict[str, Any]] = {
    "loss": {"parts": [pairs, replace(scored, loss=losses.AnglELoss)]},
    "an argument": {"parts": [pairs, replace(scored, loss=partial(COSENT, scale=10))]},
    "view": {"parts": [replace(pairs, view=columns("answer", "question")), scored]},
    "source of a part": {"parts": [pairs, replace(scored, source=OTHER)]},
    "source of the study": {"source": OTHER},
    "prompts": {"parts": [replace(pairs, prompts={"question": "query: "}), scored]},
    "order": {"parts": [scored, pairs]},
    "mixing": {"mixing": "round_robin"},
    "one part fewer": {"parts": [pairs]},
    "one part twice": {"parts": [pairs, scored, replace(pairs, name="again")]},
    "losses swapped": {
        "parts": [replace(pairs, loss=losses.SoftmaxLoss, view=columns("question", "answer", label="kind")), scored]
    },
    "sampler": {"sampler": "no_duplicates"},
    "settings": {"settings": Settings(warmup=0.2)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_a_training_decides_its_ids_and_no_other_studys(change: str) -> None:
    before, after = ablation(both, plain), ablation(replace(both, **CHANGES[change]), plain)

    assert not set(ids(before, "both")) & set(ids(after, "both"))
    assert ids(before, "plain") == ids(after, "plain")
    assert search_id(before, "both") == search_id(after, "both")


def test_all_of_these_changes_differ_from_each_other() -> None:
    found = [ids(ablation(replace(both, **change)), "both") for change in CHANGES.values()]
    assert len(set(found)) == len(CHANGES)


def test_names_of_parts_decide_nothing() -> None:
    renamed = replace(both, parts=[replace(pairs, name="first"), replace(scored, name="second")])
    assert ids(ablation(both), "both") == ids(ablation(renamed), "both")


def test_runs_follow_the_content_of_each_parts_source() -> None:
    made = ablation(both, plain)
    rows = {"testbed": repr(made.testbed.source), "scored": repr(SCORED)}

    def read(**by_part: str) -> Ablation:
        return resolved(made, updated(Contents(), {rows[name]: content for name, content in by_part.items()}, {}))

    def changed(one: Ablation, other: Ablation) -> list[str]:
        return [study.name for study in one.studies if ids(one, study.name) != ids(other, study.name)]

    assert changed(read(testbed="1", scored="1"), read(testbed="1", scored="1")) == []
    assert changed(read(testbed="1", scored="1"), read(testbed="1", scored="2")) == ["both"]
    assert changed(read(testbed="1", scored="1"), read(testbed="2", scored="1")) == ["both", "plain"]
    last = ablation(replace(both, parts=[scored, pairs]))
    assert ids(resolved(last, updated(Contents(), {rows["testbed"]: "1"}, {})), "both") != ids(
        resolved(last, updated(Contents(), {rows["testbed"]: "2"}, {})), "both"
    ), "also of a part that is not the first"


def test_a_testbeds_rows_on_which_no_part_trains_decide_nothing() -> None:
    study = replace(both, parts=[replace(pairs, source=OTHER), scored])
    one = ablation(study)
    other = replace(one, testbed=replace(one.testbed, source=origins.hub("own/else")))
    assert ids(one, "both") == ids(other, "both")


def test_frames_are_told_apart_by_their_content() -> None:
    def of(word: str) -> Ablation:
        source = origins.frame(pd.DataFrame({"one": [word], "two": ["b"], "score": [0.5]}))
        return ablation(replace(both, parts=[pairs, replace(scored, source=source)]))

    assert ids(of("x"), "both") == ids(of("x"), "both")
    assert ids(of("x"), "both") != ids(of("y"), "both")


def test_the_ids_of_studies_without_parts_are_the_same_as_ever() -> None:
    """Their digests have the two keys that they had before there were parts."""
    assert list(ablation(plain).decides(plain)) == ["loss", "view"]


def test_a_plan_has_the_runs_of_a_study_with_parts() -> None:
    runs = make_plan(ablation(both), []).of("both")
    assert [run.stage for run in runs if run.id is not None][:1] == ["tune"]
