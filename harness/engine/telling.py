"""Print progress: a line that cannot be written never ends a run."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console

from harness.text import shown

LOST = (Exception, SystemExit)
"""Exceptions of rich when its output is closed."""


def tell(console: Console, line: str) -> None:
    """Print a line as it stands, control characters escaped."""
    with suppress(*LOST):
        console.print(shown(line), highlight=False, markup=False, soft_wrap=True)
