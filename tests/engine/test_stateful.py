"""Random sequences of commands and edits over one store, and what must be true after each of them.

HARNESS_STATEFUL=50 tries fifty times as many sequences, HARNESS_STATEFUL_STEPS as many steps in each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stateful import DEFAULTS, SPACES, START_UP, Claim, Declares, File, Killed, Knowledge, Stub, without_training

from harness.cli.main import main
from harness.files import as_json
from harness.planning import unlocking
from harness.store.folder import create, load
from harness.store.records import Record

TIMES = int(os.environ.get("HARNESS_STATEFUL", "1"))
STEPS = int(os.environ.get("HARNESS_STATEFUL_STEPS", "10"))
NAMES = ("a", "b", "c", "d")
CODES = (0, 1, 2, 3)
"""What a command may exit with: 130 and a kill are asked for by name, and 70 is a defect."""

names = st.sampled_from(NAMES)
declares = st.builds(Declares, st.sampled_from((5, 20, 21)), st.booleans())
counts = {"trials": st.integers(1, START_UP + 2), "seeds": st.integers(2, 4)}
POINTS: dict[tuple[Any, ...], Any] = {}
"""The point of each trial of a search, in whatever sequence, store or study it was asked for first."""
TOLD = {"sequences": 0, "steps": 0, "runs": 0}


def keys_of(file: File, study: str) -> tuple[Any, ...]:
    return (study, file.subject(study), file.search(study))


class Protocol(RuleBasedStateMachine):
    """One store, one study file that is edited, and the commands of the README on them."""

    def __init__(self) -> None:
        super().__init__()
        TOLD["sequences"] += 1
        self._stack = contextlib.ExitStack()
        self.use = self._stack.enter_context(without_training())
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._stack.enter_context(contextlib.chdir(self.folder))
        self.store = self.folder / "runs" / "machine-book"
        self.knowledge = Knowledge()
        self.failing: frozenset[str] = frozenset()
        self.most: int | None = None
        self.files: list[File] = []
        self.found: dict[str, Record] = {}
        self.made_by: dict[str, tuple[Any, ...]] = {}
        self.points: dict[tuple[Any, ...], Any] = {}
        self.troubled: set[tuple[Any, ...]] = set()
        self.late: dict[tuple[str, int | None], set[str]] = {}
        self.planned: list[Any] = []

    def teardown(self) -> None:
        self._stack.close()

    # -- commands ------------------------------------------------------------------------------------------------

    def command(self, *arguments: str | int, may: Sequence[Any] = CODES) -> tuple[Any, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code: Any = main([*map(str, arguments)])
            except Killed:
                code = "killed"
        assert code in may, f"{arguments} ended with {code}:\n{out.getvalue()}{err.getvalue()}"
        assert "Traceback" not in err.getvalue()
        self.err = err.getvalue()
        return code, out.getvalue()

    def edit(self, file: File) -> None:
        self.file = file
        Path("study.py").write_text(file.source(), encoding="utf-8")
        if self.most is not None and self.most < file.seeds:  # else every command refuses the two, and says so
            self.most = None
            (self.store / "last_run.json").write_text("{}")

    def run(self, *options: str | int, slots: int = 1, stop_after: int | None = None, most: int | None = None) -> str:
        most_before, self.most = self.most, most
        stub = Stub(slots, stop_after, self.failing, self.begin, self.ended, random.Random(len(self.found)))
        self.use(stub)
        may = ["killed", *CODES] if stop_after is not None else CODES
        code, out = self.command("run", "study.py", *options, may=may)
        TOLD["runs"] += stub.runs
        if code == 2:
            self.most = most_before
        if code == "killed":
            self.litter()
        elif code != 2:
            again, told = self.command("check", "study.py")
            assert (code, told) == (again, out[: out.index("report: ")]), (out, told)
        return out

    def begin(self) -> None:
        self.knowledge.declare(self.file, self.most)

    def ended(self, record: Record) -> None:
        """Take note of a run: which search it belongs to, and whose test scores are known from now on."""
        if record.study != "untrained":
            self.made_by.setdefault(record.id, keys_of(self.file, record.study))
            if record.stage == "tune" and record.outcome == "failed":
                self.troubled.add(keys_of(self.file, record.study))

    def litter(self) -> None:
        """Leave what a driver leaves that was killed in the middle of writing."""
        staging = self.store / ".staging" / "0123456789abcdef"
        staging.mkdir(parents=True, exist_ok=True)
        (staging / "half.txt").write_text("ha")
        (self.store / "records" / ".0123456789abcdef.json.0badcafe").write_text('{"record": {"id"')

    # -- rules ---------------------------------------------------------------------------------------------------

    @initialize(
        first=declares,
        second=declares,
        trials=counts["trials"],
        seeds=counts["seeds"],
        turned=st.booleans(),
        runs=st.integers(0, 3),
    )
    def declare(self, first: Declares, second: Declares, trials: int, seeds: int, turned: bool, runs: int) -> None:
        claim = Claim("a", "b") if turned else Claim("b", "a")
        self.edit(File({"a": first, "b": second}, (claim,), trials, seeds))
        if runs:  # most of what can be bent takes scores that are known
            self.run(slots=runs)

    @rule(slots=st.integers(1, 3))
    def run_all(self, slots: int) -> None:
        self.run(slots=slots)

    @rule(slots=st.integers(1, 3), after=st.integers(0, 12))
    def run_and_kill(self, slots: int, after: int) -> None:
        self.run(slots=slots, stop_after=after)

    @rule(data=st.data(), slots=st.integers(1, 2))
    def run_only(self, data: st.DataObject, slots: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.file.studies)), min_size=1, max_size=2, unique=True))
        self.run(*(part for name in chosen for part in ("--only", name)), slots=slots)

    @rule(slots=st.integers(1, 2))
    def retry(self, slots: int) -> None:
        self.run("--retry-failed", slots=slots)

    @rule(more=st.integers(1, 3))
    def run_until_decided(self, more: int) -> None:
        most = self.file.seeds + more
        self.run("--until-decided", "--max-seeds", most, most=most)

    @rule(seeds=st.integers(1, 6))
    def check_other_seeds(self, seeds: int) -> None:
        """Fewer or more seeds than the file has, chosen at will: told, or refused, or incomplete."""
        code, out = self.command("check", "study.py", "--seeds", seeds, "--json", "--strict")
        if code != 2:
            self.planned = json.loads(self.command("plan", "study.py", "--seeds", seeds, "--json")[1])["runs"]
            self.compare_lateness(json.loads(out), replace(self.file, seeds=seeds))

    @rule(failing=st.frozensets(names, max_size=2))
    def let_fail(self, failing: frozenset[str]) -> None:
        self.failing = failing

    @rule(space=st.integers(0, len(SPACES) - 1))
    def edit_space(self, space: int) -> None:
        self.edit(replace(self.file, space=space))

    @rule(default=st.integers(0, len(DEFAULTS) - 1))
    def edit_default(self, default: int) -> None:
        self.edit(replace(self.file, default=default))

    @rule(trials=counts["trials"])
    def edit_trials(self, trials: int) -> None:
        self.edit(replace(self.file, trials=trials))

    @rule(seeds=counts["seeds"])
    def edit_seeds(self, seeds: int) -> None:
        self.edit(replace(self.file, seeds=seeds))

    @rule(name=names, given=declares)
    def edit_study(self, name: str, given: Declares) -> None:
        """Add a study, or change what it trains or is tuned over."""
        self.edit(replace(self.file, studies={**self.file.studies, name: given}))

    @precondition(lambda self: len(self.file.studies) > 1)
    @rule(data=st.data())
    def remove_study(self, data: st.DataObject) -> None:
        self.edit(self.file.without(data.draw(st.sampled_from(sorted(self.file.studies)))))

    @precondition(lambda self: len(self.file.studies) < len(NAMES))
    @rule(data=st.data())
    def rename_study(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(sorted(self.file.studies)))
        new = data.draw(st.sampled_from([name for name in NAMES if name not in self.file.studies]))
        studies = {new if name == old else name: given for name, given in self.file.studies.items()}
        claims = [
            replace(c, better=new if c.better == old else c.better, worse=new if c.worse == old else c.worse)
            for c in self.file.claims
        ]
        self.edit(replace(self.file, studies=studies, claims=tuple(claims)))

    @rule(data=st.data(), margin=st.sampled_from((0, 0, 1, -5)))
    def add_claim(self, data: st.DataObject, margin: int) -> None:
        better = data.draw(st.sampled_from(sorted(self.file.studies)))
        worse = data.draw(st.sampled_from([*sorted(self.file.studies), "untrained"]))
        claim = Claim(better, worse, margin)
        if better != worse and claim not in self.file.claims:
            self.edit(replace(self.file, claims=(*self.file.claims, claim)))

    @precondition(lambda self: self.file.claims)
    @rule(data=st.data(), remove=st.booleans())
    def turn_or_remove_claim(self, data: st.DataObject, remove: bool) -> None:
        old = data.draw(st.sampled_from(self.file.claims))
        turned = replace(old, better=old.worse, worse=old.better)
        new = () if remove or "untrained" in (old.better, old.worse) or turned in self.file.claims else (turned,)
        self.edit(replace(self.file, claims=(*(c for c in self.file.claims if c != old), *new)))

    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        """Take the study file of an earlier day from the drawer."""
        self.edit(data.draw(st.sampled_from(self.files or [self.file])))

    # -- invariants ----------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "file"):
            return
        TOLD["steps"] += 1
        self.files.append(self.file)
        if not (self.store / "store.json").exists():
            return
        records = {record.id: record for record in load(self.store).records()}
        new = len(records) > len(self.found)
        self.nothing_is_lost(records)
        self.the_search_is_one(records)
        document = self.all_commands_agree(records)
        self.compare_lateness(document, self.file)
        if new:
            self.another_store_says_the_same(records, document)

    def nothing_is_lost(self, records: dict[str, Record]) -> None:
        for key, before in self.found.items():
            assert key in records, f"{before.study} {before.stage} {before.trial} is gone"
            if before.outcome == "ok":
                assert as_json(records[key].as_dict()) == as_json(before.as_dict())
        self.found = records

    def the_search_is_one(self, records: dict[str, Record]) -> None:
        """One point a trial of a search, the same whatever was killed, left out or run at once."""
        for record in records.values():
            if record.study != "untrained" and record.stage == "tune":
                assert record.trial is not None
                mine = self.made_by[record.id]
                assert self.points.setdefault((*mine, record.trial), record.point) == record.point, mine
                if mine not in self.troubled:  # which later points were asked without a score of
                    assert POINTS.setdefault((*mine[1:], record.trial), record.point) == record.point, mine

    def all_commands_agree(self, records: dict[str, Record]) -> dict[str, Any]:
        """`check`, its JSON and JUnit, `plan`, `show` and `report` say the same of one store."""
        code, out = self.command("check", "study.py", "--json", "--junit", "junit.xml")
        document: dict[str, Any] = json.loads(out)
        strict, text = self.command("check", "study.py", "--strict")
        kinds = [verdict["verdict"] for verdict in document["verdicts"]]
        told = [line for line in text.splitlines() if line.startswith("VERDICT ")]
        for line, verdict in zip(told, document["verdicts"], strict=True):
            assert line.startswith(f"VERDICT {verdict['expectation']}: {verdict['outcome']}")
        notes = [line[6:] for line in text.splitlines() if line.startswith("note: ")]
        notes = [note for note in notes if not note.startswith("Each study was tuned once")]
        assert notes[: len(document["notes"])] == document["notes"]
        open_ = any(v["verdict"] != "holds" or v["late"] for v in document["verdicts"])
        assert code == (1 if "violated" in kinds else 3 if "incomplete" in kinds or document["unfinished"] else 0)
        assert strict == (1 if "violated" in kinds else 3 if open_ or document["unfinished"] else 0)
        cases = ElementTree.parse("junit.xml").findall(".//testcase")
        elements = {"holds": None, "violated": "failure", "incomplete": "error", "inconclusive": "skipped"}
        said = [case[0].tag if len(case) else None for case in cases]
        assert said == [*(elements[kind] for kind in kinds), "error" if document["unfinished"] else None]

        self.planned = runs = json.loads(self.command("plan", "study.py", "--json")[1])["runs"]
        shown = json.loads(self.command("show", "study.py", "--json")[1])["records"]
        assert sorted(record["id"] for record in shown) == sorted(records)
        self.the_winner_is_of_the_present_search(runs, records)

        _, page = self.command("report", "study.py")
        read_me = Path(page.strip()).read_text(encoding="utf-8")
        for kind, words in (
            ("violated", "violated"),
            ("incomplete", "incomplete"),
            ("inconclusive", "undecided"),
            ("holds", "holding"),
        ):
            if kind in kinds:
                first = read_me.splitlines()[2]
                assert f"of {len(kinds)} claim" in first
                assert f" {kinds.count(kind)} {words}" in first
        for note in document["notes"]:
            assert note in read_me
        done = sum(run["state"] == "done" for run in runs)
        assert (done == len(runs)) != (f"{done} of {len(runs)} planned runs done" in read_me)
        assert len(document["unfinished"]) >= len(runs) - done
        return document

    def the_winner_is_of_the_present_search(self, runs: list[Any], records: dict[str, Record]) -> None:
        for study in self.file.studies:
            tuned = [run for run in runs if run["study"] == study and run["stage"] == "tune"]
            asked = self.knowledge.trials_of(self.file, study)
            assert len(tuned) == asked
            own = {
                r.trial: r
                for key, r in records.items()
                if r.stage == "tune" and r.trial is not None and self.made_by.get(key) == keys_of(self.file, study)
            }
            for run in tuned:
                record = own.get(run["trial"])
                if run["state"] in ("done", "failed"):
                    assert record is not None, (study, run)
                    assert record.point is not None
                    assert run["point"] == record.point.as_dict()
                else:
                    assert record is None, (study, run)
            best = [
                run["point"]
                for run in runs
                if run["study"] == study and run["stage"] == "final" and "best" in run["roles"]
            ]
            ended = all(run["state"] in ("done", "failed") for run in tuned)
            scored = [
                (-r.scores["stsb-dev/spearman_cosine"], n, r) for n, r in own.items() if n < asked and r.outcome == "ok"
            ]
            if ended and scored:
                winner = min(scored)[2]
                assert winner.point is not None
                assert all(point == winner.point.as_dict() for point in best)
            elif ended:
                assert best == []
            else:
                assert all(point is None for point in best)

    def compare_lateness(self, document: dict[str, Any], file: File) -> None:
        """What was chosen in hindsight stands in the verdict's own line, then and for ever after."""
        records = load(self.store).records()
        finals = [r for r in records if r.stage == "final" and r.scores]
        self.knowledge.known = {r.study for r in finals}
        self.knowledge.otherwise = {r.study for r in finals if self.is_no_longer_best(file, r)}
        self.knowledge.left_out = {r.study for r in finals if self.is_left_out(file, r)}
        for claim, verdict in zip(file.claims, document["verdicts"], strict=True):
            expected = self.knowledge.late(file, self.most, claim)
            assert bool(verdict["late"]) == expected, (str(claim), verdict["late"], self.knowledge)
        # a run that failed and is retried can open a claim again, whose further seeds are then used after all
        told = {v["expectation"]: [note for note in v["late"] if "left out" not in note] for v in document["verdicts"]}
        late = {expectation for expectation, notes in told.items() if notes}
        before = self.late.setdefault((file.source(), self.most), set())
        assert before <= late, f"no longer told: {before - late}"
        before |= late
        self.compare_levels(document, file)

    def is_no_longer_best(self, file: File, final: Record) -> bool:
        """Was it the best point of the very search whose best point is another today?"""
        study = final.study
        if study not in file.studies or self.made_by[final.id] != keys_of(file, study):
            return False
        runs = [run for run in self.planned if run["study"] == study and run["stage"] == "final"]
        assert final.point is not None
        return all(run["point"] not in (None, final.point.as_dict()) for run in runs)

    def is_left_out(self, file: File, final: Record) -> bool:
        """Is it of a present point of the study, and does the plan do without it?"""
        study = final.study
        if study not in file.studies or self.made_by[final.id][1] != file.subject(study):
            return False
        runs = [run for run in self.planned if run["study"] == study and run["stage"] == "final"]
        assert final.point is not None
        at_point = [run["seed"] for run in runs if run["point"] == final.point.as_dict()]
        return bool(at_point) and final.seed not in at_point

    def compare_levels(self, document: dict[str, Any], file: File) -> None:
        """Holm's strongest claim is judged among all that were made blindly, those that are gone among them."""
        judged = [v["level"] for v in document["verdicts"] if v["level"] is not None]
        if judged and len(document["looks"]) < 2:
            claims = len(file.claims) + self.knowledge.uncounted(file)
            assert max(judged) == pytest.approx(1 - 0.05 / claims, abs=1e-9), (judged, claims)

    def another_store_says_the_same(self, records: dict[str, Record], document: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as other:
            twin = create(Path(other) / "twin", "machine", "book")
            shuffled = list(records.values())
            random.Random(len(shuffled)).shuffle(shuffled)
            for record in shuffled:
                twin.write(record)
            for entry in unlocking.read(self.store):
                unlocking.append(twin.folder, entry)
            for name in ("last_run.json", "contents.json"):
                if (self.store / name).exists():
                    shutil.copy(self.store / name, twin.folder / name)
            _, out = self.command("check", "study.py", "--json", "--store", str(twin.folder))
        assert json.loads(out) == document


SCRIPTS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "renamed after the look": lambda m: (m.edit(renamed(m.file)), m.holds(), m.run(), m.holds()),
    "the same beside it": lambda m: (m.edit(beside(m.file)), m.holds(), m.run(), m.holds()),
    "replaced after the look": lambda m: (m.edit(replaced(m.file)), m.holds(), m.run(), m.holds()),
    "seeds lowered": lambda m: (m.edit(replace(m.file, seeds=2)), m.holds(), m.check_other_seeds(3)),
    "fewer seeds asked for": lambda m: (m.check_other_seeds(2), m.run_until_decided(2), m.holds()),
    "failed, tuned on, retried": lambda m: (
        m.let_fail(frozenset({"c"})),
        m.edit(added(m.file)),
        m.run(),
        m.holds(),
        m.let_fail(frozenset()),
        m.retry(1),
        m.holds(),
    ),
    "one study alone, in the other order": lambda m: (
        m.edit(replace(m.file, space=1)),
        m.run("--only", "b"),
        m.holds(),
        m.run("--only", "a", slots=2),
        m.holds(),
    ),
    "killed and gone on with": lambda m: (
        m.edit(replace(m.file, space=1)),
        m.run(stop_after=6, slots=3),
        m.holds(),
        m.run(slots=3),
        m.holds(),
    ),
    "the same search undisturbed": lambda m: (m.edit(replace(m.file, space=1)), m.run(), m.holds()),
    "a study and its claim dropped": lambda m: (
        m.edit(replace(added(m.file), claims=(Claim("c", "a"), Claim("a", "b")))),
        m.run(),
        m.edit(m.file.without("c")),
        m.holds(),
    ),
    "default moved and back": lambda m: (
        m.edit(replace(m.file, default=1)),
        m.holds(),
        m.run(),
        m.holds(),
        m.edit(replace(m.file, default=0)),
        m.holds(),
    ),
    "claim turned": lambda m: (m.edit(replace(m.file, claims=(Claim("b", "a"),))), m.holds(), m.run(), m.holds()),
    "a new study against one of two": lambda m: (
        m.edit(replace(added(m.file), claims=(Claim("c", "b"),))),
        m.run(),
        m.holds(),
    ),
}
"""What once bent the protocol, or would in the hands of somebody who broke a rule of it."""


def renamed(file: File) -> File:
    studies = {"c" if name == "a" else name: given for name, given in file.studies.items()}
    return replace(file, studies=studies, claims=(Claim("c", "b"),))


def beside(file: File) -> File:
    return replace(file, studies={**file.studies, "c": file.studies["a"]}, claims=(Claim("a", "b"), Claim("c", "b")))


def replaced(file: File) -> File:
    return replace(file, studies={"b": file.studies["b"], "c": Declares(22)}, claims=(Claim("c", "b"),))


def added(file: File) -> File:
    return replace(file, studies={**file.studies, "c": Declares(22)})


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_sequence_that_would_bend_the_protocol(script: str) -> None:
    machine = Protocol()
    try:
        machine.declare(Declares(5), Declares(20), trials=START_UP + 1, seeds=3, turned=True, runs=1)
        machine.holds()
        for _ in SCRIPTS[script](machine):
            pass
    finally:
        machine.teardown()


def test_no_sequence_of_commands_and_edits_bends_the_protocol() -> None:
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=5 * TIMES,
            stateful_step_count=STEPS,
            derandomize=TIMES == 1,
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if TIMES > 1 else [Phase.generate],
        ),
    )
    print(TOLD)
