"""Final seeds until decided: where they go, that the records alone decide it, and at which level verdicts are judged."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic
from commandline import harness

from harness.errors import StudyFileError
from harness.planning import unlocking
from harness.planning.plan import Plan, PlannedRun
from harness.planning.planner import Planner, make_plan
from harness.report.protocol import looks as texts_on_looks
from harness.report.verification import levels
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.expectations import beats, in_order
from harness.stats import intervals, repeated_looks
from harness.store.records import Record
from harness.verdicts import hindsight
from harness.verdicts.judge import judge
from harness.verdicts.until_decided import grown, is_open, looks, saved

APART = {"softmax": 0.30, "cosine": 0.65, "mnr": 0.68, "mnr+hard": 0.93}


def ablation(last: int | None = 7, seeds: int = 3) -> Ablation:
    """Softmax and mnr+hard are far apart; cosine and mnr are close, and their seeds differ more than they do."""
    plain = synthetic.make_ablation(
        trials=1, seeds=seeds, expect=[in_order("cosine", "mnr"), beats("mnr+hard", "softmax")], tasks=()
    )
    return replace(plain, budget=replace(plain.budget, max_seeds=last))


def looked_at(of: Ablation, records: Iterable[Record], only: Sequence[str] = ()) -> Plan:
    """The plan of an ablation with the seeds that its open verdicts need."""
    return grown(Planner(of, records, only=only))


def record_of(run: PlannedRun, of: Ablation, spread: float = 0.06) -> Record:
    luck = random.Random(f"{run.study} {run.seed}").gauss(0, spread) if run.study in ("cosine", "mnr") else 0.0
    luck += 0.04 * (run.study == "mnr" and not spread)
    return synthetic.make_record(run, of, {**synthetic.QUALITY, **APART}[run.study] + luck * (run.stage == "final"))


def carried_out(of: Ablation, records: dict[str, Record], spread: float = 0.06, stop: int = 10**6) -> list[str]:
    """Do what the plan asks for, one run at a time, as a driver would; return the ids in the order they were done."""
    done: list[str] = []
    while len(done) < stop:
        ready = [run for run in looked_at(of, records.values()).runs if run.state == "to do"]
        if not ready:
            break
        record = record_of(ready[0], of, spread)
        records[record.id] = record
        done.append(record.id)
    return done


@pytest.fixture(scope="module")
def finished() -> dict[str, Record]:
    records: dict[str, Record] = {}
    carried_out(ablation(), records)
    return records


def seeds_of(plan: Plan) -> dict[str, int]:
    return {name: len(plan.of(name, "final", "best")) for name in APART}


def test_seeds_are_added_where_a_verdict_is_open_and_nowhere_else(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values())
    assert not plan.unfinished()
    found = seeds_of(plan)
    assert (found["softmax"], found["mnr+hard"]) == (3, 3)
    assert 3 < found["cosine"] == found["mnr"] <= 7
    fixed = make_plan(ablation(None), finished.values())
    assert [run.id for run in fixed.runs] == [run.id for run in plan.runs if run.stage != "final" or run.seed <= 3]
    assert all("default" not in run.roles for run in plan.runs if run.seed > 3)


def test_without_max_seeds_nothing_is_added_and_nothing_is_spent(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(None), finished.values())
    assert (seeds_of(plan), plan.looks) == (dict.fromkeys(APART, 3), ())
    assert judge(plan) == judge(make_plan(ablation(None), finished.values()))
    assert saved(plan) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_driver_that_lost_any_records_does_the_same_runs_again(finished: dict[str, Record], seed: int) -> None:
    kept = random.Random(seed).sample(sorted(finished), len(finished) // 2)
    records = {key: finished[key] for key in kept}
    carried_out(ablation(), records)
    assert records == finished


def test_no_seed_is_added_before_every_run_of_the_look_has_ended(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values())
    waited_for = next(run.id for run in plan.of("softmax", "final", "best"))
    without = looked_at(ablation(), [r for key, r in finished.items() if key != waited_for])
    assert seeds_of(without) == dict.fromkeys(APART, 3)


def test_a_failed_run_stops_no_other_claims_look(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values())
    failed = next(run.id for run in plan.of("softmax", "final", "best"))
    records = {**finished, str(failed): replace(finished[str(failed)], outcome="failed", scores={}, items={})}
    carried_out(ablation(), records)
    after = looked_at(ablation(), records.values())
    assert seeds_of(after)["mnr"] > 3
    assert [v.verdict for v in judge(after)][1] == "incomplete"


def test_what_pairs_leave_open_gets_no_seeds() -> None:
    """Seeds that agree closely decide over seeds; more of them would not narrow the interval over pairs."""
    records: dict[str, Record] = {}
    carried_out(ablation(), records, spread=0.0)
    plan = looked_at(ablation(), records.values())
    verdict = judge(plan)[0]
    assert verdict.verdict == "inconclusive"
    assert (verdict.over_seeds is not None and verdict.over_seeds.low > 0, is_open(verdict)) == (True, False)
    assert seeds_of(plan)["mnr"] == 3
    both = replace(verdict, over_items=verdict.over_seeds)  # each decides, both together do not: seeds help
    neither = replace(verdict, over_seeds=verdict.over_items)
    assert (is_open(both), is_open(neither), is_open(replace(both, verdict="holds"))) == (True, True, False)
    assert not is_open(replace(both, at="default")), "untuned runs get no further seeds"


def test_verdicts_are_judged_at_the_level_that_all_looks_leave(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values())
    assert plan.looks == (3, 4, 5, 6, 7)
    levels = {round(1 - (v.level or 0), 9) for v in judge(plan)}
    assert levels <= {round(repeated_looks.nominal(alpha, plan.looks, samples=2), 9) for alpha in (0.05, 0.025)}
    once = judge(replace(plan, looks=()))
    for strict, plain in zip(judge(plan), once, strict=True):
        assert strict.over_seeds is not None
        assert plain.over_seeds is not None
        assert strict.over_seeds.high - strict.over_seeds.low > plain.over_seeds.high - plain.over_seeds.low


def test_a_store_once_run_until_decided_is_judged_so_for_good(finished: dict[str, Record]) -> None:
    entry = unlocking.design(ablation(7))
    plain = ablation(None)
    assert looks(plain, (entry,)) == (3, 4, 5, 6, 7)
    assert looks(plain, (replace(entry, max_seeds=None),)) == ()
    more = replace(plain, budget=replace(plain.budget, seeds=9))
    assert looks(more, (entry,)) == (3, 4, 5, 6, 7, 8, 9)
    remembered = judge(grown(Planner(plain, finished.values()), (entry,)))
    assert all((v.level or 0) > 1 - intervals.ALPHA / 2 for v in remembered)


@pytest.mark.parametrize("seeds", [3, 4])
def test_seeds_that_were_added_and_are_dropped_again_are_told(finished: dict[str, Record], seeds: int) -> None:
    """Five seeds until decided, then a plain run that used three of them, said nothing of the other two."""
    log = (unlocking.design(ablation(7)),)
    until = grown(Planner(ablation(7), finished.values()), log)
    assert hindsight.notes(until) == []
    plain = grown(Planner(ablation(None, seeds), finished.values()), log)
    told = hindsight.notes(plain)
    assert sum("maximum number of final seeds was changed from 7 to none" in note for note in told) == len(APART)
    dropped = seeds_of(until)["mnr"] - seeds
    words = "1 final run that was scored is" if dropped == 1 else f"{dropped} final runs that were scored are"
    assert [note for note in told if note.startswith(f"mnr: {words} left out")]
    assert not [note for note in told if note.startswith("softmax: ") and "left out" in note]
    assert all(verdict.late for verdict in judge(plain))
    assert "Final seeds are added one at a time while a verdict is inconclusive" in " ".join(texts_on_looks(until))
    said = " ".join(texts_on_looks(plain))
    assert "Final seeds were once added" in said
    assert levels.of_claim(said, f"{100 * (judge(plain)[0].level or 0):.4g} %", 2), "verification reads the sentence"


def test_with_only_no_seeds_are_added(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values(), only=["mnr"])
    assert len(plan.of("mnr", "final", "best")) == 3


def test_one_seed_to_begin_with_is_looked_at_from_two_on() -> None:
    records: dict[str, Record] = {}
    carried_out(ablation(4, seeds=1), records)
    plan = looked_at(ablation(4, seeds=1), records.values())
    assert plan.looks == (2, 3, 4)
    assert all(count > 1 for count in seeds_of(plan).values())


def test_what_was_saved_is_counted_once_all_is_done(finished: dict[str, Record]) -> None:
    plan = looked_at(ablation(), finished.values())
    found = seeds_of(plan)
    told = saved(plan)
    assert told is not None
    assert told.startswith("3 of 7 seeds for 2 of 4 studies")
    assert told.endswith(f": {sum(7 - count for count in found.values())} runs saved")
    assert saved(looked_at(ablation(), list(finished.values())[:-1])) is None


def test_fewer_seeds_at_most_than_at_first_is_a_mistake() -> None:
    with pytest.raises(StudyFileError, match="at least the 5 seeds"):
        Budget(seeds=5, max_seeds=4)


def options(*more: str) -> list[str]:
    return ["--no-mteb", "--rows", "60", "--trials", "1", "--seeds", "2", "--store", "store", *more]


def test_on_the_command_line(cache: Path, study: Path) -> None:
    folder = study.parent
    for half in (["--until-decided"], ["--max-seeds", "3"]):
        refused = harness("run", "study.py", *options(*half), cwd=folder)
        assert (refused.returncode, "go together" in refused.stderr) == (2, True), refused.stderr

    done = harness("run", "study.py", *options("--until-decided", "--max-seeds", "3", "--workers", "1"), cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    assert "note: until decided: " in done.stdout
    found: dict[str, Any] = json.loads(harness("check", "study.py", "--store", "store", "--json", cwd=folder).stdout)
    assert found["looks"] == [2, 3]
    assert found["verdicts"][0]["level"] == pytest.approx(1 - repeated_looks.nominal(0.05, (2, 3), samples=2))
    assert {entry.max_seeds for entry in unlocking.read(folder / "store")} == {3}
    page = next((folder / "reports").glob("*/README.md")).read_text(encoding="utf-8")
    assert "--until-decided --max-seeds 3" in page

    again = harness("run", "study.py", *options(), cwd=folder)  # the store remembers, whatever this run is told
    assert again.returncode in (0, 1), again.stderr
    found = json.loads(harness("check", "study.py", "--store", "store", "--json", cwd=folder).stdout)
    assert found["looks"] == [2, 3]
