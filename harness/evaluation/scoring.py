"""Score a model on STS sets and mteb tasks; mteb is imported only in this package.

mteb computes every task's score itself. Three of its properties need care: it caches results by model name and
revision, which a fine-tuned model shares with all its siblings, so each run has a name, a revision and a results folder
of its own; task objects have a random state, so new ones are made for each evaluation; and the mean over a task's
subsets (mostly languages) has no clear meaning, so each subset is a separate figure, e.g. "STS17:en-en".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import mteb
import numpy as np
from mteb.abstasks.sts import AbsTaskSTS
from mteb.cache import ResultCache
from mteb.types import EncodeKwargs

from harness.errors import Diverged, RunFailed
from harness.evaluation import measures
from harness.evaluation.dependence import groups_of_equal
from harness.evaluation.encoder import BATCH_SIZE, DECIMALS, Embed, Encoder, EvaluatedModel, normalised
from harness.evaluation.mteb_tasks import parts, reading_labels_once, subsets, task, task_pairs, task_refs
from harness.reading import materials
from harness.scores import UNFIT
from harness.stats import intervals
from harness.store.items import Items, Pairs, Values
from harness.testbeds.measure_kinds import Measure, Mteb, Own, Sts
from harness.texts.normal import PairKey, pair_keys

__all__ = ["DECIMALS", "Encoder", "subsets", "task", "task_pairs", "task_refs"]


@dataclass(frozen=True)
class MeasureScores:
    """The scores of one measure."""

    scores: Mapping[str, float]
    """Scores by name, e.g. "medquad-test/ndcg@10"."""
    items: Items | None = None
    """Predictions for its items, if they are kept."""


def score_measure(encoder: Encoder, measure: Measure, in_full: bool = False) -> MeasureScores:
    """Score a model by a measure.

    Args:
        encoder: embeds with the model.
        measure: the measure.
        in_full: also keep the items' predictions, and score an STS set by the first dimensions only.

    Raises:
        Diverged: the model has collapsed, or its embeddings are not finite.
        RunFailed: mteb gave no score.
    """
    if isinstance(measure, Mteb):
        return MeasureScores({measure.name: _main_score(encoder, measure)})
    if isinstance(measure, Sts):
        sts = materials.load_sts(measure)
        predictions, figures = score_sts(encoder, sts)
        if not in_full:
            return MeasureScores(_named(measure, figures))
        groups = groups_of_equal(pair_keys(sts.sentence1, sts.sentence2))
        return MeasureScores(
            _named(measure, {**figures, **score_truncated(encoder, sts)}), replace(predictions, groups=groups)
        )
    # a copy, because a measure of one's own must not change what the following measures see, nor what is saved
    model = copy.deepcopy(encoder.model) if isinstance(measure, Own) else encoder.model
    scored = measures.score(measure, encoder, model)
    values = Values(scored.ids, scored.values, scored.groups) if scored.values else None
    return MeasureScores(_named(measure, scored.figures), (scored.pairs or values) if in_full else None)


def _named(measure: Measure, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{measure.name}/{figure}": value for figure, value in figures.items()}


def _main_score(encoder: Encoder, measure: Mteb) -> float:
    """Return the main score of a task that is a measure of a testbed."""
    name = measure.task if measure.subset is None else f"{measure.task}:{measure.subset}"
    with TemporaryDirectory() as folder:
        scores, missing = score_tasks(
            encoder, [name], name="harness/measure", run_id="measure", folder=Path(folder), split=measure.split
        )
    if missing or not scores:  # the mean over only some of a task's subsets would be another figure
        why = next(iter(missing.values()), "mteb returned no score")
        if why.startswith(UNFIT):
            raise Diverged(why.removeprefix(UNFIT))
        raise RunFailed(f"{measure.name}: it could not be evaluated: {why}")
    return float(np.mean(list(scores.values())))


def score_sts(encoder: Embed, pairs: materials.StsPairs, right: Embed | None = None) -> tuple[Pairs, dict[str, float]]:
    """Embed an STS set and correlate the cosines with the gold scores.

    The correlations are computed from the rounded cosines, so that they can be reproduced from a record.

    Args:
        encoder: embeds the sentences.
        pairs: the STS set.
        right: embeds the pairs' second sentences, if given.

    Returns:
        The pairs (gold and cosine, in the set's order), and `pearson_cosine` and `spearman_cosine` as in
        sentence-transformers' EmbeddingSimilarityEvaluator.

    Raises:
        Diverged: an embedding is not finite, or all cosines are equal.
    """
    cosine = _cosines(normalised(encoder(pairs.sentence1)), normalised((right or encoder)(pairs.sentence2)))
    if not np.isfinite(cosine).all():
        raise Diverged("the model's embeddings are not finite")
    gold = np.round(np.asarray(pairs.gold, float), DECIMALS)
    scores = {"pearson_cosine": intervals.pearson(gold, cosine), "spearman_cosine": intervals.spearman(gold, cosine)}
    if not np.isfinite(list(scores.values())).all():
        raise Diverged("the model gives every pair the same cosine (its embeddings collapsed)")
    return Pairs(tuple(gold.tolist()), tuple(cosine.tolist())), scores


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosines of unit vectors, shape (pairs, dimension) each, rounded to the stored decimals."""
    cosines: np.ndarray = np.round(np.einsum("ij,ij->i", left, right, dtype=np.float64), DECIMALS)
    return cosines


SHARES = {"half": 2, "quarter": 4, "eighth": 8}
"""Divisors of the dimension: models are also scored with their first dimensions only, as Matryoshka losses intend."""


def score_truncated(encoder: Encoder, pairs: materials.StsPairs) -> dict[str, float]:
    """Return `spearman_half`, `spearman_quarter` and `spearman_eighth`, from cosines of the first dimensions only.

    A correlation is left out if all its cosines are equal, because it is then undefined.
    """
    left, right = encoder(pairs.sentence1), encoder(pairs.sentence2)
    scores = {}
    for name, part in SHARES.items():
        width = max(1, left.shape[1] // part)
        cosine = _cosines(normalised(left[:, :width]), normalised(right[:, :width]))
        if np.ptp(cosine) > 0:
            scores[f"spearman_{name}"] = intervals.spearman(pairs.gold, cosine)
    return scores


def unit_embeddings(encoder: Encoder, pairs: materials.StsPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of each pair's two sentences at length 1, shape (pairs, dimension) each."""
    return normalised(encoder(pairs.sentence1)), normalised(encoder(pairs.sentence2))


def score_tasks(
    encoder: Encoder, names: Sequence[str], *, name: str, run_id: str, folder: Path, split: str | None = None
) -> tuple[dict[str, float], dict[str, str]]:
    """Evaluate mteb tasks.

    Args:
        encoder: embeds the texts.
        names: names of tasks or of their subsets, "STS12" or "STS17:en-en".
        name: the model's name in mteb's results, "organisation/name".
        run_id: the model's revision in mteb's results.
        folder: where the results are written, in mteb's own layout.
        split: the split to score; each task's own if None.

    Returns:
        Main scores on a 0 to 1 scale by task, or by subset if a task has several; and for each task or subset without
        a score the reason, which begins with UNFIT if the model is the cause.
    """
    scores: dict[str, float] = {}
    missing: dict[str, str] = {}
    by_task: dict[str, list[str]] = {}
    for each in names:
        by_task.setdefault(each.partition(":")[0], []).append(each)
    for task_name, figures in by_task.items():  # mteb writes one file of results per task
        try:
            by_figure, unfit = _evaluated(encoder, task_name, figures, name, run_id, folder, split)
            scores, missing = scores | by_figure, missing | unfit
        except MemoryError:
            raise
        except Diverged as problem:
            missing |= dict.fromkeys(figures, f"{UNFIT}{problem}")
        except Exception as problem:  # a task's data or code may raise anything; other tasks are still scored
            missing |= dict.fromkeys(figures, f"{type(problem).__name__}: {problem}".splitlines()[0][:300])
    return scores, missing


def _evaluated(
    encoder: Encoder,
    task_name: str,
    figures: Sequence[str],
    name: str,
    run_id: str,
    folder: Path,
    split: str | None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Evaluate one task.

    Args:
        encoder: embeds the texts.
        task_name: name of the task.
        figures: the task's name, or names of its subsets.
        name: the model's name in mteb's results.
        run_id: the model's revision in mteb's results.
        folder: where the results are written.
        split: the split to score, if not the task's own.

    Returns:
        Main scores by figure, and for figures without a score the reason.
    """
    mteb_task, judged = (
        task(task_name, [each.partition(":")[2] for each in figures], split),
        EvaluatedModel(encoder, name, run_id),
    )
    how = EncodeKwargs(batch_size=BATCH_SIZE, show_progress_bar=False)
    result = mteb.evaluate(
        judged,
        reading_labels_once(mteb_task),
        cache=None,  # mteb would write the results twice: after each subset, and at the end
        co2_tracker=False,
        encode_kwargs=how,
        show_progress_bar=False,
    ).task_results[0]
    ResultCache(folder).save_to_cache(result, judged.mteb_model_meta, encode_kwargs=how)
    by_subset: dict[str, list[float]] = {}
    for of_split in result.scores.values():
        for of_subset in of_split:
            by_subset.setdefault(of_subset["hf_subset"], []).append(float(of_subset["main_score"]))
    scores, unfit, named = {}, {}, figures != [task_name] or len(by_subset) > 1
    for subset, by_split in by_subset.items():
        figure, score = f"{task_name}:{subset}" if named else task_name, float(np.mean(by_split))
        why = judged.collapse(subset) or (None if math.isfinite(score) else "mteb's score is not a finite number")
        if why is None:
            scores[figure] = score
        else:
            unfit[figure] = f"{UNFIT}{why}"
    return scores, unfit


def score_unshared(encoder: Encoder, names: Iterable[str], shared: Collection[PairKey]) -> dict[str, float]:
    """Return the Spearman correlation of STS tasks without pairs that are also in the training rows or the dev set.

    Args:
        encoder: embeds the sentences.
        names: tasks or subsets that were evaluated, of any kind.
        shared: keys of the shared pairs.

    Returns:
        The score by name ("mteb/STS12"), only for tasks with a shared pair: the mean over a task's splits, like its
        main score.
    """
    scores = {}
    for name in names:
        rests = [(part, _without(part, shared)) for part in parts(name)]
        if all(rest == part for part, rest in rests) or any(len(rest.gold) < 3 for _, rest in rests):
            continue
        try:
            left, right = _encoders_of_task(name, encoder)
            by_part = [score_sts(left, rest, right)[1]["spearman_cosine"] for _, rest in rests]
        except Diverged:  # the remaining pairs have no correlation
            continue
        scores[f"mteb/{name}"] = float(np.mean(by_part))
    return scores


def _encoders_of_task(name: str, encoder: Encoder) -> tuple[Embed, Embed]:
    """Return encoders for both sides of an STS task's pairs, with the prompts and roles that mteb uses."""
    if encoder.ignores_roles:
        return encoder, encoder
    mteb_task, judged = task(name), EvaluatedModel(encoder, "a/b", "c")
    assert isinstance(mteb_task, AbsTaskSTS)
    sides: list[Embed] = []
    for kind in (mteb_task.input1_prompt_type, mteb_task.input2_prompt_type):
        prompt = (judged.model_prompts or {}).get(judged.get_prompt_name(mteb_task.metadata, kind) or "")
        sides.append(partial(encoder, prompt=prompt, role=None if kind is None else kind.value))
    return sides[0], sides[1]


def _without(pairs: materials.StsPairs, shared: Collection[PairKey]) -> materials.StsPairs:
    """Return the pairs that are not shared."""
    keys = pair_keys(pairs.sentence1, pairs.sentence2)
    remaining = [row for row, key in enumerate(keys) if key not in shared]
    return materials.StsPairs(
        tuple(pairs.sentence1[row] for row in remaining),
        tuple(pairs.sentence2[row] for row in remaining),
        tuple(pairs.gold[row] for row in remaining),
    )
