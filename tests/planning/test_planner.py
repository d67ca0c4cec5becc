"""Planning that remembers plans as planning anew does, in the driver's order, and costs a step one study."""

from __future__ import annotations

import random
from dataclasses import replace

from synthetic import make_ablation, make_records

from harness import measures, sources
from harness.engine.turns import Turns
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import Planner, make_plan
from harness.scores import UNFIT
from harness.store.records import Record

NAMES = ("a", "b", "c", "d", "e")


def scrambled(records: list[Record], seed: int) -> list[Record]:
    """Return records in a random order, some of them failed first and made again later."""
    draw = random.Random(seed)
    lost = [replace(record, outcome="failed", scores={}, items={}) for record in draw.sample(records, 9)]
    told = draw.sample(records, len(records))
    return [*lost, *told]


def test_a_planner_that_is_told_records_one_by_one_plans_as_one_that_is_told_all() -> None:
    ablation = make_ablation(NAMES, trials=10, seeds=2, expect=())
    records = make_records(ablation)
    for seed in range(3):
        planner, known = Planner(ablation, []), dict[str, Record]()
        for number, record in enumerate(scrambled(records, seed)):
            planner.add(record)
            known[record.id] = record
            if number % 7 == 0:
                assert planner.plan() == make_plan(ablation, known.values())
        assert planner.plan() == make_plan(ablation, records)
        assert not planner.plan().unfinished()


def test_a_record_has_its_own_study_planned_anew_and_no_other() -> None:
    ablation = make_ablation(NAMES, trials=3, seeds=2, expect=())
    records = make_records(ablation)
    planner = Planner(ablation, records[:-1])
    before = {study: planner.part(study) for study in planner.studies}
    planner.add(records[-1])

    anew = {study for study in planner.studies if planner.part(study) is not before[study]}
    assert anew == {records[-1].study}


def in_turn(plan: Plan, taken: set[tuple[str, str | int | None]]) -> list[tuple[str, int]]:
    """Return where the runs stand that can start, by the rule: first runs of all studies, then second ones, ..."""
    found = []
    studies = list(dict.fromkeys(run.study for run in plan.runs))
    for position, study in enumerate(studies):
        runs = plan.of(study)
        for index, run in enumerate(runs):
            earlier = all(r.state in ("done", "failed") for r in runs[:index] if r.stage == "tune")
            if (study, run.id or run.trial) not in taken and (
                run.state == "to do" or (run.state == "waiting" and run.trial is not None and earlier)
            ):
                found.append((index, position, study))
    return [(study, index) for index, _, study in sorted(found)]


def test_turns_are_those_of_the_rule_whatever_ends_first() -> None:
    ablation = make_ablation(NAMES, trials=10, seeds=2, expect=())
    by_id = {record.id: record for record in make_records(ablation)}
    by_trial: dict[tuple[str, int | None], Record] = {
        (r.study, r.trial): r for r in by_id.values() if r.trial is not None
    }
    for seed in range(3):
        draw, planner = random.Random(seed), Planner(ablation, [])
        turns, running, taken = Turns(planner), list[PlannedRun](), set[tuple[str, str | int | None]]()
        done = 0
        while True:
            while len(running) < 4:
                expected = in_turn(planner.plan(), taken)
                run = turns.take()
                assert (run is None) == (not expected)
                if run is None:
                    break
                place = planner.part(run.study).runs.index(run)
                assert (run.study, place) == expected[0]
                taken.add((run.study, run.id or run.trial))
                running.append(run)
            if not running:
                break
            ended = running.pop(draw.randrange(len(running)))
            record = by_id[ended.id] if ended.id else by_trial[ended.study, ended.trial]
            planner.add(record)
            turns.refresh(record.study)
            done += 1
        assert done == len(by_id)
        assert not planner.plan().unfinished()


def named(model: object) -> float:
    return 1.0


def test_a_final_run_without_a_further_measure_is_repeated_with_its_own_id_until_it_has_it() -> None:
    plain = make_ablation(NAMES[:2], trials=2, seeds=2, expect=())
    records = make_records(plain)
    bed = replace(plain.testbed, also=(measures.of(named, "more"), *plain.testbed.also))
    more = replace(plain, testbed=bed)
    scored = [record for record in records if record.stage != "tune"]

    assert not make_plan(plain, records).unfinished()
    lacking = make_plan(more, records)
    assert {run.id for run in lacking.runs if run.state == "to do"} == {record.id for record in scored}
    with_it = [
        replace(record, scores={**record.scores, "more/value": 0.5}) if record.stage != "tune" else record
        for record in records
    ]
    assert not make_plan(more, with_it).unfinished()
    assert not make_plan(more, records, unavailable=["more"]).unfinished(), "it is not available here"
    unfit = [replace(record, missing={"more": f"{UNFIT}it collapsed"}) for record in records]
    assert not make_plan(more, unfit).unfinished(), "the model is the cause, so repeating would not help"
    failed = [replace(record, missing={"more": "no such file"}) for record in records]
    assert make_plan(more, failed).unfinished() == len(scored)


def test_a_final_run_whose_further_measure_is_of_other_data_is_repeated() -> None:
    plain = make_ablation(NAMES[:1], trials=1, seeds=1, expect=())
    measure = measures.sts(sources.hub("own/pairs"), "more")
    bed = replace(plain.testbed, also=(measure,), contents=((repr(measure), "one"),))
    ablation = replace(plain, testbed=bed)

    def of(content: str) -> list[Record]:
        return [
            replace(
                record,
                scores={**record.scores, "more/spearman_cosine": 0.5},
                provenance={**record.provenance, "measures": {"more": content}},
            )
            if record.stage != "tune"
            else record
            for record in make_records(plain)
        ]

    assert not make_plan(ablation, of("one")).unfinished()
    assert {run.stage for run in make_plan(ablation, of("two")).runs if run.state == "to do"} == {"untrained", "final"}
    unread = replace(ablation, testbed=replace(bed, contents=()))
    assert not make_plan(unread, of("two")).unfinished(), "what was not read here cannot be compared"
