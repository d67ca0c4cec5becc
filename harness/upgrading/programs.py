"""Programs that a command runs: the Python of another environment, pip and git. They end when the command ends."""

from __future__ import annotations

import ctypes
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import harness
from harness.executors.processes import PR_SET_PDEATHSIG

PATIENCE = 5.0
"""Seconds that an interrupted program has to end by itself."""


def run(
    command: Sequence[str | Path],
    *,
    output: IO[str] | int | None = subprocess.PIPE,
    errors: IO[str] | int | None = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    On Linux the kernel ends it when this process is killed, so that a repeated command finds no rival that still
    writes. A terminal sends Ctrl-C to both; this function then waits for the program to end.

    Args:
        command: the program and its arguments.
        output: where its stdout goes; collected by default.
        errors: where its stderr goes; collected by default.
        environment: its environment variables; those of this process if None.

    Returns:
        Its exit code, and what was collected.

    Raises:
        OSError: it cannot be started.
        KeyboardInterrupt: this process was interrupted.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=None if environment is None else dict(environment),
        preexec_fn=_end_with_parent if sys.platform.startswith("linux") else None,
    )
    try:
        out, err = process.communicate()
    except BaseException:
        try:
            process.wait(PATIENCE)  # a terminal has sent it Ctrl-C as well
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def module(python: Path, name: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs a module of this harness by another environment's Python.

    The current folder is not searched for modules: a file `socket.py` there must not hide Python's own.
    """
    return [python, "-P", "-m", name, *arguments]


def surroundings(fast: bool = False) -> dict[str, str]:
    """Return the environment variables with which another environment's Python imports this harness.

    Args:
        fast: allow the harness's fast forward passes; else every model runs by the library's own, which is what an
            upgrade changes.
    """
    package = Path(harness.__file__).resolve().parents[1]
    # in site-packages it is found as the base's other packages are, and naming that folder would hide the overlay's
    own = [] if package in {Path(folder).resolve() for folder in site_folders()} else [str(package)]
    path = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONUTF8": "1",
        "HARNESS_FORWARD": os.environ.get("HARNESS_FORWARD", "") if fast else "plain",
    }


def site_folders() -> list[str]:
    """Return the folders from which this Python imports installed packages, in its order."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [folder for folder in [*user, *site.getsitepackages()] if os.path.isdir(folder)]
