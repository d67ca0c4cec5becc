"""Part: one data set of a study, with the loss that is trained on it and the view that feeds the loss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from harness.errors import StudyFileError
from harness.spec.losses import fitting, inputs_of
from harness.spec.names import FOLDER_NAME, names_a_folder
from harness.spec.views import VIEWS, View, named
from harness.testbeds.sources import Source

if TYPE_CHECKING:
    from harness.spec.study import Study

Mixing: TypeAlias = Literal["proportional", "round_robin"]
"""How batches of several data sets follow each other, by the names of sentence-transformers.

Each batch is of one data set. "proportional": each data set has as many batches of an epoch as it fills, in random
order. "round_robin": the data sets take turns until the first is used up, so all have equally many batches of an epoch.
"""


@dataclass(frozen=True)
class Part:
    """One of several data sets of a study: its loss, its view and its rows.

    Raises:
        StudyFileError: it is inconsistent; the message says what is wrong and how to fix it.
    """

    name: str
    """Name in tables and messages."""
    loss: Callable[..., Any]
    """A loss of `harness.losses`, or a function that takes the model and returns the loss module."""
    view: str | View
    """Name of a built-in view, or a view made by `harness.views`, without mined negatives."""
    source: Source | None = None
    """Rows to train on instead of the study's or the testbed's."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Text before each text of a column of the view, by column, in training."""

    def __post_init__(self) -> None:
        where = f"part {self.name!r}"
        if not names_a_folder(self.name):
            raise StudyFileError(f"{where}: its name must be like that of a study: {FOLDER_NAME}")
        check_declared(where, self.loss, self.view)
        check_source(where, self.source)
        check_fit(where, self.loss, self.view, self.prompts)


def check_declared(where: str, loss: object, view: object) -> None:
    """Raise StudyFileError unless loss and view are of their kinds.

    Args:
        where: the study or part, for the message.
        loss: the value given as loss.
        view: the value given as view.
    """
    if not callable(loss):
        raise StudyFileError(f"{where}: loss={loss!r} is not callable; give losses.NAME or a function of the model")
    if _is_built(loss):
        raise StudyFileError(
            f"{where}: its loss is an object of {type(loss).__name__}; give the class or a function of the "
            "model, not a built loss, because every run builds its own"
        )
    if not isinstance(view, View) and not (isinstance(view, str) and view in VIEWS):
        raise StudyFileError(f"{where}: unknown view {view!r}; choose from {', '.join(VIEWS)}")


def check_source(where: str, source: object) -> None:
    """Raise StudyFileError unless a source is one, or None."""
    if source is not None and not isinstance(source, Source):
        raise StudyFileError(f"{where}: source={source!r}; give e.g. sources.file(PATH)")


def check_fit(where: str, loss: Callable[..., Any], view: str | View, prompts: Mapping[str, str]) -> None:
    """Raise StudyFileError unless a view feeds a loss and has the text columns that have prompts."""
    inputs, view = inputs_of(loss), named(view)
    strange = [column for column in prompts if column not in view.columns[: view.texts]]
    if strange:
        texts = ", ".join(view.columns[: view.texts])
        raise StudyFileError(f"{where}: prompts names no text column {strange[0]!r}; view {view.name!r} has {texts}")
    if inputs is not None and not view.feeds(inputs):
        built_in = next((f'view="{other.name}"' for other in VIEWS.values() if other.feeds(inputs)), "another loss")
        fix = built_in if view.name in VIEWS else fitting(inputs)
        raise StudyFileError(
            f"{where}: the loss needs {inputs}; view {view.name!r} has {', '.join(view.columns)}. Use {fix}."
        )


def listed_parts(where: str, parts: object) -> tuple[Part, ...]:
    """Return a study's `parts` as a tuple; raise StudyFileError if they are no list of parts."""
    if not isinstance(parts, Iterable):
        raise StudyFileError(f"{where}: parts={parts!r} is not a list; write parts=[...]")
    listed = tuple(parts)
    for part in listed:
        if not isinstance(part, Part):
            raise StudyFileError(f"{where}: parts contains {part!r}; declare each as Part(name, loss, view)")
    return listed


def check_parts(where: str, study: Study, settings: Sequence[str]) -> None:
    """Raise StudyFileError unless a study's parts have different names, and nothing else of it names a loss or view.

    Args:
        where: the study, for the message.
        study: the study, which has parts.
        settings: the options that are no arguments of a loss.
    """
    names = [part.name for part in study.parts]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise StudyFileError(f"{where}: two of its parts are named {twice!r}; give each a unique name")
    for part in study.parts:
        if named(part.view).mining is not None:
            raise StudyFileError(
                f"{where}: part {part.name!r} has mined negatives (view {named(part.view).name!r}), which only a study "
                "without parts can train on; give a view without mining"
            )
    for what, given in (("loss", study.loss), ("view", study.view)):
        if given is not None:
            raise StudyFileError(f"{where}: it has parts=, each with its own {what}; leave out {what}= of the study")
    if study.prompts:
        raise StudyFileError(f"{where}: prompts= is of a view's columns; give it to the parts: Part(..., prompts=...)")
    for name in study.options:
        if name not in settings:
            raise StudyFileError(
                f"{where}: it is not known which part's loss the option {name!r} is for; a study with parts tunes "
                f"only {', '.join(settings)}. Fix it in the part, e.g. loss=losses.NAME.given({name}=...)"
            )


def check_mixing(where: str, mixing: object, is_mixed: bool) -> None:
    """Raise StudyFileError for an unknown way of mixing, or for one without parts to mix."""
    if mixing not in get_args(Mixing):
        raise StudyFileError(f"{where}: mixing={mixing!r}; choose from {', '.join(get_args(Mixing))}")
    if mixing != "proportional" and not is_mixed:
        raise StudyFileError(f"{where}: mixing={mixing!r} is for a study with parts=[Part(...), ...]")


def _is_built(loss: object) -> bool:
    """Return whether a loss is a module of torch; there is none as long as nobody has imported torch."""
    module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    return module is not None and isinstance(loss, module)
