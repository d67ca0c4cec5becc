"""Testbeds: base model, training rows and measures, as declarations; `materials` fetches and loads them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from harness import embedded as made_here
from harness.errors import StudyFileError
from harness.testbeds import measures, sources
from harness.testbeds.measure_kinds import Measure, Mteb, Own, headline, names_of_scores
from harness.testbeds.refs import EMBEDDED, MODEL, Ref, folder_of_caller, model_ref
from harness.testbeds.sources import Source

__all__ = [
    "ALL",
    "ALL_NLI",
    "POOLINGS",
    "SNLI",
    "Pooling",
    "Testbed",
    "book",
    "by_name",
    "embedded",
    "measures",
    "nli",
    "sources",
]

Pooling: TypeAlias = Literal["mean", "cls", "max"]

POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "max")


@dataclass(frozen=True)
class Testbed:
    """Base model, training rows and measures of an ablation.

    Raises:
        StudyFileError: a part is of a wrong type, two measures share a name, or `max_dropped` is not between 0 and 1.
    """

    __test__ = False  # pytest would collect it by its name

    name: str
    """Name in reports and of the default store's folder."""
    model: Ref | str
    """The base model, a finished one or not: an id of the hub, "id@revision", or a folder; it is loaded as it is."""
    source: Source
    """The rows that studies train on, unless a study names its own."""
    dev: Measure
    """What tuning maximises."""
    test: Measure | None
    """What verdicts rest on, scored in final runs only; None in a tuning run, which must not know it."""
    also: Sequence[Measure | str] = ()
    """What final runs are scored by besides: measures, or names of mteb tasks."""
    max_rows: int | None = None
    """Train on this number of the first rows; on all if None."""
    pooling: Pooling | None = None
    """Pooling of the base model, instead of that of its modules.json; without either it is the mean."""
    lr_scale: float = 1.0
    """Factor for the study file's learning rates, which are meant for a BERT base."""
    trials: int | None = None
    """Trials instead of the study file's if the testbed is chosen with `--testbed`."""
    seeds: int | None = None
    """Final seeds instead of the study file's if the testbed is chosen with `--testbed`."""
    max_dropped: float = 0.01
    """Largest share of a view's rows that may be unusable; above it the audit refuses to run."""
    contents: tuple[tuple[str, str], ...] = ()
    """Content hashes of what was read, by what `declared` says of it (`harness.store.contents`)."""

    def __post_init__(self) -> None:
        where = f"testbed {self.name!r}"
        if isinstance(self.model, str):
            object.__setattr__(self, "model", model_ref(self.model, folder_of_caller()))
        if isinstance(self.also, Sequence) and not isinstance(self.also, str):
            object.__setattr__(self, "also", tuple(self.also))
        if not 0 <= self.max_dropped <= 1:
            raise StudyFileError(f"{where}: max_dropped={self.max_dropped!r}; a share is from 0 to 1")
        if self.max_rows is not None and self.max_rows < 1:
            raise StudyFileError(f"{where}: max_rows={self.max_rows!r}; training needs at least 1 row")
        if not isinstance(self.model, Ref):
            raise StudyFileError(f"{where}: model={self.model!r}; give an id of the hub, 'id@revision' or a folder")
        if not isinstance(self.source, Source):
            raise StudyFileError(
                f"{where}: source={self.source!r}; give one of harness.sources, e.g. sources.file(PATH)"
            )
        self._check_measures(where)

    def _check_measures(self, where: str) -> None:
        """Raise StudyFileError unless dev, test and also are measures with different names."""
        kinds = get_args(Measure)
        for part, measure in (("dev", self.dev), ("test", self.test)):
            if not isinstance(measure, kinds) and (part == "dev" or measure is not None):
                hint = (
                    f"write {part}=measures.mteb({measure!r})" if isinstance(measure, str) else "e.g. measures.sts(...)"
                )
                raise StudyFileError(f"{where}: {part}={measure!r}; give one of harness.measures, {hint}")
        if not isinstance(self.also, tuple):
            raise StudyFileError(f"{where}: also={self.also!r}; give a list of measures and names of mteb tasks")
        for measure in self.also:
            if not isinstance(measure, (str, *kinds)):
                raise StudyFileError(f"{where}: also contains {measure!r}; give measures and names of mteb tasks")
        names = [measure.name for measure in self.measures] + [f"mteb/{task}" for task in self.tasks]
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise StudyFileError(f"{where}: two of its measures have the name {twice!r}; give each its own with name=")

    @property
    def base(self) -> Ref:
        """The base model."""
        assert isinstance(self.model, Ref)
        return self.model

    @property
    def limit(self) -> int:
        """The number of first rows to train on, as large as any number of rows if it is not limited."""
        return sys.maxsize if self.max_rows is None else self.max_rows

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All measures: dev, test if it is not sealed, and those of `also`."""
        own = [self.dev] if self.test is None else [self.dev, self.test]
        return (*own, *self.besides)

    @property
    def besides(self) -> tuple[Measure, ...]:
        """The measures of `also`."""
        return tuple(measure for measure in self.also if not isinstance(measure, str))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of mteb tasks in `also`."""
        return tuple(task for task in self.also if isinstance(task, str))

    def with_tasks(self, tasks: Sequence[str]) -> Testbed:
        """Return the testbed with other mteb tasks; its own measures stay."""
        return replace(self, also=(*self.besides, *tasks))

    @property
    def objective(self) -> str:
        """Name of the score that tuning maximises."""
        return headline(self.dev)

    @property
    def headline(self) -> str:
        """Name of the score that verdicts are about.

        Raises:
            StudyFileError: the testbed is a tuning run's, which has no test measure.
        """
        if self.test is None:
            raise StudyFileError(f"testbed {self.name!r} has no test measure; give test=")
        return headline(self.test)

    def measure_of(self, figure: str) -> Measure | None:
        """Return the measure of a score's name; None for a task of mteb in `also`, and for an unknown name."""
        return next((measure for measure in self.measures if figure in names_of_scores(measure)), None)

    def keeps_items(self, figure: str) -> bool:
        """Return whether records may keep predictions for the items of a score."""
        measure = self.measure_of(figure)
        return measure is not None and figure.removeprefix(f"{measure.name}/") in measure.kept

    def needs_items(self, figure: str) -> bool:
        """Return whether a record without predictions for the items of a score is damaged.

        A function of the study file may return one number and no value for each item.
        """
        return self.keeps_items(figure) and not isinstance(self.measure_of(figure), Own)

    def revisions(self) -> dict[str, str]:
        """Describe the testbed by part; a sealed testbed has no test measure."""
        pooled = f" {self.pooling}-pooled" if self.pooling else ""
        parts = {"model": f"{self.model}{pooled}", "rows": str(self.source), "dev": described(self.dev)}
        return parts if self.test is None else {**parts, "test": described(self.test)}

    def declared(self) -> dict[str, str]:
        """Return all that is said of each part: two testbeds that say the same of a part read the same."""
        parts = {"model": repr(self.model), "rows": repr(self.source), "dev": repr(self.dev)}
        return parts if self.test is None else {**parts, "test": repr(self.test)}

    def hashes(self) -> dict[str, str]:
        """Return the content hashes of the parts that were read, by part."""
        by_text = dict(self.contents)
        return {part: by_text[text] for part, text in self.declared().items() if text in by_text}

    def content_of(self, measure: Measure) -> str | None:
        """Return the content hash of a measure, None if it was not read, or is a task of mteb, which pins its data."""
        return dict(self.contents).get(repr(measure))

    def identity(self) -> dict[str, str]:
        """Return what decides a run's training and its dev and test scores, by part: its content where it is known."""
        parts = {**self.declared(), **self.hashes(), "objective": self.objective}
        named = parts if self.test is None else {**parts, "headline": self.headline}
        return {**named, "pooling": self.pooling or "the model's own"}

    def sealed(self) -> Testbed:
        """Return the testbed without test measure and further measures: all that a tuning run is given."""
        hidden = {repr(measure) for measure in self.measures if measure is not self.dev} - {repr(self.dev)}
        contents = tuple((text, content) for text, content in self.contents if text not in hidden)
        return replace(self, test=None, also=(), contents=contents)


def described(measure: Measure) -> str:
    """Describe a measure's data for readers: where its rows come from."""
    if isinstance(measure, Mteb):
        return f"mteb task {measure.name.removeprefix('mteb/')}"
    for field in ("source", "test", "hub", "folder"):
        if origin := getattr(measure, field, None):
            return str(origin)
    return f"function {getattr(measure, 'name', '')}"


def _sts(name: str, ref: Ref, score: str = "score", highest: float = 5.0) -> Measure:
    return measures.sts(sources.Hub(ref), name, columns=("sentence1", "sentence2", score), range=(0.0, highest))


_GLUE = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

book = Testbed(
    name="book",
    model=Ref("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"),
    source=sources.nli(sources.Hub(Ref("nyu-mll/glue", _GLUE, "mnli", "train", ("README.md", "mnli/*")))),
    dev=_sts("stsb-dev", Ref("nyu-mll/glue", _GLUE, "stsb", "validation", ("README.md", "stsb/*")), "label"),
    test=_sts(
        "stsb-test",
        Ref("sentence-transformers/stsb", "ab7a5ac0e35aa22088bdcf23e7fd99b220e53308", None, "test"),
        highest=1.0,
    ),
    # One task of each further kind, the cheapest in texts to encode that ANCHORS-style published tables cover.
    also=(
        *("STS12", "STS13", "STS14", "STS15", "STS16", "SICK-R", "BIOSSES", "Banking77Classification"),
        *("TwitterSemEval2015", "AskUbuntuDupQuestions", "TwentyNewsgroupsClustering.v2", "NFCorpus"),
    ),
    max_rows=50_000,
)

ALL_NLI = sources.hub(
    "sentence-transformers/all-nli",
    "pair-class",
    revision="d482672c8e74ce18da116f430137434ba2e52fab",
    files=("README.md", "pair-class/*"),
)
"""SNLI and MNLI together: 942,069 rows."""

SNLI = sources.hub(
    "stanfordnlp/snli",
    "plain_text",
    revision="cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    files=("README.md", "plain_text/*"),
)

nli = replace(book, name="nli", source=sources.nli(ALL_NLI), max_rows=None)

_MADE = made_here.fingerprint()

embedded = Testbed(
    name="embedded",
    model=Ref(EMBEDDED, made_here.MODEL_HASH, MODEL),
    source=sources.nli(sources.Hub(Ref(EMBEDDED, _MADE, "nli", "train"))),
    dev=_sts("stsb-dev", Ref(EMBEDDED, _MADE, "sts", "dev")),
    test=_sts("stsb-test", Ref(EMBEDDED, _MADE, "sts", "test")),
    also=made_here.TASK_NAMES,
    max_rows=50_000,
    lr_scale=8.0,  # measured: untuned, at the book's batch size, its losses come out as the book's do at 4e-4
    trials=3,
    seeds=5,
)


def embedded_task(name: str) -> Ref:
    """Return where the data of a task of the embedded testbed are."""
    return Ref(EMBEDDED, _MADE, f"tasks/{name}")


ALL = {testbed.name: testbed for testbed in (book, nli, embedded)}


def by_name(name: str) -> Testbed:
    """Return the testbed of that name; raise StudyFileError, naming those there are, if there is none."""
    if name not in ALL:
        raise StudyFileError(f"unknown testbed {name!r}; choose from {', '.join(ALL)}")
    return ALL[name]


def __getattr__(name: str) -> Testbed:
    """Raise AttributeError, naming the testbeds there are, for `testbeds.NAME` that is none."""
    raise AttributeError(f"unknown testbed {name!r}; choose from {', '.join(ALL)}")
