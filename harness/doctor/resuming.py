"""Check of the driver: an ablation that was stopped and resumed has the records of one that was left alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pandas import DataFrame
from rich.console import Console

from harness.doctor import material
from harness.doctor.outcome import Outcome, passed, require
from harness.engine.driver import Driver
from harness.engine.options import Options
from harness.engine.progress import Board
from harness.engine.worker import execute_job
from harness.executors.inline import InlineExecutor
from harness.reading.hashes import contents_of
from harness.spec import losses
from harness.spec.ablation import Ablation
from harness.spec.budget import Budget
from harness.spec.space import Space, choice, log_uniform
from harness.spec.study import Study
from harness.store import contents
from harness.store.folder import create, load
from harness.store.records import Record
from harness.testbeds import embedded, measures, sources
from harness.testbeds.measure_kinds import Sts

STOPPED_AFTER = 4
"""Runs after which the driver ends: the search of one study has begun, and the other is not finished."""

PAIRS = 200
"""Pairs of the dev set, and of the test set: small, so that runs are short."""


class Stopped(BaseException):
    """Ends a driver as an interrupt does: no handler of failed runs catches it."""


def resume() -> Outcome:
    """An ablation whose driver ended in its middle and ran again has the scores of an undisturbed one, bit for bit."""
    ablation = _ablation()
    with TemporaryDirectory() as folder:
        undisturbed = _driven(ablation, Path(folder, "undisturbed"))
        try:
            _driven(ablation, Path(folder, "resumed"), runs=STOPPED_AFTER)
        except Stopped:
            before = len(load(Path(folder, "resumed")).records())
            require(before == STOPPED_AFTER, f"{STOPPED_AFTER} records when the driver ends", f"{before}")
        resumed = _driven(ablation, Path(folder, "resumed"))
        failed = next((record for record in undisturbed.values() if record.outcome != "ok"), None)
        require(failed is None, "runs that succeed", f"{failed and failed.error}")
        ids = sorted(undisturbed.keys() ^ resumed.keys())
        require(not ids, "the same runs in both stores", f"{len(ids)} runs that only one of them has")
        for run, record in undisturbed.items():
            _require_equal(record, resumed[run])
    return passed(
        f"{len(undisturbed)} runs, stopped after {STOPPED_AFTER}: the same scores and predictions, bit for bit"
    )


def _ablation() -> Ablation:
    """Return a small ablation on the embedded testbed, with the hashes of what it reads."""
    dev, test = (_some_pairs(name, start) for name, start in (("dev", 0), ("test", PAIRS)))
    declared = Ablation(
        name="doctor",
        testbed=replace(embedded, dev=dev, test=test, also=(), max_rows=90),
        studies=[
            Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
            Study("softmax", loss=losses.softmax, view="pair-class"),
        ],
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-5, 1e-4)),
        budget=Budget(trials=2, epochs=1, seeds=1),
        precision="fp32",
    )
    parts = contents_of(declared.testbed, declared.sources, False)
    return contents.resolved(declared, contents.updated(contents.Contents(), parts, {}))


def _some_pairs(name: str, start: int) -> Sts:
    """Return a small STS set as a measure."""
    pairs = material.part(material.sts(), range(start, start + PAIRS))
    frame = DataFrame({"sentence1": pairs.sentence1, "sentence2": pairs.sentence2, "score": pairs.gold})
    return measures.sts(sources.frame(frame), name)


def _driven(ablation: Ablation, folder: Path, runs: int | None = None) -> dict[str, Record]:
    """Drive an ablation to its end in this process, and return its records by id.

    Raises:
        Stopped: `runs` is given and as many runs have ended.
    """
    store = create(folder, ablation.name, ablation.testbed.name)
    started = 0

    def work(job: bytes) -> Record:
        nonlocal started
        if started == runs:
            raise Stopped
        started += 1
        return execute_job(job)

    silent = Console(file=io.StringIO(), force_terminal=True)  # a board announces on stderr what no terminal shows
    options = Options(keep_models="none", storage="none")
    with store.locked() as still_there, Board(silent) as board:
        Driver(ablation, store, InlineExecutor(), board, options, {}, {}, None, still_there, work).drive()
    return {record.id: record for record in load(folder).records()}


def _require_equal(one: Record, other: Record) -> None:
    """Raise CheckFailed, with the figure that differs most, unless two records have equal scores and predictions."""
    run = f"{one.study}, {one.stage}, seed {one.seed}"
    gaps = {name: abs(value - other.scores.get(name, float("nan"))) for name, value in one.scores.items()}
    worst = max(gaps, key=lambda name: gaps[name] if gaps[name] == gaps[name] else float("inf"))
    require(
        one.scores == other.scores,
        f"{worst} {one.scores[worst]:.6f} of {run} after a resumption",
        f"{other.scores.get(worst)}, off by {gaps[worst]:.2g}",
    )
    require(one.point == other.point, f"point {one.point} of {run} after a resumption", f"{other.point}")
    same = one.curve == other.curve and dict(one.items) == dict(other.items)
    require(same, f"the same curve and predictions of {run} after a resumption", "others")


CHECKS = (resume,)
