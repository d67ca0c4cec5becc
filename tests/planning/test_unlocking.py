"""The lock on the test sets: tuning cannot read them, and what was added after they could be read is told."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import synthetic
from commandline import harness
from rich.console import Console
from synthetic import DEV, TEST

from harness import testbeds
from harness.api import run
from harness.engine.driver import Driver
from harness.engine.job import Job
from harness.engine.options import Options
from harness.engine.progress import Board
from harness.errors import StoreError
from harness.executors.inline import InlineExecutor
from harness.planning import unlocking
from harness.planning.plan import Plan
from harness.planning.planner import make_plan
from harness.report import write_report
from harness.scores import HEADLINE, OBJECTIVE
from harness.spec.ablation import Ablation, restrict
from harness.spec.loading import load_study_file
from harness.store.folder import create
from harness.store.items import Pairs
from harness.store.records import Record
from harness.testbeds.measure_kinds import Sts
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Hub
from harness.verdicts import hindsight
from harness.verdicts.judge import exit_code, judge


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def small(study: Path, **options: Any) -> Ablation:
    return restrict(load_study_file(study), rows=60, tasks=(), **{"trials": 2, "seeds": 1, **options})


class Watching(InlineExecutor):
    """Runs jobs in this process and keeps what each was given."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.logged: list[int] = []
        self.store = Path()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.jobs.append(cloudpickle.loads(arguments[0]))
        self.logged.append(len(unlocking.read(self.store)))
        return super().submit(function, *arguments)


@pytest.mark.usefixtures("cache")
def test_the_driver_gives_no_tuning_run_a_test_set_and_logs_before_it_gives_one(study: Path, tmp_path: Path) -> None:
    ablation, watching = small(study), Watching()
    store = create(tmp_path / "store", ablation.name, ablation.testbed.name)
    watching.store = store.folder
    with store.locked(), Board(quiet()) as board:
        Driver(ablation, store, watching, board, Options(keep_models="none"), {}, {}).drive()

    test = ablation.testbed.test
    assert isinstance(test, Sts)
    assert isinstance(test.source, Hub)
    stages = {job.run.stage for job in watching.jobs}
    assert stages == {"untrained", "tune", "final"}
    for job, logged in zip(watching.jobs, watching.logged, strict=True):
        bed = job.ablation.testbed
        if job.run.stage == "tune":
            assert (bed.test, bed.also, job.tasks) == (None, (), ())
            pickled = cloudpickle.dumps(job).decode("latin-1")
            assert not [part for part in (test.source.ref.revision, test.name) if part in pickled]
        else:
            assert bed.test == ablation.testbed.test
            assert logged > 0, "a test set was handed out before the log said so"
    (entry,) = unlocking.read(store.folder)
    assert {name: given.trials for name, given in entry.studies.items()} == {"cosine": 2, "mnr": 2}
    assert (entry.seeds, entry.scored, entry.claims) == (1, (), {"mnr beats cosine": ("cosine", "mnr")})
    tuned = [record for record in store.records() if record.stage == "tune"]
    assert {name.split("/")[0] for record in tuned for name in record.scores} == {DEV}


@pytest.mark.usefixtures("cache")
def test_a_tuning_run_does_not_load_the_test_set_it_is_not_given_and_a_final_one_must(
    study: Path, tmp_path: Path
) -> None:
    """Mutants that load the test set in every stage fail here: there is none to load."""
    from harness.engine import run

    nowhere = Sts("stsb-test", Hub(Ref("nobody/nothing", "0" * 40, None, "test")))
    ablation = small(study)
    broken = replace(ablation, testbed=replace(ablation.testbed, test=nowhere))
    sealed = replace(ablation, testbed=ablation.testbed.sealed())
    plan = make_plan(ablation, [])
    trial = plan.of("mnr", "tune")[0]
    final = plan.of("mnr", "final", "default")[0]
    outcomes = {}
    for name, given, planned in (
        ("tune, none", sealed, trial),
        ("tune, broken", broken, trial),
        ("final, none", sealed, final),
        ("final, broken", broken, final),
    ):
        record = run.execute(Job(planned, given, (), {}, tmp_path / name.replace(", ", "-")))
        outcomes[name] = (record.outcome, "assert bed.test is not None" in (record.error or ""))
    assert outcomes == {
        "tune, none": ("ok", False),
        "tune, broken": ("ok", False),
        "final, none": ("failed", True),
        "final, broken": ("failed", False),
    }


def test_a_design_is_logged_once_and_again_when_it_changes(study: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def go(ablation: Ablation) -> Plan:
        return run(ablation, store, Options(keep_models="none"), executor="inline", console=quiet())

    first = go(small(study))
    assert hindsight.notes(first) == []
    log = (store / unlocking.LOG).read_bytes()
    go(small(study))
    assert (store / unlocking.LOG).read_bytes() == log, "nothing else was declared"

    more = go(small(study, trials=3))
    assert [entry.scored for entry in unlocking.read(store)] == [(), ("cosine", "mnr", "untrained")]
    told = hindsight.notes(more)
    assert [note.split(":")[0] for note in told] == ["cosine", "mnr"]
    assert "1 of 3 trials was added after its test scores were known" in told[0]
    arguments = ["study.py", "--store", str(store), *["--rows", "60", "--trials", "3", "--seeds", "1", "--tasks"], ""]
    checked = harness("check", *arguments, cwd=study.parent)
    assert "note: mnr: 1 of 3 trials was added" in checked.stdout, checked.stderr
    assert checked.returncode == exit_code(judge(more), more)
    page = write_report(more, tmp_path / "report", "harness run").read_text(encoding="utf-8")
    assert page.count("mnr: 1 of 3 trials was added after its test scores were known") >= 2  # the lock's, and a threat
    assert unlocking.read(store)[0].at not in page


def test_a_broken_log_is_told_with_the_way_out_and_appending_keeps_what_is_there(tmp_path: Path) -> None:
    one, two = (unlocking.design(synthetic.make_ablation(trials=n)) for n in (1, 2))
    for known in (one, two):
        unlocking.append(tmp_path, known)
    assert unlocking.read(tmp_path) == (one, two)
    assert not unlocking.is_news(two, (one, two))
    assert unlocking.is_news(one, (one, two))
    older = (tmp_path / unlocking.LOG).read_text(encoding="utf-8").replace(', "measures": {}', "")
    assert "measures" not in older
    (tmp_path / unlocking.LOG).write_text(older, encoding="utf-8")
    assert unlocking.read(tmp_path) == (one, two)
    for broken in ('[{"study": 1}]', "[1]", "{", '[{"studies": 1}]'):
        (tmp_path / unlocking.LOG).write_text(broken, encoding="utf-8")
        with pytest.raises(StoreError, match="log of designs cannot be read"):
            unlocking.read(tmp_path)


def test_a_tuning_record_with_test_scores_is_refused() -> None:
    record = Record("a", "mnr", "tune", 0, None, 0, "ok", scores={OBJECTIVE: 0.5})
    assert unlocking.dev_only(record, DEV) is record
    pairs = {TEST: Pairs((0.1,), (0.2,))}
    for leaking in (replace(record, scores={OBJECTIVE: 0.5, HEADLINE: 0.9}), replace(record, items=pairs)):
        refused = unlocking.dev_only(leaking, DEV)
        assert (refused.outcome, refused.scores, refused.items) == ("failed", {}, {})
        assert "TestSetReached" in (refused.error or "")
    final = replace(record, stage="final", scores={HEADLINE: 0.9})
    assert unlocking.dev_only(final, DEV) is final


def test_a_sealed_testbed_trains_alike_and_names_no_test() -> None:
    bed = testbeds.book
    assert "test" not in bed.sealed().revisions()
    assert {**bed.revisions(), **bed.sealed().revisions()} == bed.revisions()
