"""Compare the ranking of documents with sentence-transformers' InformationRetrievalEvaluator: seconds and memory.

    python benchmarks/retrieval.py [--passages 200000] [--queries 500] [--dimension 384] [--repeats 2] [--equal]

Both sides rank the same passages, whose embeddings are random numbers instead of a model's, so that only the ranking is
measured. Each measurement has a process of its own, and sides alternate. Seconds are those outside the stub that makes
the embeddings. Memory is the highest that the process had, less what it had before the evaluation, and so includes the
embeddings that are held. With `--equal` all passages have the same embedding, the worst case of ties (this
differs from a collapsed model, which the harness would not rank, only in the last passage).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from harness.provenance import hardware

Side = Literal["plain", "harness"]
SIDES: tuple[Side, ...] = ("plain", "harness")

BLOCK = 1000
"""Passages whose embeddings are drawn together, from a seed of their own."""


@dataclass(frozen=True)
class Task:
    """What is ranked."""

    passages: int
    queries: int
    dimension: int
    equal: bool


def stub(task: Task) -> Any:
    """Return a model that embeds the passage "N" by random numbers of seed N // BLOCK, and counts its own seconds."""
    import torch
    from sentence_transformers import SentenceTransformer

    class Stub(SentenceTransformer):
        seconds = 0.0

        def encode(self, inputs: Any, *args: Any, convert_to_tensor: bool = False, **kwargs: Any) -> Any:
            began = time.perf_counter()
            made = _embeddings(inputs, task)
            self.seconds += time.perf_counter() - began
            return torch.from_numpy(made) if convert_to_tensor else made

        encode_query = encode_document = encode

    return Stub(modules=[torch.nn.Linear(1, 1)], device="cpu", similarity_fn_name="cosine")


def _embeddings(texts: Sequence[str], task: Task) -> np.ndarray:
    """Return the embeddings of texts that are consecutive numbers."""
    first, last = int(texts[0]), int(texts[-1])
    made = np.empty((len(texts), task.dimension), np.float32)
    for block in range(first // BLOCK, last // BLOCK + 1):
        low, high = max(first, block * BLOCK), min(last + 1, (block + 1) * BLOCK)
        rng = np.random.default_rng([block, task.dimension])
        drawn = rng.standard_normal((BLOCK, task.dimension), np.float32)
        made[low - first : high - first] = drawn[low - block * BLOCK : high - block * BLOCK]
    if task.equal and first < task.passages:
        made[: task.passages - 1 - first] = 1.0
    return made


def measure(side: Side, task: Task) -> tuple[float, float, dict[str, float]]:
    """Evaluate in this process.

    Returns:
        Seconds without embedding, megabytes, and figures by name.
    """
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    from harness.evaluation.encoder import Encoder
    from harness.evaluation.retrieval import score_retrieval
    from harness.reading.beir import RetrievalSet

    torch.set_num_threads(1)
    model, rng = stub(task), np.random.default_rng(0)
    ids = tuple(map(str, range(task.passages)))
    asked = tuple(str(task.passages + number) for number in range(task.queries))
    relevant = {query: {str(each): 1.0 for each in rng.integers(0, task.passages, 50)} for query in asked}
    found = RetrievalSet(asked, asked, ids, ids, relevant)
    before, began = _megabytes(), time.perf_counter()
    if side == "harness":
        figures = {figure: float(values.mean()) for figure, values in score_retrieval(Encoder(model), found).items()}
    else:
        judge = InformationRetrievalEvaluator(
            dict(zip(asked, asked, strict=True)),
            dict(zip(ids, ids, strict=True)),
            {query: set(grades) for query, grades in relevant.items()},
            precision_recall_at_k=[1, 3, 5, 10, 100],
        )
        figures = {name.partition("_")[2]: float(value) for name, value in judge(model).items()}
    return time.perf_counter() - began - model.seconds, _megabytes() - before, figures


def _megabytes() -> float:
    """Return the highest memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--equal", action="store_true")
    options = parser.parse_args()

    task = Task(options.passages, options.queries, options.dimension, options.equal)
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    figures: dict[str, dict[str, float]] = {}
    for _ in range(options.repeats):
        for side in SIDES:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                seconds, megabytes, figures[side] = process.submit(measure, side, task).result()
            Console(stderr=True).print(f"{side}: {seconds:.1f} s, {megabytes:.0f} MB")
            taken[side].append((seconds, megabytes))
    what = f"{task.passages:,} {'equal ' if task.equal else ''}passages of dimension {task.dimension}"
    table = Table("side", "seconds", "MB", title=f"{what}, {task.queries:,} queries; {hardware()['cpu']}, one thread")
    for name, measured in taken.items():
        columns = zip(*measured, strict=True)
        cells = (f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})" for each in columns)
        table.add_row(name, *cells)
    console = Console(width=120)
    console.print(table)
    same = set(figures["plain"]) & set(figures["harness"])
    gap = max(abs(figures["plain"][figure] - figures["harness"][figure]) for figure in same)
    console.print(f"largest difference of {len(same)} figures: {gap:.1e}")


if __name__ == "__main__":
    main()
