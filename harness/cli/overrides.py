"""Apply command-line options to the study file's ablation, and restore the options of a store's last run."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StudyFileError, UsageError

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.spec.ablation import Ablation

OVERRIDES: dict[str, type] = {
    "testbed": str,
    "rows": int,
    "epochs": float,
    "trials": int,
    "seeds": int,
    "tasks": str,
    "precision": str,
    "max_seeds": int,
}
"""Options that affect results, with their types; a store remembers those of its last run."""


def declared(options: argparse.Namespace) -> Ablation:
    """Load the study file and apply the options to its ablation.

    Raises:
        UsageError: an option is out of range, or a task is unknown.
        StudyFileError: the study file is invalid.
    """
    from harness.spec.ablation import restrict
    from harness.spec.loading import load_study_file
    from harness.testbeds import by_name

    ablation = load_study_file(options.file)
    tasks = getattr(options, "tasks", None)
    numbers = {
        name: getattr(options, name, None) for name in ("rows", "epochs", "trials", "seeds", "precision", "max_seeds")
    }
    if numbers["rows"] is not None and numbers["rows"] < 1:
        raise UsageError(f"--rows {numbers['rows']}: training needs at least 1 row")
    ablation_here = restrict(
        ablation,
        testbed=by_name(options.testbed) if options.testbed else None,
        tasks=None if tasks is None else tuple(task.strip() for task in tasks.split(",") if task.strip()),
        **numbers,
    )
    tasks_here = {*ablation.testbed.tasks, *(by_name(options.testbed).tasks if options.testbed else ())}
    _refuse_unknown_tasks([task for task in ablation_here.testbed.tasks if task not in tasks_here])
    _refuse_unknown_figures(ablation_here, {*tasks_here, *ablation_here.testbed.tasks})
    return ablation_here


def _refuse_unknown_tasks(names: Sequence[str]) -> None:
    """Raise UsageError for a task that mteb does not know; tasks of a testbed need not be checked."""
    if names:
        from harness.evaluation.mteb_tasks import task_refs

        task_refs(names)


def _refuse_unknown_figures(ablation: Ablation, tasks: Collection[str]) -> None:
    """Raise StudyFileError if an expectation is about a figure that no run will have."""
    from harness.scores import DEV, STS_FIGURES, TEST
    from harness.spec.expectations import AtLeast, Within

    figures = {f"{name}/{figure}" for name in (DEV, TEST) for figure in STS_FIGURES}
    figures |= {f"mteb/{task}" for task in tasks}
    for figure, expectation in [(e.figure, e) for e in ablation.expect if isinstance(e, Within | AtLeast)]:
        if not {figure, figure.partition(":")[0]} & figures:
            near = ", ".join(get_close_matches(figure, figures, 3, 0.5)) or ", ".join(sorted(figures))
            raise StudyFileError(
                f"expectation '{expectation}': no run will have the score {figure!r}; did you mean {near}?"
            )


def ablation_and_store(options: argparse.Namespace) -> tuple[Ablation, Path]:
    """Return the ablation and its store; options not given are those of the store's last run."""
    from harness.api import default_store

    folder: Path = options.store or default_store(declared(options))
    last = folder / "last_run.json"
    if last.is_file():
        for name, value in _remembered(last).items():
            if getattr(options, name, None) is None:
                setattr(options, name, value)
    return declared(options), folder


def _remembered(last: Path) -> dict[str, Any]:
    """Return the options of a store's last run.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        document = dict(json.loads(last.read_text(encoding="utf-8")))
        values = {name: document.get(name) for name in OVERRIDES}
        for name, kind in OVERRIDES.items():
            if values[name] is not None and type(values[name]) not in (kind, int if kind is float else kind):
                raise ValueError(f"{name} is {values[name]!r}")
    except (ValueError, TypeError, OSError, RecursionError) as problem:
        raise UsageError(f"{last}: cannot be read ({problem}); delete it and give the run's options again") from problem
    return values


def command_line(options: argparse.Namespace) -> str:
    """Return the shell command that reproduces the runs, with the options that affect results."""
    parts = ["harness", "run", str(options.file)]
    for name in OVERRIDES:
        value = getattr(options, name, None)
        if value is not None:
            parts += ["--until-decided"] if name == "max_seeds" else []
            parts += [f"--{name.replace('_', '-')}", str(value)]
    if getattr(options, "threads", None) is not None:
        parts += ["--threads", str(options.threads)]
    return shlex.join(parts)


def from_store(ablation: Ablation, folder: Path, options: argparse.Namespace) -> Plan:
    """Return the plan of a store that must exist."""
    from harness import api

    existing = api.load(folder).folder
    return api.plan(ablation, existing, study_file=options.file, allow_mixed=options.allow_mixed)
