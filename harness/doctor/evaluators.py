"""Check of the harness's own measures against the evaluators of sentence-transformers.

Both sides embed by themselves, so their cosines differ by rounding. Items whose order rounding could reverse are left
out: they would show nothing about the evaluators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from harness import embedded as made_here
from harness.compat import evaluation
from harness.doctor import material
from harness.doctor.outcome import BOUND, Outcome, passed, require_equal_figures
from harness.evaluation import measures
from harness.evaluation.encoder import Encoder, normalised
from harness.evaluation.retrieval import score_retrieval
from harness.evaluation.scoring import score_sts
from harness.reading.beir import RetrievalSet
from harness.testbeds import measures as declared
from harness.testbeds import sources
from harness.testbeds.measure_kinds import RETRIEVAL_FIGURES

APART = 1e-6
"""Smallest difference of cosines that no rounding of float32 reverses."""

TRIPLETS = 200


def evaluators() -> Outcome:
    """Scores of STS, retrieval, pairs and triplets are those of sentence-transformers' own evaluators."""
    model, encoder = material.plain(), Encoder(material.fresh().eval())
    gap = max(of_kind(model, encoder) for of_kind in (_sts, _retrieval, _pairs, _triplets))
    return passed(f"STS, retrieval, pairs and triplets differ by at most {gap:.0e}")


def _sts(model: SentenceTransformer, encoder: Encoder) -> float:
    every = material.sts()
    pairs = material.part(every, _apart(model, every.sentence1, every.sentence2))
    judged = evaluation.EmbeddingSimilarityEvaluator(list(pairs.sentence1), list(pairs.sentence2), list(pairs.gold))(
        model
    )
    return _compared(
        "STS", score_sts(encoder, pairs)[1], {name: judged[name] for name in ("pearson_cosine", "spearman_cosine")}
    )


def _retrieval(model: SentenceTransformer, encoder: Encoder) -> float:
    found = _retrieval_set(model)
    judge = evaluation.InformationRetrievalEvaluator(
        dict(zip(found.query_ids, found.queries, strict=True)),
        dict(zip(found.document_ids, found.documents, strict=True)),
        {query: set(grades) for query, grades in found.relevant.items()},
        precision_recall_at_k=[1, 3, 5, 10, 100],
    )
    judged = judge(model)
    figures = {name: float(values.mean()) for name, values in score_retrieval(encoder, found).items()}
    binary = [name for name in RETRIEVAL_FIGURES if name != "ndcg-graded@10"]
    return _compared("retrieval", figures, {name: judged[f"cosine_{name}"] for name in binary})


def _pairs(model: SentenceTransformer, encoder: Encoder) -> float:
    frame = _task_data("EmbeddedParaphrasePairs").to_pandas()
    frame = frame.iloc[_apart(model, frame["sentence1"].tolist(), frame["sentence2"].tolist())]
    columns = ("sentence1", "sentence2", "labels")
    judged = evaluation.BinaryClassificationEvaluator(*(frame[name].tolist() for name in columns))(model)
    measure = declared.pairs(sources.frame(frame), "pairs", columns=columns)
    names = {"average_precision": "cosine_ap", "accuracy": "cosine_accuracy", "f1": "cosine_f1"}
    figures = measures.score(measure, encoder, model).figures
    return _compared("pairs", figures, {figure: judged[name] for figure, name in names.items()})


def _triplets(model: SentenceTransformer, encoder: Encoder) -> float:
    columns, _ = material.columns_of(material.rows_for(3, "none", TRIPLETS))
    anchors, positives, negatives = (_unit(model, column) for column in columns)
    clear = np.abs((anchors * (positives - negatives)).sum(axis=1)) > APART
    frame = pd.DataFrame(dict(zip(("anchor", "positive", "negative"), columns, strict=True)))[clear]
    one, other, third = (frame[name].tolist() for name in frame.columns)
    judged = evaluation.TripletEvaluator(one, other, third)(model)
    figures = measures.score(declared.triplets(sources.frame(frame), "triplets"), encoder, model).figures
    return _compared("triplets", figures, {"accuracy": judged["cosine_accuracy"]})


def _compared(kind: str, found: Mapping[str, float], judged: Mapping[str, Any]) -> float:
    """Return the largest difference from the figures of an evaluator."""
    expected = {figure: float(value) for figure, value in judged.items()}
    return require_equal_figures(f"{kind} by sentence-transformers", found, expected, BOUND)


def _unit(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return embeddings of length 1, shape (texts, dimension)."""
    return normalised(np.asarray(model.encode(list(texts)), np.float64))


def _apart(model: SentenceTransformer, left: Sequence[str], right: Sequence[str]) -> list[int]:
    """Return the places of pairs whose cosines all differ by more than APART."""
    cosines = (_unit(model, left) * _unit(model, right)).sum(axis=1)
    kept: list[int] = []
    for place in np.argsort(cosines).tolist():
        if not kept or cosines[place] > cosines[kept[-1]] + APART:
            kept.append(place)
    return sorted(kept)


def _retrieval_set(model: SentenceTransformer) -> RetrievalSet:
    """Return the queries whose relevant documents differ from all others by more than APART in their cosines."""
    data = _task_data("EmbeddedRetrieval")
    ids, documents = list(data["corpus"]["id"]), list(data["corpus"]["text"])
    asked = {query["id"]: query["text"] for query in data["queries"] if query["id"] in data["relevant_docs"]}
    cosines = _unit(model, list(asked.values())) @ _unit(model, documents).T  # (queries, documents)
    kept: dict[str, dict[str, float]] = {}
    for query, row in zip(asked, cosines, strict=True):
        grades = data["relevant_docs"][query]
        relevant = np.array([id in grades for id in ids])
        if np.abs(row[relevant][:, None] - row[~relevant]).min() > APART:
            kept[query] = {id: float(grade) for id, grade in grades.items()}
    queries = tuple(asked[query] for query in kept)
    return RetrievalSet(tuple(kept), queries, tuple(ids), tuple(documents), kept)


def _task_data(name: str) -> Any:
    """Return the test split of a task of the embedded testbed."""
    task: Any = made_here.make_task(name, made_here.build())
    task.load_data()
    return task.dataset["default"]["test"]


CHECKS = (evaluators,)
