"""Expectations of a study file: orders of studies, gains, and published scores. They are validated on creation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from harness.errors import StudyFileError
from harness.scores import HEADLINE

At: TypeAlias = Literal["best", "default"]
"""Which final runs a claim is about: at each study's best point, or at the untuned default point."""


@dataclass(frozen=True)
class InOrder:
    """Each study beats the one before it."""

    studies: tuple[str, ...]
    """Names of the studies, worst first."""
    at: At = "best"
    """Which final runs are compared."""

    def __str__(self) -> str:
        return " < ".join(self.studies) + _where(self.at)

    def steps(self) -> list[Beats]:
        """Return the claims that the order consists of: each study beats the one before it."""
        return [Beats(better, worse, at=self.at) for worse, better in pairwise(self.studies)]


@dataclass(frozen=True)
class Beats:
    """Study `better` beats study `worse` on the STS test set."""

    better: str
    """Name of the study with the higher score."""
    worse: str
    """Name of the study with the lower score."""
    by: float = 0.0
    """The smallest difference in Spearman correlation, on a 0 to 1 scale."""
    at: At = "best"
    """Which final runs are compared."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies, worse first."""
        return (self.worse, self.better)

    def __str__(self) -> str:
        if self.by < 0:
            return f"{self.better} at most {-self.by:g} below {self.worse}{_where(self.at)}"
        return f"{self.better} beats {self.worse}" + (f" by {self.by:g}" if self.by else "") + _where(self.at)


@dataclass(frozen=True, kw_only=True)
class _OfScore:
    """An expectation about one study and a number."""

    study: str
    """Name of the study, or "untrained"."""
    score: float
    """The published score, or the score to reach, on a 0 to 1 scale."""
    figure: str = HEADLINE
    """The score that is compared."""
    source: str = ""
    """Where the score was published."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Name of the study, as other expectations have several."""
        return (self.study,)

    def _particulars(self) -> str:
        parts = [part for part in ("" if self.figure == HEADLINE else self.figure, self.source) if part]
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


def _where(at: At) -> str:
    return " at the default point" if at == "default" else ""


Expectation: TypeAlias = InOrder | Beats | Within | AtLeast


def in_order(*studies: str, at: At = "best") -> InOrder:
    """Expect each study to beat the one named before it.

    Args:
        studies: names of the studies, worst first.
        at: "best" compares the studies at their best points, "default" untuned at their default points.

    Raises:
        StudyFileError: there are fewer than two studies, or `at` is another value.
    """
    if len(studies) < 2:
        raise StudyFileError(f"in_order{studies}: an order needs at least two studies")
    expectation = InOrder(studies, at)
    _refuse_place(expectation)
    return expectation


def beats(better: str, worse: str, by: float = 0.0, *, at: At = "best") -> Beats:
    """Expect one study to beat another.

    Args:
        better: name of the study with the higher score.
        worse: name of the study with the lower score, or "untrained".
        by: the smallest difference, on a 0 to 1 scale: one point of a table is 0.01. A negative value tolerates a loss.
        at: "best" compares the studies at their best points, "default" untuned at their default points.

    Raises:
        StudyFileError: both are the same study, `by` is not between -1 and 1, or `at` is another value.
    """
    expectation = Beats(better, worse, by, at)
    _refuse_place(expectation)
    if better == worse:
        raise StudyFileError(f"expectation '{expectation}': a study cannot beat itself; name two studies")
    if not -1 < by < 1:
        fix = f"; {by:g} points of a table are written {by / 100:g}" if 1 <= abs(by) < 100 else ""
        raise StudyFileError(f"expectation '{expectation}': by={by!r} must be between -1 and 1, on a 0 to 1 scale{fix}")
    return expectation


def within(study: str, score: float, tolerance: float, *, figure: str = HEADLINE, source: str = "") -> Within:
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


def at_least(study: str, score: float, *, figure: str = HEADLINE, source: str = "") -> AtLeast:
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


def _refuse_place(expectation: InOrder | Beats) -> None:
    """Raise StudyFileError if `at` is not one of its allowed values."""
    if expectation.at not in get_args(At):
        choices = ", ".join(get_args(At))
        raise StudyFileError(f"expectation '{expectation}': at={expectation.at!r}; choose from {choices}")


def _refuse(expectation: Within | AtLeast) -> None:
    """Raise StudyFileError if the score is out of range or the figure is not a name of a score."""
    where, score = f"expectation '{expectation}'", expectation.score
    if not -1 <= score <= 1:
        fix = f"; {score:g} of a table is written {score / 100:g}" if 1 < abs(score) <= 100 else ""
        raise StudyFileError(f"{where}: score={score!r} must be between -1 and 1, on a 0 to 1 scale{fix}")
    test_set, _, measure = expectation.figure.partition("/")
    if not (test_set and measure):
        raise StudyFileError(
            f"{where}: figure={expectation.figure!r} is not a score of a record; "
            'use e.g. "stsb-test/spearman_cosine", "stsb-test/pearson_cosine" or "mteb/STS12"'
        )
