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
"""Maximum number of lines in a record, and of characters in a line."""

FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings for developers, which Python hides by default and which do not concern results."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_listeners: list[dict[str, None]] = []


class _Forwarder(logging.Handler):
    """Passes messages that libraries log to all listeners and prints nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        notify_listeners([record.getMessage()])


_FORWARDER = _Forwarder(logging.WARNING)


def silence() -> None:
    """Prevent libraries from printing; listeners still receive their messages."""
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [_FORWARDER], False
        library.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")


def be_quiet() -> None:
    """Prevent libraries from printing messages and progress bars; their warnings are in the records."""
    silence()
    import datasets
    from transformers.utils.logging import disable_progress_bar

    functions: list[Callable[[], None]] = [datasets.disable_progress_bars, disable_progress_bar]
    for disable in functions:
        disable()


def notify_listeners(lines: Iterable[str]) -> None:
    """Send lines to every listener, e.g. warnings of a model that is loaded only once per process."""
    for listener in _listeners:
        listener.update(dict.fromkeys(map(_one_line, lines)))


@contextmanager
def warnings_collected(into: dict[str, None]) -> Iterator[None]:
    """Add to `into` all warnings of libraries within the block: first those that they log, then Python's warnings.

    The outer of two nested blocks also receives the warnings of the inner one.
    """
    from transformers.utils import logging as transformers_logging  # imported here, because it takes a second

    transformers_logging.warning_once.cache_clear()  # each run receives them
    _listeners.append(into)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for category in FOR_DEVELOPERS:
                warnings.simplefilter("ignore", category)
            # expected, see docs/speed.md
            warnings.filterwarnings("ignore", ".* attention defaults to a non-deterministic", UserWarning)
            try:
                yield
            finally:
                notify_listeners(f"{warning.category.__name__}: {warning.message}" for warning in caught)
    finally:
        _listeners.pop()  # the innermost block ends first; `remove` would compare by value, and several may be equal


def shortened(warning_lines: Iterable[str]) -> tuple[str, ...]:
    """Return at most MOST lines for a record; the last of them gives the number of omitted lines."""
    lines = list(warning_lines)
    more = [f"and {len(lines) - MOST + 1} more"] if len(lines) > MOST else []
    return (*(lines[: MOST - 1] if more else lines), *more)


def _one_line(text: str) -> str:
    """Return a text on one line of at most LONGEST characters, without secrets and control characters.

    The home folder becomes "~", because it contains the user's name.
    """
    text = without_secrets(COLOUR.sub("", text)).replace(str(Path.home()), "~")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
