"""A study: one loss/data variant, as a study file declares it.

Studies and ablations are frozen dataclasses that check themselves when they are made, without importing torch,
sentence-transformers or optuna: a mistake in a study file is reported in milliseconds, before anything is downloaded.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from harness.errors import StudyFileError
from harness.spec.losses import Loss, inputs_of
from harness.spec.space import Choice, Dimension, LogUniform, Value
from harness.spec.views import VIEWS, View, named
from harness.testbeds import POOLINGS, Pooling

UNTRAINED = "untrained"
"""The base model's name in tables; expectations may use it like a study's."""


@dataclass(frozen=True)
class Swept:
    """Where in a sweep a study is: of which study, of what, and at which value."""

    study: str
    what: str
    value: float


@dataclass(frozen=True)
class Study:
    """One loss/data variant.

    `view` is a view's name or what `harness.views` makes. `options` are dimensions of its own, handed to the loss by
    name (e.g. `scale`); `fixed` values of batch_size and lr at which it stays instead of being tuned over the space.
    `pooling` and `rows` (the first of the testbed's rows, if it has more) stand in for the testbed's. `swept` is what
    `sweep` says of a study it makes, for the report's curves.
    """

    name: str
    loss: Callable[..., Any]
    view: str | View
    options: Mapping[str, Dimension] = field(default_factory=dict)
    fixed: Mapping[str, Value] = field(default_factory=dict)
    pooling: Pooling | None = None
    rows: int | None = None
    swept: Swept | None = None

    def __post_init__(self) -> None:
        where = f"study {self.name!r}"
        if self.name == UNTRAINED or not names_a_folder(self.name):
            raise StudyFileError(f"{where}: it names a folder, so {FOLDER_NAME}; and not {UNTRAINED!r}")
        if not callable(self.loss):
            raise StudyFileError(
                f"{where}: loss={self.loss!r} is not callable; give losses.NAME or a function of the model"
            )
        if isinstance(self.view, str) and self.view not in VIEWS:
            raise StudyFileError(f"{where}: unknown view {self.view!r}; choose from {', '.join(VIEWS)}")
        for name, dimension in self.options.items():
            if not isinstance(dimension, (Choice, LogUniform)) or name in TUNED:
                raise StudyFileError(
                    f"{where}: option {name!r} must be choice(...) or log_uniform(...) under a name of its own"
                )
        for name, value in self.fixed.items():
            if name not in TUNED or isinstance(value, str) or not value > 0:
                raise StudyFileError(
                    f"{where}: fixed[{name!r}]={value!r}; fix {' or '.join(TUNED)} at a number above 0"
                )
        if self.pooling not in (None, *POOLINGS):
            raise StudyFileError(f"{where}: pooling={self.pooling!r}; choose from {', '.join(POOLINGS)}")
        if self.rows is not None and self.rows < 1:
            raise StudyFileError(f"{where}: rows={self.rows!r}; training needs at least 1")
        inputs, view = inputs_of(self.loss), named(self.view)
        if inputs is not None and not view.feeds(inputs):
            mend = next((f'view="{other.name}"' for other in VIEWS.values() if other.feeds(inputs)), "another loss")
            raise StudyFileError(
                f"{where}: the loss needs {inputs}; view {view.name!r} has {', '.join(view.columns)}. Use {mend}."
            )

    @property
    def reads(self) -> str:
        """The view's name, and what else of the testbed's the study has its own of, for tables."""
        own = [f"{self.pooling}-pooled"] if self.pooling else []
        own += [f"{self.rows:,} rows"] if self.rows else []
        return ", ".join([named(self.view).name, *own])

    def sweep(self, **values: Iterable[Any]) -> list[Study]:
        """Return one study a value, or a combination of values, named after them: "mnr scale=20".

        Args:
            values: by name, the values of one of this study's fields (`view`, `pooling`, `rows`), of `batch_size` or
                `lr`, or else of an argument of the loss.

        Raises StudyFileError for no values, and for an argument that the loss is known not to take.
        """
        lists = {name: list(given) for name, given in values.items()}
        if not lists or not all(lists.values()):
            raise StudyFileError(
                f"study {self.name!r}: sweep({', '.join(lists)}) has no values; give sweep(scale=[10, 20])"
            )
        return [self._with(dict(zip(lists, chosen, strict=True))) for chosen in itertools.product(*lists.values())]

    def _with(self, values: Mapping[str, Any]) -> Study:
        told = " ".join(f"{key}={f'{value:g}' if isinstance(value, float) else value}" for key, value in values.items())
        own = {key: value for key, value in values.items() if key in ("view", "pooling", "rows")}
        fixed = {key: value for key, value in values.items() if key in TUNED}
        arguments = {key: value for key, value in values.items() if key not in own and key not in fixed}
        numbers = [(key, value) for key, value in values.items() if isinstance(value, int | float)]
        return replace(
            self,
            name=f"{self.name} {told}",
            loss=_given(self, arguments) if arguments else self.loss,
            fixed={**self.fixed, **fixed},
            swept=Swept(self.name, *numbers[0]) if len(numbers) == len(values) == 1 else None,
            **own,
        )


TUNED = ("batch_size", "lr")
"""The dimensions that every study has."""


def _given(study: Study, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a study's loss with arguments of its own."""
    if isinstance(study.loss, Loss):
        return study.loss.given(**arguments)
    taken = inspect.signature(study.loss).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values()):
        unknown = [name for name in arguments if name not in taken]
        if unknown:
            known = ", ".join(list(taken)[1:]) or "none"
            raise StudyFileError(f"study {study.name!r}: its loss takes no argument {unknown[0]!r}; it has {known}")
    return partial(study.loss, **arguments)


FOLDER_NAME = "1 to 100 printable characters, none of / \\ |, no leading dot"
"""What a name may be that becomes a folder's in a store or among the reports: none can lead out of it."""


def names_a_folder(name: str) -> bool:
    """Tell whether a name may become a folder's."""
    return 0 < len(name.encode()) <= 100 and name.isprintable() and name[0] != "." and not set(name) & set("/\\|")
