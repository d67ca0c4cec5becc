"""Functions of all stages: reporting results, models with random weights, and sentences of NLI's length."""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from training import SHAPES, random_weights

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
"""Replacement of all shapes without a GPU, where everything is only run as a test and nothing is measured."""

WORDS, MEAN, SIGMA, LONGEST = 30_000, 20, 0.5, 128
"""Of the made-up language: its vocabulary, a sentence's mean length in words, its spread (log-normal), the longest."""

BYTES_A_WEIGHT = 28
"""What AdamW moves in float32: it reads weight, gradient and two means, and writes all but the gradient."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage while it runs."""

    name: str
    """Name of the stage."""
    device: str
    """"cuda" or "cpu"."""
    ends: float
    """Time of `time.monotonic` at which the stage must have ended."""
    to: Path
    """File that receives the rows."""
    earlier: list[dict[str, Any]]
    """Rows of earlier stages."""

    @property
    def small(self) -> bool:
        """Whether shapes are small, as nothing is measured."""
        return self.device == "cpu"

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.ends - time.monotonic()

    def report(self, what: str, text: str | None, **figures: Any) -> None:
        """Write a row of results.

        Args:
            what: what was measured.
            text: line of the table; None for rows that are only in results.json.
            figures: results. A row with `held` is a certificate.
        """
        row = {"stage": self.name, "what": what, "text": text, **figures}
        with self.to.open("a", encoding="utf-8") as rows:
            rows.write(json.dumps(row, default=str) + "\n")
        print(json.dumps(row, default=str), file=sys.stderr, flush=True)

    def skipped(self, what: str) -> None:
        """Report that a measurement was skipped, because it needs a GPU."""
        self.report(what, "skipped: it needs a GPU", skipped=True)

    def row(self, stage: str, what: str) -> dict[str, Any]:
        """Return a row of an earlier stage, or an empty one."""
        return next((row for row in self.earlier if (row["stage"], row["what"]) == (stage, what)), {})


def be_quiet() -> None:
    """Set up this process like a worker: no progress bars and warnings in the log, and deterministic kernels."""
    import datasets

    from harness.executors import library_output
    from harness.training.precision import prefer_deterministic_kernels

    prefer_deterministic_kernels()

    library_output.silence()
    datasets.disable_progress_bars()


def now(device: str) -> float:
    """Wait until the device has finished its work, and return the time."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def failure(problem: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    return f"{type(problem).__name__}: {problem}".splitlines()[0][:110]


def release() -> None:
    """Return unused memory to the device."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@cache
def model_folder(shape: str, small: bool) -> str:
    """Return a folder with random weights of a shape and a tokenizer of the made-up words; or the embedded model's."""
    if shape == "embedded":
        from harness.testbeds import embedded, fetching

        fetching.fetch(embedded, (), dict)  # waits for another process that builds it
        return str(fetching.locate(embedded.base, is_model=True))
    if small:
        SHAPES[shape] = SMALL
    return random_weights(_tokenizer(), shape)


@cache
def _tokenizer() -> str:
    """Write a BERT's tokenizer whose words are w0, w1, ...; return its folder."""
    from transformers import BertTokenizer

    folder = Path(tempfile.mkdtemp())
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(WORDS))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)}, model_max_length=4 * LONGEST
    )
    tokenizer.save_pretrained(str(folder))
    return str(folder)


def base_model(shape: str, small: bool) -> Any:
    """Return the harness's model of a shape on its device; copies of one model share the cache of tokens."""
    import copy

    return copy.deepcopy(_loaded(shape, small))


@cache
def _loaded(shape: str, small: bool) -> Any:
    from harness.model.loading import load_model

    return load_model(model_folder(shape, small), "mean")


def sentence(rng: random.Random, words: int | None = None) -> str:
    """Return a sentence of so many words, or as long as NLI's: log-normal, 20 words in the mean."""
    if words is None:
        words = round(min(LONGEST, max(3, rng.lognormvariate(0, SIGMA) * MEAN * 0.88)))
    return " ".join(f"w{int(WORDS * rng.random() ** 3)}" for _ in range(words))


def pairs(count: int, seed: int = 0) -> Any:
    """Return rows of an anchor and its positive, which shares half of its words."""
    from datasets import Dataset

    rng = random.Random(seed)
    anchors = [sentence(rng) for _ in range(count)]
    positives = [f"{' '.join(text.split()[::2])} {sentence(rng, len(text.split()) // 2)}" for text in anchors]
    return Dataset.from_dict({"anchor": anchors, "positive": positives})


def own_pairs(count: int) -> Any:
    """Return rows of the embedded testbed, a premise and what follows from it, in the words of its own model."""
    from datasets import Dataset

    from harness.reading import materials
    from harness.spec.views import VIEWS
    from harness.testbeds import embedded

    model_folder("embedded", small=False)
    frame = VIEWS["pair"].build(materials.load_rows(embedded.source), 10 * count).head(count)
    return Dataset.from_pandas(frame, preserve_index=False)
