"""Ctrl-C: held back while something must not be left half done, and what else ends a driver like it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended, then raise it as KeyboardInterrupt.

    In a callback of the database Python would lose it, and half-way through stopping workers it would leave some.
    Other threads than the main one are never interrupted, and a caller's own handler is left alone.
    """
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not default or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def end_on_sigterm_too() -> None:
    """Let SIGTERM, which schedulers send, end this process as Ctrl-C does; also where Ctrl-C itself is ignored.

    A shell has the commands that a script starts in the background ignore Ctrl-C.
    """

    def interrupt(number: int, frame: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
