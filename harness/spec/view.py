"""View: what a study takes from the rows of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from harness.errors import AuditFailed
from harness.identity import digest
from harness.spec.loss_inputs import Inputs, Label
from harness.spec.space import Point

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Mining:
    """How hard negatives are mined."""

    by: str
    """Whose embeddings are used: "untrained" for the base model, or a study's name for the model of its best trial."""
    negatives: int
    """Negatives per anchor."""
    margin: float
    """How much lower than the anchor's positives a negative's cosine has to be, as a share of it."""
    trial: str | None = None
    """Run id of the best trial, once it is known (set by `planner.Planner`)."""
    point: Point | None = None
    """Point of that trial."""


@dataclass(frozen=True, eq=False)
class View:
    """A named function from a source's rows to the columns of a loss.

    Two views are equal if they make the same rows: the code of `build` counts (`harness.identity`), but not its name or
    the view's name.
    """

    name: str
    """Name in study files and tables."""
    columns: tuple[str, ...]
    """Text columns, then the label column unless `label` is "none"."""
    label: Label
    """Kind of the label column."""
    build: Callable[[DataFrame, int], DataFrame]
    """Function of all rows and the number of rows to use. With `mining` it makes only anchors and positives."""
    mining: Mining | None = None
    """How the negatives, the last columns, are mined (`harness.data.mining`); None if they are not."""

    def decides(self, files: Mapping[str, str] | None = None) -> str:
        """Return a digest of what decides the rows, without the mining trial; `files` as for `identity.digest`."""
        mined = None if self.mining is None else replace(self.mining, trial=None, point=None)
        return digest([self.columns, self.label, self.build, mined], files)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and (self is other or self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, Mining | None]:
        return self.decides(), self.mining  # not remembered: what a function reads may change in a notebook

    @property
    def texts(self) -> int:
        """Number of text columns."""
        return len(self.columns) - (self.label != "none")

    @property
    def has_plain_label(self) -> bool:
        """Whether the label is one number a row, and not several or an embedding."""
        return self.label in ("class", "score")

    @property
    def miner(self) -> str | None:
        """Whose model mines the negatives: a study's name or "untrained"; None if nothing is mined."""
        return self.mining.by if self.mining else None

    def __str__(self) -> str:
        return self.name

    def feeds(self, inputs: Inputs) -> bool:
        """Return whether a loss with these inputs can be trained on the view."""
        return inputs.accept(self.label, self.texts)


def require(rows: DataFrame, columns: Iterable[str], view: str, hint: str = "") -> None:
    """Check that rows have columns.

    Args:
        rows: the rows of a source.
        columns: the columns that a view reads.
        view: name of the view, for the message.
        hint: what else could be done, for the message.

    Raises:
        AuditFailed: a column is missing.
    """
    there = [str(name) for name in rows.columns]
    missing = [name for name in dict.fromkeys(columns) if name not in there]
    if not missing:
        return
    near = get_close_matches(missing[0], there, 1)
    advice = f"did you mean {near[0]!r}?" if near else "name one of these, or give the study another source"
    raise AuditFailed(
        f"view {view!r}: the rows have no column {', '.join(map(repr, missing))}; they have "
        f"{', '.join(there) or 'none'}; {advice}{hint}"
    )
