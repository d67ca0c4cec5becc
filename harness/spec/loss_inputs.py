"""What each loss of sentence-transformers reads from a row: how many texts, and which kind of label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

LossFunction = TypeVar("LossFunction", bound=Callable[..., Any])

Label = Literal["none", "class", "score", "scores", "embedding"]
"""Kind of a row's label: none, an integer, a number, several numbers, or the embedding that a teacher gave the row."""

MANY = 99
"""The largest number of texts of losses that take any number of negatives."""

_WORDS: dict[Label, str] = {
    "none": "no label",
    "class": "an integer 'label' column",
    "score": "a float 'score' column",
    "scores": "a 'scores' column with several floats a row",
    "embedding": "a 'label' column with a teacher's embeddings",
}

_FITTING: dict[Label, str] = {
    "none": "",
    "class": 'label="class"',
    "score": 'score="score"',
    "scores": 'scores=("positive_score", "negative_score")',
    "embedding": 'embedding="embedding"',
}


@dataclass(frozen=True)
class Inputs:
    """The inputs that a loss reads from each row."""

    label: Label
    """The kind of label."""
    fewest: int = 2
    """The smallest number of texts."""
    most: int = 2
    """The largest number of texts."""

    def __str__(self) -> str:
        if self.fewest == self.most:
            texts = f"{self.fewest} text{'s' * (self.fewest > 1)}"
        else:
            texts = f"{self.fewest} {f'to {self.most} texts' if self.most < MANY else 'or more texts'}"
        return f"{texts} and {_WORDS[self.label]}"

    def accept(self, label: Label, texts: int) -> bool:
        """Return whether the loss reads rows of so many texts and this kind of label."""
        return label == self.label and self.fewest <= texts <= self.most


@dataclass(frozen=True)
class Either(Inputs):
    """The inputs of a loss that reads rows of two kinds."""

    otherwise: Inputs = Inputs("none")
    """The other kind."""

    def __str__(self) -> str:
        return f"{super().__str__()}, or {self.otherwise}"

    def accept(self, label: Label, texts: int) -> bool:
        """Return whether the loss reads rows of so many texts and this kind of label."""
        return super().accept(label, texts) or self.otherwise.accept(label, texts)


_PAIR, _IN_BATCH, _TRIPLET = Inputs("none"), Inputs("none", most=MANY), Inputs("none", 3, 3)
_SCORED, _ONE_OF_A_CLASS = Inputs("score"), Inputs("class", 1, 1)
_EMBEDDED = Inputs("embedding", 1, MANY)

# From the "Inputs" table in each class's docstring and, where it takes more, from its code: sentence-transformers 6.2.
INPUTS = {
    "AnglELoss": Either("score", otherwise=Inputs("none", 3, MANY)),
    "BatchAllTripletLoss": _ONE_OF_A_CLASS,
    "BatchHardSoftMarginTripletLoss": _ONE_OF_A_CLASS,
    "BatchHardTripletLoss": _ONE_OF_A_CLASS,
    "BatchSemiHardTripletLoss": _ONE_OF_A_CLASS,
    "CachedMultipleNegativesRankingLoss": _IN_BATCH,
    "CachedMultipleNegativesSymmetricRankingLoss": _IN_BATCH,
    "CoSENTLoss": _SCORED,
    "ContrastiveLoss": _SCORED,
    "ContrastiveTensionLoss": _SCORED,  # without labels it takes only equal texts for positives: unequal pairs say none
    "ContrastiveTensionLossInBatchNegatives": Inputs("none", 1, 1),
    "CosineSimilarityLoss": _SCORED,
    "DenoisingAutoEncoderLoss": _PAIR,
    "DistillKLDivLoss": Inputs("scores", 3, MANY),
    "EmbedDistillLoss": _EMBEDDED,
    "MSELoss": _EMBEDDED,
    "MarginMSELoss": Either("scores", 3, MANY, Inputs("score", 3, 3)),
    "MegaBatchMarginLoss": _PAIR,
    "MultipleNegativesRankingLoss": _IN_BATCH,
    "MultipleNegativesSymmetricRankingLoss": _IN_BATCH,
    "OnlineContrastiveLoss": _SCORED,
    "SoftmaxLoss": Inputs("class"),
    "TripletLoss": _TRIPLET,
}
"""The inputs of each class that `losses.NAME` names."""

GIST, CACHED_GIST = Inputs("none", 2, 3), _IN_BATCH
"""The inputs of the losses that have a guide."""

_WRAPS = "it wraps another loss; use losses.{}"
ELSEWHERE = {
    "AdaptiveLayerLoss": _WRAPS.format("adaptive_layer(loss)"),
    "CachedGISTEmbedLoss": "it needs a guide; use losses.cached_gist",
    "GISTEmbedLoss": "it needs a guide; use losses.gist",
    "GlobalOrthogonalRegularizationLoss": "it is a term beside another loss, and alone it learns nothing of the rows; "
    "use losses.with_regularization(loss)",
    "Matryoshka2dLoss": _WRAPS.format("matryoshka_2d(loss, dims=[...])"),
    "MatryoshkaLoss": _WRAPS.format("matryoshka(loss, dims=[...])"),
}
"""The other loss classes, with the reason why they have no name, and the function to use instead."""


def fitting(inputs: Inputs) -> str:
    """Return a view of one's own columns that feeds a loss with these inputs, as a study file declares it."""
    names = {1: ["text"], 2: ["text1", "text2"]}.get(inputs.fewest, ["query", "positive", "negative"])
    if inputs.label == "none" and inputs.fewest == 2:
        names = ["anchor", "positive"]
    given = [f'"{name}"' for name in names] + ([_FITTING[inputs.label]] if inputs.label != "none" else [])
    return f"view=columns({', '.join(given)})"


def reads(label: Label, fewest: int = 2, most: int | None = None) -> Callable[[LossFunction], LossFunction]:
    """Declare the inputs of the decorated loss callable, so that its view is checked when the study file loads.

    Args:
        label: the kind of label that the loss reads.
        fewest: the smallest number of texts per row.
        most: the largest number of texts per row; `fewest` if None.

    Returns:
        A decorator.
    """

    def declare(function: LossFunction) -> LossFunction:
        function.inputs = Inputs(label, fewest, most or fewest)  # type: ignore[attr-defined]
        return function

    return declare


def inputs_of(loss: Callable[..., Any]) -> Inputs | None:
    """Return the declared inputs of a loss, also of a functools.partial of it; None if it declares none."""
    found: Inputs | None = getattr(getattr(loss, "func", loss), "inputs", None)
    return found
