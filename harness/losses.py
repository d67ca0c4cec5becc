"""Losses by name, and what each of them reads.

`losses.CosineSimilarityLoss` names the class of sentence-transformers without importing it, so that a study file loads
in milliseconds and is checked against its view before anything is downloaded. The class itself is imported when a run
calls it with a model. Any other callable that takes a model works as well; decorate it with `reads` to have it checked.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

Label = Literal["none", "class", "score"]
LossFunction = TypeVar("LossFunction", bound=Callable[..., Any])


@dataclass(frozen=True)
class Inputs:
    """What a loss reads of each row: between `fewest` and `most` texts, and a label of one kind."""

    label: Label
    fewest: int = 2
    most: int = 2

    def __str__(self) -> str:
        texts = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} or more"
        label = {"none": "no label", "class": "an integer 'label' column", "score": "a float 'score' column"}[
            self.label
        ]
        return f"{texts} texts and {label}"


_IN_BATCH = Inputs("none", fewest=2, most=99)
_SCORED = Inputs("score")

# From the "Inputs" table in each class's docstring, sentence-transformers 6.2. Losses that NLI rows cannot feed
# (teachers, single sentences) are left out; they can still be given as a callable.
INPUTS = {
    "AnglELoss": _SCORED,
    "CoSENTLoss": _SCORED,
    "CosineSimilarityLoss": _SCORED,
    "ContrastiveLoss": Inputs("score"),
    "OnlineContrastiveLoss": Inputs("score"),
    "SoftmaxLoss": Inputs("class"),
    "TripletLoss": Inputs("none", fewest=3, most=3),
    "MegaBatchMarginLoss": Inputs("none"),
    "MultipleNegativesRankingLoss": _IN_BATCH,
    "MultipleNegativesSymmetricRankingLoss": _IN_BATCH,
    "CachedMultipleNegativesRankingLoss": _IN_BATCH,
    "CachedMultipleNegativesSymmetricRankingLoss": _IN_BATCH,
}


@dataclass(frozen=True)
class Loss:
    """A loss class of sentence-transformers by name, with options; call it with a model to build it."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def inputs(self) -> Inputs:
        return INPUTS[self.name]

    def given(self, **options: Any) -> Loss:
        """Return the same loss with these constructor options, e.g. `losses.TripletLoss.given(triplet_margin=0.5)`."""
        return Loss(self.name, tuple(sorted({**dict(self.options), **options}.items())))

    def __call__(self, model: SentenceTransformer, **options: Any) -> nn.Module:
        from sentence_transformers.sentence_transformer import (
            losses,  # seconds to import; study files must load at once
        )

        loss: nn.Module = getattr(losses, self.name)(model, **{**dict(self.options), **options})
        return loss


def __getattr__(name: str) -> Loss:
    """Give the loss class of that name as a `Loss`; raise AttributeError for names that `INPUTS` lacks."""
    if name in INPUTS:
        return Loss(name)
    raise AttributeError(
        f"no loss {name!r} that NLI rows can feed; choose from {', '.join(sorted(INPUTS))}, "
        "or pass any callable that takes the model"
    )


def reads(label: Label, fewest: int = 2, most: int | None = None) -> Callable[[LossFunction], LossFunction]:
    """Declare what the decorated loss callable reads, so that its view can be checked when the study file loads."""

    def declare(function: LossFunction) -> LossFunction:
        function.inputs = Inputs(label, fewest, most or fewest)  # type: ignore[attr-defined]
        return function

    return declare


@reads("class")
def softmax(model: SentenceTransformer, **options: Any) -> nn.Module:
    """SBERT's classifier over (u, v, |u - v|) with three classes (Reimers and Gurevych, 2019, section 3)."""
    return Loss("SoftmaxLoss")(model, embedding_dimension=model.get_embedding_dimension(), num_labels=3, **options)


def identity(loss: Callable[..., Any]) -> str:
    """Name a loss by what decides its result: class and options, or a function's name and a hash of its source."""
    if isinstance(loss, Loss):
        options = ", ".join(f"{name}={value!r}" for name, value in loss.options)
        return f"{loss.name}({options})"
    wrapped = getattr(loss, "func", loss)  # functools.partial
    name = getattr(wrapped, "__qualname__", type(wrapped).__qualname__)
    try:
        source = textwrap.dedent(inspect.getsource(wrapped if hasattr(wrapped, "__qualname__") else type(wrapped)))
    except OSError:  # typed at a prompt: the name is all there is
        source = name
    arguments = repr((getattr(loss, "args", ()), sorted(getattr(loss, "keywords", {}).items())))
    return f"{name}#{hashlib.sha256((source + arguments).encode()).hexdigest()[:12]}"


def label(loss: Callable[..., Any]) -> str:
    """Name a loss for people: its class's or function's name, with options where there are any."""
    if isinstance(loss, Loss):
        return identity(loss).removesuffix("()")
    wrapped = getattr(loss, "func", loss)
    return str(getattr(wrapped, "__name__", type(wrapped).__name__))
