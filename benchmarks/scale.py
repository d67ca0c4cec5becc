"""How does the driver scale? Ablations of 1,000 to 100,000 runs whose training is a stub.

    python benchmarks/scale.py [--runs 1000 10000 100000] [--workers 2] [--executor local] [--bare] [--last N]

Everything else is real: worker processes or Ray, the transport of jobs and records, the sampler, Optuna's mirror, and
the store; then `plan`, `check` and `report` run as separate commands. Each study has the usual budget (16 trials, 5
seeds at its best and at its default point), and each final record has the cosines of 1,500 and 1,379 pairs, like those
of STSB. docs/clusters.md has the table.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cloudpickle
from rich.console import Console

from harness.engine.driver import Driver
from harness.engine.job import Job
from harness.engine.options import Options
from harness.engine.progress import Board
from harness.executors.start import start
from harness.planning.plan import PlannedRun, run_id
from harness.planning.planner import Planner
from harness.spec.loading import load_study_file
from harness.spec.space import Point
from harness.stats.intervals import spearman
from harness.store.folder import create
from harness.store.items import Pairs
from harness.store.records import Record

RUNS_A_STUDY = 26
DEV, TEST = "stsb-dev", "stsb-test"

STUDY_FILE = """
from harness import Ablation, Budget, Space, Study, beats, choice, log_uniform, losses, testbeds

ablation = Ablation(
    name="scale",
    testbed=testbeds.book,
    studies=[
        Study(f"study {{number:04}}", loss=losses.MultipleNegativesRankingLoss, view="pair")
        for number in range({studies})
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, seeds=5),
    expect=[beats("study 0001", "study 0000")],
)
"""

HARNESS = [sys.executable, "-m", "harness"]


def stub(pickled: bytes) -> Record:
    """Replace training and evaluation in a worker."""
    job: Job = cloudpickle.loads(pickled)
    return made_up(job.run, job.tasks)


def made_up(run: PlannedRun, tasks: Sequence[str]) -> Record:
    """Return a record of the form and size of a real one, without delay."""
    assert run.id is not None
    draw = random.Random(run.id)
    scores: dict[str, float] = {}
    pairs: dict[str, Pairs] = {}
    for name, count in ((DEV, 1500), (TEST, 1379)) if run.stage != "tune" else ((DEV, 100),):
        gold = [i % 26 / 25 for i in range(count)]
        pairs[name] = Pairs(tuple(gold), tuple(round(g + draw.gauss(0, 0.3), 6) for g in gold))
        scores[f"{name}/spearman_cosine"] = scores[f"{name}/pearson_cosine"] = spearman(gold, pairs[name].cosine)
    return Record(
        id=run.id,
        study=run.study,
        stage=run.stage,
        seed=run.seed,
        point=run.point,
        trial=run.trial,
        outcome="ok",
        scores=scores | {f"mteb/{task}": round(draw.uniform(0.4, 0.9), 6) for task in tasks},
        items=pairs if run.stage != "tune" else {},
        curve=((1.0, scores[f"{DEV}/spearman_cosine"]),),
        rows=50_000 if run.point else 0,
        steps=1563 if run.point else 0,
        examples_seen=50_000 if run.point else 0,
        train_seconds=300.0,
        eval_seconds=20.0,
        peak_memory_mb=1000.0,
        provenance=PROVENANCE,
    )


PROVENANCE = {"git": {"commit": "0" * 40, "dirty": False}, "versions": {"torch": "2.13.0"}}


def fill(folder: Path, runs: int) -> None:
    """Write this number of records of an ablation's first studies directly into its store."""
    ablation = load_study_file(folder / "study.py")
    records = create(folder / "store", ablation.name, ablation.testbed.name).folder / "records"
    planner, written = Planner(ablation, []), 0
    for study in planner.studies:
        while written < runs:
            part = planner.part(study)
            waiting = next((run for run in part.runs if run.state == "waiting" and run.trial is not None), None)
            ready = [run for run in part.runs if run.state == "to do" and run.stage == "tune"]
            if not ready and waiting is not None:
                point = Point(32, float(f"{1e-5 * (2 + (waiting.trial or 0)):.4g}"))
                key = run_id(ablation, study, "tune", waiting.seed, point)
                ready = [replace(waiting, point=point, id=key)]
            ready = ready or [run for run in part.runs if run.state == "to do"]
            if not ready:
                break
            for run in ready:
                record = made_up(run, () if run.stage == "tune" else ablation.testbed.tasks)
                (records / f"{record.id}.json").write_text(record.to_json(), encoding="utf-8")
                planner.add(record)
                written += 1


class Lines:
    """Receives the driver's output, one line per record, and stores the time of each line."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def write(self, text: str) -> int:
        self.times += [time.perf_counter()] * text.count("\n")
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def drive(folder: Path, executor: str, workers: int, bare: bool) -> None:
    """Execute all runs of an ablation with the stub, and print the cost; this process does nothing else.

    Args:
        folder: folder of the study file and the store.
        executor: "local" or "ray".
        workers: number of workers.
        bare: run without Optuna's mirror.
    """
    ablation = load_study_file(folder / "study.py")
    opened, lines = create(folder / "store", ablation.name, ablation.testbed.name), Lines()
    began = time.perf_counter()
    with opened.locked(), Board(Console(file=lines)) as board:  # type: ignore[arg-type]
        where = start("ray" if executor == "ray" else "local", workers)
        records, _ = opened.set_damaged_aside()
        Driver(
            ablation, opened, where, board, Options(storage="none" if bare else None), {}, {}, records, work=stub
        ).drive()
    seconds = time.perf_counter() - began
    count = len(lines.times)
    tenth = max(1, count // 10)
    rates = [0.0, 0.0]
    if count > 2 * tenth:
        rates = [tenth / (lines.times[tenth] - lines.times[0]), tenth / (lines.times[-1] - lines.times[-1 - tenth])]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count}\t{seconds}\t{rates[0]}\t{rates[1]}\t{peak}")


def timed(*command: str | Path, cwd: Path) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MB, and what it printed."""
    began = time.perf_counter()
    with subprocess.Popen([*map(str, command)], cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3):
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_maxrss / 1024, printed


def size(folder: Path) -> tuple[int, int]:
    """Return the bytes and the files below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files), len(files)


def measure(runs: int, options: argparse.Namespace) -> list[str]:
    """Return a line of the table: an ablation of about this number of runs, up to its report."""
    parent, executor, workers = options.folder, options.executor, options.workers
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"scale-{runs}-"))
    (folder / "study.py").write_text(STUDY_FILE.format(studies=max(2, runs // RUNS_A_STUDY)), encoding="utf-8")
    own: tuple[str | Path, ...] = (sys.executable, __file__, "--drive", folder, "--executor", executor)
    own += ("--workers", str(workers), *(("--bare",) if options.bare else ()))
    if options.last is not None:
        # in a separate process, because this one's memory would count towards the peak of its children
        timed(sys.executable, __file__, "--fill", str(runs - options.last), "--drive", folder, cwd=folder)
    _, _, printed = timed(*own, cwd=folder)
    count, seconds, first, last, peak = map(float, printed.split())
    again, _, _ = timed(*own, cwd=folder)
    in_all, files = size(folder / "store")
    cells = [f"{count:,.0f}", f"{count / seconds:.0f}", f"{first:.0f}, {last:.0f}", f"{peak:,.0f} MB"]
    cells += [f"{again:.1f} s", f"{in_all / 1e6:,.0f} MB, {files:,}"]
    for name in options.reading:
        took, used, _ = timed(*HARNESS, name, "study.py", "--store", "store", cwd=folder)
        cells.append(f"{took:.1f} s, {used:,.0f} MB")
        print(f"{runs}: {name} {cells[-1]}", file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--reading", nargs="*", default=["plan", "check", "report"], help="commands to time")
    parser.add_argument("--last", metavar="N", type=int, help="drive the last N runs; write those before directly")
    parser.add_argument("--bare", action="store_true", help="without Optuna's mirror (--storage none)")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill is not None:
        fill(options.drive, options.fill)
        return
    if options.drive is not None:
        drive(options.drive, options.executor, options.workers, options.bare)
        return
    head = ["runs", "runs/s", "first, last tenth", "driver's peak", "start again", "store, files", *options.reading]
    print("| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    for runs in options.runs:
        cells = measure(runs, options)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
