"""Checks of scores: correlations rest on ranks alone, tasks have mteb's scores, and each model has its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import mteb
import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from harness import embedded as made_here
from harness.compat import evaluation
from harness.doctor import material
from harness.doctor.outcome import BOUND, Outcome, passed, require, require_equal_figures, require_equal_numbers
from harness.evaluation.encoder import Encoder
from harness.evaluation.scoring import score_sts, score_tasks
from harness.stats import intervals

TASKS = ("EmbeddedSTS", "EmbeddedParaphrasePairs", "EmbeddedRetrieval")
"""Tasks without a classifier or clustering, which a difference of 1e-7 between embeddings may tip."""

PAIRS = 500
"""Pairs whose gold scores are put on another scale."""

MAPS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "their exponential": np.exp,
    "their cube": lambda cosine: cosine**3,
    "a line": lambda cosine: 7 * cosine - 2,
}
"""Increasing functions of cosines."""


def _other(model: SentenceTransformer) -> SentenceTransformer:
    """Return a model of the same name with other weights."""
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in other.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            parameter.add_(0.3 * parameter.std(correction=0) * noise)
    return other


def gold_scale() -> Outcome:
    """Another scale of gold scores changes no correlation and no order; increasing maps of cosines keep Spearman."""
    pairs = material.part(material.sts(), range(PAIRS))
    scaled = material.part(pairs, range(PAIRS), [0.25 + 0.5 * gold for gold in pairs.gold])
    encoders = [Encoder(model) for model in (material.plain(), _other(material.plain()))]
    before, after = ([score_sts(encoder, sts)[1] for encoder in encoders] for sts in (pairs, scaled))
    for one, other in zip(before, after, strict=True):
        require_equal_figures("correlations with gold scores on another scale", other, one, BOUND)
    ranks, moved = (np.argsort([each["spearman_cosine"] for each in scores]).tolist() for scores in (before, after))
    require(ranks == moved, f"models in the order {ranks} with gold scores on another scale", f"{moved}")
    one, other = (
        evaluation.EmbeddingSimilarityEvaluator(list(sts.sentence1), list(sts.sentence2), list(sts.gold))(
            encoders[0].model
        )
        for sts in (pairs, scaled)
    )
    require_equal_figures("sentence-transformers' correlations with gold scores on another scale", other, one, BOUND)
    cosines = np.asarray(score_sts(encoders[0], pairs)[0].cosine)
    for name, increasing in MAPS.items():
        mapped = intervals.spearman(pairs.gold, increasing(cosines))
        require_equal_numbers(f"Spearman of cosines and of {name}", mapped, before[0]["spearman_cosine"], BOUND)
    return passed(f"{len(encoders)} models keep their correlations and order, {len(MAPS)} maps keep Spearman")


def mteb_tasks() -> Outcome:
    """Scores of tasks are mteb's own, and each of two models of one name gets its own score."""
    gaps, by_model = [], []
    for model in (material.plain(), _other(material.plain())):
        tasks = [made_here.make_task(name, made_here.build()) for name in TASKS]
        result = mteb.evaluate(model, tasks, cache=None, co2_tracker=False, show_progress_bar=False)
        expected = {task.task_name: float(task.get_score()) for task in result.task_results}
        with TemporaryDirectory() as folder:
            scores, missing = score_tasks(Encoder(model), TASKS, name="a/b", run_id="doctor", folder=Path(folder))
        require(not missing, f"scores of {len(TASKS)} tasks", f"none of {missing}")
        gaps.append(require_equal_figures("mteb's score", scores, expected, BOUND))
        by_model.append(scores)
    same = [name for name in TASKS if by_model[0][name] == by_model[1][name]]
    require(not same, "another score for a model with other weights", f"the same for {', '.join(same)}")
    return passed(f"{len(TASKS)} tasks differ by at most {max(gaps):.0e}, and two models have scores of their own")


CHECKS = (gold_scale, mteb_tasks)
