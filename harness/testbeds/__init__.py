"""Testbeds: base model, training rows, dev set and test sets, as declarations; `materials` fetches and loads them."""

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
    """A pinned model or data set of the hub."""

    repo: str
    """Repository on the hub."""
    revision: str
    """Commit of the repository."""
    config: str | None = None
    """Configuration of the data set."""
    split: str | None = None
    """Split of the data set."""
    patterns: tuple[str, ...] = ()
    """Files to download; all if empty."""
    score_range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest possible score of an STS set."""
    labels: tuple[str, ...] = ()
    """Meaning of the integer labels of an NLI set, by position, if the data set does not name them."""

    def __str__(self) -> str:
        part = "/".join(piece for piece in (self.config, self.split) if piece)
        return f"{self.repo}{' ' + part if part else ''} at {self.revision[:12]}"


SEALED = Ref("sealed", "no test set")
"""Placeholder for the test set in a tuning run's testbed; `materials` refuses to read it."""


@dataclass(frozen=True)
class Testbed:
    """Base model, training rows, dev set and test sets of an ablation.

    Raises:
        StudyFileError: `max_dropped` is not between 0 and 1.
    """

    __test__ = False  # pytest would collect it by its name

    name: str
    """Name in reports and of the default store's folder."""
    model: Ref
    """The base model."""
    rows: Ref | tuple[Ref, ...]
    """NLI set with columns premise, hypothesis, label; several sets are mixed in proportion to their sizes."""
    dev: Ref
    """STS set with columns sentence1, sentence2 and score (GLUE's `label`), for tuning."""
    test: Ref
    """STS set of the same form, for the final runs."""
    tasks: tuple[str, ...]
    """Names of mteb tasks to evaluate in the final runs."""
    max_rows: int
    """Train on this number of the first rows."""
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
    """Content hashes by part, once they were read (`harness.store.contents`)."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_dropped <= 1:
            raise StudyFileError(f"testbed {self.name!r}: max_dropped={self.max_dropped!r}; a share is from 0 to 1")

    @property
    def sources(self) -> tuple[Ref, ...]:
        """The sets that the rows are of: one, or several that are mixed."""
        return self.rows if isinstance(self.rows, tuple) else (self.rows,)

    def revisions(self) -> dict[str, str]:
        """Describe the testbed by part; a sealed testbed has no test set."""
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
