"""Kinds of measures, by which models are scored: declarations that load in milliseconds.

A measure has a name and figures: "medquad-test/ndcg@10" is one figure of the measure "medquad-test". One of its figures
is the one that tuning maximises and verdicts are about. A higher figure is better. `harness.evaluation` computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from harness.identity import digest
from harness.testbeds.refs import Ref
from harness.testbeds.sources import Source

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RETRIEVAL_FIGURES = (
    *("ndcg@10", "ndcg-graded@10", "mrr@10", "map@100", "accuracy@1", "accuracy@3", "accuracy@5", "accuracy@10"),
    *("precision@10", "recall@1", "recall@3", "recall@5", "recall@10", "recall@100"),
)
"""Figures of a retrieval measure. Relevance is binary except for "ndcg-graded@10", whose gains are the grades."""


@dataclass(frozen=True)
class Sts:
    """Pairs of texts with gold similarities; the figures are correlations of the cosines with them."""

    name: str
    """Name of the measure."""
    source: Source
    """The pairs."""
    sentence1: str = "sentence1"
    """Column of the first texts."""
    sentence2: str = "sentence2"
    """Column of the second texts."""
    score: str = "score"
    """Column of the gold scores."""
    range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest possible gold score."""
    figure: str = "spearman_cosine"
    """The figure that tuning maximises and verdicts are about."""

    figures: ClassVar = ("spearman_cosine", "pearson_cosine", "spearman_half", "spearman_quarter", "spearman_eighth")
    """Names of the figures; the last three are of the first part of an embedding's dimensions."""
    items: ClassVar = "pairs"
    """What has a value, or a prediction, of its own."""
    kept: ClassVar = ("spearman_cosine", "pearson_cosine")
    """Figures whose items' predictions are kept, so that differences have an interval over items."""


@dataclass(frozen=True)
class Retrieval:
    """Queries and documents, of which some are relevant to a query; the figures are of the ranked documents."""

    name: str
    """Name of the measure."""
    folder: str = ""
    """Folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, as it was given; empty if there is none."""
    split: str = "test"
    """Name of the file or split of relevance judgements."""
    hub: Ref | None = None
    """Data set of the hub with the configurations corpus, queries and qrels, instead of a folder."""
    source: Source | None = None
    """Rows of a query and a relevant document each, instead of a folder."""
    query: str = ""
    """Column of the queries."""
    document: str = ""
    """Column of the documents; together they are the corpus."""
    figure: str = "ndcg@10"
    """The figure that tuning maximises and verdicts are about."""
    beside: str = field(default="", repr=False)
    """Folder of the study file."""

    figures: ClassVar = RETRIEVAL_FIGURES
    items: ClassVar = "queries"
    kept: ClassVar = RETRIEVAL_FIGURES


@dataclass(frozen=True)
class PairClasses:
    """Pairs of texts that are alike (1) or not (0); the figures judge the cosines as a classifier."""

    name: str
    source: Source
    text1: str
    text2: str
    label: str
    figure: str = "average_precision"

    figures: ClassVar = ("average_precision", "accuracy", "f1")
    items: ClassVar = "pairs"
    kept: ClassVar = ("average_precision",)


@dataclass(frozen=True)
class Triplets:
    """Triplets of texts; the figure is the share whose anchor is closer to the positive than to the negative."""

    name: str
    source: Source
    anchor: str
    positive: str
    negative: str
    figure: str = "accuracy"

    figures: ClassVar = ("accuracy",)
    items: ClassVar = "triplets"
    kept: ClassVar = ("accuracy",)


@dataclass(frozen=True)
class Classification:
    """Texts with labels; the figures are of a logistic regression on the embeddings of other texts."""

    name: str
    train: Source
    """Texts on which the regression is fitted."""
    test: Source
    """Texts on which it is scored."""
    text: str
    label: str
    figure: str = "accuracy"

    figures: ClassVar = ("accuracy", "f1")
    items: ClassVar = "texts"
    kept: ClassVar = ("accuracy",)


@dataclass(frozen=True)
class Mteb:
    """The main score of one task of mteb."""

    task: str
    """Name of the task."""
    split: str | None = None
    """Split to score; those of the task if None."""
    subset: str | None = None
    """Subset (mostly a language); all of the task's if None."""
    figure: str = "main_score"

    figures: ClassVar = ("main_score",)
    items: ClassVar = "items"
    kept: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """Name of the measure."""
        parts = [self.task, *([self.subset] if self.subset else []), *([self.split] if self.split else [])]
        return "mteb/" + ":".join(parts)


@dataclass(frozen=True, eq=False)
class Own:
    """A function of the study file that scores a model. Two are equal if their functions compute the same."""

    name: str
    function: Callable[[SentenceTransformer], Any]
    figure: str = "value"

    figures: ClassVar = ("value",)
    items: ClassVar = "items"
    kept: ClassVar = ("value",)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Own({self.name!r}, {digest(self.function)})"


Measure: TypeAlias = Sts | Retrieval | PairClasses | Triplets | Classification | Mteb | Own


def headline(measure: Measure) -> str:
    """Return the name of the score that a measure stands for, e.g. "medquad-test/ndcg@10"."""
    return measure.name if isinstance(measure, Mteb) else f"{measure.name}/{measure.figure}"


def names_of_scores(measure: Measure) -> tuple[str, ...]:
    """Return the names of all scores that a measure may have."""
    return (measure.name,) if isinstance(measure, Mteb) else tuple(f"{measure.name}/{name}" for name in measure.figures)
