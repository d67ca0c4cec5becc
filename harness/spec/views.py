"""Views: functions from a source's rows to the input columns of a loss.

`columns` takes columns as they stand, `rows` takes a function, and `denoised` and `tension` make the rows of losses
that need no labels. The other views are of NLI rows and have names (`nli_views`); `noisy` and `mined` change a view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import StudyFileError
from harness.reading.labels import CONTRADICTION
from harness.spec.column_views import columns, rows
from harness.spec.nli_views import VIEWS, labelled
from harness.spec.unlabelled_views import denoised, tension
from harness.spec.view import Mining, View

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["VIEWS", "Mining", "View", "columns", "denoised", "labelled", "mined", "named", "noisy", "rows", "tension"]


def named(view: str | View) -> View:
    """Return the built-in view of that name, or the view itself.

    Raises:
        KeyError: there is no built-in view of that name.
    """
    return VIEWS[view] if isinstance(view, str) else view


def noisy(view: str | View, share: float) -> View:
    """Return a view of rows of which a fixed random share has one of the two wrong labels.

    Args:
        view: the view to apply to the relabelled rows.
        share: the share of rows with wrong labels, from 0 to 1.

    Raises:
        StudyFileError: `share` is out of range, or the view is unknown or has mined negatives.
    """
    plain = _plain(view, "noisy")
    if not 0 <= share <= 1:
        raise StudyFileError(f"noisy({plain.name!r}, {share!r}): the share of wrong labels lies between 0 and 1")
    build = partial(_noisy, plain.build, share)
    return View(f"{plain.name}, {100 * share:g} % wrong labels", plain.columns, plain.label, build)


def _noisy(build: Callable[[DataFrame, int], DataFrame], share: float, rows: DataFrame, limit: int) -> DataFrame:
    import numpy as np

    first = labelled(rows, limit)
    random = np.random.default_rng(0)
    wrong = random.random(len(first)) < share  # the wrong rows of a smaller share are among those of a larger one
    turn = random.integers(1, CONTRADICTION + 1, len(first))
    labels = np.where(wrong, (first["label"] + turn) % (CONTRADICTION + 1), first["label"])
    return build(first.assign(label=labels), len(first))


def mined(
    view: str | View = "pair-of-triplet", *, by: str = "untrained", negatives: int = 1, margin: float = 0.05
) -> View:
    """Return a view with mined hard negatives: for each anchor, the most similar positives of other anchors.

    They are mined by sentence-transformers' `mine_hard_negatives`. If an anchor has too few candidates below the
    margin, random negatives are added, so that the rows stay the same.

    Args:
        view: a view of anchors and positives, e.g. "pair-of-triplet", whose rows also have a contradiction.
        by: "untrained" for the base model, or a study's name for the model of its best trial.
        negatives: number of negatives per anchor.
        margin: how much lower than the lowest of the anchor's positives a negative's cosine has to be, as a share of it
            (`relative_margin`); closer texts are assumed to be false negatives.

    Raises:
        StudyFileError: an argument is out of range, or the view is unknown, already mined, or not of anchors and
            positives.
    """
    plain = _plain(view, "mined")
    where = f"mined({plain.name!r}, by={by!r}, negatives={negatives!r}, margin={margin!r})"
    if plain.label != "none" or plain.texts != 2:
        raise StudyFileError(f"{where}: the view has {', '.join(plain.columns)}; use one with only anchor and positive")
    if not isinstance(negatives, int) or negatives < 1:
        raise StudyFileError(f"{where}: mine at least 1 negative an anchor")
    if not 0 <= margin < 1:
        raise StudyFileError(f"{where}: the margin is a share of the positive's cosine, from 0 to less than 1")
    columns = ("negative",) if negatives == 1 else tuple(f"negative{n}" for n in range(1, negatives + 1))
    name = f"{plain.name}, {negatives} mined by {by}, margin {margin:g}"
    pairs = ("anchor", "positive")  # what mining calls them
    build = plain.build if plain.columns == pairs else partial(_renamed, plain.build, pairs)
    return View(name, (*pairs, *columns), "none", build, Mining(by, negatives, margin))


def _renamed(
    build: Callable[[DataFrame, int], DataFrame], names: Sequence[str], rows: DataFrame, limit: int
) -> DataFrame:
    return build(rows, limit).set_axis(list(names), axis=1)


def _plain(view: str | View, what: str) -> View:
    if isinstance(view, str) and view not in VIEWS:
        raise StudyFileError(f"{what}({view!r}): unknown view; choose from {', '.join(VIEWS)}")
    if named(view).mining is not None:
        raise StudyFileError(f"{what}({named(view).name!r}): its negatives are mined; give a view without mining")
    return named(view)
