"""Compare an ablation with the same runs done one after another by plain scripts.

    python benchmarks/suite.py [--study-file studies/all_losses.py] [--trials N] [--seeds N] [--tasks A,B] [--alone]
    python benchmarks/suite.py --testbed book --rows 6400 --trials 1 --seeds 1 --tasks "" --workers 1 --threads 1 --bf16

The benchmark does `harness run` with two workers; then it repeats each run of the store by a script as in
sentence-transformers' documentation (a new process, the library's trainer with its defaults, its evaluator,
`mteb.evaluate`, all cores), with `--bf16` each also with `bf16=True`; then it does `harness run` again from an empty
store. The base model and all data are fetched before. It prints the seconds of each, those of training alone (as the
records and the scripts say), both ratios, and the mean scores of all sides. With `--alone` it also runs with one
worker, and prints the time of a run that is neither training nor evaluation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation import score_plainly
from rich.console import Console
from rich.table import Table
from training import plain_model, train_plainly

from harness.api import load
from harness.provenance import hardware
from harness.spec.loading import load_study_file
from harness.store.records import Record
from harness.testbeds import by_name

DEV, TEST, TRAINING = "stsb-dev", "stsb-test", "seconds of training"


@dataclass(frozen=True)
class Setting:
    """What is compared."""

    file: Path
    """The study file."""
    testbed: str
    """Name of the testbed."""
    rows: int | None
    """Rows of each view; the testbed's if None."""
    tasks: Sequence[str]
    """Tasks of mteb of final runs."""

    @property
    def options(self) -> list[str]:
        """The options of `harness run` that say this."""
        rows = [] if self.rows is None else ["--rows", str(self.rows)]
        return ["--testbed", self.testbed, *rows, *(["--tasks", ",".join(self.tasks)] if self.tasks else ["--no-mteb"])]


def plain_script(setting: Setting, run: dict[str, Any]) -> dict[str, float]:
    """Do one run as a script without the harness would, and return its scores and its seconds of training."""
    from datasets import Dataset
    from transformers import set_seed

    from harness.reading import materials
    from harness.spec.views import VIEWS
    from harness.testbeds.measure_kinds import Sts

    ablation = replace(load_study_file(setting.file), testbed=by_name(setting.testbed))
    bed = ablation.testbed if setting.rows is None else replace(ablation.testbed, max_rows=setting.rows)
    model = plain_model(bed, "cpu")
    final, seconds = run["stage"] != "tune", 0.0
    if run["batch_size"] is not None:
        study = ablation.study(run["study"])
        frame = VIEWS[str(study.view)].build(materials.load_rows(bed.source), bed.limit)
        set_seed(run["seed"])
        rows = Dataset.from_pandas(frame, preserve_index=False)
        folder = Path(tempfile.mkdtemp())
        assert study.loss is not None
        loss = study.loss(model)
        size, lr, seed = run["batch_size"], run["lr"], run["seed"]
        seconds, _ = train_plainly(model, loss, rows, size, lr, folder, "cpu", seed, bf16=run["bf16"])
    sets = {each.name: materials.load_sts(each) for each in bed.measures[: 2 if final else 1] if isinstance(each, Sts)}
    return score_plainly(model, setting.tasks if final else (), sets) | {TRAINING: seconds}


def run_harness(setting: Setting, store: Path, workers: int, options: Sequence[str]) -> float:
    """Do the whole ablation from an empty store, and return the seconds.

    Args:
        setting: what is compared.
        store: folder of the store.
        workers: number of workers.
        options: further options of `harness run`.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "harness", "run", str(setting.file), *setting.options, "--store", str(store)]
    command += ["--report", str(store / "report"), "--workers", str(workers), *options]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL)
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"harness run ended with {ended.returncode}")
    return time.perf_counter() - began


def run_plainly(
    setting: Setting, records: Sequence[Record], threads: int | None, bf16: bool
) -> tuple[float, list[dict[str, float]]]:
    """Do the same runs by scripts one after another.

    Args:
        setting: what is compared.
        records: the records of the runs.
        threads: threads of a script; all cores if None.
        bf16: train with `bf16=True`.

    Returns:
        The total seconds, and the scores in the order of the records.
    """
    began, scores = time.perf_counter(), []
    environment = {**os.environ, "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {} if threads is None else {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    for number, record in enumerate(records):
        point = record.point
        run = {"study": record.study, "stage": record.stage, "seed": record.seed, "bf16": bf16}
        run |= {"batch_size": point.batch_size if point else None, "lr": point.lr if point else None}
        command = [sys.executable, __file__, "--plain", json.dumps(run), "--study-file", str(setting.file)]
        command += ["--testbed", setting.testbed, "--tasks", ",".join(setting.tasks)]
        command += [] if setting.rows is None else ["--rows", str(setting.rows)]
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{run}: {done.stderr[-2000:]}")
        scores.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"plain {number + 1} of {len(records)}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return time.perf_counter() - began, scores


def overheads(store: Path, records: Sequence[Record]) -> list[float]:
    """Return the seconds of each run that were neither training nor evaluation, for runs of a single worker."""
    ended = sorted(
        ((store / "records" / f"{r.id}.json").stat().st_mtime, r.train_seconds + r.eval_seconds) for r in records
    )
    return [after - before - busy for (before, _), (after, busy) in itertools.pairwise(ended)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study-file", type=Path, default=Path("studies/all_losses.py"))
    parser.add_argument("--testbed", default="embedded")
    parser.add_argument("--rows", type=int, help="rows of each view; the testbed's if not given")
    parser.add_argument("--trials", type=int, help="the testbed's if not given")
    parser.add_argument("--seeds", type=int, help="the testbed's if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, help="threads of a plain script; all cores if not given")
    parser.add_argument("--bf16", action="store_true", help="also do the plain scripts with bf16=True")
    parser.add_argument("--alone", action="store_true", help="measure one worker, too")
    parser.add_argument("--tasks", help="comma-separated; the testbed's if not given")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tasks = by_name(options.testbed).tasks if options.tasks is None else tuple(filter(None, options.tasks.split(",")))
    setting = Setting(options.study_file, options.testbed, options.rows, tasks)
    if options.plain is not None:
        print(json.dumps(plain_script(setting, json.loads(options.plain))))
        return
    arguments = [] if options.trials is None else ["--trials", str(options.trials)]
    arguments += [] if options.seeds is None else ["--seeds", str(options.seeds)]
    folder = Path(tempfile.mkdtemp(prefix="suite-"))
    fetch = [sys.executable, "-m", "harness", "fetch", str(options.study_file), "--testbed", options.testbed]
    subprocess.run(fetch, check=True)
    walls = [run_harness(setting, folder / "first", options.workers, arguments)]
    records = load(folder / "first").records()
    plain = {
        side: run_plainly(setting, records, options.threads, bf16)
        for side, bf16 in (("plain scripts", False), ("plain scripts, bf16", True))
        if options.bf16 or not bf16
    }
    walls.append(run_harness(setting, folder / "second", options.workers, arguments))
    sides = {side: ([wall], scores) for side, (wall, scores) in plain.items()}
    again = load(folder / "second").records()
    sides[f"harness, {options.workers} workers"] = (walls, [_of_record(record) for record in (*records, *again)])
    if options.alone:
        wall = run_harness(setting, folder / "alone", 1, arguments)
        alone = load(folder / "alone").records()
        sides["harness, 1 worker"] = ([wall], [_of_record(record) for record in alone])
    _print(len(records), sides)
    if options.alone:
        overhead = statistics.median(overheads(folder / "alone", alone))
        print(f"overhead of a run besides training and evaluation, with one worker: {overhead:.2f} s (median)")


def _of_record(record: Record) -> dict[str, float]:
    """Return what `plain_script` returns, from a record."""
    scores = {name: record.scores.get(f"{name}/spearman_cosine") for name in (DEV, TEST)}
    return {name: score for name, score in scores.items() if score is not None} | {TRAINING: record.train_seconds}


def _print(runs: int, sides: dict[str, tuple[list[float], list[dict[str, float]]]]) -> None:
    """Print a table of the sides, each with its seconds, one number for each time that it was done, and its runs."""
    table = Table(title=f"{runs} runs; {hardware()['cpu']}, {hardware()['cores']} cores")
    for column in ("side", "seconds", "ratio", "of training", "ratio", "mean STSB dev", "mean STSB test"):
        table.add_column(column)
    plain: tuple[float, float] | None = None
    for side, (walls, done) in sides.items():
        wall, training = statistics.mean(walls), sum(run[TRAINING] for run in done) / len(walls)
        plain = plain or (wall, training)
        means = (100 * statistics.mean(run[name] for run in done if name in run) for name in (DEV, TEST))
        table.add_row(
            side,
            ", ".join(f"{each:.0f}" for each in walls),
            f"{plain[0] / wall:.2f}",
            f"{training:.0f}",
            f"{plain[1] / training:.2f}",
            *(f"{mean:.2f}" for mean in means),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
