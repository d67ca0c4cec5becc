"""Compare training with a script as in sentence-transformers' documentation.

    python benchmarks/training.py [--testbed book] [--steps 160] [--batch-sizes 32 64] [--repeats 3]
    python benchmarks/training.py --device cuda --shape bert-base --testbed embedded --batch-sizes 16 32 64 128 256 512

Both sides train the same rows of the same view from the same base model with the same loss, seed, batch size, learning
rate and schedule. They alternate, with one thread each, in separate worker processes that stay alive; those of the
harness have the environment that `harness run` gives its workers. The plain side is in fp32, the library's default, and
once more with `bf16=True`. A training has 160 steps, because shorter ones flatter whoever starts faster. The benchmark
prints medians over the repeats with their spread, the ratio of the medians, steps and real tokens (without
padding) per second, the share of the device's peak matrix rate that the model's arithmetic reaches, STSB dev Spearman
after training (dropout differs, so scores differ by about as much as with another seed) and the peak memory of the
processes; on a GPU also the share of the steps that ran from CUDA graphs.

The peak rate is that of one large matrix product in the side's precision, measured in the same process. The model's
arithmetic is 6 floating-point operations per token and weight of its layers, plus 12 per unit of width and pair of
tokens that attend to each other (Kaplan et al., 2020; including attention's backward), without padding and recomputing.

`--shape bert-base` trains random weights of that shape with the testbed's tokenizer, because speed needs no scores.
`--studies "mnr cached" --batch-sizes 4096 --steps 1` measures GradCache in parts of 64 rows.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from harness.executors.processes import ProcessExecutor
from harness.executors.start import ENVIRONMENT
from harness.provenance import hardware
from harness.testbeds import Testbed, by_name

STUDIES = {"softmax": "pair-class", "cosine": "pair-score", "mnr": "pair", "mnr+hard": "triplet"}
VIEWS = {**STUDIES, "mnr cached": "pair"}

Side = Literal["plain", "plain bf16", "auto", "eager", "fp32"]
NAMES: dict[Side, str] = {
    "plain": "plain fp32",
    "plain bf16": "plain bf16",
    "auto": "harness",
    "eager": "not captured",
    "fp32": "harness fp32",
}
Figures = dict[str, float]


SHAPES: dict[str, dict[str, Any]] = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12},
}


def measure(
    side: Side,
    study: str,
    bed: Testbed,
    batch_size: int,
    steps: int,
    lr: float,
    device: str,
    scored: bool,
    weights: str | None,
) -> Figures:
    """Train once in this process.

    Args:
        side: which implementation to measure.
        study: name of a study, a key of `VIEWS`.
        bed: the testbed.
        batch_size: rows of a batch.
        steps: number of steps of the training.
        lr: learning rate.
        device: "cuda" or "cpu".
        scored: also score the dev set and measure the peak matrix rate.
        weights: folder of a model; the testbed's base model if None.

    Returns:
        Seconds, steps, memory in MiB, tokens, floating-point operations, the share of captured steps and, if scored,
        dev Spearman and the peak rate in operations per second.
    """
    import torch
    from datasets import Dataset
    from transformers import set_seed

    from harness import provenance
    from harness.engine import worker
    from harness.evaluation import scoring
    from harness.executors.library_output import be_quiet
    from harness.model.certificate import certify
    from harness.reading import materials
    from harness.spec import losses
    from harness.spec.space import Point
    from harness.spec.views import VIEWS as BUILD
    from harness.training.precision import precision_here
    from harness.training.train import Schedule, train

    be_quiet()
    plain = side in ("plain", "plain bf16")
    if not plain:
        worker.tune_memory_management()
    frame = BUILD[VIEWS[study]].build(materials.load_rows(bed.source), 10**9).head(bed.limit)
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
    model = base_model(side, bed, device, weights)
    loss = make(model)
    folder = Path(tempfile.mkdtemp())
    precision = "bf16" if side == "plain bf16" else precision_here("auto" if side in ("auto", "eager") else "fp32")
    if side == "eager":
        model.passes = None
    if plain:
        bf16 = precision == "bf16"
        seconds = train_plainly(model, loss, rows, batch_size, lr, folder, device, max_steps=steps, bf16=bf16)[0]
    else:
        point = Point(batch_size=batch_size, lr=lr)
        certificate = certify(model, make, {}, rows, precision)
        schedule, path = Schedule(1, examples=steps * batch_size), certificate.path
        done = train(model, loss, rows, point, schedule, seed=0, precision=precision, folder=folder, way=path)
        seconds, steps = done.seconds, done.steps
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else provenance.peak_memory_mb()
    tokens, operations = arithmetic(model, frame)
    epochs = steps * batch_size / len(frame)
    figures: Figures = {"seconds": seconds, "steps": steps, "memory": memory}
    figures |= {"tokens": tokens * epochs, "operations": operations * epochs}
    figures["captured"] = getattr(getattr(model, "passes", None), "used", 0) / steps
    if not scored:
        return figures
    model.eval()
    score = scoring.score_measure(scoring.Encoder(model), bed.dev).scores[bed.objective]
    return figures | {"score": score, "peak": matrix_peak(device, precision)}


def base_model(side: Side, bed: Testbed, device: str, weights: str | None) -> Any:
    """Load a base model as the library's documentation does, or as the harness does.

    Args:
        side: which implementation will train it.
        bed: the testbed.
        device: "cuda" or "cpu".
        weights: folder of a model; the testbed's base model if None.
    """
    from sentence_transformers import SentenceTransformer

    from harness.model.loading import fresh_model, load_model

    if side.startswith("plain"):
        return plain_model(bed, device) if weights is None else SentenceTransformer(weights, device=device)
    return fresh_model(bed) if weights is None else load_model(weights, "mean")


def plain_model(bed: Testbed, device: str) -> Any:
    """Load a testbed's base model as the documentation does."""
    from sentence_transformers import SentenceTransformer

    from harness.testbeds import fetching

    return SentenceTransformer(str(fetching.locate(bed.base, is_model=True)), device=device)


def weights_of(bed: Testbed, shape: str) -> str:
    """Make a BERT of a shape with random weights, for the vocabulary of a testbed's model; return its folder."""
    from harness.testbeds import fetching

    return random_weights(str(fetching.locate(bed.base, is_model=True)), shape)


def random_weights(base: str, shape: str) -> str:
    """Make a BERT of a shape with random weights, for the vocabulary of a base model; return its folder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder, tokenizer, sizes = tempfile.mkdtemp(), AutoTokenizer.from_pretrained(base), SHAPES[shape]
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=4 * sizes["hidden_size"], **sizes)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def arithmetic(model: Any, frame: Any) -> tuple[int, float]:
    """Return the number of tokens of an epoch without padding, and the floating-point operations of training it."""
    from pandas.api.types import is_numeric_dtype

    texts = [text for column in frame if not is_numeric_dtype(frame[column]) for text in frame[column]]
    lengths = [
        len(ids) for ids in model.tokenizer(texts, truncation=True, max_length=model.max_seq_length)["input_ids"]
    ]
    config = model[0].config
    weights = sum(p.numel() for name, p in model[0].named_parameters() if "layer" in name and p.ndim == 2)
    attended = sum(length * length for length in lengths) * config.num_hidden_layers * config.hidden_size
    return sum(lengths), 6.0 * weights * sum(lengths) + 12.0 * attended


def matrix_peak(device: str, precision: str) -> float:
    """Return the rate of a large matrix product in this process: the best of five, in operations per second."""
    import torch

    side = 8192 if device == "cuda" else 2048
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(2 * side**3 / min(seconds[2:]))


def train_plainly(
    model: Any,
    loss: Any,
    rows: Any,
    batch_size: int,
    lr: float,
    folder: Path,
    device: str,
    seed: int = 0,
    callbacks: Sequence[Any] = (),
    **others: Any,
) -> tuple[float, int]:
    """Train with the library's trainer and its defaults.

    Args:
        model: the model.
        loss: the loss of this model.
        rows: training rows.
        batch_size: rows of a batch.
        lr: learning rate.
        folder: where the trainer may write.
        device: "cuda" or "cpu".
        seed: seed of shuffling and dropout.
        callbacks: callbacks of the trainer.
        others: further arguments of the trainer.

    Returns:
        Seconds, and the number of steps.
    """
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers import PrinterCallback

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=lr,
        warmup_steps=0.1,
        use_cpu=device == "cpu",
        seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **others,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=rows, loss=loss, callbacks=list(callbacks)
    )
    trainer.remove_callback(PrinterCallback)
    began = time.perf_counter()
    trainer.train()
    return time.perf_counter() - began, int(trainer.state.global_step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", default="book")
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(VIEWS))
    parser.add_argument("--steps", type=int, default=160, help="steps of a training")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--lr", type=float, help="learning rate (default: the book's, scaled to the testbed)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=list(NAMES),
        help="besides plain in fp32; eager: on a GPU without captured passes (default: all that differ here)",
    )
    parser.add_argument("--shape", choices=list(SHAPES), help="random weights of this shape, instead of a base model")
    parser.add_argument("--json", type=Path, help="write every measurement here")
    options = parser.parse_args()

    bed = by_name(options.testbed)
    lr = options.lr or 5e-5 * bed.lr_scale
    threads = {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads), "TQDM_DISABLE": "1"}
    if options.device == "cpu":
        threads["CUDA_VISIBLE_DEVICES"] = ""
    differing = ["plain bf16", "auto", *(["eager"] if options.device == "cuda" else []), "fp32"]
    sides: list[Side] = ["plain", *(options.sides or differing)]
    workers = {side: ProcessExecutor([threads | ({} if side.startswith("plain") else ENVIRONMENT)]) for side in sides}
    found: list[dict[str, Any]] = []
    console = Console(stderr=True)
    try:
        weights = workers["plain"].submit(weights_of, bed, options.shape).result() if options.shape else None
        for batch_size in options.batch_sizes:
            for study in options.studies:
                for repeat in range(-1, options.repeats):  # the first warms up: tokens, allocator, rows
                    for side in sides:
                        if repeat < 0 and batch_size != options.batch_sizes[0]:
                            continue
                        scored = repeat == 0  # the score is the same in all repeats, because the seed is
                        steps = options.steps if repeat >= 0 else min(options.steps, 20)
                        figures = workers[side].submit(
                            measure, side, study, bed, batch_size, steps, lr, options.device, scored, weights
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
    _print(found, sides, options.steps)


def _print(found: list[dict[str, Any]], sides: list[Side], steps: int) -> None:
    table = Table(title=f"{steps:,} steps a training; {hardware().get('cpu', platform.processor())}")
    heads = ("study", "batch", "side", "seconds (median, range)", "plain / side")
    for column in (*heads, "steps/s", "tokens/s", "of peak", "dev Spearman", "peak MB"):
        table.add_column(column)
    peaks = {row["side"]: row["peak"] for row in found if "peak" in row}
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
                NAMES[side],
                f"{median:.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
                f"{plain / median:.2f}",
                f"{mine[0]['steps'] / median:.1f}",
                f"{mine[0]['tokens'] / median:,.0f}",
                f"{mine[0]['operations'] / median / peaks[side]:.0%}",
                f"{100 * next(row['score'] for row in mine if 'score' in row):.2f}",
                f"{max(row['memory'] for row in mine):,.0f}",
            )
    console = Console(width=150)
    console.print(table)
    for side in sides:
        shares = [row["captured"] for row in found if row["side"] == side]
        if any(shares):
            console.print(f"{side}: steps that ran from CUDA graphs: {min(shares):.0%} to {max(shares):.0%}")
    peak = ", ".join(f"{side} {rate / 1e9:,.0f}" for side, rate in peaks.items())
    console.print(f"matrix peak, billion operations a second, in each side's process: {peak}")


if __name__ == "__main__":
    main()
