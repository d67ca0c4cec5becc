"""Show where the seconds of an ablation's workers go, by cause.

    python benchmarks/causes.py [--study-file studies/all_losses.py] [--steps 150] [--workers 2] [--json FILE]

The script does `harness run` on the embedded testbed from an empty store, and takes from the records the seconds of
training and of evaluation; scoring the dev set within trainings is in neither. Then it trains each study again at each
batch size that it had in the store, without and with torch's profiler, both after a warm-up, and divides the seconds of
training by what the operations of its steps did. What no operation of torch explains of a step is Python, numpy,
autograd and the dispatch of operations. It is the difference from the training without the profiler, so the profiler's
own time is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.api import load
from harness.executors.processes import ProcessExecutor
from harness.executors.start import ENVIRONMENT
from harness.provenance import hardware
from harness.spec.ablation import Ablation
from harness.spec.loading import load_study_file
from harness.spec.space import Point
from harness.store.records import Record
from harness.testbeds import by_name

WARM, PROFILED = 60, 20
"""Steps before the measurement, in which kernels are compiled and sentences are tokenised; steps that are profiled."""

PRODUCTS, ELEMENTS, MOVES = "matrix products", "elementwise operations, softmax, norms", "gathering, copying, casting"
OPTIMIZER, PYTHON = "optimizer and clipping", "Python, numpy, autograd, dispatch"
CAUSES = (PRODUCTS, ELEMENTS, MOVES, OPTIMIZER, PYTHON)

OF_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "mkldnn_linear", "dot", "mv"}
OF_MOVES = {
    *("cat", "copy_", "clone", "stack", "index", "index_select", "index_put_", "_index_put_impl_", "index_add_"),
    *("index_fill_", "gather", "scatter_", "scatter_add_", "embedding", "embedding_backward", "_to_copy", "to"),
    *("embedding_dense_backward", "zero_", "fill_", "zeros", "zeros_like", "new_zeros", "contiguous"),
}
OF_OPTIMIZER = ("Optimizer.step", "Optimizer.zero_grad")
OF_CLIPPING = {"_foreach_norm", "linalg_vector_norm", "_foreach_mul_", "_fused_adamw_"}
"""Names of torch's operations by cause; all others are elementwise."""


def profiled(ablation: Ablation, study: str, batch_size: int, lr: float, steps: int) -> dict[str, float]:
    """Train a study in this process, without and with the profiler, and return the seconds of a step by cause.

    Args:
        ablation: the ablation, on its testbed.
        study: the study's name.
        batch_size: rows of a batch.
        lr: learning rate.
        steps: number of steps that are measured without the profiler, after `WARM` others.
    """
    from torch.profiler import ProfilerActivity, profile

    from harness.engine import worker
    from harness.executors.library_output import be_quiet

    be_quiet()
    worker.tune_memory_management()
    for _ in range(2):  # the first training tokenises its sentences, which a worker does once
        usual = _train(ablation, study, batch_size, lr, steps, lambda: None, lambda: None)
    with_names = profile(activities=[ProfilerActivity.CPU])
    _train(ablation, study, batch_size, lr, PROFILED, with_names.start, with_names.stop)
    causes = dict.fromkeys(CAUSES, 0.0)
    events: Any = with_names.events()  # type: ignore  # has no types
    for event in events:
        causes[_cause(event)] += event.self_cpu_time_total / 1e6 / PROFILED
    operations = sum(seconds for cause, seconds in causes.items() if cause != PYTHON)
    return {**causes, PYTHON: usual - operations, "step": usual}


def _cause(event: Any) -> str:
    """Return the cause of an event's own time: that of what it is part of, or else that of its name."""
    above = event
    while above is not None:
        if above.name.startswith(OF_OPTIMIZER) or above.name.removeprefix("aten::") in OF_CLIPPING:
            return OPTIMIZER
        above = above.cpu_parent
    if "::" not in event.name or event.name.startswith("autograd::"):
        return PYTHON
    name = event.name.split("::")[-1]
    return PRODUCTS if name in OF_PRODUCTS else MOVES if name in OF_MOVES else ELEMENTS


def _train(ablation: Ablation, study: str, batch_size: int, lr: float, steps: int, start: Any, stop: Any) -> float:
    """Train, call `start` and `stop` around the last steps, and return the seconds of one of these."""
    from datasets import Dataset
    from transformers import set_seed

    from harness.engine.rows import part_rows
    from harness.model.certificate import certify
    from harness.model.loading import fresh_model
    from harness.training.precision import precision_here
    from harness.training.train import Schedule, train

    made = ablation.study(study)
    assert made.loss is not None
    rows = Dataset.from_pandas(part_rows(ablation, study)[study], preserve_index=False)
    set_seed(0)
    model = fresh_model(ablation.testbed)
    precision = precision_here("auto")
    path = certify(model, made.loss, {}, rows, precision).path
    done, began, ended = 0, 0.0, 0.0

    def on_step(share: float) -> None:
        nonlocal done, began, ended
        done += 1
        if done == WARM:
            start()
            began = time.perf_counter()
        elif done == WARM + steps:
            ended = time.perf_counter()
            stop()

    schedule = Schedule(1, examples=(WARM + steps) * batch_size)
    folder, point = Path(tempfile.mkdtemp()), Point(batch_size=batch_size, lr=lr)
    train(
        model,
        made.loss(model),
        rows,
        point,
        schedule,
        seed=0,
        precision=precision,
        folder=folder,
        way=path,
        on_step=on_step,
    )
    return (ended - began) / steps


def by_cause(
    records: list[Record], ablation: Ablation, wall: float, workers: int, steps: int
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the seconds of all workers by cause, and each profiled training."""
    trainings = [record for record in records if record.point is not None]
    keys: defaultdict[tuple[str, int], float] = defaultdict(float)
    for record in trainings:
        assert record.point is not None
        keys[record.study, record.point.batch_size] += record.train_seconds
    console, found = Console(stderr=True), []
    spent: defaultdict[str, float] = defaultdict(float)
    worker = ProcessExecutor([{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **ENVIRONMENT}])
    try:
        for (study, size), seconds in sorted(keys.items()):
            lr = next(r.point.lr for r in trainings if r.study == study and r.point and r.point.batch_size == size)
            step = worker.submit(profiled, ablation, study, size, lr, steps).result()
            found.append({"study": study, "batch_size": size, "trained": seconds, **step})
            console.print(found[-1], highlight=False)
            for cause in CAUSES:
                spent[f"training: {cause}"] += seconds * step[cause] / step["step"]
    finally:
        worker.stop()
    spent["certificates"] = sum(float(record.forward.get("seconds", 0)) for record in trainings)
    spent["evaluation"] = sum(record.eval_seconds for record in records)
    spent["start, data, dev scores within trainings, waiting"] = workers * wall - sum(spent.values())
    return dict(spent), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study-file", type=Path, default=Path("studies/all_losses.py"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write every measurement here")
    options = parser.parse_args()
    store = Path(tempfile.mkdtemp(prefix="causes-"))
    command = [sys.executable, "-m", "harness", "run", str(options.study_file), "--testbed", "embedded"]
    command += ["--store", str(store), "--report", str(store / "report"), "--workers", str(options.workers)]
    began = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"harness run ended with {ended.returncode}")
    records = list(load(store).records())
    ablation = replace(load_study_file(options.study_file), testbed=by_name("embedded"))
    spent, found = by_cause(records, ablation, wall, options.workers, options.steps)
    if options.json:
        figures = {"wall": wall, "workers": options.workers, "seconds": spent, "steps": found}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    table = Table(title=f"{len(records)} runs, {options.workers} workers, {wall:.0f} s; {hardware()['cpu']}")
    for column in ("cause", "seconds of all workers", "share"):
        table.add_column(column)
    for cause, seconds in spent.items():
        table.add_row(cause, f"{seconds:.1f}", f"{seconds / (options.workers * wall):.1%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
