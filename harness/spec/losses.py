"""Losses by name, and the inputs that each of them reads.

`losses.CosineSimilarityLoss` names the class of sentence-transformers without importing it, so that a study file loads
in milliseconds and is checked against its view before anything is downloaded. The class itself is imported when a run
calls it with a model. Any other callable that takes a model works as well; decorate it with `reads` to have it checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from harness.errors import RunFailed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

Label = Literal["none", "class", "score"]
LossFunction = TypeVar("LossFunction", bound=Callable[..., Any])


@dataclass(frozen=True)
class Inputs:
    """The inputs that a loss reads from each row.

    Attributes:
        label: the kind of label.
        fewest: the smallest number of texts.
        most: the largest number of texts.
    """

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
# (teachers, single sentences) are left out; they can still be passed as a callable.
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
    """A loss class of sentence-transformers by name; calling it with a model builds the loss.

    Attributes:
        name: name of the class.
        options: options of its constructor, as (name, value) pairs.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def inputs(self) -> Inputs:
        """What the loss reads from each row."""
        return INPUTS[self.name]

    def given(self, **options: Any) -> Loss:
        """Return the same loss with these constructor options, e.g. `losses.TripletLoss.given(triplet_margin=0.5)`."""
        return Loss(self.name, tuple(sorted({**dict(self.options), **options}.items())))

    def __call__(self, model: SentenceTransformer, **options: Any) -> nn.Module:
        """Build the loss for a model; `options` replace those of the same names."""
        from sentence_transformers.sentence_transformer import (
            losses,  # seconds to import; study files must load at once
        )

        constructor, given = getattr(losses, self.name), {**dict(self.options), **options}
        accepted = signature(constructor).parameters
        wrong = [name for name in given if name not in accepted]
        if wrong and not any(each.kind is Parameter.VAR_KEYWORD for each in accepted.values()):
            raise RunFailed(
                f"losses.{self.name} takes no argument {wrong[0]!r}; correct it in the study file: the loss has "
                f"{', '.join(list(accepted)[1:])}"
            )
        loss: nn.Module = constructor(model, **given)
        return loss


_ONE_TEXT = "it reads single texts whose equal labels make them positives; NLI labels describe pairs of texts"
_TEACHER = "it reads a teacher's scores or embeddings, which NLI rows do not have"
_DATA_LOADER = "it needs batches from a data loader of its own, which the trainer does not use"
_WRAPS = "it wraps another loss; write a function of the model that builds both, as studies/loss_zoo.py does"
_NOT_FED = {
    **dict.fromkeys(
        ("BatchAllTripletLoss", "BatchHardTripletLoss", "BatchHardSoftMarginTripletLoss", "BatchSemiHardTripletLoss"),
        _ONE_TEXT,
    ),
    **dict.fromkeys(("MSELoss", "MarginMSELoss", "DistillKLDivLoss", "EmbedDistillLoss"), _TEACHER),
    **dict.fromkeys(("ContrastiveTensionLoss", "ContrastiveTensionLossInBatchNegatives"), _DATA_LOADER),
    **dict.fromkeys(("MatryoshkaLoss", "Matryoshka2dLoss", "AdaptiveLayerLoss"), _WRAPS),
    "GlobalOrthogonalRegularizationLoss": "it is a regularisation term for another loss and trains nothing by itself",
    "DenoisingAutoEncoderLoss": "it reads a damaged text and the text, and learns from no label: no view makes these",
    "GISTEmbedLoss": "it needs a guide; use losses.gist",
    "CachedGISTEmbedLoss": "it needs a guide; write a function of the model, as losses.gist is",
}
"""Other losses of sentence-transformers, and the reason why NLI rows or the trainer cannot feed them."""


def __getattr__(name: str) -> Loss:
    """Return the loss class of that name as a `Loss`.

    Raises:
        AttributeError: the name is unknown, or NLI rows cannot feed the loss; the message has the reason.
    """
    if name in INPUTS:
        return Loss(name)
    if name in _NOT_FED:
        raise AttributeError(f"losses.{name} cannot be named: {_NOT_FED[name]}")
    raise AttributeError(
        f"no loss {name!r} that NLI rows can feed; choose from {', '.join(sorted(INPUTS))}, "
        "or pass any callable that takes the model"
    )


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


@reads("class")
def softmax(model: SentenceTransformer, num_labels: int = 3, **options: Any) -> nn.Module:
    """Build SBERT's classifier over (u, v, |u - v|) (Reimers and Gurevych, 2019, section 3).

    Args:
        model: the model to train.
        num_labels: number of classes, which are 0 to `num_labels - 1`.
        options: further options of SoftmaxLoss.
    """
    dimension = model.get_embedding_dimension()
    return Loss("SoftmaxLoss")(model, embedding_dimension=dimension, num_labels=num_labels, **options)


@reads("none", fewest=2, most=99)
def gist(model: SentenceTransformer, guide: str | None = None, **options: Any) -> nn.Module:
    """Build GISTEmbedLoss (Solatorio, 2024, arXiv:2402.16829): a guide model detects false in-batch negatives.

    Args:
        model: the model to train.
        guide: a local folder or hub id of a trained sentence-transformers model, set by
            `partial(losses.gist, guide=...)`; it is loaded in float32, from safetensors. Workers are offline, so a hub
            id has to be in the cache. None uses the model as it is before training, unlike the published GISTEmbed,
            whose guide is a trained model.
        options: further options of GISTEmbedLoss.

    Raises:
        RunFailed: the guide cannot be loaded.
    """
    from copy import deepcopy

    from sentence_transformers.sentence_transformer.losses import (
        GISTEmbedLoss,  # seconds to import; study files must load at once
    )

    guiding = deepcopy(model) if guide is None else _guide(guide, str(model.device))
    loss: nn.Module = GISTEmbedLoss(model, guide=guiding.eval(), **options)
    return loss


def _guide(guide: str, device: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    how = {"dtype": "float32", "use_safetensors": True}  # as base models are loaded
    try:
        return SentenceTransformer(guide, device=device, model_kwargs=how)
    except (OSError, ValueError) as problem:
        raise RunFailed(
            f"losses.gist: the guide {guide!r} cannot be loaded ({str(problem).splitlines()[0][:200]}); it must be a "
            "folder, or a hub id in the cache, whose weights are in the safetensors format"
        ) from problem


def inputs_of(loss: Callable[..., Any]) -> Inputs | None:
    """Return the declared inputs of a loss, also of a functools.partial of it; None if it declares none."""
    found: Inputs | None = getattr(getattr(loss, "func", loss), "inputs", None)
    return found


def label(loss: Callable[..., Any]) -> str:
    """Return a loss's name for tables: that of its class or function, with its options if there are any."""
    named, options = loss, dict(getattr(loss, "keywords", {}))
    while hasattr(named, "func"):  # functools.partial
        named = named.func
    if isinstance(named, Loss):
        name, options = named.name, {**dict(named.options), **options}
    else:
        name = str(getattr(named, "__name__", type(named).__name__))
    told = ", ".join(f"{key}={_told(value)}" for key, value in sorted(options.items()))
    return f"{name}({told})" if told else name


def _told(value: Any) -> str:
    """Format an option's value: a function or class by its name, as its repr may contain an address."""
    return str(getattr(value, "__qualname__", None) or (value if isinstance(value, Enum) else repr(value)))
