"""Bends of the protocol that a plan, a search or a record could once be brought to, each with what happens now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic
from commandline import harness
from stores import Store, budget, declared
from synthetic import TEST

from harness.cli.tables import plan_as_dict, plan_summary
from harness.engine.search import ask
from harness.errors import StudyFileError
from harness.planning import unlocking
from harness.planning.choice import best
from harness.planning.plan import PlannedRun, run_id, trained
from harness.planning.planner import Planner, make_plan
from harness.report.budgets import given
from harness.report.facts import gather
from harness.report.tables import headline
from harness.scores import HEADLINE
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.expectations import beats
from harness.spec.space import Point, Space, choice, log_uniform
from harness.stats import intervals
from harness.store.items import Pairs
from harness.store.records import Record, completed
from harness.verdicts import hindsight
from harness.verdicts.judge import exit_code, judge

SMALL = ("--no-mteb", "--rows", "60", "--executor", "inline")


def searched(trials: int = 12, **changes: Any) -> Ablation:
    plain = synthetic.make_ablation(["mnr"], trials=trials, seeds=1, tasks=(), expect=[])
    return replace(plain, space=Space(batch_size=choice(16, 32), lr=log_uniform(1e-6, 2e-4)), **changes)


def finished(ablation: Ablation) -> dict[str, Record]:
    """Records of an ablation whose later trials TPE asked for, as a driver asks."""
    records: dict[str, Record] = {}
    while True:
        plan = make_plan(ablation, records.values())
        run = next((r for r in plan.runs if r.state == "to do"), None)
        run = run or next((r for r in plan.runs if r.state == "waiting" and r.stage == "tune"), None)
        if run is None:
            return records
        if run.point is None and run.stage == "tune":
            earlier = [t.record for t in plan.of("mnr", "tune")[: run.trial] if t.record]
            point = ask(ablation, ablation.study("mnr"), earlier)
            run = replace(run, point=point, id=run_id(ablation, "mnr", "tune", run.seed, point))
        record = synthetic.make_record(run, ablation, 0.7)
        records[record.id] = record


OTHERS: dict[str, dict[str, Any]] = {
    "a narrower space": {"space": Space(batch_size=choice(16, 32), lr=log_uniform(3e-5, 1e-4))},
    "another default": {"default": Point(32, 4e-5)},
    "an option": {"options": {"scale": choice(10, 20)}},
    "a fixed value": {"fixed": {"batch_size": 16}},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_changed_search_starts_anew_and_no_old_trial_wins_in_it(other: str) -> None:
    """P1, P3: trials of the old space stayed, won, or ended in a KeyError."""
    before, changes = searched(), dict(OTHERS[other])
    of_study = {name: changes.pop(name) for name in ("options", "fixed") if name in changes}
    after = replace(before, studies=[replace(study, **of_study) for study in before.studies], **changes)
    records = finished(before)
    assert best(r for r in records.values() if r.stage == "tune") is not None
    plan = make_plan(after, records.values())
    assert {run.state for run in plan.of("mnr", "tune")} <= {"to do", "waiting"}
    assert all(run.record is None for run in plan.of("mnr", "tune"))
    both = {**records, **finished(after)}
    again = make_plan(after, both.values())
    assert again.unfinished() == 0
    assert all(run.record is not None and run.record.id not in records for run in again.of("mnr", "tune"))
    back = make_plan(before, both.values())
    assert {run.record.id for run in back.of("mnr", "tune") if run.record} <= set(records)  # and the old one stands


def test_trials_of_another_search_are_kept_named_and_not_counted() -> None:
    """P1: nothing told that the store held them."""
    before = searched(trials=10)
    records = list(finished(before).values())
    after = replace(before, space=Space(batch_size=choice(16, 32), lr=log_uniform(3e-5, 1e-4)))

    plan = make_plan(after, records)
    assert plan.strays == {"mnr": 10}
    assert plan_as_dict(plan)["trials_of_other_searches"] == {"mnr": 10}
    assert any(line.startswith("mnr: the store holds 10 trials of another search") for line in plan_summary(plan, 1))
    assert given(gather(plan)).rows[0][-1] == "10"
    fewer = make_plan(replace(before, budget=replace(before.budget, trials=9)), records)
    assert fewer.strays == {"mnr": 1}
    assert make_plan(before, records).strays == {}


def test_more_trials_go_on_with_the_same_search() -> None:
    records = finished(searched(10))
    plan = make_plan(searched(12), records.values())
    assert [run.state for run in plan.of("mnr", "tune")] == ["done"] * 10 + ["waiting"] * 2


def test_a_retried_trial_keeps_its_point_and_later_ones_stand() -> None:
    """P6: the search asked for other points, and two records of one trial stood."""
    ablation = searched(14)
    records = finished(ablation)
    tuned = {r.trial: r for r in records.values() if r.stage == "tune"}
    failed = replace(tuned[9], outcome="failed", scores={}, error="a fault of that day")
    records[failed.id] = failed
    planner = Planner(ablation, records.values(), retrying=[failed.id])
    todo = [run for run in planner.plan().of("mnr", "tune") if run.state == "to do"]
    assert [(run.trial, run.point, run.id) for run in todo] == [(9, failed.point, failed.id)]
    planner.add(tuned[9])
    assert [run.id for run in planner.plan().of("mnr", "tune")] == [tuned[n].id for n in range(14)]
    planner = Planner(ablation, records.values(), retrying=[failed.id])
    planner.add(failed)  # it failed again: once is enough
    assert planner.plan().count("to do") == 0
    assert planner.plan().count("failed") == 1


def test_of_two_records_of_one_trial_the_one_that_ended_well_counts() -> None:
    ablation = searched(10)
    records = finished(ablation)
    ninth = next(r for r in records.values() if r.stage == "tune" and r.trial == 9)
    point = replace(ninth.point or Point(1, 1), lr=1.234e-5)
    twin = replace(
        ninth, id=run_id(ablation, "mnr", "tune", 0, point), point=point, outcome="failed", scores={}, error="x"
    )
    for order in ([*records.values(), twin], [twin, *records.values()]):
        plan = make_plan(ablation, order)
        assert [run.id for run in plan.of("mnr", "tune")][9] == ninth.id


FOREIGN = {
    "another seed": {"seed": 2},
    "another stage": {"stage": "tune", "trial": 0},
    "another point": {"point": Point(64, 1e-4)},
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_record_under_another_run_s_id_is_none_of_it(what: str) -> None:
    """P11: its content was accepted."""
    ablation = synthetic.make_ablation(["softmax", "mnr"], trials=2, expect=[])

    def change(run: PlannedRun, record: Record) -> Record:
        copied = run.study == "mnr" and run.stage == "final" and run.seed == 1
        return replace(record, **FOREIGN[what]) if copied else record  # type: ignore[arg-type]

    plan = make_plan(ablation, synthetic.make_records(ablation, change=change))
    states = {run.state for run in plan.of("mnr", "final") if run.seed == 1}
    assert states == {"to do"}


ODD = {
    "a text for a score": lambda plain: plain["scores"].update({"stsb-dev/spearman_cosine": "NaN"}),
    "scores that are a text": lambda plain: plain.update(scores="none"),
    "a cosine that is a text": lambda plain: plain["items"].update({"stsb-dev": {"gold": [0.1], "cosine": ["x"]}}),
    "values of another number than items": lambda plain: plain["items"].update(
        {"more": {"ids": ["a"], "by_figure": {"mrr@10": [0.5, 1.0]}}}
    ),
    "a headline that is a number": lambda plain: plain.update(headline=1),
    "a stage that is none": lambda plain: plain.update(stage="last"),
    "a truth for a seed": lambda plain: plain.update(seed=True),
    "a point that holds a list": lambda plain: plain.update(point={"batch_size": 8, "lr": 1e-4, "scale": [1]}),
    "a curve that is a number": lambda plain: plain.update(curve=3),
    "subsets that are texts": lambda plain: plain["provenance"].update(subsets={"STS17": "en-en"}),
    "threads that are a text": lambda plain: plain["provenance"].update(threads="two"),
    "versions that are a list": lambda plain: plain["provenance"].update(versions=["torch"]),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_record_with_a_right_checksum_is_damaged_and_no_traceback(copy: Path, what: str) -> None:
    from harness.files import as_json
    from harness.store.records import HEAD, _checksum

    path = sorted((copy / "runs" / "small-book" / "records").glob("*.json"))[0]
    plain = json.loads(path.read_text(encoding="utf-8"))["record"]
    ODD[what](plain)
    body = as_json(plain)
    path.write_text(f'{HEAD}{body}, "sha256": "{_checksum(body)}"}}\n', encoding="utf-8")
    done = harness("check", "study.py", cwd=copy)
    assert done.returncode == 3
    assert "damaged record" in done.stderr
    assert path.name in done.stderr
    assert "Traceback" not in done.stderr


REFUSED = {
    "--trials 0": (["--trials", "0"], "trials=0"),
    "--seeds 0 with --testbed": (["--seeds", "0", "--testbed", "embedded"], "seeds=0"),
    "--trials 0 with --testbed": (["--trials", "0", "--testbed", "embedded"], "trials=0"),
    "--seeds below 0": (["--seeds", "-2"], "seeds=-2"),
    "--epochs 0": (["--epochs", "0"], "epochs=0"),
    "--epochs nan": (["--epochs", "nan"], "epochs=nan"),
    "--max-seeds below --seeds": (["--seeds", "3", "--until-decided", "--max-seeds", "2"], "max_seeds=2"),
    "a task that there is not": (["--tasks", "NoSuch"], "NoSuch"),
    "--until-decided with --only": (
        ["--until-decided", "--max-seeds", "4", "--only", "mnr"],
        "--until-decided needs every study",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_refused_before_any_cost(study: Path, what: str) -> None:
    """P13, P14, P15."""
    options, words = REFUSED[what]
    done = harness("run", "study.py", *options, "--dry-run", cwd=study.parent)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert not (study.parent / "runs").exists()


def test_a_claim_on_a_figure_that_no_run_will_have_is_refused_by_plan(study: Path) -> None:
    text = study.read_text(encoding="utf-8")
    study.write_text(
        text.replace('expect=[beats("mnr", "cosine")]', 'expect=[at_least("mnr", 0.1, figure="mteb/STS61")]'),
        encoding="utf-8",
    )
    done = harness("plan", "study.py", cwd=study.parent)
    assert done.returncode == 2
    assert "no run will have the score 'mteb/STS61'" in done.stderr
    assert "mteb/STS16" in done.stderr


def test_a_batch_of_one_row_is_named_as_the_cause(cache: Path, study: Path) -> None:
    """P12."""
    text = study.read_text(encoding="utf-8").replace("choice(8, 16)", "choice(1)")
    study.write_text(text.replace("trials=2", "trials=1"), encoding="utf-8")
    done = harness("run", "study.py", *SMALL, "--only", "mnr", cwd=study.parent)
    shown = json.loads(harness("show", "study.py", "--json", cwd=study.parent).stdout)["records"]
    errors = [record["error"] for record in shown if record["error"] and record["point"]["batch_size"] == 1]
    assert done.returncode == 3 or not errors, done.stdout
    assert all("a batch held one row" in error for error in errors)


def test_budgets_are_told_from_records_and_whoever_got_less_is_marked() -> None:
    """P8: three of four trials that ran out of memory were still "4 trials"."""
    ablation = synthetic.make_ablation(["softmax", "mnr"], trials=4, expect=[], tasks=())

    def change(run: PlannedRun, record: Record) -> Record:
        short = run.study == "mnr" and run.stage == "tune" and (run.trial or 0) > 1
        return replace(record, outcome="infeasible", scores={}, error="out of memory") if short else record

    facts = gather(synthetic.make(ablation, change=change))
    table = {row[0]: row for row in given(facts).rows}
    assert table["softmax"][1:5] == ("4", "4", "–", "4")
    assert table["mnr"][1:5] == ("4", "2", "2 infeasible", "2")
    assert facts.fewer_points == ["mnr"]
    assert [row[0] for row in headline(facts).rows] == ["untrained", "softmax", "mnr †"]


def told(store: Store, bent: Ablation) -> str:
    """Return the verdicts that are marked, edited alone and run again alike."""
    lines = {" ".join(str(v) for v in judge(plan) if v.late) for plan in (store.plan(bent), store.run(bent))}
    assert len({bool(line) for line in lines}) == 1
    return lines.pop()


def with_study(ablation: Ablation, name: str, **changes: object) -> Ablation:
    """Return an ablation with its mnr in another form: under another name, or beside it, or with another loss."""
    made = replace(ablation.study("mnr"), name=name, **changes)  # type: ignore[arg-type]
    return replace(
        ablation, studies=[*(s for s in ablation.studies if s.name != "mnr"), made], expect=[beats(name, "cosine")]
    )


def test_a_study_that_is_known_is_not_blind_under_another_name() -> None:
    """P10 in another form: the same runs gave the same scores, and "holds" without a word."""
    store = Store()
    store.run(declared())
    assert "mnr again: the same loss and data were scored on the test sets before, as mnr" in told(
        store, with_study(declared(), "mnr again")
    )
    assert (
        exit_code(
            judge(store.plan(with_study(declared(), "mnr again"))),
            replace(store.plan(declared()), runs=()),
            strict=True,
        )
        == 3
    )


def test_a_study_that_takes_another_s_place_is_told_and_beside_it_it_is_not() -> None:
    """P2 in another form: a loss hardly changed under a new name knows what the old one gave."""
    store, other = Store(), losses.MultipleNegativesRankingLoss.given(scale=20.001)
    store.run(declared())
    in_place = with_study(declared(), "other", loss=other)
    assert (
        "other: when it was first declared, test scores were known of mnr, which the study file no longer declares"
        in told(store, in_place)
    )
    store = Store()
    store.run(declared())
    beside = replace(
        in_place, studies=[*in_place.studies, declared().study("mnr")], expect=[*declared().expect, *in_place.expect]
    )
    assert told(store, beside) == ""


def test_whoever_is_set_against_one_of_several_known_studies_pays_for_the_choice() -> None:
    """Of ten equal studies one is the worst by luck; a new one that was set against it "held"."""
    store = Store()
    store.run(replace(declared(), expect=[]))
    new = replace(declared().study("mnr"), name="new", loss=losses.MultipleNegativesRankingLoss.given(scale=5))
    for expect, claims in (
        ([beats("new", "cosine")], 3),
        ([beats("new", "cosine"), beats("new", "softmax")], 3),
        ([beats("new", "untrained")], 1),
    ):
        after = replace(declared(), studies=[*declared().studies, new], expect=expect)
        levels = [verdict.level or 0 for verdict in judge(Store.run(replace_store(store), after))]
        assert max(levels) == pytest.approx(1 - 0.05 / claims)


def replace_store(store: Store) -> Store:
    copy = Store()
    copy.records, copy.designs = dict(store.records), store.designs
    return copy


def test_a_claim_that_is_dropped_when_one_of_its_studies_is_known_still_counts() -> None:
    """`--only` ran the variants without the study that they are set against; the best one's claim alone was kept."""
    store, three = Store(), [beats(name, "softmax") for name in ("cosine", "mnr")]
    store.designs = (unlocking.design(replace(declared(), expect=three)),)
    made = {r.id: r for r in synthetic.make_records(declared())}
    store.records = {key: r for key, r in made.items() if r.study in ("untrained", "cosine", "mnr")}
    (kept,) = judge(store.run(replace(declared(), expect=[beats("mnr", "softmax")])))
    assert kept.level == pytest.approx(1 - 0.05 / 2)
    assert not kept.late


def test_a_best_trial_that_becomes_another_one_after_the_look_is_told() -> None:
    """P6 in another form: a trial that had failed is done again, and wins, once test scores are known."""
    ablation = declared()
    made = {r.id: with_identity(ablation, r) for r in synthetic.make_records(ablation)}
    winner = best(r for r in made.values() if r.study == "mnr" and r.stage == "tune")
    assert winner is not None
    failed = replace(winner, outcome="failed", scores={}, error="the disk was full")

    def change(run: PlannedRun, record: Record) -> Record:
        return failed if run.id == winner.id else with_identity(ablation, record)

    store = Store()
    store.designs = (unlocking.design(ablation),)
    store.records = {r.id: r for r in synthetic.make_records(ablation, change=change)}
    assert hindsight.notes(store.plan(ablation)) == []
    store.records = {**made, **store.records, winner.id: winner}
    (note,) = hindsight.notes(store.plan(ablation))
    assert "mnr: another trial became its best one" in note
    store.records = made
    assert hindsight.notes(store.plan(ablation)) == []


def with_identity(ablation: Ablation, record: Record) -> Record:
    """Return a record that says what it trained, as a driver writes it."""
    return replace(record, provenance={**record.provenance, **trained(ablation, record.study)})


MOST = {
    "raised": (8, "the maximum number of final seeds was changed from 6 to 8"),
    "lowered": (4, "the maximum number of final seeds was changed from 6 to 4"),
}


@pytest.mark.parametrize("what", MOST)
def test_another_most_of_seeds_is_told_by_its_number(what: str) -> None:
    """P5: lowering it was told as "from 6 to 6"."""
    most, words = MOST[what]
    first = budget(replace(declared(), expect=[beats("mnr", "cosine")]), max_seeds=6)
    store = Store()
    store.run(first)
    assert words in told(store, budget(first, max_seeds=most))


def test_a_search_whose_option_is_taken_away_or_changed_starts_anew() -> None:
    """P3 in two other forms."""
    plain = searched(10)

    def having(**options: object) -> Ablation:
        return replace(plain, studies=[replace(s, options=options) for s in plain.studies])  # type: ignore[arg-type]

    before = having(scale=choice(10, 20))
    records = finished(before)
    for after in (
        plain,
        having(scale=choice(10, 20, 40)),
        having(scale=log_uniform(5, 50)),
        having(weight_decay=choice(0.1, 0.2)),
    ):
        plan = make_plan(after, records.values())
        assert all(run.record is None for run in plan.of("mnr", "tune"))
        assert make_plan(after, {**records, **finished(after)}.values()).unfinished() == 0


def test_a_run_that_is_done_again_for_a_task_keeps_the_scores_that_it_had_first() -> None:
    """A loss whose training does not repeat gave new test scores as often as somebody asked for other tasks."""
    ablation = synthetic.make_ablation(["mnr"], seeds=1, tasks=("STS12",), expect=[])
    first = next(r for r in synthetic.make_records(ablation) if r.stage == "final")
    drawn = {name: score + 0.01 for name, score in first.scores.items() if name != "mteb/STS12"}
    again = replace(first, scores={**drawn, "mteb/STS16": 0.5}, missing={"STS12": "not asked for", "SICK-R": "none"})

    kept = completed(first, again)
    assert kept.scores == {**first.scores, "mteb/STS16": 0.5}
    assert kept.items == first.items
    assert kept.missing == {"SICK-R": "none"}
    assert any("its training is not reproducible" in line for line in kept.warnings)
    same = replace(again, scores={**first.scores, "mteb/STS16": 0.5})
    assert completed(first, same).warnings == first.warnings
    upgraded = replace(again, provenance={**again.provenance, "versions": {"torch": "3"}})
    assert completed(first, upgraded) is upgraded
    assert completed(replace(first, outcome="failed"), again) is again
    assert completed(None, again) is again


def test_what_a_study_had_fixed_and_the_other_had_not_stands_in_the_verdict() -> None:
    """The same loss at a good learning rate beats itself at a bad one: nothing but the points' cells told why."""
    plain = synthetic.make_ablation(["softmax", "mnr"], tasks=(), expect=[beats("mnr", "softmax")])
    (alike,) = judge(synthetic.make(plain))
    assert alike.unequal == ""
    one = [replace(s, fixed={"lr": 2e-5}) if s.name == "softmax" else s for s in plain.studies]
    (verdict,) = judge(synthetic.make(replace(plain, studies=one)))
    assert "not tuned in the same space: mnr has nothing fixed and softmax has lr 2e-05 fixed" in str(verdict)


def test_seeds_that_hardly_differ_are_told() -> None:
    """Not bit-identical, so that nothing was told, and all alike to four decimals."""
    ablation = synthetic.make_ablation(["softmax", "mnr"], tasks=(), expect=[beats("mnr", "softmax")])

    def pinned(run: PlannedRun, record: Record) -> Record:
        if run.study != "mnr" or run.stage != "final":
            return record
        cosine = [*synthetic.predictions(0.8, "mnr").cosine]
        cosine[0] += 1e-6 * run.seed
        pairs = Pairs(synthetic.predictions(0.8, "mnr").gold, tuple(cosine))
        scores = {**record.scores, HEADLINE: intervals.spearman(pairs.gold, pairs.cosine)}
        return replace(record, items={**record.items, TEST: pairs}, scores=scores)

    (verdict,) = judge(synthetic.make(ablation, change=pinned))
    assert "all seeds of mnr are equal to within 0.01 points" in verdict.full_reason


def test_a_study_does_not_beat_itself_and_a_tolerated_loss_is_called_so() -> None:
    with pytest.raises(StudyFileError, match="cannot beat itself"):
        beats("mnr", "mnr", by=-1e-9)
    assert str(beats("mnr", "softmax", by=-1e-9)) == "mnr at most 1e-09 below softmax"
