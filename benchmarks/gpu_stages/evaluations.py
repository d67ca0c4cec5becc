"""e. Evaluation of an STS set, a classification task and a large corpus, plain and by the harness: time and scores."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from evaluation import score_plainly
from sentence_transformers import SentenceTransformer
from training import SHAPES, random_weights

from gpu_stages.common import SMALL, Stage, base_model, failure, model_folder, now, release, sentence
from harness.evaluation import scoring
from harness.evaluation.encoder import Encoder
from harness.model.loading import load_model
from harness.reading import materials
from harness.testbeds import embedded, fetching
from harness.testbeds.measure_kinds import Sts

TASKS = ("EmbeddedTopicClassification",)
PASSAGES, PLAIN_PASSAGES = 100_000, 10_000
"""Passages of the corpus that the harness embeds, and that the plain side embeds because it has less time."""


def run(stage: Stage) -> None:
    """Score sets and a task with the embedded model and a random bert-base, then embed a corpus."""
    own = model_folder("embedded", stage.small)
    fetching.fetch(embedded, (), lambda: {name: [_reference(name)] for name in TASKS})
    if stage.small:
        SHAPES["bert-base"] = SMALL
    parts: tuple[tuple[str, Callable[[], None]], ...] = (
        ("embedded model", lambda: _scored(stage, "embedded model", own)),
        ("bert-base", lambda: _scored(stage, "bert-base", random_weights(own, "bert-base"))),
        ("corpus", lambda: _corpus(stage)),
    )
    for what, part in parts:
        try:
            part()
        except Exception as problem:
            traceback.print_exc()
            stage.report(what, failure(problem))
        release()


def _reference(name: str) -> Any:
    from harness.testbeds import embedded_task

    return embedded_task(name)


def _scored(stage: Stage, name: str, folder: str) -> None:
    """Evaluate plainly and by the harness in turn after a warm-up; report seconds and differences of scores."""
    sets = {each.name: materials.load_sts(each) for each in embedded.measures if isinstance(each, Sts)}
    plain = SentenceTransformer(folder, device=stage.device)
    ours = load_model(folder, None if name == "embedded model" else "mean").eval()
    texts = sum(2 * len(pairs.gold) for pairs in sets.values())

    def by_harness(tf32: bool) -> dict[str, float]:
        encoder = Encoder(ours, tf32)
        scores = {each: scoring.score_sts(encoder, pairs)[1]["spearman_cosine"] for each, pairs in sets.items()}
        found, missing = scoring.score_tasks(
            encoder, TASKS, name="gpu/benchmark", run_id="0", folder=Path(tempfile.mkdtemp())
        )
        if missing:
            raise RuntimeError(f"not evaluated: {missing}")
        return scores | found

    sides: dict[str, Callable[[], dict[str, float]]] = {
        "plain": lambda: score_plainly(plain, TASKS, sets),
        "harness": lambda: by_harness(True),
        "harness fp32": lambda: by_harness(False),
    }
    seconds: dict[str, float] = {}
    scores = {}
    for turn in range(1 if stage.small else 3):
        for side, score in sides.items():
            if turn and stage.left() < 3 * seconds[side]:
                continue
            began = now(stage.device)
            scores[side] = score()
            took = now(stage.device) - began
            seconds[side] = took if turn < 2 else min(took, seconds[side])
    off = {side: max(abs(scores[side][each] - scores["plain"][each]) for each in scores["plain"]) for side in sides}
    told = ", ".join(f"{side} {took:.2f} s" for side, took in seconds.items())
    stage.report(
        name,
        f"STS and {TASKS[0]}: {told}: {seconds['plain'] / seconds['harness']:.1f}x; scores differ from plain's by "
        f"{off['harness']:.1e}, in fp32 {off['harness fp32']:.1e}",
        seconds=seconds,
        scores=scores,
        sentences=texts,
        way=ours._embeds,
    )


def _corpus(stage: Stage) -> None:
    """Embed passages of about 80 words with bert-base: texts a second."""
    rng = random.Random(2)
    many, few = (200, 50) if stage.small else (PASSAGES, PLAIN_PASSAGES)
    passages = [sentence(rng, rng.randint(20, 120)) for _ in range(many)]
    plain = SentenceTransformer(model_folder("bert-base", stage.small), device=stage.device)
    ours = base_model("bert-base", stage.small).eval()
    ours.embed(passages[:few], True)
    began = now(stage.device)
    wanted = plain.encode(passages[:few], batch_size=128, show_progress_bar=False)
    usual = few / (now(stage.device) - began)
    began = now(stage.device)
    got = ours.embed(passages[:few], True)
    fast = few / (now(stage.device) - began)
    off = float(np.abs(got - wanted).max() / np.abs(wanted).max())
    whole = None
    if stage.left() > 1.5 * many / fast:
        began = now(stage.device)
        ours.embed(passages, True)
        whole = many / (now(stage.device) - began)
    all_of_them = "no time" if whole is None else f"{whole:,.0f}"
    stage.report(
        "corpus",
        f"bert-base, passages of 70 words, texts a second: plain {usual:,.0f}, harness {fast:,.0f} "
        f"({fast / usual:.1f}x), {many:,} of them {all_of_them}; off by {off:.1e} ({ours._embeds})",
        plain=usual,
        harness=fast,
        whole=whole,
        difference=off,
        way=ours._embeds,
    )
