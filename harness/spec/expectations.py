"""What a study file expects of its studies: orders, gains, published numbers; each checks itself when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from harness.errors import StudyFileError
from harness.scores import HEADLINE

At: TypeAlias = Literal["best", "default"]
"""Which final runs a claim is about: those at each study's best point, or those at its untuned default point."""


@dataclass(frozen=True)
class InOrder:
    """Each study beats the one before it."""

    studies: tuple[str, ...]
    at: At = "best"

    def __str__(self) -> str:
        return " < ".join(self.studies) + _where(self.at)

    def steps(self) -> list[Beats]:
        """Return the order as the claims that it consists of, each of one study and the one before it."""
        return [Beats(better, worse, at=self.at) for worse, better in pairwise(self.studies)]


@dataclass(frozen=True)
class Beats:
    """Study `better` beats study `worse` by at least `by` (STSB test, Spearman, in points of 1.0)."""

    better: str
    worse: str
    by: float = 0.0
    at: At = "best"

    @property
    def studies(self) -> tuple[str, ...]:
        return (self.worse, self.better)

    def __str__(self) -> str:
        if self.by < 0:
            return f"{self.better} at most {-self.by:g} below {self.worse}{_where(self.at)}"
        return f"{self.better} beats {self.worse}" + (f" by {self.by:g}" if self.by else "") + _where(self.at)


@dataclass(frozen=True)
class Within:
    """A study's figure agrees with a published score to within `tolerance`; both are in points of 1.0."""

    study: str
    score: float
    tolerance: float
    figure: str = HEADLINE
    source: str = ""

    @property
    def studies(self) -> tuple[str, ...]:
        return (self.study,)

    def __str__(self) -> str:
        return f"{self.study} within {self.tolerance:g} of {self.score:g}{_particulars(self.figure, self.source)}"


@dataclass(frozen=True)
class AtLeast:
    """A study's figure reaches a score, in points of 1.0."""

    study: str
    score: float
    figure: str = HEADLINE
    source: str = ""

    @property
    def studies(self) -> tuple[str, ...]:
        return (self.study,)

    def __str__(self) -> str:
        return f"{self.study} at least {self.score:g}{_particulars(self.figure, self.source)}"


def _where(at: At) -> str:
    return " at the default point" if at == "default" else ""


def _particulars(figure: str, source: str) -> str:
    told = [part for part in ("" if figure == HEADLINE else figure, source) if part]
    return f" ({', '.join(told)})" if told else ""


Expectation: TypeAlias = InOrder | Beats | Within | AtLeast


def in_order(*studies: str, at: At = "best") -> InOrder:
    """Expect each named study to beat the one named before it: at their best points, or untuned at their default ones.

    Raises StudyFileError for fewer than two studies, and for another `at`.
    """
    if len(studies) < 2:
        raise StudyFileError(f"in_order{studies}: an order needs at least two studies")
    expectation = InOrder(studies, at)
    _refuse_place(expectation)
    return expectation


def beats(better: str, worse: str, by: float = 0.0, *, at: At = "best") -> Beats:
    """Expect `better` to beat `worse` by at least `by`, in points of 1.0: one point of a table is 0.01.

    A negative `by` tolerates a loss. `at` is "best" for the studies' best points, "default" for their untuned ones.
    Raises StudyFileError where `by` is no number between -1 and 1, and for another `at`.
    """
    expectation = Beats(better, worse, by, at)
    _refuse_place(expectation)
    if better == worse:
        raise StudyFileError(f"expectation '{expectation}': a study cannot beat itself; name two studies")
    if not -1 < by < 1:
        meant = f"; {by:g} points of a table are written {by / 100:g}" if 1 <= abs(by) < 100 else ""
        raise StudyFileError(
            f"expectation '{expectation}': by={by!r} must lie between -1 and 1: scores are in points of 1.0{meant}"
        )
    return expectation


def within(study: str, score: float, tolerance: float, *, figure: str = HEADLINE, source: str = "") -> Within:
    """Expect a study to reproduce a published score: its mean over final seeds at its best point agrees with it.

    Args:
        study: a study's name, or "untrained".
        score: the published score in points of 1.0: 77.03 is written 0.7703.
        tolerance: how far from it still counts as agreeing, in points of 1.0; more than 0.
        figure: any score that records have, e.g. "stsb-test/pearson_cosine" or "mteb/STS12".
        source: where the number was published, for verdict and report.

    Raises StudyFileError where a number or the figure's name cannot be meant.
    """
    expectation = Within(study, score, tolerance, figure, source)
    _refuse(expectation)
    if not 0 < tolerance < 1:
        raise StudyFileError(
            f"expectation '{expectation}': tolerance={tolerance!r} must be more than 0 and less than 1 (1 point of a "
            "table is 0.01); no interval fits into a tolerance of 0"
        )
    return expectation


def at_least(study: str, score: float, *, figure: str = HEADLINE, source: str = "") -> AtLeast:
    """Expect a study's mean over final seeds at its best point to reach a score; arguments as for `within`."""
    expectation = AtLeast(study, score, figure, source)
    _refuse(expectation)
    return expectation


def _refuse_place(expectation: InOrder | Beats) -> None:
    """Raise StudyFileError if a claim is about no point that studies are scored at."""
    if expectation.at not in get_args(At):
        choices = ", ".join(get_args(At))
        raise StudyFileError(f"expectation '{expectation}': at={expectation.at!r}; choose from {choices}")


def _refuse(expectation: Within | AtLeast) -> None:
    """Raise StudyFileError if the score or the figure cannot be meant."""
    where, score = f"expectation '{expectation}'", expectation.score
    if not -1 <= score <= 1:
        mend = f"; {score:g} of a table is written {score / 100:g}" if 1 < abs(score) <= 100 else ""
        raise StudyFileError(f"{where}: score={score!r} must lie between -1 and 1: scores are in points of 1.0{mend}")
    test_set, _, measure = expectation.figure.partition("/")
    if not (test_set and measure):
        raise StudyFileError(
            f"{where}: figure={expectation.figure!r} is no score of a record; "
            'use e.g. "stsb-test/spearman_cosine", "stsb-test/pearson_cosine" or "mteb/STS12"'
        )
