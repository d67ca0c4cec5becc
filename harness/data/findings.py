"""Results of an audit as plain data: findings and counts of overlap. Light to import.

Findings quote no sentence, because they are published with the report and the data may not be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One result of the audit: an error, a warning or a note."""

    severity: Severity
    """An error stops the run; a warning is printed and listed as a threat to validity; a note is only reported."""
    where: str
    """The studies or the testbed."""
    what: str
    """Kind of finding."""
    count: float
    """Affected rows, texts, pairs or sentences; for false negatives the number expected in a batch; of a random order
    or a model that knows nothing its score times 100."""
    of: float
    """The total number of them; for false negatives the pairs of rows in a batch; of such a score 100."""
    explain: str
    """What was found, where, and how to fix it."""


@dataclass(frozen=True)
class Overlap:
    """How much of an evaluation set is also in other data, after normalising."""

    name: str
    """The evaluation set: "stsb-test", "mteb/STS12", ..."""
    held_by: str
    """The other data: training rows or dev set."""
    pairs: int
    """Pairs of the set."""
    shared_pairs: int
    """Pairs that are also in the other data."""
    sentences: int
    """Distinct sentences of the set."""
    shared_sentences: int
    """Sentences that are also in the other data."""
    near: int | None = None
    """Further sentences with a near-duplicate in the other data; None if they were not searched."""
    labelled: bool = False
    """Whether a pair is a text with its label. It is shared if the other data have the text with any label."""


@dataclass(frozen=True)
class Audit:
    """The audit of an ablation's data."""

    key: str
    """Hash of everything that decides the result."""
    findings: tuple[Finding, ...] = ()
    """The findings, errors first."""
    overlaps: tuple[Overlap, ...] = ()
    """Overlap of every evaluation set with the training rows and the dev set."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Test tasks that were not audited, with the reason."""
    missing: tuple[str, ...] = ()
    """Tasks whose data are not available."""
    studies: tuple[str, ...] = ()
    """The audited studies; empty if they are all studies of the ablation."""

    def of(self, severity: str) -> list[Finding]:
        """Return the findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with errors first, then warnings; the sort is stable."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
