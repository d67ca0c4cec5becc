"""Training, side by side with the script that sentence-transformers' documentation would have a user write.

    python benchmarks/training.py [--testbed book] [--rows 3200] [--batch-sizes 32 64] [--repeats 3]

Both sides train the same rows of the same view from the same base model with the same loss, seed, batch size, learning
rate and schedule, one thread each, in turn: plain, harness, plain, ... each in a worker process of its own that stays
alive. Plain is fp32, the library's default. Prints medians over the repeats with their spread, the ratio of the
medians, STSB dev Spearman after training (dropout differs, so scores do, by about as much as with another seed) and
the processes' peak memory. `--studies "mnr cached" --batch-sizes 4096 --rows 4096` is GradCache in pieces of 64.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from harness.executors.processes import ProcessExecutor
from harness.provenance import hardware
from harness.testbeds import Testbed, by_name

STUDIES = {"softmax": "pair-class", "cosine": "pair-score", "mnr": "pair", "mnr+hard": "triplet"}
VIEWS = {**STUDIES, "mnr cached": "pair"}

Side = Literal["plain", "auto", "fp32"]
Figures = dict[str, float]


def measure(side: Side, study: str, bed: Testbed, batch_size: int, lr: float, device: str, scored: bool) -> Figures:
    """Train once in this process; return seconds, steps, peak memory in MB and, if asked, dev Spearman."""
    import torch
    from datasets import Dataset
    from transformers import set_seed

    from harness import evaluation, losses, provenance, work
    from harness.data.views import VIEWS as BUILD
    from harness.space import Point
    from harness.testbeds import materials
    from harness.training.train import Schedule, precision_here, train

    work.be_quiet()
    frame = BUILD[VIEWS[study]].build(materials.load_rows(bed), 10**9).head(bed.max_rows)
    rows = Dataset.from_pandas(frame, preserve_index=False)
    make: Any = {
        "softmax": losses.softmax,
        "cosine": losses.CosineSimilarityLoss,
        "mnr cached": losses.CachedMultipleNegativesRankingLoss.given(mini_batch_size=64),
    }.get(study, losses.MultipleNegativesRankingLoss)
    provenance.reset_peak_memory()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    set_seed(0)
    model = plain_model(bed, device) if side == "plain" else work.fresh_model(bed)
    loss = make(model)
    folder = Path(tempfile.mkdtemp())
    if side == "plain":
        seconds, steps = train_plainly(model, loss, rows, batch_size, lr, folder, device)
    else:
        done = train(
            model,
            loss,
            rows,
            Point(batch_size=batch_size, lr=lr),
            Schedule(1),
            seed=0,
            precision=precision_here("auto" if side == "auto" else "fp32"),
            folder=folder,
        )
        seconds, steps = done.seconds, done.steps
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else provenance.peak_memory_mb()
    figures = {"seconds": seconds, "steps": steps, "memory": memory}
    if not scored:
        return figures
    model.eval()
    score = evaluation.score_sts(evaluation.Encoder(model), materials.load_sts(bed.dev))[1]["spearman_cosine"]
    return figures | {"score": score}


def plain_model(bed: Testbed, device: str) -> Any:
    """Load a testbed's base model as the documentation does."""
    from sentence_transformers import SentenceTransformer

    from harness.testbeds import materials

    return SentenceTransformer(str(materials.locate(bed.model, is_model=True)), device=device)


def train_plainly(
    model: Any, loss: Any, rows: Any, batch_size: int, lr: float, folder: Path, device: str
) -> tuple[float, int]:
    """Train with the library's trainer and its defaults; return seconds and steps."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=lr,
        warmup_steps=0.1,
        use_cpu=device == "cpu",
        seed=0,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    began = time.perf_counter()
    trainer.train()
    return time.perf_counter() - began, int(trainer.state.global_step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", default="book")
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(VIEWS))
    parser.add_argument("--rows", type=int, default=3200, help="rows of the view that one training sees")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precisions", nargs="+", choices=("auto", "fp32"), default=["auto", "fp32"])
    parser.add_argument("--json", type=Path, help="write every measurement here")
    options = parser.parse_args()

    bed = replace(by_name(options.testbed), max_rows=options.rows)
    lr = 5e-5 * bed.lr_scale
    environment = {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1"}
    if options.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    sides: list[Side] = ["plain", *options.precisions]
    workers = {side: ProcessExecutor([environment]) for side in sides}
    found: list[dict[str, Any]] = []
    console = Console(stderr=True)
    try:
        for batch_size in options.batch_sizes:
            for study in options.studies:
                for repeat in range(-1, options.repeats):  # the first warms up: tokens, allocator, rows
                    for side in sides:
                        if repeat < 0 and batch_size != options.batch_sizes[0]:
                            continue
                        scored = repeat == 0  # the same at each repeat: the seed is
                        figures = workers[side].submit(
                            measure, side, study, bed, batch_size, lr, options.device, scored
                        )
                        row = {"side": side, "study": study, "batch_size": batch_size, **figures.result()}
                        console.print(f"{row}" if repeat >= 0 else f"warming up: {side} {study}", highlight=False)
                        if repeat >= 0:
                            found.append(row)
    finally:
        for worker in workers.values():
            worker.stop()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _print(found, sides, options.rows)


def _print(found: list[dict[str, Any]], sides: list[Side], rows: int) -> None:
    table = Table(title=f"{rows:,} rows a training; {hardware().get('cpu', platform.processor())}")
    for column in ("study", "batch", "side", "seconds (median, range)", "plain / side", "dev Spearman", "peak MB"):
        table.add_column(column)
    keys = list(dict.fromkeys((row["study"], row["batch_size"]) for row in found))
    for study, batch_size in keys:
        plain = 0.0
        for side in sides:
            mine = [r for r in found if (r["study"], r["batch_size"], r["side"]) == (study, batch_size, side)]
            seconds = sorted(row["seconds"] for row in mine)
            median = statistics.median(seconds)
            plain = median if side == "plain" else plain
            table.add_row(
                study,
                str(batch_size),
                {"plain": "plain fp32", "auto": "harness", "fp32": "harness fp32"}[side],
                f"{median:.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
                f"{plain / median:.2f}",
                f"{100 * next(row['score'] for row in mine if 'score' in row):.2f}",
                f"{max(row['memory'] for row in mine):,.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
