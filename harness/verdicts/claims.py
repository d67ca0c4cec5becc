"""The claims that a study file's expectations make, in one form for all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from harness.planning.unlocking import claim_of
from harness.spec.ablation import Ablation
from harness.spec.expectations import At, Beats, InOrder, Keeps, Within

Kind: TypeAlias = Literal["beats", "keeps", "within", "at least", "baseline"]


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
    figure: str
    """The score that is compared."""
    kind: Kind = "beats"
    """Which rule judges the claim."""
    target: float | None = None
    """The published or baseline score that is compared with, on a 0 to 1 scale."""
    source: str = ""
    """Where `target` was published."""
    at: At = "best"
    """Which final runs are compared."""
    logged: str = ""
    """The claim as the log of designs has it."""


def claims(ablation: Ablation) -> list[Claim]:
    """Return the claims of an ablation, in the order of its study file; an order makes one for each two neighbours."""
    listed = []
    for expectation in ablation.expect:
        figure = expectation.figure or ablation.testbed.headline
        if isinstance(expectation, InOrder):
            for step in expectation.steps():
                words = str(replace(expectation, studies=step.studies))
                listed.append(Claim(words, step.better, step.worse, step.by, figure, at=step.at, logged=claim_of(step)))
        elif isinstance(expectation, (Beats, Keeps)):
            kind: Kind = "beats" if isinstance(expectation, Beats) else "keeps"
            margin = expectation.by if isinstance(expectation, Beats) else -expectation.within
            words, better, worse = str(expectation), expectation.better, expectation.worse
            at, logged = expectation.at, claim_of(expectation)
            listed.append(Claim(words, better, worse, margin, figure, kind, at=at, logged=logged))
        else:
            kind = "within" if isinstance(expectation, Within) else "at least"
            margin = expectation.tolerance if isinstance(expectation, Within) else 0.0
            study, score = expectation.study, expectation.score
            words, source = str(expectation), expectation.source
            listed.append(Claim(words, study, None, margin, figure, kind, score, source, logged=words))
    return listed
