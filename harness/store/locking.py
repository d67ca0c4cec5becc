"""Lock a store for its one writer. The kernel releases the lock when the driver ends in any way."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import StoreError, StoreLocked

FILE = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Lock the store in a folder for writing.

    Yields:
        A function that raises StoreError once the store was deleted, moved or replaced.

    Raises:
        StoreLocked: another driver has locked it.
        StoreError: the store is not writable, its lock is no file, or its file system has no locks.
    """
    path = folder / FILE
    try:
        # O_NONBLOCK, because a pipe would otherwise wait for a reader
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise StoreError(f"{folder}: not writable ({problem.strerror}); choose another --store") from problem
    with os.fdopen(file, "a"):
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StoreError(f"{path}: it is not a regular file; delete it, or choose another --store")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in (errno.EAGAIN, errno.EACCES):
                raise StoreError(
                    f"{folder}: the file system cannot lock ({problem}); use --store on a local disk"
                ) from problem
            raise StoreLocked(
                f"{folder}: another driver is writing to this store; wait for it or stop it, or use --store"
            ) from problem

        def still_there() -> None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return
            raise StoreError(
                f"{folder}: the store was deleted, moved or replaced while this driver wrote to it, so the driver "
                "stopped; put the store back and repeat the command: its finished runs are kept"
            )

        yield still_there
