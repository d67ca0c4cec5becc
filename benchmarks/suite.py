"""Compare an ablation with the same runs done one after another by plain scripts.

    python benchmarks/suite.py [--study-file studies/all_losses.py] [--trials N] [--seeds N] [--tasks A,B] [--alone]

The benchmark does `harness run` on the embedded testbed with two workers; then it repeats each run of the store by a
script as in sentence-transformers' documentation (a new process, the library's trainer with its defaults, its
evaluator, `mteb.evaluate`, all cores); then it does `harness run` again from an empty store. The base model and all
data are fetched before. It prints the seconds of each, the ratio, and the mean scores of both sides. With `--alone` it
also runs with one worker, and prints the time of a run that is neither training nor evaluation.
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
from dataclasses import replace
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

DEV, TEST = "stsb-dev", "stsb-test"


def plain_script(file: Path, run: dict[str, Any], tasks: Sequence[str]) -> dict[str, float]:
    """Do one run as a script without the harness would, and return its scores."""
    from datasets import Dataset
    from transformers import set_seed

    from harness.reading import materials
    from harness.spec.views import VIEWS
    from harness.testbeds.measure_kinds import Sts

    ablation = replace(load_study_file(file), testbed=by_name("embedded"))
    bed = ablation.testbed
    model = plain_model(bed, "cpu")
    final = run["stage"] != "tune"
    if run["batch_size"] is not None:
        study = ablation.study(run["study"])
        frame = VIEWS[str(study.view)].build(materials.load_rows(bed.source), bed.limit)
        set_seed(run["seed"])
        rows = Dataset.from_pandas(frame, preserve_index=False)
        folder = Path(tempfile.mkdtemp())
        assert study.loss is not None
        loss = study.loss(model)
        train_plainly(model, loss, rows, run["batch_size"], run["lr"], folder, "cpu", run["seed"])
    sets = {each.name: materials.load_sts(each) for each in bed.measures[: 2 if final else 1] if isinstance(each, Sts)}
    return score_plainly(model, tasks if final else (), sets)


def run_harness(file: Path, store: Path, workers: int, options: Sequence[str]) -> float:
    """Do the whole ablation from an empty store, and return the seconds.

    Args:
        file: the study file.
        store: folder of the store.
        workers: number of workers.
        options: further options of `harness run`.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "harness", "run", str(file), "--testbed", "embedded", "--store", str(store)]
    command += ["--report", str(store / "report")]
    ended = subprocess.run([*command, "--workers", str(workers), *options], stdout=subprocess.DEVNULL)
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"harness run ended with {ended.returncode}")
    return time.perf_counter() - began


def run_plainly(file: Path, records: Sequence[Record], tasks: Sequence[str]) -> tuple[float, list[dict[str, float]]]:
    """Do the same runs by scripts one after another.

    Args:
        file: the study file.
        records: the records of the runs.
        tasks: mteb tasks of final runs.

    Returns:
        The total seconds, and the scores in the order of the records.
    """
    began, scores = time.perf_counter(), []
    environment = {**os.environ, "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    for number, record in enumerate(records):
        point = record.point
        run = {"study": record.study, "stage": record.stage, "seed": record.seed}
        run |= {"batch_size": point.batch_size if point else None, "lr": point.lr if point else None}
        command = [sys.executable, __file__, "--plain", json.dumps(run), "--study-file", str(file)]
        command += ["--tasks", ",".join(tasks)]
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
    parser.add_argument("--trials", type=int, help="the testbed's if not given")
    parser.add_argument("--seeds", type=int, help="the testbed's if not given")
    parser.add_argument("--alone", action="store_true", help="measure one worker, too")
    parser.add_argument("--tasks", help="comma-separated; the testbed's if not given")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tasks = by_name("embedded").tasks if options.tasks is None else tuple(options.tasks.split(","))
    if options.plain is not None:
        print(json.dumps(plain_script(options.study_file, json.loads(options.plain), tasks)))
        return
    arguments = ["--tasks", ",".join(tasks)]
    arguments += [] if options.trials is None else ["--trials", str(options.trials)]
    arguments += [] if options.seeds is None else ["--seeds", str(options.seeds)]
    folder = Path(tempfile.mkdtemp(prefix="suite-"))
    subprocess.run(
        [sys.executable, "-m", "harness", "fetch", str(options.study_file), "--testbed", "embedded"], check=True
    )
    first = run_harness(options.study_file, folder / "first", 2, arguments)
    records = load(folder / "first").records()
    plain, scores = run_plainly(options.study_file, records, tasks)
    second = run_harness(options.study_file, folder / "second", 2, arguments)
    seconds = {"plain scripts": [plain], "2 workers": [first, second]}
    if options.alone:
        seconds["1 worker"] = [run_harness(options.study_file, folder / "alone", 1, arguments)]
    _print(records, scores, seconds)
    if options.alone:
        overhead = statistics.median(overheads(folder / "alone", load(folder / "alone").records()))
        print(f"overhead of a run besides training and evaluation, with one worker: {overhead:.2f} s (median)")


def _print(records: Sequence[Record], scores: Sequence[dict[str, float]], seconds: dict[str, list[float]]) -> None:
    table = Table(title=f"{len(records)} runs; {hardware()['cpu']}, {hardware()['cores']} cores")
    for column in ("side", "seconds", "plain / side", "mean STSB dev", "mean STSB test"):
        table.add_column(column)
    theirs = {name: [of_run[name] for of_run in scores if name in of_run] for name in (DEV, TEST)}
    ours = {
        name: [record.scores[key] for record in records if (key := f"{name}/spearman_cosine") in record.scores]
        for name in (DEV, TEST)
    }
    plain = seconds["plain scripts"][0]
    for side, took in seconds.items():
        mine = theirs if side == "plain scripts" else ours
        table.add_row(
            side,
            ", ".join(f"{each:.0f}" for each in took),
            f"{plain / statistics.mean(took):.2f}",
            *(f"{100 * statistics.mean(mine[name]):.2f}" for name in (DEV, TEST)),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
