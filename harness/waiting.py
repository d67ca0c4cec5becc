"""Waiting that says so: nobody should have to guess why a command prints nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PATIENCE = 10.0
"""Seconds after which a wait is announced."""


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Print on stderr what the block waits for, if it takes longer than PATIENCE seconds.

    Args:
        what: what is waited for and how long at most, or how to end it, e.g. "another worker, which mines".
    """

    def say() -> None:
        with suppress(Exception):  # stderr may be gone
            print(f"waiting for {what}", file=sys.stderr, flush=True)

    timer = threading.Timer(PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
