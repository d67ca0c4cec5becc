"""Scoring a model: the only home of mteb and of the STS evaluator.

mteb judges every task's score itself. Two habits of it are guarded against: it caches results by model name and
revision, which a fine-tuned model shares with all its siblings, so each run has a name, a revision and a results folder
of its own; and task objects carry a random state, so they are made anew for each evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.sts import AbsTaskSTS
from mteb.cache import ResultCache
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from mteb.types import EncodeKwargs
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer

from harness import embedded
from harness.data.overlap import PairKey, pair_keys
from harness.errors import Diverged, UsageError
from harness.records import Pairs
from harness.testbeds import Ref, embedded_task, materials
from harness.training.forward import FastSentenceTransformer

BATCH_SIZE = 128
"""Sentences encoded at once."""

DECIMALS = 7
"""Of the cosines kept: float32 has no more, and records stay small."""


def task_refs(names: Sequence[str]) -> dict[str, list[Ref]]:
    """Return the data sets that each mteb task needs, pinned as mteb pins them; raise UsageError for unknown names."""
    refs: dict[str, list[Ref]] = {}
    for name in names:
        if name in embedded.TASK_NAMES:
            refs[name] = [embedded_task(name)]
            continue
        try:
            dataset = mteb.get_task(name).metadata.dataset
        except KeyError as problem:
            raise UsageError(
                f"--tasks: mteb {mteb.__version__} knows no task {name!r}; see https://mteb.info for names"
            ) from problem
        refs[name] = [Ref(dataset["path"], dataset.get("revision") or "main")]
    return refs


class Encoder:
    """Embeds with one model, each distinct sentence once: sets and tasks repeat theirs a lot."""

    def __init__(self, model: SentenceTransformer, tf32: bool = False) -> None:
        """Take the model; `tf32` lets a GPU embed in TF32: sooner, and less exactly."""
        self.model, self._tf32 = model, tf32
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return embeddings, shape (sentences, dimension), float32."""
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._known]
        if new:
            self._known |= zip(new, self._embed(new), strict=True)
        return np.stack([self._known[sentence] for sentence in sentences])

    def _embed(self, sentences: Sequence[str]) -> np.ndarray:
        if isinstance(self.model, FastSentenceTransformer):
            return self.model.embed(sentences, self._tf32)
        return np.asarray(self.model.encode(list(sentences), batch_size=BATCH_SIZE, show_progress_bar=False))


class _JudgedByMteb(SentenceTransformerEncoderWrapper):
    """The encoder as mteb wants it. Our models have no prompts, so a sentence embeds the same in every task."""

    def __init__(self, encoder: Encoder, name: str, revision: str) -> None:
        super().__init__(encoder.model)
        self._encoder = encoder
        meta = ModelMeta.from_sentence_transformer_model(encoder.model)
        self.mteb_model_meta = meta.model_copy(update={"name": name, "revision": revision})

    def encode(self, inputs: Iterable[Mapping[str, Sequence[str]]], **kwargs: Any) -> np.ndarray:
        return self._encoder([text for batch in inputs for text in batch["text"]])


def score_sts(encoder: Encoder, pairs: materials.StsPairs) -> tuple[Pairs, dict[str, float]]:
    """Embed an STS set and correlate the cosines with the gold scores.

    Returns the pairs (gold and cosine, in the set's order) and `pearson_cosine` and `spearman_cosine`: the figures of
    sentence-transformers' EmbeddingSimilarityEvaluator. Raises Diverged if an embedding is not finite.
    """
    left, right = unit_embeddings(encoder, pairs)
    cosine = np.einsum("ij,ij->i", left, right, dtype=np.float64)
    if not np.isfinite(cosine).all():
        raise Diverged("the trained model's embeddings are not finite; lower the learning rate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant cosines: the correlation is undefined, which is said below
        scores = {
            "pearson_cosine": float(pearsonr(pairs.gold, cosine).statistic),
            "spearman_cosine": float(spearmanr(pairs.gold, cosine).statistic),
        }
    if not np.isfinite(list(scores.values())).all():
        raise Diverged(
            "the trained model gives every pair the same cosine (its embeddings collapsed); lower the learning rate"
        )
    return Pairs(
        tuple(round(gold, DECIMALS) for gold in pairs.gold), tuple(round(c, DECIMALS) for c in cosine.tolist())
    ), scores


SHARES = {"half": 2, "quarter": 4, "eighth": 8}
"""First parts of a model's dimensions at which it is scored, too: what Matryoshka losses train for."""


def score_truncated(encoder: Encoder, pairs: materials.StsPairs) -> dict[str, float]:
    """Return `spearman_half`, `spearman_quarter` and `spearman_eighth`: of cosines over the first dimensions alone.

    One that is not defined, as all its cosines are equal, is left out.
    """
    left, right = encoder(pairs.sentence1), encoder(pairs.sentence2)
    found = {}
    for name, part in SHARES.items():
        width = max(1, left.shape[1] // part)
        cosine = np.einsum("ij,ij->i", _normalised(left[:, :width]), _normalised(right[:, :width]), dtype=np.float64)
        if np.ptp(cosine) > 0:
            found[f"spearman_{name}"] = float(spearmanr(pairs.gold, cosine).statistic)
    return found


def unit_embeddings(encoder: Encoder, pairs: materials.StsPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of each pair's two sentences at length 1, shape (pairs, dimension) each."""
    return _normalised(encoder(pairs.sentence1)), _normalised(encoder(pairs.sentence2))


def _normalised(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: np.ndarray = embeddings / np.maximum(lengths, 1e-12)
    return unit


def score_tasks(
    encoder: Encoder, names: Sequence[str], *, name: str, run_id: str, folder: Path
) -> tuple[dict[str, float], dict[str, str]]:
    """Evaluate mteb tasks, writing mteb's own results layout below `folder`.

    Args:
        name: the model's name in mteb's results, "organisation/name".
        run_id: its revision there.

    Returns main scores by task, and for each task that could not be evaluated the reason.
    """
    judged = _JudgedByMteb(encoder, name, run_id)
    cache, how = ResultCache(folder), EncodeKwargs(batch_size=BATCH_SIZE, show_progress_bar=False)
    scores, missing = {}, {}
    for task_name in names:
        try:
            result = mteb.evaluate(
                judged,
                _reading_labels_once(task(task_name)),
                cache=None,  # mteb would write each result twice: after its subset, and at its end
                co2_tracker=False,
                encode_kwargs=how,
                show_progress_bar=False,
            )
            cache.save_to_cache(result.task_results[0], judged.mteb_model_meta, encode_kwargs=how)
            scores[task_name] = float(result.task_results[0].get_score())
        except MemoryError:
            raise
        except Exception as problem:  # a task's data or code can fail in any way; the others' scores stand
            missing[task_name] = f"{type(problem).__name__}: {problem}".splitlines()[0][:300]
    return scores, missing


def score_unshared(encoder: Encoder, names: Iterable[str], shared: Collection[PairKey]) -> dict[str, float]:
    """Return the Spearman of STS tasks without the pairs that whoever trained or chose the model may have seen.

    Args:
        names: tasks that were evaluated, of whatever kind.
        shared: the keys of those pairs.

    Returns it by score name ("mteb/STS12"), for the tasks that hold such a pair alone.
    """
    found = {}
    for name in names:
        pairs = task_pairs(name)
        rest = None if pairs is None else _without(pairs, shared)
        if rest is not None:
            found[f"mteb/{name}"] = score_sts(encoder, rest)[1]["spearman_cosine"]
    return found


def _without(pairs: materials.StsPairs, shared: Collection[PairKey]) -> materials.StsPairs | None:
    """Return the pairs that are not among the shared; None if that is all of them, or too few to correlate."""
    keys = pair_keys(pairs.sentence1, pairs.sentence2)
    kept = [row for row, key in enumerate(keys) if key not in shared]
    if not 2 < len(kept) < len(keys):
        return None
    return materials.StsPairs(
        tuple(pairs.sentence1[row] for row in kept),
        tuple(pairs.sentence2[row] for row in kept),
        tuple(pairs.gold[row] for row in kept),
    )


@lru_cache(maxsize=32)
def task_pairs(name: str) -> materials.StsPairs | None:
    """Return the pairs of an STS task; None for tasks of other kinds and for those of several languages or splits."""
    made = task(name)
    if not isinstance(made, AbsTaskSTS) or len(made.eval_splits) != 1 or len(made.hf_subsets) != 1:
        return None
    made.load_data()
    data: Any = made.dataset
    split = data.get(made.hf_subsets[0], data)[made.eval_splits[0]]  # tasks of one language may do without a level
    left, right = (tuple(split[column][:]) for column in made.column_names)
    return materials.StsPairs(left, right, tuple(float(score) for score in split["score"][:]))


def task(name: str) -> mteb.AbsTask:
    """Make a task anew, reading its pinned snapshot by path: offline, `load_dataset` does not look there by id."""
    if name in embedded.TASK_NAMES:
        return embedded.make_task(name, embedded.build())
    made = mteb.get_task(name)
    folder = materials.locate(task_refs([name])[name][0])
    made.metadata = made.metadata.model_copy(update={"dataset": {**made.metadata.dataset, "path": str(folder)}})
    return made


class _LabelsReadOnce:
    """A split of a data set that hands out a column as a list: of a lazy one, mteb and sklearn read row after row."""

    def __init__(self, split: Any) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.split[column][:])

    def select(self, rows: Sequence[int]) -> Any:
        return self.split.select(rows)


def _reading_labels_once(made: mteb.AbsTask) -> mteb.AbsTask:
    """Make a classification task draw its samples and score its predictions from labels in memory; nothing else."""
    if isinstance(made, AbsTaskClassification):
        draw, judge = made._undersample_data, made._calculate_scores
        made._undersample_data = lambda split, *arguments: draw(_LabelsReadOnce(split), *arguments)  # type: ignore
        made._calculate_scores = lambda truth, predicted: judge(np.asarray(truth[:]), predicted)  # type: ignore
    return made
