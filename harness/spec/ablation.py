"""Ablation: the studies of a study file, their common search space and budget, and the expectations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from harness.errors import StudyFileError
from harness.identity import paths_in
from harness.spec.budget import Budget
from harness.spec.decisions import decisions, of_view
from harness.spec.expectations import Beats, Expectation, InOrder
from harness.spec.mistakes import listed_expectations, listed_studies
from harness.spec.names import FOLDER_NAME, names_a_folder
from harness.spec.parts import Part
from harness.spec.space import BOOK_DEFAULT, Choice, Dimension, LogUniform, Point, Space, Value
from harness.spec.study import UNTRAINED, Study
from harness.spec.views import VIEWS, named
from harness.testbeds import Testbed
from harness.testbeds.sources import Source

Precision: TypeAlias = Literal["auto", "bf16", "fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp16", "fp32")

T = TypeVar("T")


class _Listed(tuple[T, ...]):
    """A tuple to which a list can be added: `all_losses.studies + [...]`."""

    def __add__(self, more: Iterable[T]) -> _Listed[T]:  # type: ignore[override]
        return _Listed((*self, *more))


@dataclass(frozen=True)
class Ablation:
    """The content of a study file.

    Raises:
        StudyFileError: it is inconsistent; the message says what is wrong and how to fix it.
    """

    name: str
    """Name in reports and of the default store's folder."""
    testbed: Testbed
    """Base model, training rows and measures."""
    studies: Sequence[Study]
    """The variants to compare, in the order of the report."""
    space: Space
    """The search space of batch size and learning rate, common to all studies."""
    budget: Budget = field(default_factory=Budget)
    """The training budget of each study."""
    expect: Sequence[Expectation] = ()
    """Expectations that the final runs are judged by."""
    default: Point = BOOK_DEFAULT
    """The point that every study tries first; results are also reported there, untuned. A `default=` of the space's
    batch sizes or learning rates replaces the point's value."""
    precision: Precision = "auto"
    """Training precision; "auto" is bf16 or fp16 on devices where it is faster. A driver resolves it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hashes, by name, of the files and models that losses and views name; set by the driver."""

    def __post_init__(self) -> None:
        where = f"ablation {self.name!r}"
        object.__setattr__(self, "studies", _Listed(listed_studies(where, self.studies)))
        object.__setattr__(self, "expect", _Listed(listed_expectations(where, self.expect)))
        if not names_a_folder(self.name):
            raise StudyFileError(f"ablation name {self.name!r}: it is used for folders: {FOLDER_NAME}")
        if not isinstance(self.testbed, Testbed):
            raise StudyFileError(
                f"ablation {self.name!r}: testbed={self.testbed!r}; give one of harness.testbeds, e.g. testbeds.book"
            )
        if not names_a_folder(self.testbed.name):
            raise StudyFileError(f"testbed name {self.testbed.name!r}: it is used for folders: {FOLDER_NAME}")
        self._take_defaults_of_space()
        if not self.studies:
            raise StudyFileError(f"ablation {self.name!r}: no studies; declare at least one Study(...)")
        names = [study.name for study in self.studies]
        comparable = {*names, UNTRAINED}
        if len(comparable) <= len(names):
            twice = next(name for index, name in enumerate(names) if name in names[:index])
            raise StudyFileError(f"ablation {self.name!r}: two studies are named {twice!r}; give each a unique name")
        if self.precision not in PRECISIONS:
            raise StudyFileError(
                f"ablation {self.name!r}: precision={self.precision!r}; choose from {', '.join(PRECISIONS)}"
            )
        self._check_views()
        self._check_budget()
        for study in self.studies:
            self._check_mining(study)
        for expectation in self.expect:
            for name in expectation.studies:
                if name not in comparable:
                    raise StudyFileError(
                        f"expectation '{expectation}': no study {name!r}; there are {', '.join((*names, UNTRAINED))}"
                    )
            self._check_figure(expectation)

    def _check_figure(self, expectation: Expectation) -> None:
        """Raise StudyFileError if studies are to be compared by a score whose items' values no record keeps."""
        figure, measure = expectation.figure, self.testbed.measure_of(expectation.figure or "")
        if figure is None or not isinstance(expectation, (InOrder, Beats)):
            return
        if figure.startswith("mteb/") or (measure is not None and not self.testbed.keeps_items(figure)):
            raise StudyFileError(
                f"expectation '{expectation}': no values per item are kept of {figure}, so a difference would have no "
                "interval over items. Claim keeps(...), which is judged over seeds, or another figure: "
                f"{', '.join(f'{m.name}/{kept}' for m in self.testbed.measures for kept in m.kept)}"
            )

    def _take_defaults_of_space(self) -> None:
        """Set the default point to the defaults that the space declares; raise StudyFileError if both disagree."""
        if not isinstance(self.space, Space):
            raise StudyFileError(
                f"ablation {self.name!r}: space={self.space!r}; "
                "write Space(batch_size=choice(16, 32), lr=log_uniform(1e-6, 2e-4))"
            )
        untuned = self.space.untuned(self.default)
        if self.default not in (BOOK_DEFAULT, untuned):
            raise StudyFileError(
                f"ablation {self.name!r}: default={self.default!r}, but the space's own defaults (default= of choice "
                f"and log_uniform) make it {untuned!r}; give one of the two, or the same values in both"
            )
        object.__setattr__(self, "default", untuned)

    def _check_views(self) -> None:
        """Raise StudyFileError if two different views have the same name, as tables could not distinguish them."""
        by_name = dict(VIEWS)
        for title, part in (item for study in self.studies for item in study.by_title.items()):
            view = named(part.view)
            other = by_name.setdefault(view.name, view)
            if view is not other and of_view(title, view) != of_view(title, other):
                owner = "a built-in view" if view.name in VIEWS else "another view of this ablation"
                raise StudyFileError(
                    f"study {title!r}: its view has the name {view.name!r} of {owner}, but makes other rows; "
                    "give it a unique name"
                )

    def _check_budget(self) -> None:
        """Raise StudyFileError for a budget of examples and a study with parts, whose batches differ in size."""
        for study in self.studies:
            has_epochs = study.settings.epochs is not None or "epochs" in study.options
            if study.parts and self.budget.examples is not None and not has_epochs:
                raise StudyFileError(
                    f"study {study.name!r}: budget: examples={self.budget.examples!r} cannot be divided among its "
                    "parts; give the budget in epochs, or this study settings=Settings(epochs=1)"
                )

    def _check_mining(self, study: Study) -> None:
        """Raise StudyFileError if negatives are mined by an unknown study, or by one whose negatives are also mined."""
        miner = study.miner
        if miner in (None, UNTRAINED):
            return
        plain = [other.name for other in self.studies if other.miner in (None, UNTRAINED) and not other.parts]
        if miner not in plain:
            raise StudyFileError(
                f"study {study.name!r}: its negatives are mined by {miner!r}; choose {UNTRAINED!r} or a study of this "
                f"ablation whose own negatives are not mined by a study: {', '.join(plain) or 'there is none'}"
            )

    def decides(self, study: Study) -> dict[str, Any]:
        """Return the digests of a study's losses and views, and what else it declares of its training.

        Raises:
            StudyFileError: a loss or a view has no content that other processes can find again.
        """
        if study.name not in self._decided:
            self._decided[study.name] = decisions(study, self.testbed, self.files)
        return self._decided[study.name]

    @cached_property
    def _decided(self) -> dict[str, dict[str, Any]]:
        return {}

    def names_files(self) -> list[str]:
        """Return the names of files, models and hub repositories that the studies' losses and views may read."""
        for study in self.studies:
            self.decides(study)  # raises StudyFileError for a loss without a digest
        parts = [part for study in self.studies for part in study.all_parts]
        things = [thing for part in parts for thing in (part.loss, named(part.view).build)]
        return sorted({path for thing in things for path in paths_in(thing)})

    def study(self, name: str) -> Study:
        """Return the study of that name.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Study]:
        return {study.name: study for study in self.studies}

    def testbed_of(self, name: str) -> Testbed:
        """Return the testbed with the source, the pooling and the number of rows of a study (or "untrained").

        Of a study with parts, the source is that of the first (`testbed_of_part` has each).
        """
        if name == UNTRAINED:
            return self.testbed
        study, bed = self.study(name), self.testbed
        return replace(
            bed,
            source=study.all_parts[0].source or bed.source,
            pooling=study.pooling or bed.pooling,
            max_rows=min((rows for rows in (study.rows, bed.max_rows) if rows is not None), default=None),
        )

    def testbed_of_part(self, name: str, part: Part) -> Testbed:
        """Return the testbed of a study with the source of one of its parts, of `Study.all_parts`."""
        return replace(self.testbed_of(name), source=part.source or self.testbed.source)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that studies have of their own."""
        parts = [part for study in self.studies for part in study.all_parts]
        return tuple(dict.fromkeys(part.source for part in parts if part.source is not None))

    def dimensions(self, study: Study) -> dict[str, Dimension]:
        """Return everything that a study is tuned over on this testbed, by name: batch_size, lr, its own options."""
        space = self.space.scaled(self.testbed.lr_scale)
        tuned: dict[str, Dimension] = {"batch_size": space.batch_size, "lr": space.lr}
        tuned |= {name: Choice((value,)) for name, value in self._fixed(study).items()}
        return {**tuned, **dict(sorted(study.options.items()))}

    def _fixed(self, study: Study) -> dict[str, Value]:
        """Return a study's fixed values, with the learning rate scaled for this testbed."""
        scaled = {"lr": float(f"{float(study.fixed['lr']) * self.testbed.lr_scale:.4g}")} if "lr" in study.fixed else {}
        return {**study.fixed, **scaled}

    def default_point(self, study: Study) -> Point:
        """Return the untuned point of a study on this testbed."""
        options = {name: dimension.start for name, dimension in study.options.items()}
        lr = float(f"{self.default.lr * self.testbed.lr_scale:.4g}")
        return Point.from_dict(
            {
                **options,
                **dict(self.default.options),
                "batch_size": self.default.batch_size,
                "lr": lr,
                **self._fixed(study),
            }
        )

    def distinct_points(self, study: Study) -> float:
        """Return how many points a study's space holds, infinity if a dimension is continuous."""
        if any(isinstance(dimension, LogUniform) for dimension in self.dimensions(study).values()):
            return math.inf
        return len({*self.grid(study), self.default_point(study)})

    def grid(self, study: Study) -> list[Point]:
        """Return every point of a space that has no continuous dimension."""
        points: list[dict[str, Value]] = [{}]
        for name, dimension in self.dimensions(study).items():
            assert isinstance(dimension, Choice)
            points = [{**point, name: value} for point in points for value in dimension.values]
        return [Point.from_dict(point) for point in points]

    def trials(self, study: Study) -> int:
        """Return how many trials a study gets: the budget's, or fewer where its space has no more points."""
        return int(min(self.budget.trials, self.distinct_points(study)))


def restrict(
    ablation: Ablation,
    *,
    testbed: Testbed | None = None,
    rows: int | None = None,
    tasks: Sequence[str] | None = None,
    precision: Precision | None = None,
    **budget: float | None,
) -> Ablation:
    """Return the ablation with options of the command line in place of its own values.

    Args:
        ablation: the ablation of the study file.
        testbed: another testbed; its own `trials` and `seeds` apply unless given here.
        rows: number of training rows.
        tasks: mteb tasks to evaluate.
        precision: training precision.
        budget: fields of `Budget` by name; None leaves the ablation's own.
    """
    bed = testbed or ablation.testbed
    bed = replace(bed if tasks is None else bed.with_tasks(tasks), max_rows=bed.max_rows if rows is None else rows)
    own = {} if testbed is None else {"trials": testbed.trials, "seeds": testbed.seeds}
    given: dict[str, Any] = {name: number for name, number in budget.items() if number is not None}
    changed = replace(ablation.budget, **({name: n for name, n in own.items() if n is not None} | given))
    return replace(ablation, testbed=bed, budget=changed, precision=precision or ablation.precision)
