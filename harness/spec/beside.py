"""Which files belong to the user: the study file and the files below its folder, without installed packages."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import harness

_PACKAGE = os.path.join(os.path.realpath(Path(harness.__file__).parent), "")


def installed_below(folder: str) -> tuple[str, ...]:
    """Return the folders of installed packages below a folder, e.g. those of a virtual environment."""
    inside = os.path.join(folder, "")
    below = [entry for entry in map(os.path.realpath, sys.path) if entry.startswith(inside) and entry != folder]
    return tuple(os.path.join(entry, "") for entry in below)


def last_line(problem: BaseException, folder: str | None) -> str | None:
    """Return the last line of an exception's traceback that lies in a user's file, as "file:line".

    Args:
        problem: the exception.
        folder: the folder of the study file; None if there is no study file.

    Returns:
        The file, relative to the folder, and the line; None if no line of the traceback lies in such a file.
    """
    if folder is None:
        return None
    inside, others = os.path.join(folder, ""), (*installed_below(folder), _PACKAGE)
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(problem.__traceback__)]
    for name, line in reversed(lines):
        file = os.path.realpath(name)
        if (
            not name.startswith("<") and file.startswith(inside) and not file.startswith(others)
        ):  # "<string>" is no file
            return f"{os.path.relpath(file, folder)}:{line}"
    return None
