"""Testbeds: what a study runs on. Declarations only; `materials` fetches and loads what they name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness import embedded as made_here
from harness.errors import StudyFileError

EMBEDDED = "embedded"
"""The repository of a Ref to what the project makes itself; `config` is then the folder in it, or `MODEL`."""

MODEL = "model"
"""The `config` of a Ref to the base model that ships with the package."""


Pooling: TypeAlias = Literal["mean", "cls", "max"]

POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "max")


@dataclass(frozen=True)
class Ref:
    """A pinned repository of the hub; for data sets, which configuration and split of it, and which files that takes.

    `score_range` is the scale of an STS set's scores, `patterns` what to download (all of it if empty), `labels` what
    the integers of an NLI set's labels stand for, by position, where the data set does not name them.
    """

    repo: str
    revision: str
    config: str | None = None
    split: str | None = None
    patterns: tuple[str, ...] = ()
    score_range: tuple[float, float] = (0.0, 1.0)
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        part = "/".join(piece for piece in (self.config, self.split) if piece)
        return f"{self.repo}{' ' + part if part else ''} at {self.revision[:12]}"


SEALED = Ref("sealed", "no test set")
"""Stands where a tuning run's testbed would name the test set; `materials` refuses to read it."""


@dataclass(frozen=True)
class Testbed:
    """Base model, training rows, dev set and test sets of an ablation.

    `rows` is an NLI set with columns premise, hypothesis, label, or several that are mixed, each in its share of all;
    `max_rows` is how many of the first rows are trained on.
    `dev` and `test` are STS sets with columns sentence1, sentence2 and score (GLUE's `label`). `tasks` are names that
    mteb knows. `pooling` is added to a base model that has no modules.json (the mean if None), and takes the place of
    the pooling of one that has. `max_dropped` is the share of a view's rows that may be left out because no loss can
    train on them; above it the audit refuses. `lr_scale` multiplies a study file's learning rates, which are meant for
    a BERT base. `trials` and `seeds`, where given, stand in for the study file's when `--testbed` moves a run here, so
    that it takes minutes.
    `contents` are the hashes of what its parts hold, by part, once they were read (`harness.store.contents`).
    """

    __test__ = False  # pytest would collect it by its name

    name: str
    model: Ref
    rows: Ref | tuple[Ref, ...]
    dev: Ref
    test: Ref
    tasks: tuple[str, ...]
    max_rows: int
    pooling: Pooling | None = None
    lr_scale: float = 1.0
    trials: int | None = None
    seeds: int | None = None
    max_dropped: float = 0.01
    contents: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.max_dropped <= 1:
            raise StudyFileError(f"testbed {self.name!r}: max_dropped={self.max_dropped!r}; a share is from 0 to 1")

    @property
    def sources(self) -> tuple[Ref, ...]:
        """The sets that the rows are of: one, or several that are mixed."""
        return self.rows if isinstance(self.rows, tuple) else (self.rows,)

    def revisions(self) -> dict[str, str]:
        """Say, for people, what the testbed is made of, by part; a sealed testbed has no test."""
        rows = " + ".join(map(str, self.sources))
        pooled = f" {self.pooling}-pooled" if self.pooling else ""
        parts = {"model": f"{self.model}{pooled}", "rows": rows, "dev": str(self.dev)}
        return parts if self.test == SEALED else {**parts, "test": str(self.test)}

    def declared(self) -> dict[str, str]:
        """Return all that is said of each part: two testbeds that say the same of a part read the same."""
        parts = {"model": repr(self.model), "rows": repr(self.sources), "dev": repr(self.dev)}
        return parts if self.test == SEALED else {**parts, "test": repr(self.test)}

    def identity(self) -> dict[str, str]:
        """Return what decides a run's training and its dev and test scores, by part: its content where it is known."""
        parts = {**self.declared(), **{part: found for part, found in self.contents if part in self.declared()}}
        return {**parts, "pooling": self.pooling or "the model's own"}

    def sealed(self) -> Testbed:
        """Return the testbed without test set and tasks: all that a tuning run is given."""
        return replace(self, test=SEALED, tasks=())


_GLUE = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

book = Testbed(
    name="book",
    model=Ref("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"),
    rows=Ref("nyu-mll/glue", _GLUE, "mnli", "train", ("README.md", "mnli/*")),
    dev=Ref("nyu-mll/glue", _GLUE, "stsb", "validation", ("README.md", "stsb/*"), (0.0, 5.0)),
    test=Ref("sentence-transformers/stsb", "ab7a5ac0e35aa22088bdcf23e7fd99b220e53308", None, "test"),
    # One task of each further kind, the cheapest in texts to encode that ANCHORS-style published tables cover.
    tasks=(
        *("STS12", "STS13", "STS14", "STS15", "STS16", "SICK-R", "BIOSSES", "Banking77Classification"),
        *("TwitterSemEval2015", "AskUbuntuDupQuestions", "TwentyNewsgroupsClustering.v2", "NFCorpus"),
    ),
    max_rows=50_000,
)

ALL_NLI = Ref(
    "sentence-transformers/all-nli",
    "d482672c8e74ce18da116f430137434ba2e52fab",
    "pair-class",
    "train",
    ("README.md", "pair-class/*"),
)
"""SNLI and MNLI together: 942,069 rows."""

SNLI = Ref(
    "stanfordnlp/snli",
    "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    "plain_text",
    "train",
    ("README.md", "plain_text/*"),
)

nli = replace(book, name="nli", rows=ALL_NLI, max_rows=1_000_000)

_MADE = made_here.fingerprint()

embedded = Testbed(
    name="embedded",
    model=Ref(EMBEDDED, made_here.MODEL_HASH, MODEL),
    rows=Ref(EMBEDDED, _MADE, "nli", "train"),
    dev=Ref(EMBEDDED, _MADE, "sts", "dev", score_range=(0.0, 5.0)),
    test=Ref(EMBEDDED, _MADE, "sts", "test", score_range=(0.0, 5.0)),
    tasks=made_here.TASK_NAMES,
    max_rows=50_000,
    lr_scale=8.0,  # measured: untuned, at the book's batch size, its losses come out as the book's do at 4e-4
    trials=3,
    seeds=4,
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
