"""The claims that a study file's expectations make, in one form for all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness.scores import HEADLINE
from harness.spec.ablation import Ablation
from harness.spec.expectations import At, Beats, InOrder, Within

Kind: TypeAlias = Literal["beats", "within", "at least", "baseline"]


@dataclass(frozen=True)
class Claim:
    """One claim to judge: study `better` against study `worse`, or against the score `target`."""

    words: str
    """The claim as printed."""
    better: str
    """The study that the claim is about."""
    worse: str | None
    """The study that it is compared with; None if it is compared with `target`."""
    margin: float
    """The smallest difference that the claim asserts, or the tolerance, on a 0 to 1 scale."""
    kind: Kind = "beats"
    """Which rule judges the claim."""
    figure: str = HEADLINE
    """The score that is compared."""
    target: float | None = None
    """The published or baseline score that is compared with, on a 0 to 1 scale."""
    source: str = ""
    """Where `target` was published."""
    at: At = "best"
    """Which final runs are compared."""


def claims(ablation: Ablation) -> list[Claim]:
    """Return the claims of an ablation, in the order of its study file; an order makes one for each two neighbours."""
    listed = []
    for expectation in ablation.expect:
        if isinstance(expectation, InOrder):
            for step in expectation.steps():
                words = str(replace(expectation, studies=step.studies))
                listed.append(Claim(words, step.better, step.worse, step.by, at=step.at))
        elif isinstance(expectation, Beats):
            words, better, worse = str(expectation), expectation.better, expectation.worse
            listed.append(Claim(words, better, worse, expectation.by, at=expectation.at))
        else:
            kind: Kind = "within" if isinstance(expectation, Within) else "at least"
            margin = expectation.tolerance if isinstance(expectation, Within) else 0.0
            study, figure, score = expectation.study, expectation.figure, expectation.score
            listed.append(Claim(str(expectation), study, None, margin, kind, figure, score, expectation.source))
    return listed
