"""The search: equal and stable start-up points, a sampler that depends on the records alone, and optuna's mirror."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from commandline import GUARD

from harness import Ablation, Budget, Point, Space, Study, choice, log_uniform, testbeds
from harness.engine import search
from harness.errors import UsageError
from harness.planning.plan import START_UP, run_id, start_up_points
from harness.planning.planner import make_plan
from harness.scores import OBJECTIVE
from harness.spec import losses
from harness.store.records import Outcome, Record

MNR = losses.MultipleNegativesRankingLoss
WIDE = Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 1e-3))


def make_ablation(
    trials: int = 16, space: Space = WIDE, studies: list[Study] | None = None, name: str = "a"
) -> Ablation:
    return Ablation(name, testbeds.book, studies or [Study("s", MNR, "pair")], space, Budget(trials=trials, seeds=1))


def record_of(
    ablation: Ablation, study: str, trial: int, point: Point, score: float | None, outcome: Outcome = "ok"
) -> Record:
    key = run_id(ablation, study, "tune", 0, point)
    return Record(key, study, "tune", 0, point, trial, outcome, scores={} if score is None else {OBJECTIVE: score})


def searched(ablation: Ablation, judge: Callable[[Point], tuple[float | None, Outcome]]) -> list[Record]:
    """Tune the first study with made-up results, as the driver would, one trial after another."""
    study = ablation.studies[0]
    records: list[Record] = []
    while True:
        plan = make_plan(ablation, records)
        trials = plan.of(study.name, "tune")
        todo = [planned for planned in trials if planned.state in ("to do", "waiting")]
        if not todo:
            return records
        assert [planned.trial for planned in trials] == list(range(len(trials)))
        point = todo[0].point or search.ask(ablation, study, records)
        score, outcome = judge(point)
        records.append(record_of(ablation, study.name, len(records), point, score, outcome))


def peaked(point: Point) -> tuple[float | None, Outcome]:
    """Best at a learning rate of 1e-4."""
    return -abs(math.log10(point.lr / 1e-4)), "ok"


def test_the_first_point_is_the_books() -> None:
    ablation = make_ablation()
    assert start_up_points(ablation, ablation.studies[0])[0] == Point(32, 5e-5)


def test_start_up_points_are_the_same_for_every_study() -> None:
    studies = [Study("a", MNR, "pair"), Study("b", losses.softmax, "pair-class")]
    scaled = Study("c", MNR, "pair", options={"scale": log_uniform(1.0, 100.0, default=20.0)})
    ablation = make_ablation(studies=[*studies, scaled])
    a, b, c = (start_up_points(ablation, study) for study in ablation.studies)

    assert a == b
    assert len(set(a)) == START_UP
    assert [(p.batch_size, p.lr) for p in a] == [(p.batch_size, p.lr) for p in c]
    assert dict(c[0].options) == {"scale": 20.0}
    assert len({dict(p.options)["scale"] for p in c}) == START_UP


def test_start_up_points_spread_over_the_space() -> None:
    ablation = make_ablation()
    points = start_up_points(ablation, ablation.studies[0])

    assert {p.batch_size for p in points} == {16, 32, 64, 128}
    thirds = {math.floor(math.log10(p.lr / 1e-6)) for p in points}
    assert thirds == {0, 1, 2}
    assert all(1e-6 <= p.lr <= 1e-3 for p in points)


def test_a_larger_budget_keeps_the_points_of_a_smaller_one() -> None:
    grown = [[r.point for r in searched(make_ablation(trials), peaked)] for trials in (1, 3, 8, 10, 14)]

    for fewer, more in itertools.pairwise(grown):
        assert more[: len(fewer)] == fewer
    assert [len(points) for points in grown] == [1, 3, 8, 10, 14]


def test_many_options_are_searched_too() -> None:
    options = {f"option{i}": log_uniform(1.0, 10.0) for i in range(12)}

    def loss(model: object, **options: float) -> object:
        raise NotImplementedError("nothing is trained here")

    ablation = make_ablation(studies=[Study("s", loss, "pair", options=options)])
    points = start_up_points(ablation, ablation.studies[0])

    for name in options:
        assert len({dict(p.options)[name] for p in points}) == START_UP


PROGRAM = """
import json, sys
from harness import *
from harness.engine import search
from harness.store.records import Record
ablation = Ablation("a", testbeds.book, [Study("s", losses.MultipleNegativesRankingLoss, "pair")],
                    Space(choice(16, 32, 64, 128), log_uniform(1e-6, 1e-3)), Budget(trials=16, seeds=1))
records = [Record.from_json(line, "stdin") for line in sys.stdin]
print(json.dumps(search.ask(ablation, ablation.studies[0], records).as_dict()))
"""


def test_what_is_asked_depends_on_the_records_alone() -> None:
    ablation = make_ablation()
    study = ablation.studies[0]
    earlier = searched(replace(ablation, budget=Budget(trials=11, seeds=1)), peaked)
    here = search.ask(ablation, study, earlier)

    assert search.ask(ablation, study, earlier) == here
    for hash_seed in ("1", "2"):
        lines = "".join(record.to_json() for record in earlier)
        there = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=lines,
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert Point.from_dict(json.loads(there.stdout)) == here
    better = [replace(r, scores={OBJECTIVE: -r.scores[OBJECTIVE]}) for r in earlier]
    assert search.ask(ablation, study, better) != here
    assert search.ask(ablation, study, earlier[:-1]) != here


def test_the_sampler_learns_where_scores_are_high() -> None:
    rates = [r.point.lr for name in "abc" for r in searched(make_ablation(32, name=name), peaked)[12:] if r.point]
    off = sum(abs(math.log10(lr / 1e-4)) for lr in rates) / len(rates)

    assert off < 0.56  # decades; points at random are 0.83 off


@pytest.mark.parametrize("outcome", ["infeasible", "diverged"])
def test_the_sampler_keeps_away_from_points_that_did_not_work(outcome: Outcome) -> None:
    def broken(outcome: Outcome) -> float:
        """Return the share of late trials that break, where scores rise with the learning rate until it breaks at 1e-4."""

        def judge(point: Point) -> tuple[float | None, Outcome]:
            return (None, outcome) if point.lr > 1e-4 else (math.log10(point.lr), "ok")

        later = searched(make_ablation(40), judge)[START_UP:]
        return sum(record.outcome != "ok" for record in later) / len(later)

    assert broken(outcome) < 0.5 * broken("failed")  # of which it learns nothing


def test_a_failed_trial_tells_nothing_about_its_point_but_is_not_repeated() -> None:
    def judge(point: Point) -> tuple[float | None, Outcome]:
        return (None, "failed") if point.batch_size == 128 else peaked(point)

    points = [r.point for r in searched(make_ablation(20), judge)]

    assert len(set(points)) == 20


GRIDS = {
    "in": Space(choice(16, 32), choice(5e-5, 1.23456e-4, 1e-3)),
    "default outside": Space(choice(8, 16), choice(1e-4, 1.23456e-4, 1e-3)),
    "one point": Space(choice(32), choice(5e-5)),
    "one other point": Space(choice(8), choice(1e-3)),
    "larger than the start": Space(choice(1, 2, 4, 8), choice(1e-3, 2e-3, 3e-3, 4e-3)),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_finite_space_is_searched_once_and_no_further(grid: str, scale: float) -> None:
    ablation = make_ablation(100, GRIDS[grid])
    ablation = replace(ablation, testbed=replace(ablation.testbed, lr_scale=scale))
    study = ablation.studies[0]
    points = [r.point for r in searched(ablation, peaked)]
    every = {ablation.default_point(study), *ablation.grid(study)}

    assert len(points) == len(set(points)) == ablation.trials(study) == len(every)
    assert set(points) == every


def mirrored(storage: Path, name: str) -> list[tuple[str, float | None, str]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{storage}")
    return [
        (t.state.name, t.value if t.state.name == "COMPLETE" else None, t.user_attrs["run"]) for t in study.get_trials()
    ]


def test_the_mirror_shows_the_records_and_is_rebuilt_at_each_start(tmp_path: Path) -> None:
    storage = tmp_path / "optuna.db"
    ablation = make_ablation(9, studies=[Study("s", MNR, "pair"), Study("mnr+hard", MNR, "triplet")])

    def judge(point: Point) -> tuple[float | None, Outcome]:
        special: dict[int, Outcome] = {16: "infeasible", 64: "failed"}
        return (None, special[point.batch_size]) if point.batch_size in special else peaked(point)

    records = searched(ablation, judge)
    states = {"ok": "COMPLETE", "infeasible": "PRUNED", "failed": "FAIL"}
    wanted = [(states[r.outcome], r.scores.get(OBJECTIVE), r.id) for r in records]
    assert {state for state, *_ in wanted} == {"COMPLETE", "PRUNED", "FAIL"}

    def rebuild() -> None:
        mirror = search.Mirror(ablation, f"sqlite:///{storage}")
        for record in records:
            mirror.tell(record)
        mirror.close()

    rebuild()
    assert mirrored(storage, "a/s") == wanted
    assert mirrored(storage, "a/mnr+hard") == []
    best = optuna.load_study(study_name="a/s", storage=f"sqlite:///{storage}").best_trial
    chosen = max((r for r in records if r.outcome == "ok"), key=lambda r: r.scores[OBJECTIVE]).point
    assert chosen is not None
    assert best.params == {"batch_size": chosen.batch_size, "lr": chosen.lr}

    with sqlite3.connect(storage) as database:
        database.execute("DELETE FROM trial_values")
        database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 2")
    assert mirrored(storage, "a/s") != wanted
    rebuild()
    assert mirrored(storage, "a/s") == wanted


@pytest.mark.parametrize(
    "url", ["sqlite:///{}", "nonsense", "sqlite:////no/such/folder/optuna.db", "nosuchdatabase://host/name"]
)
def test_a_storage_that_cannot_be_used_is_a_usage_error(url: str, tmp_path: Path) -> None:
    broken = tmp_path / "optuna.db"
    broken.write_bytes(b"no database at all, but long enough to be taken for one" * 99)

    with pytest.raises(UsageError, match=r"optuna cannot use this storage .*--storage"):
        search.Mirror(make_ablation(), url.format(broken))
    assert broken.exists()


def test_a_database_of_the_store_with_programs_in_it_is_not_used(tmp_path: Path) -> None:
    storage = tmp_path / "optuna.db"
    search.Mirror(make_ablation(), storage).close()
    search.Mirror(make_ablation(), storage).close()
    with sqlite3.connect(storage) as database:
        database.execute("CREATE TRIGGER more AFTER INSERT ON trials BEGIN DELETE FROM studies; END")
    with pytest.raises(UsageError, match="a trigger or a view"):
        search.Mirror(make_ablation(), storage)


@pytest.mark.parametrize("password", ["pass@word", "pass word", "pass@wo/rd", "pass@wo:rd"])
def test_no_part_of_an_addresss_password_is_told(password: str) -> None:
    """Optuna takes what follows the first @ for the host, and says so."""
    with pytest.raises(UsageError) as told:
        search.Mirror(make_ablation(), f"postgresql+psycopg://me:{password}@127.0.0.1:1/db")
    assert "://***@127.0.0.1:1/db: " in str(told.value)
    assert not {"pass", "word", "wo", "rd"} & {*re.findall(r"\w+", str(told.value))}
