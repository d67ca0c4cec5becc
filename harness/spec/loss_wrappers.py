"""Losses of sentence-transformers that stand around another loss, or beside one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import RunFailed, StudyFileError
from harness.spec.loss_classes import built
from harness.spec.loss_inputs import Inputs, inputs_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


@dataclass(frozen=True)
class Wrapped:
    """A loss of sentence-transformers around another loss, which reads the rows; calling it with a model builds both.

    `matryoshka`, `matryoshka_2d` and `adaptive_layer` make it.
    """

    name: str
    """Name of the wrapping class."""
    loss: Callable[..., Any]
    """The loss inside: a loss of this module, or a function of the model."""
    dims: tuple[int | float, ...] = ()
    """Dimensions that are trained: integers, or floats that are shares of the model's."""
    options: tuple[tuple[str, Any], ...] = ()
    """Further options of the wrapping class, as (name, value) pairs."""

    @property
    def inputs(self) -> Inputs | None:
        """What the loss inside reads from each row; None if it declares nothing."""
        return inputs_of(self.loss)

    def __call__(self, model: SentenceTransformer, **options: Any) -> nn.Module:
        """Build the loss for a model; `options` are those of the loss inside.

        Raises:
            RunFailed: the two losses cannot be combined, or the model has fewer dimensions.
        """
        from harness.compat import uses_gradient_cache

        inner = self.loss(model, **options)
        if self.name != "MatryoshkaLoss" and uses_gradient_cache(inner):
            raise RunFailed(
                f"{self.name} cannot wrap {type(inner).__name__}, whose gradients come in pieces after the layers were "
                "read; wrap the loss that has no cache, e.g. MultipleNegativesRankingLoss"
            )
        dims = {"matryoshka_dims": self._dims(model.get_embedding_dimension() or 0)} if self.dims else {}
        return built(self.name, model, inner, **dims, **dict(self.options))

    def _dims(self, whole: int) -> list[int]:
        dims = [max(1, round(dim * whole)) if isinstance(dim, float) else dim for dim in self.dims]
        if max(dims) > whole:
            raise RunFailed(
                f"{self.name}: dims={list(self.dims)} exceed the model's {whole} dimensions; give dimensions up to "
                f"{whole}, or shares of the model's, e.g. dims=[1.0, 0.5, 0.25]"
            )
        return list(dict.fromkeys(dims))


def matryoshka(loss: Callable[..., Any], dims: Sequence[int | float], **options: Any) -> Wrapped:
    """Return MatryoshkaLoss around a loss: the first dimensions alone are trained, too (Kusupati et al., 2022).

    Args:
        loss: the loss inside.
        dims: numbers of first dimensions, as integers; or floats up to 1.0, which are shares of the model's dimension.
            Include the model's own (1.0), which is trained only if it is named.
        options: further options of MatryoshkaLoss, e.g. `n_dims_per_step`.

    Raises:
        StudyFileError: `dims` are out of range.
    """
    return Wrapped("MatryoshkaLoss", loss, _checked_dims("matryoshka", dims), tuple(sorted(options.items())))


def matryoshka_2d(loss: Callable[..., Any], dims: Sequence[int | float], **options: Any) -> Wrapped:
    """Return Matryoshka2dLoss around a loss: first dimensions, and earlier layers (Li et al., 2024, arXiv:2402.14776).

    Args:
        loss: the loss inside.
        dims: as for `matryoshka`.
        options: further options of Matryoshka2dLoss.

    Raises:
        StudyFileError: `dims` are out of range.
    """
    return Wrapped("Matryoshka2dLoss", loss, _checked_dims("matryoshka_2d", dims), tuple(sorted(options.items())))


def adaptive_layer(loss: Callable[..., Any], **options: Any) -> Wrapped:
    """Return AdaptiveLayerLoss around a loss: the outputs of earlier layers are trained, too.

    Args:
        loss: the loss inside.
        options: further options of AdaptiveLayerLoss, e.g. `n_layers_per_step`.
    """
    return Wrapped("AdaptiveLayerLoss", loss, (), tuple(sorted(options.items())))


def _checked_dims(name: str, dims: Sequence[int | float]) -> tuple[int | float, ...]:
    fit = [not isinstance(dim, bool) and (0 < dim <= 1 if isinstance(dim, float) else dim >= 1) for dim in dims]
    if not fit or not all(fit):
        raise StudyFileError(
            f"losses.{name}: dims={list(dims)}; give integers of 1 or more, or shares of the model's dimension as "
            "floats up to 1.0, e.g. dims=[1.0, 0.5, 0.25]"
        )
    return tuple(dims)


@dataclass(frozen=True)
class Regularized:
    """A loss plus a weighted GlobalOrthogonalRegularizationLoss; `with_regularization` makes it."""

    loss: Callable[..., Any]
    """The loss that reads the rows."""
    weight: float
    """Factor of the regularisation."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of GlobalOrthogonalRegularizationLoss, as (name, value) pairs."""

    @property
    def inputs(self) -> Inputs | None:
        """What the loss reads from each row; None if it declares nothing."""
        return inputs_of(self.loss)

    def __call__(self, model: SentenceTransformer, **options: Any) -> nn.Module:
        """Build the loss for a model; `options` are those of the loss that reads the rows.

        Raises:
            RunFailed: that loss cannot be computed from embeddings, which both losses share.
        """
        inner = self.loss(model, **options)
        if not hasattr(inner, "compute_loss_from_embeddings"):
            raise RunFailed(
                f"losses.with_regularization: {type(inner).__name__} has no compute_loss_from_embeddings, by which "
                "both share the embeddings; take a loss without a cache or a guide, e.g. MultipleNegativesRankingLoss"
            )
        return _sum_of(
            model, inner, built("GlobalOrthogonalRegularizationLoss", model, **dict(self.options)), self.weight
        )


def with_regularization(loss: Callable[..., Any], weight: float = 1.0, **options: Any) -> Regularized:
    """Return a loss plus a regularisation that spreads unrelated texts (Zhang et al., 2017, arXiv:1708.06320).

    Args:
        loss: the loss that reads the rows.
        weight: factor of the regularisation.
        options: options of GlobalOrthogonalRegularizationLoss, e.g. `aggregation="sum"`.

    Raises:
        StudyFileError: `weight` is not above 0.
    """
    if not 0 < weight < float("inf"):
        raise StudyFileError(f"losses.with_regularization: weight={weight!r}; give a number above 0")
    return Regularized(loss, float(weight), tuple(sorted(options.items())))


def _sum_of(model: SentenceTransformer, loss: nn.Module, term: nn.Module, weight: float) -> nn.Module:
    """Return a module whose value is that of a loss plus a weighted term, both of the same embeddings."""
    from torch import nn

    from harness.compat import embed_columns

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.loss, self.term = model, loss, term

        def forward(self, sentence_features: Any, labels: Any) -> Any:
            embeddings = embed_columns(self.model, sentence_features)
            value: Any = self.loss.compute_loss_from_embeddings(embeddings, labels)  # type: ignore[operator]
            parts: Any = self.term.compute_loss_from_embeddings(embeddings)  # type: ignore[operator]
            return value + weight * sum(parts.values())

    return Sum()
