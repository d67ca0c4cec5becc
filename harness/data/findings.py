"""What an audit is: findings, counts of overlap, and what they are of. Plain data, light to import.

Findings name no sentence: they are published with the report, and the data are not ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    `severity`: an error stops the run, a warning is printed and doubted in the report, a note is only reported. `where`
    names the studies or the testbed. `count` of `of`: how many of how many rows, texts, pairs or sentences; for false
    negatives the number expected in a batch, of the pairs of rows in it. `explain` says what, where and the mend.
    """

    severity: Severity
    where: str
    what: str
    count: float
    of: float
    explain: str


@dataclass(frozen=True)
class Overlap:
    """How much of an evaluation set other data hold.

    `name` is the set ("stsb-test", "mteb/STS12"), `held_by` the other data: training rows or dev set. `pairs` and
    `sentences` count the set's pairs and distinct sentences, `shared_pairs` and `shared_sentences` those of them that
    the other data hold, too, after normalising; `near` the further sentences of which they hold a near-duplicate (None:
    not looked for).
    """

    name: str
    held_by: str
    pairs: int
    shared_pairs: int
    sentences: int
    shared_sentences: int
    near: int | None = None


@dataclass(frozen=True)
class Audit:
    """What was found, and of what.

    `key` is the hash of all that decides it. `overlaps` are the counts behind findings on shared pairs, those of 0 too.
    `left_out` tells for each test task that was not audited why; `missing` are the tasks whose data could not be had.
    `studies` are those that it is of, where it is not of all of the ablation's.
    """

    key: str
    findings: tuple[Finding, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()

    def of(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with errors first, then warnings; the order in which they were found stays otherwise."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
