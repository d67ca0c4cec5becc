"""What follows from an audit: warnings are printed, and errors refuse the runs and decide the exit code."""

from __future__ import annotations

from harness.data.findings import Audit
from harness.errors import AuditFailed


def refuse_errors(audit: Audit) -> None:
    """Raise AuditFailed if there is an error; the message lists all errors and how to fix them."""
    errors = audit.of("error")
    if errors:
        listed = "\n".join(f"- {finding.where}: {finding.what}: {finding.explain}" for finding in errors)
        raise AuditFailed(
            f"the audit of the data found {len(errors)} error{'s' * (len(errors) > 1)}; nothing was trained:\n{listed}"
        )


def exit_code(audit: Audit) -> int:
    """Return the exit code of a command that only audits: 2 if there is an error, else 0."""
    return AuditFailed.exit_code if audit.of("error") else 0


def lines(audit: Audit) -> list[str]:
    """Return the warnings, one line each."""
    return [f"warning: {finding.where}: {finding.what}: {finding.explain}" for finding in audit.of("warning")]
