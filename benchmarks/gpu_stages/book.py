"""h. How long the book's progression would take on this card, estimated from the results of the other stages."""

from __future__ import annotations

from typing import Any

from gpu_stages.common import Stage

STUDIES, TRIALS, SEEDS = 4, 12, 5
ROWS = {"softmax": 50_000, "cosine": 50_000, "mnr": 16_700, "mnr+hard": 16_700}
"""Rows of each study's view among the book's 50,000: a third of them entail."""

SENTENCES = {"softmax": 2, "cosine": 2, "mnr": 2, "mnr+hard": 3}
SIZES = (16, 32, 64, 128)
STSB, TASK_TEXTS = 3000 + 2758, 60_000
"""Sentences of STSB dev and test, and about so many short texts in the book's twelve tasks."""


def run(stage: Stage) -> None:
    """Report the estimated minutes and how they are computed."""
    rates = {
        size: rate
        for size in SIZES
        if (rate := stage.row("c", f"batch {size}").get("rates", {}).get("harness")) is not None
    }
    texts = stage.row("e", "corpus").get("harness")
    if not rates or not texts:
        stage.report("book", "no estimate: stages c and e have no results; run them as well")
        return
    shared: dict[str, Any] = stage.row("f", "bert-base at 32").get("rates", {})
    gain = max([1.0, *(rate / shared["1"] for rate in shared.values())]) if "1" in shared else 1.0
    row = sum(1 / (rate * size) for size, rate in rates.items()) / len(rates)
    trainings = TRIALS + SEEDS
    training = sum(trainings * ROWS[name] * row * SENTENCES[name] / 2 for name in ROWS)
    runs = STUDIES * trainings
    short = 3.5  # a passage of the corpus is 70 words, an STS sentence or a task's text about 20
    evaluation = (runs * STSB + STUDIES * SEEDS * TASK_TEXTS) / (texts * short)
    minutes = (training + evaluation) / gain / 60
    stage.report(
        "book",
        f"{minutes:.1f} min = ({training:.0f} s training of {runs} runs at {1e6 * row:.0f} us a pair, the mean of "
        f"batches {min(rates)} to {max(rates)}, + {evaluation:.0f} s embedding) / {gain:.2f} by sharing; mteb's own "
        "classifiers, start and audit are not in it",
        minutes=minutes,
        training=training,
        evaluation=evaluation,
        gain=gain,
    )
