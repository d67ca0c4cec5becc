"""Defer Ctrl-C during critical sections; treat SIGTERM like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer Ctrl-C until the block has ended, then raise KeyboardInterrupt.

    Otherwise an interrupt in a database callback would be lost, and one while workers are stopped would leave some of
    them running. Only the main thread is affected, and a caller's own handler is not replaced.
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


def treat_sigterm_as_interrupt() -> None:
    """Let SIGTERM, which schedulers send, end this process as Ctrl-C does, even if Ctrl-C itself is ignored.

    Ctrl-C is ignored in commands that a shell script starts in the background.
    """

    def interrupt(number: int, frame: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
