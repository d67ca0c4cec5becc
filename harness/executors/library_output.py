"""Collect warnings of libraries for a run's record, and keep libraries from printing."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.provenance import without_secrets

LIBRARIES = ("transformers", "sentence_transformers", "datasets", "mteb", "huggingface_hub", "accelerate")
"""Libraries whose logs are collected; warnings of Python's `warnings` are collected from all."""

MOST, LONGEST = 20, 600
"""Lines that a record keeps, and characters of each."""

FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings for developers, which Python hides by default and which do not concern results."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_listeners: list[dict[str, None]] = []


class _Forwarder(logging.Handler):
    """Gives every listener what a library logs; nothing is printed."""

    def emit(self, record: logging.LogRecord) -> None:
        notify_listeners([record.getMessage()])


_FORWARDER = _Forwarder(logging.WARNING)


def silence() -> None:
    """Keep libraries from printing; listeners still receive their messages."""
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [_FORWARDER], False
        library.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")


def be_quiet() -> None:
    """Keep libraries from writing over the driver's bars; their warnings are in the record."""
    silence()
    import datasets
    from transformers.utils.logging import disable_progress_bar

    quiet: list[Callable[[], None]] = [datasets.disable_progress_bars, disable_progress_bar]
    for bars in quiet:
        bars()


def notify_listeners(lines: Iterable[str]) -> None:
    """Send lines to every listener, e.g. warnings of a model that is loaded only once per process."""
    for listener in _listeners:
        listener.update(dict.fromkeys(map(_one_line, lines)))


@contextmanager
def warnings_collected(into: dict[str, None]) -> Iterator[None]:
    """Add to `into` all warnings within the block that libraries give: first what they log, then Python's.

    Warnings within a nested block also reach the outer one.
    """
    from transformers.utils import logging as of_transformers  # a second, which the driver need not wait

    of_transformers.warning_once.cache_clear()  # once a run, not once a process
    _listeners.append(into)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for category in FOR_DEVELOPERS:
                warnings.simplefilter("ignore", category)
            warnings.filterwarnings("ignore", ".* attention defaults to a non-deterministic", UserWarning)  # speed.md
            try:
                yield
            finally:
                notify_listeners(f"{warning.category.__name__}: {warning.message}" for warning in caught)
    finally:
        _listeners.pop()  # blocks end in the order of their nesting; `remove` would take the first that is as empty


def shortened(warning_lines: Iterable[str]) -> tuple[str, ...]:
    """Return the first MOST lines for a record, and the number of the others."""
    lines = list(warning_lines)
    more = [f"and {len(lines) - MOST + 1} more"] if len(lines) > MOST else []
    return (*(lines[: MOST - 1] if more else lines), *more)


def _one_line(text: str) -> str:
    """Return a text on one line: no secret, no control characters, cut at LONGEST.

    A home folder names its owner, so it is "~".
    """
    text = without_secrets(COLOUR.sub("", text)).replace(str(Path.home()), "~")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
