"""Measures for study files: functions that declare what a model is scored by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import StudyFileError
from harness.testbeds.measure_kinds import Classification, Mteb, Own, PairClasses, Retrieval, Sts, Triplets
from harness.testbeds.refs import Ref, folder_of_caller
from harness.testbeds.sources import Source

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def sts(
    source: Source,
    name: str,
    *,
    columns: Sequence[str] = ("sentence1", "sentence2", "score"),
    range: tuple[float, float] = (0.0, 1.0),
    figure: str = "spearman_cosine",
) -> Sts:
    """Return a measure of semantic textual similarity.

    Args:
        source: the pairs.
        name: name of the measure, e.g. "stsb-de-test".
        columns: columns of the first texts, the second texts and the gold scores.
        range: lowest and highest possible gold score.
        figure: the figure that tuning maximises and verdicts are about.

    Raises:
        StudyFileError: an argument is out of range.
    """
    where = f"measures.sts({name!r})"
    if len(columns) != 3:
        raise StudyFileError(f"{where}: columns={list(columns)}; name three: first texts, second texts, gold scores")
    if not range[0] < range[1]:
        raise StudyFileError(f"{where}: range={range}; give the lowest and the highest possible gold score")
    sentence1, sentence2, score = columns
    bounds = (float(range[0]), float(range[1]))
    return _checked(Sts(name, source, sentence1, sentence2, score, bounds, figure), where)


def retrieval(
    of: str | Source,
    name: str = "",
    *,
    split: str = "test",
    query: str = "query",
    document: str = "document",
    figure: str = "ndcg@10",
) -> Retrieval:
    """Return a measure of retrieval: documents are ranked by their similarity to each query.

    Args:
        of: a folder in the layout of BEIR (corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv), relative to the study file;
            or a source with a query and a document that is relevant to it in each row.
        name: name of the measure; made of the folder's name if empty.
        split: name of the file of relevance judgements in a folder.
        query: column of the queries of a source.
        document: column of the documents of a source; all of them are ranked for each query.
        figure: the figure that tuning maximises and verdicts are about.

    Raises:
        StudyFileError: the figure is unknown, or a source has no name.
    """
    if isinstance(of, str):
        parts = [part for part in of.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        made = Retrieval(name or "-".join(parts[-2:]), of, split, figure=figure, beside=folder_of_caller())
    else:
        made = Retrieval(name, source=of, query=query, document=document, figure=figure)
    return _checked(
        made, f"measures.retrieval({(name or of)!r})" if isinstance(of, str) or name else "measures.retrieval"
    )


def pairs(source: Source, name: str, *, columns: Sequence[str], figure: str = "average_precision") -> PairClasses:
    """Return a measure of pairs of texts that are alike (1) or not (0).

    Args:
        source: the pairs.
        name: name of the measure.
        columns: columns of the first texts, the second texts and the labels.
        figure: "average_precision", or "accuracy" or "f1" at the best threshold of these pairs.

    Raises:
        StudyFileError: an argument is out of range.
    """
    where = f"measures.pairs({name!r})"
    if len(columns) != 3:
        raise StudyFileError(f"{where}: columns={list(columns)}; name three: first texts, second texts, labels")
    text1, text2, label = columns
    return _checked(PairClasses(name, source, text1, text2, label, figure), where)


def triplets(source: Source, name: str, *, columns: Sequence[str] = ("anchor", "positive", "negative")) -> Triplets:
    """Return the share of triplets whose anchor is closer to the positive than to the negative; a tie counts half.

    Args:
        source: the triplets.
        name: name of the measure.
        columns: columns of the anchors, the positives and the negatives.

    Raises:
        StudyFileError: an argument is out of range.
    """
    where = f"measures.triplets({name!r})"
    if len(columns) != 3:
        raise StudyFileError(f"{where}: columns={list(columns)}; name three: anchors, positives, negatives")
    anchor, positive, negative = columns
    return _checked(Triplets(name, source, anchor, positive, negative), where)


def classification(
    train: Source, test: Source, name: str, *, text: str = "text", label: str = "label", figure: str = "accuracy"
) -> Classification:
    """Return a measure of classification: a logistic regression on embeddings of `train` is scored on `test`.

    Args:
        train: texts on which the regression is fitted. The model is not trained on them.
        test: texts on which the regression is scored.
        name: name of the measure.
        text: column of the texts.
        label: column of the labels.
        figure: "accuracy", or "f1", the mean over the classes.

    Raises:
        StudyFileError: an argument is out of range.
    """
    made = Classification(name, train, test, text, label, figure)
    return _checked(made, f"measures.classification({name!r})")


def mteb(task: str, *, split: str | None = None, subset: str | None = None) -> Mteb:
    """Return the main score of a task of mteb.

    Args:
        task: name of the task, e.g. "STSBenchmark".
        split: split to score, e.g. "validation" for tuning; those of the task if None.
        subset: subset, mostly a language; all of the task's if None, of which the score is the mean.
    """
    return Mteb(task, split, subset)


def nanobeir(*names: str) -> list[Retrieval]:
    """Return the retrieval measures of NanoBEIR: 50 queries and some thousand documents of each of 13 BEIR sets.

    Args:
        names: names of the sets, e.g. "NFCorpus"; all if empty.

    Raises:
        StudyFileError: there is no such set.
    """
    unknown = [name for name in names if name not in NANO]
    if unknown:
        raise StudyFileError(f"measures.nanobeir: no set {unknown[0]!r}; there are {', '.join(NANO)}")
    return [
        Retrieval(f"nano-{n.lower()}", split="train", hub=Ref(f"zeta-alpha-ai/Nano{n}", "main")) for n in names or NANO
    ]


NANO = (
    *("ClimateFEVER", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO", "NFCorpus", "NQ", "QuoraRetrieval"),
    *("SCIDOCS", "ArguAna", "SciFact", "Touche2020"),
)
"""Names of the sets of NanoBEIR."""


def of(function: Callable[[SentenceTransformer], Any], name: str) -> Own:
    """Return a measure of one's own.

    Args:
        function: function of the model that returns one number between -1 and 1, of which more is better; or one for
            each item, as a list or as a dictionary by the items' names, whose mean is the score. It gets a copy of the
            model, and random generators start at the same place for every model. Its code and the files that it names
            enter the run id. The score is named "NAME/value".
        name: name of the measure.

    Raises:
        StudyFileError: the name is unfit.
    """
    return _checked(Own(name, function), f"measures.of({name!r})")


M = TypeVar("M", Sts, Retrieval, PairClasses, Triplets, Classification, Own)


def _checked(measure: M, where: str) -> M:
    """Return a measure; raise StudyFileError if its name or its figure is unfit."""
    if not measure.name or "/" in measure.name or not measure.name.isprintable():
        raise StudyFileError(f"{where}: name={measure.name!r}; give the measure a printable name without a slash")
    if measure.figure not in measure.figures:
        raise StudyFileError(f"{where}: no figure {measure.figure!r}; choose from {', '.join(measure.figures)}")
    return measure
