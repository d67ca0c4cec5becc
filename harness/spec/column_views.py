"""Views of one's own data: columns as they stand, and functions of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import AuditFailed, StudyFileError
from harness.spec.label_columns import NAMES, embeddings, numbered, scaled, several
from harness.spec.loss_inputs import Label
from harness.spec.view import View, require

if TYPE_CHECKING:
    from pandas import DataFrame, Series

RESERVED = ("label", "labels", "score", "scores", "return_loss", "dataset_name")
"""Names that sentence-transformers takes for a label or for its own use; a text column has another name."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a source a view takes, and as what."""

    texts: tuple[str, ...]
    """Text columns, in the order in which the loss reads them."""
    label: Label
    """Kind of the label."""
    labels: tuple[str, ...] = ()
    """Columns of the label: several for scores and embeddings, else one; empty if there is none."""
    range: tuple[float, float] | None = None
    """Lowest and highest possible score; None to keep the scores."""
    numbered: bool = True
    """Whether classes are numbered; otherwise they are integers from 0."""


def columns(
    *texts: str,
    score: str | None = None,
    scores: str | Sequence[str] | None = None,
    range: tuple[float, float] | None = None,
    label: str | None = None,
    embedding: str | Sequence[str] | None = None,
    name: str | None = None,
) -> View:
    """Return a view that takes columns as they stand.

    A text column that is given twice, or has a name that sentence-transformers takes for a label, keeps its content and
    gets another name. The first rows of the source are used, up to the number that the study trains on.

    Args:
        texts: text columns, in the order in which the loss reads them: anchor, positive, negatives. The same column
            twice gives SimCSE its pairs.
        score: column of numbers, for losses that read a similarity.
        scores: columns of numbers, or one column of lists: a teacher's scores of the positive and each negative, or
            its margins.
        range: lowest and highest possible `score`; scores are then brought to 0 to 1. Without it they stay.
        label: column of classes: integers, booleans or texts. They are numbered from 0 in the sorted order of the
            distinct values of all rows of the source: False before True, "no" before "yes".
        embedding: column of a teacher's embeddings, as lists; or one for each text.
        name: name of the view in tables; made of the columns' names if None.

    Raises:
        StudyFileError: there are no texts, several kinds of labels, or `range` is out of order.
    """
    where = f"columns({', '.join(map(repr, texts))})"
    kinds: list[tuple[Label, Any]] = [("score", score), ("scores", scores), ("class", label), ("embedding", embedding)]
    given = [(kind, value) for kind, value in kinds if value is not None]
    if len(given) > 1:
        raise StudyFileError(f"{where}: give one of score=, scores=, label= and embedding=")
    kind, value = given[0] if given else NO_LABEL
    labels = (value,) if isinstance(value, str) else tuple(value)
    if not texts or not all(isinstance(each, str) and each for each in (*texts, *labels)) or (given and not labels):
        raise StudyFileError(f"{where}: name the text columns, and the label's, e.g. {EXAMPLE}")
    if range is not None and (kind != "score" or not range[0] < range[1]):
        raise StudyFileError(f"{where}: range={range} is the lowest and the highest possible score, e.g. {EXAMPLE}")
    if (kind == "scores" and len(labels) not in (1, *_lengths(texts))) or (
        kind == "embedding" and len(labels) not in (1, len(texts))
    ):
        raise StudyFileError(
            f"{where}: {len(labels)} columns of {kind}; give one for each text{' but the first' * (kind == 'scores')}, "
            "or a single column of lists"
        )
    bounds = None if range is None else (float(range[0]), float(range[1]))
    declared = Columns(texts, kind, labels, bounds)
    return View(name or _described(declared), _names(declared), kind, partial(take, declared))


NO_LABEL: tuple[Label, tuple[str, ...]] = ("none", ())

EXAMPLE = 'columns("text1", "text2", score="stars", range=(0, 5))'


def _described(declared: Columns) -> str:
    words = {"class": "label", "score": "score", "scores": "scores", "embedding": "embedding", "none": ""}
    bounds = f" of {declared.range[0]:g} to {declared.range[1]:g}" if declared.range else ""
    label = f"; {words[declared.label]} {', '.join(declared.labels)}{bounds}" if declared.labels else ""
    return ", ".join(declared.texts) + label


def _lengths(texts: Sequence[str]) -> tuple[int, ...]:
    """Return how many scores a row may have: one for each candidate, or the margin of each negative."""
    return tuple(length for length in (len(texts) - 1, len(texts) - 2) if length > 0)


def _names(declared: Columns) -> tuple[str, ...]:
    """Return the names of the columns that the loss receives."""
    return (*safe_names(declared.texts), *([NAMES[declared.label]] if declared.label != "none" else []))


def safe_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Return names of text columns that sentence-transformers keeps apart: distinct, not reserved, none within another.

    It finds a column's tensors by the column's name and an underscore: "text_" also begins those of "text_de".
    """
    made: list[str] = []
    for position, name in enumerate(texts, start=1):
        others = [*texts[: position - 1], *texts[position:]]
        unsafe = name in RESERVED or name in made or any(other.startswith(f"{name}_") for other in others)
        new = f"{name} ({position})" if unsafe else name
        while new in made or (unsafe and new in texts):
            new += "'"
        made.append(new)
    return tuple(made)


def take(declared: Columns, rows: DataFrame, limit: int) -> DataFrame:
    """Return the text columns and the label of the first rows.

    Raises:
        AuditFailed: a column is missing, or holds something else than was declared.
    """
    import pandas as pd  # a third of a second that study files do not need

    name = _described(declared)
    require(rows, (*declared.texts, *declared.labels), name)
    first = rows.head(limit).reset_index(drop=True)
    texts = [_texts(first[column], name) for column in declared.texts]
    taken = pd.DataFrame(dict(zip(safe_names(declared.texts), texts, strict=True)))
    if declared.label == "none":
        return taken
    return taken.assign(**{NAMES[declared.label]: _label(declared, name, rows, first)})


def _texts(values: Series[Any], name: str) -> Series[Any]:
    """Return texts; refuse a column without any, which would leave no row."""
    known = values.dropna()
    if len(known) and not any(isinstance(value, str) for value in known):
        raise AuditFailed(
            f"view {name!r}: the column {values.name!r} holds {type(known.iloc[0]).__name__} and no texts; name a "
            "column of texts, and give several negatives as several columns"
        )
    return values


def _label(declared: Columns, name: str, rows: DataFrame, first: DataFrame) -> Any:
    """Return the label of the first rows; classes are numbered by all rows, so that fewer rows keep the numbers."""
    where = f"view {name!r}"
    column = f"{where}, column {declared.labels[0]!r}"
    if declared.label == "class" and not declared.numbered:
        return _integers(first[declared.labels[0]], column)
    if declared.label == "class":
        return numbered(rows[declared.labels[0]], column).head(len(first)).reset_index(drop=True)
    if declared.label == "score":
        return scaled(first[declared.labels[0]], column, declared.range)
    if declared.label == "scores":
        return _objects(several(first, declared.labels, where, _lengths(declared.texts)))
    return _objects(embeddings(first, declared.labels, where))


def _integers(values: Series[Any], where: str) -> Series[Any]:
    if values.dtype.kind not in "iu":
        raise AuditFailed(
            f"{where} holds {values.dtype}; return classes as integers from 0, e.g. pandas.factorize(..., sort=True)[0]"
        )
    return values


def _objects(values: Sequence[Any]) -> Series[Any]:
    """Return a column of objects; pandas would take lists of one length for a table."""
    import pandas as pd

    column = pd.Series([None] * len(values), dtype=object)
    for row, value in enumerate(values):
        column.iat[row] = value
    return column


def rows(
    function: Callable[[DataFrame], DataFrame], columns: Sequence[str], label: Label = "none", name: str | None = None
) -> View:
    """Return a view that a function makes.

    Args:
        function: function of the source's first rows, as many as the study trains on, that returns rows for the loss.
            Its code enters the run id.
        columns: the columns of its rows that the loss reads: texts in order, and the label's last.
        label: kind of the label: "none"; "class", integers; "score", a number; "scores", a list of numbers; or
            "embedding", a teacher's embedding as a list.
        name: name of the view in tables; that of the function if None.

    Raises:
        StudyFileError: the columns lack a text, or there is no such kind of label.
    """
    made = name or str(getattr(function, "__name__", type(function).__name__))
    if label not in ("none", *NAMES) or len(columns) < (1 if label == "none" else 2):
        raise StudyFileError(
            f"views.rows({made}, columns={list(columns)}, label={label!r}): name at least one text column, and the "
            f"label's column last unless label='none'; the kinds of labels are {', '.join(NAMES)}"
        )
    texts = tuple(columns) if label == "none" else tuple(columns[:-1])
    declared = Columns(texts, label, () if label == "none" else (columns[-1],), numbered=False)
    return View(made, _names(declared), label, partial(_made, function, declared))


def _made(function: Callable[[DataFrame], DataFrame], declared: Columns, rows: DataFrame, limit: int) -> DataFrame:
    made = function(rows.head(limit).reset_index(drop=True))
    if not hasattr(made, "columns"):
        raise AuditFailed(
            f"view {_described(declared)!r}: its function returned {type(made).__name__}; return a DataFrame"
        )
    return take(declared, made, len(made))
