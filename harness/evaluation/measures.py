"""Score a model by a measure of a study file. STS sets and tasks of mteb are in `harness.evaluation.scoring`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from harness.errors import AuditFailed, Diverged
from harness.evaluation.dependence import groups_of, groups_of_equal
from harness.evaluation.encoder import DECIMALS, Encoder, collapsed, normalised
from harness.evaluation.own import score_own
from harness.evaluation.retrieval import score_retrieval
from harness.reading import beir
from harness.reading.items import as_classes, columns, fault_of_classes, fault_of_pairs, labelled
from harness.store.items import Pairs
from harness.testbeds.measure_kinds import Classification, Own, PairClasses, Retrieval, Triplets
from harness.texts.normal import normalise, pair_keys

Floats = NDArray[np.float64]

ITERATIONS, SEED = 100, 42
"""Largest number of iterations of the logistic regression, and its seed: those of mteb's classification tasks."""


@dataclass(frozen=True)
class Scored:
    """The figures of one model by one measure."""

    figures: Mapping[str, float]
    """The figures by name; each that has `values` is their mean."""
    ids: tuple[str, ...] = ()
    """Names of the items: ids of queries, otherwise numbers of rows from 0, or the names that a function gave."""
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Values of the items, in the order of `ids` and rounded, of those figures that are means over items."""
    groups: tuple[int, ...] = ()
    """The number of each item's group, if some items depend on each other; empty otherwise."""
    pairs: Pairs | None = None
    """Labels and cosines of a set of pairs, from which its average precision can be computed again."""


def score(
    measure: Retrieval | PairClasses | Triplets | Classification | Own, encoder: Encoder, model: SentenceTransformer
) -> Scored:
    """Score a model by a measure.

    Args:
        measure: the measure.
        encoder: embeds with the model.
        model: the model; a measure of one's own gets it.

    Raises:
        TestbedUnavailable: the measure's data are missing.
        AuditFailed: its data have another form.
        Diverged: the model's embeddings are not finite, or are all the same.
        RunFailed: a measure of one's own returns something else than numbers, or changes the model.
    """
    if isinstance(measure, Retrieval):
        found = beir.load(measure)
        relevant = [frozenset(found.relevant[id]) for id in found.query_ids]
        scored = _means(score_retrieval(encoder, found), found.query_ids)
        return replace(scored, groups=groups_of(found.queries, relevant))
    if isinstance(measure, PairClasses):
        return _score_pairs(measure, encoder)
    if isinstance(measure, Triplets):
        return _score_triplets(measure, encoder)
    if isinstance(measure, Classification):
        return _score_classification(measure, encoder)
    values = score_own(measure, model)
    return Scored({"value": values}) if isinstance(values, float) else _means({"value": [*values.values()]}, [*values])


def _means(values: Mapping[str, Sequence[float] | Floats], ids: Sequence[str]) -> Scored:
    """Return rounded values and their means, which can therefore be reproduced from a record."""
    rounded = {figure: np.round(np.asarray(each, float), DECIMALS) for figure, each in values.items()}
    figures = {figure: float(each.mean()) for figure, each in rounded.items()}
    return Scored(figures, tuple(ids), {figure: tuple(each.tolist()) for figure, each in rounded.items()})


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _cosines(left: np.ndarray, right: np.ndarray) -> Floats:
    """Return the cosines of embeddings, shape (items, dimension) each, rounded; raise Diverged if one is not finite."""
    together = np.einsum("ij,ij->i", normalised(left), normalised(right), dtype=np.float64)
    if not np.isfinite(together).all():
        raise Diverged("the model's embeddings are not finite")
    cosines: Floats = np.round(together, DECIMALS)
    return cosines


def _score_pairs(measure: PairClasses, encoder: Encoder) -> Scored:
    """Return the figures of sentence-transformers' BinaryClassificationEvaluator; accuracy has a value a pair."""
    where = f"measure {measure.name!r}"
    (left, right), labels = labelled(measure.source, (measure.text1, measure.text2), measure.label, where)
    if fault := fault_of_pairs(labels):
        raise AuditFailed(f"{where}: {measure.source}: {fault}")
    gold = np.array([int(label) for label in labels])
    cosines = _cosines(encoder(left), encoder(right))
    if np.ptp(cosines) == 0:
        raise Diverged("the model gives every pair the same cosine (its embeddings collapsed)")
    lowest, accuracy, f1 = _at_best_thresholds(cosines, gold)
    right_ones = ((cosines >= lowest) == (gold == 1)).astype(float)
    average_precision = float(average_precision_score(gold, cosines))
    figures = {"average_precision": average_precision, "accuracy": accuracy, "f1": f1}
    groups = groups_of_equal(pair_keys(left, right))
    pairs = Pairs(tuple(gold.astype(float).tolist()), tuple(cosines.tolist()), groups)
    return Scored(figures, _numbers(len(gold)), {"accuracy": tuple(right_ones.tolist())}, groups, pairs)


def _at_best_thresholds(cosines: Floats, gold: NDArray[Any]) -> tuple[float, float, float]:
    """Return the lowest cosine that counts as alike where accuracy is best, that accuracy, and the best F1.

    Of several best thresholds the highest is taken; it may be above all cosines.
    """
    levels, place = np.unique(-cosines, return_inverse=True)  # from the highest cosine
    alike = np.cumsum(np.bincount(place, weights=gold))
    called = np.cumsum(np.bincount(place))
    positives, negatives = gold.sum(), len(gold) - gold.sum()
    accuracies = np.concatenate([[negatives], alike + negatives - (called - alike)]) / len(gold)
    best = int(accuracies.argmax())
    lowest = np.inf if best == 0 else -levels[best - 1]
    return float(lowest), float(accuracies[best]), float((2 * alike / (called + positives)).max())


def _score_triplets(measure: Triplets, encoder: Encoder) -> Scored:
    """Return the accuracy of sentence-transformers' TripletEvaluator by cosine, in which a tie counts one half.

    There a tie counts as wrong, so that a model without any information would score 0 instead of chance.
    """
    names = (measure.anchor, measure.positive, measure.negative)
    anchors, positives, negatives = columns(measure.source, names, f"measure {measure.name!r}")
    queries = encoder(anchors, role="query")
    near, far = (_cosines(queries, encoder(texts, role="document")) for texts in (positives, negatives))
    if positives != negatives and np.ptp([near, far]) == 0 and len({*map(normalise, [*positives, *negatives])}) > 1:
        raise Diverged("the model gives all pairs the same cosine (its embeddings collapsed)")
    accuracy = _means({"accuracy": (np.sign(near - far) + 1) / 2}, _numbers(len(anchors)))
    return replace(accuracy, groups=groups_of(anchors))


def _score_classification(measure: Classification, encoder: Encoder) -> Scored:
    """Return accuracy and macro F1 of a logistic regression on the embeddings as they are.

    The classifier is that of mteb's classification tasks, which also leave embeddings at their lengths; but mteb fits
    ten of them on 8 texts a label each, and here one is fitted on all texts.
    """
    where = f"measure {measure.name!r}"
    (train,), seen = labelled(measure.train, (measure.text,), measure.label, where)
    (test,), asked = labelled(measure.test, (measure.text,), measure.label, where)
    if fault := fault_of_classes(seen, asked):
        raise AuditFailed(f"{where}: {fault}")
    seen, asked = as_classes(seen, asked)
    fitted, scored = encoder(train), encoder(test)
    if not (np.isfinite(fitted).all() and np.isfinite(scored).all()):
        raise Diverged("the model's embeddings are not finite")
    if len({*map(normalise, train)}) > 1 and collapsed(fitted):
        raise Diverged("the model gives all texts the same embedding (it collapsed)")
    classifier = LogisticRegression(max_iter=ITERATIONS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at mteb's number of iterations it is the usual case
        predicted = classifier.fit(fitted, seen).predict(scored)
    by_text = _means({"accuracy": (predicted == np.array(asked)).astype(float)}, _numbers(len(test)))
    f1 = float(f1_score(asked, predicted, average="macro"))
    groups = groups_of_equal([*map(normalise, test)])
    return Scored({**by_text.figures, "f1": f1}, by_text.ids, by_text.values, groups)
