"""Expectations of a study file: orders of studies, gains, and published scores. They are validated on creation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from harness.errors import StudyFileError

At: TypeAlias = Literal["best", "default", "tuned"]
"""What a claim is about.

"best": the best points that this tuning found. "default": the untuned default point. "tuned": the studies as they are
after tuning with this budget, whatever points another tuning would find; it needs `Budget(tunings=2)` or more.
"""


@dataclass(frozen=True)
class InOrder:
    """Each study beats the one before it."""

    studies: tuple[str, ...]
    """Names of the studies, worst first."""
    at: At = "best"
    """Which final runs are compared."""
    figure: str | None = None
    """The score that is compared; the testbed's headline if None."""

    def __str__(self) -> str:
        return " < ".join(self.studies) + _where(self.at, self.figure)

    def steps(self) -> list[Beats]:
        """Return the claims that the order consists of: each study beats the one before it."""
        return [Beats(better, worse, at=self.at, figure=self.figure) for worse, better in pairwise(self.studies)]


@dataclass(frozen=True)
class Beats:
    """Study `better` beats study `worse`."""

    better: str
    """Name of the study with the higher score."""
    worse: str
    """Name of the study with the lower score."""
    by: float = 0.0
    """The smallest difference, on a 0 to 1 scale."""
    at: At = "best"
    """Which final runs are compared."""
    figure: str | None = None
    """The score that is compared; the testbed's headline if None."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies, worse first."""
        return (self.worse, self.better)

    def __str__(self) -> str:
        if self.by < 0:
            return f"{self.better} at most {-self.by:g} below {self.worse}{_where(self.at, self.figure)}"
        by = f" by {self.by:g}" if self.by else ""
        return f"{self.better} beats {self.worse}{by}{_where(self.at, self.figure)}"


@dataclass(frozen=True)
class Keeps:
    """Study `better` is not lower than study `worse` by more than a tolerance: it has not forgotten a figure."""

    better: str
    """Name of the study that may have forgotten."""
    worse: str
    """Name of the study, mostly "untrained", whose score it should keep."""
    within: float
    """The largest loss that counts as kept, on a 0 to 1 scale."""
    figure: str | None = None
    """The score that is compared; the testbed's headline if None."""
    at: At = "best"
    """Which final runs are compared."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies, the one to keep up with first."""
        return (self.worse, self.better)

    def __str__(self) -> str:
        return f"{self.better} keeps {self.worse} within {self.within:g}{_where(self.at, self.figure)}"


@dataclass(frozen=True, kw_only=True)
class _OfScore:
    """An expectation about one study and a number."""

    study: str
    """Name of the study, or "untrained"."""
    score: float
    """The published score, or the score to reach, on a 0 to 1 scale."""
    figure: str | None = None
    """The score that is compared; the testbed's headline if None."""
    source: str = ""
    """Where the score was published."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Name of the study, as other expectations have several."""
        return (self.study,)

    def _particulars(self) -> str:
        parts = [part for part in (self.figure, self.source) if part]
        return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True, kw_only=True)
class Within(_OfScore):
    """A study's figure agrees with a published score."""

    tolerance: float
    """The largest deviation that counts as agreement, on a 0 to 1 scale."""

    def __str__(self) -> str:
        return f"{self.study} within {self.tolerance:g} of {self.score:g}{self._particulars()}"


class AtLeast(_OfScore):
    """A study's figure reaches a score."""

    def __str__(self) -> str:
        return f"{self.study} at least {self.score:g}{self._particulars()}"


_WHERE: dict[At, str] = {"best": "", "default": " at the default point", "tuned": " after tuning"}


def _where(at: At, figure: str | None) -> str:
    return _WHERE.get(at, "") + (f" ({figure})" if figure else "")


Expectation: TypeAlias = InOrder | Beats | Keeps | Within | AtLeast


def in_order(*studies: str, at: At = "best", figure: str | None = None) -> InOrder:
    """Expect each study to beat the one named before it.

    Args:
        studies: names of the studies, worst first.
        at: "best" compares the studies at their best points, "default" untuned at their default points, "tuned" after
            several tunings (`Budget(tunings=...)`), so that the luck of tuning counts.
        figure: a score with values per item, e.g. "medquad-test/mrr@10"; the testbed's headline if None.

    Raises:
        StudyFileError: there are fewer than two studies, or `at` or `figure` is not one of the possible values.
    """
    if len(studies) < 2:
        raise StudyFileError(f"in_order{studies}: an order needs at least two studies")
    expectation = InOrder(studies, at, figure)
    _refuse_place(expectation)
    return expectation


def beats(better: str, worse: str, by: float = 0.0, *, at: At = "best", figure: str | None = None) -> Beats:
    """Expect one study to beat another.

    Args:
        better: name of the study with the higher score.
        worse: name of the study with the lower score, or "untrained".
        by: the smallest difference, on a 0 to 1 scale: one point of a table is 0.01. A negative value tolerates a loss.
        at: "best" compares the studies at their best points, "default" untuned at their default points, "tuned" after
            several tunings (`Budget(tunings=...)`), so that the luck of tuning counts.
        figure: a score with values per item, e.g. "medquad-test/mrr@10"; the testbed's headline if None.

    Raises:
        StudyFileError: both are the same study, `by` is not between -1 and 1, or `at` is another value.
    """
    expectation = Beats(better, worse, by, at, figure)
    _refuse_place(expectation)
    if better == worse:
        raise StudyFileError(f"expectation '{expectation}': a study cannot beat itself; name two studies")
    if not -1 < by < 1:
        fix = f"; {by:g} points of a table are written {by / 100:g}" if 1 <= abs(by) < 100 else ""
        raise StudyFileError(f"expectation '{expectation}': by={by!r} must be between -1 and 1, on a 0 to 1 scale{fix}")
    return expectation


def keeps(better: str, worse: str, *, within: float, figure: str | None = None, at: At = "best") -> Keeps:
    """Expect a study not to fall below another by more than a tolerance, e.g. on what fine-tuning may forget.

    It is judged over seeds: both studies are scored on the same items.

    Args:
        better: name of the study that may have forgotten.
        worse: name of the study whose score it should keep, mostly "untrained".
        within: the largest loss that counts as kept, on a 0 to 1 scale; more than 0.
        figure: any score that records have, e.g. "mteb/STSBenchmark"; the testbed's headline if None.
        at: "best" compares the studies at their best points, "default" untuned at their default points, "tuned" after
            several tunings (`Budget(tunings=...)`), so that the luck of tuning counts.

    Raises:
        StudyFileError: both are the same study, or `within`, `at` or `figure` is out of range.
    """
    expectation = Keeps(better, worse, within, figure, at)
    _refuse_place(expectation)
    if better == worse:
        raise StudyFileError(f"expectation '{expectation}': a study keeps its own score; name two studies")
    if not 0 < within < 1:
        raise StudyFileError(
            f"expectation '{expectation}': within={within!r} must be more than 0 and less than 1 (1 point of a table "
            "is 0.01); no interval fits into a tolerance of 0"
        )
    return expectation


def within(study: str, score: float, tolerance: float, *, figure: str | None = None, source: str = "") -> Within:
    """Expect a study to reproduce a published score: its mean over final seeds at its best point agrees with it.

    Args:
        study: name of the study, or "untrained".
        score: the published score on a 0 to 1 scale: 77.03 is written 0.7703.
        tolerance: the largest deviation that counts as agreement, on a 0 to 1 scale; more than 0.
        figure: any score that records have, e.g. "stsb-test/pearson_cosine" or "mteb/STS12".
        source: where the score was published, for verdict and report.

    Raises:
        StudyFileError: `score` or `tolerance` is out of range, or `figure` is not a name of a score.
    """
    expectation = Within(study=study, score=score, tolerance=tolerance, figure=figure, source=source)
    _refuse(expectation)
    if not 0 < tolerance < 1:
        raise StudyFileError(
            f"expectation '{expectation}': tolerance={tolerance!r} must be more than 0 and less than 1 (1 point of a "
            "table is 0.01); no interval fits into a tolerance of 0"
        )
    return expectation


def at_least(study: str, score: float, *, figure: str | None = None, source: str = "") -> AtLeast:
    """Expect a study's mean over final seeds at its best point to reach a score.

    Args:
        study: name of the study, or "untrained".
        score: the score to reach, on a 0 to 1 scale.
        figure: any score that records have, e.g. "stsb-test/pearson_cosine" or "mteb/STS12".
        source: where the score was published, for verdict and report.

    Raises:
        StudyFileError: `score` is out of range, or `figure` is not a name of a score.
    """
    expectation = AtLeast(study=study, score=score, figure=figure, source=source)
    _refuse(expectation)
    return expectation


def _refuse_place(expectation: InOrder | Beats | Keeps) -> None:
    """Raise StudyFileError if `at` is not one of its allowed values, or the figure is not a name of a score."""
    if expectation.at not in get_args(At):
        choices = ", ".join(get_args(At))
        raise StudyFileError(f"expectation '{expectation}': at={expectation.at!r}; choose from {choices}")
    _refuse_figure(f"expectation '{expectation}'", expectation.figure)


def _refuse(expectation: Within | AtLeast) -> None:
    """Raise StudyFileError if the score is out of range or the figure is not a name of a score."""
    where, score = f"expectation '{expectation}'", expectation.score
    if not -1 <= score <= 1:
        fix = f"; {score:g} of a table is written {score / 100:g}" if 1 < abs(score) <= 100 else ""
        raise StudyFileError(f"{where}: score={score!r} must be between -1 and 1, on a 0 to 1 scale{fix}")
    _refuse_figure(where, expectation.figure)


def _refuse_figure(where: str, figure: str | None) -> None:
    """Raise StudyFileError if a figure is not written as the name of a score."""
    measure, _, name = ("a", "", "b") if figure is None else figure.partition("/")
    if not (measure and name):
        raise StudyFileError(
            f"{where}: figure={figure!r} is not a score of a record; "
            'use e.g. "stsb-test/spearman_cosine", "stsb-test/pearson_cosine" or "mteb/STS12"'
        )
