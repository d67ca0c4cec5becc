"""Study: one variant of loss and data, as a study file declares it.

Studies and ablations are frozen dataclasses that are validated on creation, without importing torch,
sentence-transformers or optuna: a mistake in a study file is reported in milliseconds, before anything is downloaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, get_args

from harness.errors import StudyFileError
from harness.identity import digest
from harness.spec.arguments import unknown
from harness.spec.losses import Loss, label
from harness.spec.names import FOLDER_NAME, names_a_folder
from harness.spec.parts import (
    Mixing,
    Part,
    check_declared,
    check_fit,
    check_mixing,
    check_parts,
    check_source,
    listed_parts,
)
from harness.spec.settings import Sampler, Settings
from harness.spec.space import Choice, Dimension, LogUniform, Point, Value, as_choice
from harness.spec.views import Mining, View, named
from harness.testbeds import POOLINGS, Pooling
from harness.testbeds.sources import Source

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

SETTINGS = tuple(field.name for field in fields(Settings))
"""Names of the settings, which may be tuned or swept like options of the loss."""

DEFAULTS = Settings()

UNTRAINED = "untrained"
"""Name of the base model before training; expectations may use it like the name of a study."""


@dataclass(frozen=True)
class Swept:
    """A study's place in a sweep."""

    study: str
    """Name of the base study."""
    what: str
    """The swept parameter."""
    value: float
    """Its value in this study."""


@dataclass(frozen=True)
class Study:
    """One variant of loss and data.

    Raises:
        StudyFileError: it is inconsistent; the message says what is wrong and how to fix it.
    """

    name: str
    """Name in tables and of folders."""
    loss: Callable[..., Any] | None = None
    """A loss of `harness.losses`, or a function that takes the model and returns the loss module; None with `parts`."""
    view: str | View | None = None
    """Name of a built-in view, or a view made by `harness.views`; None with `parts`."""
    options: Mapping[str, Dimension] = field(default_factory=dict)
    """Further dimensions to tune, passed to the loss by name, e.g. `scale`."""
    fixed: Mapping[str, Value] = field(default_factory=dict)
    """Fixed values of `batch_size` or `lr` that are not tuned."""
    pooling: Pooling | None = None
    """Pooling instead of the testbed's."""
    rows: int | None = None
    """Train on this number of the first rows."""
    source: Source | None = None
    """Rows to train on instead of the testbed's."""
    sampler: Sampler | None = None
    """How rows are put into batches; shuffled if None."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Text before each text of a column of the view, by column, in training."""
    settings: Settings = DEFAULTS
    """Warm-up, scheduler, weight decay and the like, if they are others than the usual ones."""
    adapters: Any = None
    """A configuration of peft, e.g. LoraConfig(...): only these adapters are trained, not the base model."""
    frozen: Sequence[str] = ()
    """Beginnings of names of parameters that are not trained, e.g. "0.model.embeddings"."""
    parts: Sequence[Part] = ()
    """Several data sets to train on at once, each with its own loss and view, instead of `loss` and `view`."""
    mixing: Mixing = "proportional"
    """How the batches of the parts follow each other."""
    swept: Swept | None = None
    """Set by `sweep`, for the report's curves."""

    def __post_init__(self) -> None:
        where = f"study {self.name!r}"
        if self.name == UNTRAINED or not names_a_folder(self.name):
            raise StudyFileError(f"{where}: the name is used for folders: {FOLDER_NAME}; {UNTRAINED!r} is reserved")
        object.__setattr__(self, "parts", listed_parts(where, self.parts))
        check_mixing(where, self.mixing, bool(self.parts))
        if self.parts:
            check_parts(where, self, SETTINGS)
        else:
            self._check_loss_and_view(where)
        for name, dimension in self.options.items():
            if not isinstance(dimension, (Choice, LogUniform)) or name in TUNED:
                raise StudyFileError(
                    f"{where}: option {name!r} must be choice(...) or log_uniform(...), and its name not "
                    f"{' or '.join(TUNED)}" + (f"; {as_choice(dimension)}" if name not in TUNED else "")
                )
        if not isinstance(self.settings, Settings):
            raise StudyFileError(f"{where}: settings={self.settings!r}; write Settings(warmup=0.05)")
        self._check_tuned_settings(where)
        for name, value in self.fixed.items():
            if name not in TUNED:
                near = get_close_matches(name, TUNED, 1)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"an argument of the loss is given with loss=partial(loss, {name}={value!r}), from functools, "
                    f"or .sweep({name}=[...])"
                )
                raise StudyFileError(
                    f"{where}: fixed[{name!r}]={value!r}; only {' or '.join(TUNED)} can be fixed; {hint}"
                )
            if isinstance(value, str) or not value > 0:
                raise StudyFileError(
                    f"{where}: fixed[{name!r}]={value!r}; fix {' or '.join(TUNED)} at a number above 0"
                )
        if self.pooling not in (None, *POOLINGS):
            raise StudyFileError(f"{where}: pooling={self.pooling!r}; choose from {', '.join(POOLINGS)}")
        if self.rows is not None and self.rows < 1:
            raise StudyFileError(f"{where}: rows={self.rows!r}; training needs at least 1")
        check_source(where, self.source)
        if self.sampler not in (None, *SAMPLERS):
            raise StudyFileError(f"{where}: sampler={self.sampler!r}; choose from {', '.join(SAMPLERS)}")
        if isinstance(self.frozen, str):
            raise StudyFileError(f"{where}: frozen={self.frozen!r}; give a list of names: [{self.frozen!r}]")
        if self.loss is not None and self.view is not None:
            arguments = [name for name in self.options if name not in SETTINGS]
            if problem := unknown(self.loss, arguments):
                raise StudyFileError(f"{where}: {problem}")
            check_fit(where, self.loss, self.view, self.prompts)

    def _check_loss_and_view(self, where: str) -> None:
        """Raise StudyFileError unless a study without parts has a loss and a view."""
        if self.loss is None and self.view is None:
            raise StudyFileError(f"{where}: it has nothing to train; give loss= and view=, or parts=[Part(...), ...]")
        if self.view is None:
            raise StudyFileError(f'{where}: it has no view; give view=columns(...) or view="pair"')
        check_declared(where, self.loss, self.view)

    def _check_tuned_settings(self, where: str) -> None:
        """Raise StudyFileError if a tuned setting has a value that no training can have."""
        for name, dimension in self.options.items():
            if name in SETTINGS:
                ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
                for value in ends:
                    try:
                        self.at(Point(1, 1.0, ((name, value),)))
                    except StudyFileError as problem:
                        raise StudyFileError(f"{where}: option {name!r}: {problem}") from problem

    def at(self, point: Point) -> tuple[dict[str, Value], Settings]:
        """Return the options of the loss and the settings of a training at a point."""
        tuned: dict[str, Any] = {name: value for name, value in point.options if name in SETTINGS}
        options = {name: value for name, value in point.options if name not in SETTINGS}
        return options, replace(self.settings, **tuned)

    @property
    def reads(self) -> str:
        """The view's name and the settings that override the testbed's, for tables."""
        own = [f"mixed {self.mixing}"] if self.parts else []
        own += [f"{self.pooling}-pooled"] if self.pooling else []
        own += [f"{self.rows:,} rows"] if self.rows else []
        own += [str(self.source)] if self.source else []
        own += [f"sampler {self.sampler}"] if self.sampler else []
        own += [f"{f.name} {getattr(self.settings, f.name)}" for f in fields(Settings) if _differs(self, f.name)]
        own += [f"adapters {type(self.adapters).__name__}"] if self.adapters is not None else []
        own += [f"{', '.join(self.frozen)} frozen"] if self.frozen else []
        own += [f"prompt {text!r} for {column}" for column, text in self.prompts.items()]
        return ", ".join([" + ".join(map(_reads, self.parts)) or named(self.all_parts[0].view).name, *own])

    @property
    def label(self) -> str:
        """The loss's name for tables; those of the parts' losses, with the parts' names, if there are parts."""
        if self.parts:
            return " + ".join(f"{part.name}: {label(part.loss)}" for part in self.parts)
        return label(self.all_parts[0].loss)

    @property
    def by_title(self) -> dict[str, Part]:
        """Its parts by what findings call them, "study/part"; a study without parts is its only part, by its name."""
        if self.parts:
            own = (replace(part, source=part.source or self.source) for part in self.parts)
            return {f"{self.name}/{part.name}": part for part in own}
        assert self.loss is not None
        assert self.view is not None
        return {self.name: Part(self.name, self.loss, self.view, self.source, self.prompts)}

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """Its parts; a study without parts is its only part."""
        return tuple(self.by_title.values())

    @property
    def mining(self) -> Mining | None:
        """How its view's negatives are mined; None if they are not."""
        return None if self.view is None else named(self.view).mining

    @property
    def miner(self) -> str | None:
        """Whose model mines its negatives: a study's name or "untrained"; None if nothing is mined."""
        return self.mining.by if self.mining else None

    def varies(self) -> dict[str, str]:
        """Return what this study declares of its training beside loss, view and point, by name, for its runs' ids."""
        own = {"sampler": self.sampler, "prompts": dict(sorted(self.prompts.items())), "frozen": tuple(self.frozen)}
        plain = {name: repr(value) for name, value in own.items() if value}
        plain |= {} if self.settings == DEFAULTS else {"settings": repr(self.settings)}
        return plain if self.adapters is None else {**plain, "adapters": digest(self.adapters)}

    def sweep(self, **values: Iterable[Any]) -> list[Study]:
        """Return one study per value, or per combination of values, named after them: "mnr scale=20".

        Args:
            values: by name, the values of one of this study's fields (`view`, `pooling`, `rows`, `source`, `sampler`,
                `mixing`), of `batch_size` or `lr`, of one of its settings, or else of an argument of the loss.

        Raises:
            StudyFileError: there are no values, or the loss does not take such an argument.
        """
        lists = {name: list(each) for name, each in values.items()}
        if not lists or not all(lists.values()):
            raise StudyFileError(
                f"study {self.name!r}: sweep({', '.join(lists)}) has no values; give sweep(scale=[10, 20])"
            )
        return [self._with(dict(zip(lists, chosen, strict=True))) for chosen in itertools.product(*lists.values())]

    def _with(self, values: Mapping[str, Any]) -> Study:
        texts = {key: f"{value:g}" if isinstance(value, float) else value for key, value in values.items()}
        suffix = " ".join(f"{key}={text}" for key, text in texts.items())
        own = {key: value for key, value in values.items() if key in FIELDS}
        fixed = {key: value for key, value in values.items() if key in TUNED}
        settings = {key: value for key, value in values.items() if key in SETTINGS}
        arguments = {key: value for key, value in values.items() if key not in {*own, *fixed, *settings}}
        numbers = [(key, value) for key, value in values.items() if isinstance(value, int | float)]
        return replace(
            self,
            name=f"{self.name} {suffix}",
            loss=_given(self, arguments) if arguments else self.loss,
            fixed={**self.fixed, **fixed},
            settings=replace(self.settings, **settings),
            swept=Swept(self.name, *numbers[0]) if len(numbers) == len(values) == 1 else None,
            **own,
        )


def _reads(part: Part) -> str:
    """Return a part's view and what it declares of its rows, for tables."""
    own = [str(part.source)] if part.source else []
    own += [f"prompt {text!r} for {column}" for column, text in part.prompts.items()]
    return f"{part.name} ({', '.join([named(part.view).name, *own])})"


def _differs(study: Study, name: str) -> bool:
    return bool(getattr(study.settings, name) != getattr(DEFAULTS, name))


FIELDS = ("view", "pooling", "rows", "source", "sampler", "mixing")
"""The fields that a sweep may vary."""

TUNED = ("batch_size", "lr")
"""The dimensions that every study has."""


def _given(study: Study, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a study's loss with these arguments."""
    if study.loss is None:
        raise StudyFileError(
            f"study {study.name!r}: it is not known which part's loss {', '.join(arguments)} is for; declare a study "
            "with other parts for each value"
        )
    if isinstance(study.loss, Loss):
        return study.loss.given(**arguments)
    if problem := unknown(study.loss, arguments):
        raise StudyFileError(f"study {study.name!r}: {problem}")
    return partial(study.loss, **arguments)
