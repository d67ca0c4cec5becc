"""Loss classes of sentence-transformers by name: importing them takes seconds, and study files must load at once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from harness.errors import RunFailed
from harness.spec.loss_inputs import INPUTS, Inputs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


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
        return built(self.name, model, **{**dict(self.options), **options})


def built(name: str, *given: Any, **options: Any) -> nn.Module:
    """Build a loss of sentence-transformers by the name of its class.

    Raises:
        RunFailed: the installed version does not have the loss, or it does not take one of the options.
    """
    from harness.compat import losses  # seconds to import; study files must load at once

    constructor = getattr(losses, name, None)
    if constructor is None:
        raise RunFailed(
            f"losses.{name}: the installed sentence-transformers {version('sentence-transformers')} lacks "
            "this loss; upgrade it, or take another loss"
        )
    accepted = signature(constructor).parameters
    wrong = [option for option in options if option not in accepted]
    if wrong and not any(each.kind is Parameter.VAR_KEYWORD for each in accepted.values()):
        raise RunFailed(
            f"losses.{name} takes no argument {wrong[0]!r}; correct it in the study file: the loss has "
            f"{', '.join(list(accepted)[len(given) :])}"
        )
    loss: nn.Module = constructor(*given, **options)
    return loss
