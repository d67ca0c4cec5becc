"""Run the checks one after another, and turn whatever they raise into a result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TypeAlias

from harness.doctor.outcome import Outcome, passed
from harness.errors import CheckFailed, UsageError
from harness.executors.library_output import be_quiet, warnings_collected
from harness.text import failure

Check: TypeAlias = Callable[[], Outcome]

MODULES = ("embeddings", "losses", "training", "scores", "evaluators", "resuming")
"""Modules of this folder with checks, in the order in which they run."""

IMPORTS = "imports"
"""Name of the first check."""


@dataclass(frozen=True)
class Checked:
    """The result of one check."""

    check: str
    """The check's name."""
    proves: str
    """What it proves if it passes."""
    outcome: Outcome
    """What it found."""
    seconds: float
    """Wall time in seconds."""


def examine(only: Sequence[str] = ()) -> Iterator[Checked]:
    """Run checks on the installed libraries, on the embedded testbed's model and data, in this process.

    Args:
        only: names of checks; all if empty.

    Yields:
        The result of each check as soon as it ends. If the harness cannot import the libraries, that is the only one.

    Raises:
        UsageError: there is no check of one of the names.
    """
    found: list[Check] = []

    def imports() -> Outcome:
        """The modules of the harness that train and score can be imported with the installed libraries."""
        found.extend([check for name in MODULES for check in import_module(f"harness.doctor.{name}").CHECKS])
        be_quiet()
        return passed(f"{len(found)} checks")

    imported = _checked(imports)
    by_name = {_name(check): check for check in found}
    unknown = [name for name in only if name not in (IMPORTS, *by_name)]
    if unknown and found:
        raise UsageError(f"--only: there is no check {unknown[0]!r}; choose from {', '.join((IMPORTS, *by_name))}")
    yield imported
    for name, check in by_name.items():
        if not only or name in only:
            yield _checked(check)


def _checked(check: Check) -> Checked:
    """Run a check; an exception is a failure, whichever library raised it."""
    began = time.perf_counter()
    try:
        with warnings_collected({}):
            outcome = check()
    except CheckFailed as problem:
        outcome = Outcome("FAILED", str(problem))
    except Exception:
        outcome = Outcome("FAILED", f"expected a check that ends; found {failure(traceback.format_exc())}")
    proves = (check.__doc__ or "").strip().splitlines()[0]
    return Checked(_name(check), proves, outcome, round(time.perf_counter() - began, 3))


def _name(check: Check) -> str:
    return check.__name__.replace("_", "-")
