"""Apply command-line options to the study file's ablation, and restore the options of a store's last run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import output
from harness.errors import AuditFailed, HarnessError, StudyFileError, TestbedUnavailable, UsageError
from harness.text import command

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.spec.ablation import Ablation, Precision
    from harness.store.folder import Store

OVERRIDES: dict[str, type] = {
    "testbed": str,
    "rows": int,
    "epochs": float,
    "trials": int,
    "seeds": int,
    "tasks": str,
    "precision": str,
    "max_seeds": int,
    "tunings": int,
    "repeats": int,
}
"""Options that affect results, with their types; a store remembers those of its last run."""

LAST_RUN = "last_run.json"
"""The file of these options in a store."""

LONGEST = 50_000
"""Maximum number of characters of an option in that file; the names of all of mteb's tasks have fewer."""

BUDGET = ("epochs", "trials", "seeds", "max_seeds", "tunings", "repeats")
"""Options that replace numbers of the budget."""


def declared(options: argparse.Namespace) -> Ablation:
    """Load the study file, apply the options to its ablation, and check its tasks and figures.

    Raises:
        UsageError: an option is out of range, or one of --tasks is unknown.
        StudyFileError: the study file is invalid, or names an unknown task, or a figure that no run will have.
    """
    ablation = _restricted(options)
    stored = _Stored(options, ablation)
    _refuse_unknown_tasks(ablation, options, stored)
    _refuse_unknown_figures(ablation, options, stored)
    return ablation


def _restricted(options: argparse.Namespace) -> Ablation:
    """Load the study file and apply the options to its ablation."""
    from harness.spec.ablation import restrict
    from harness.spec.loading import load_study_file
    from harness.testbeds import by_name

    ablation = load_study_file(options.file)
    tasks = getattr(options, "tasks", None)
    numbers = {
        name: getattr(options, name, None)
        for name in ("rows", "epochs", "trials", "seeds", "precision", "max_seeds", "tunings", "repeats")
    }
    if numbers["rows"] is not None and numbers["rows"] < 1:
        raise UsageError(f"--rows {numbers['rows']}: training needs at least 1 row")
    testbed = by_name(options.testbed) if options.testbed else None
    try:
        return restrict(
            ablation,
            testbed=testbed,
            tasks=None if tasks is None else tuple(task.strip() for task in tasks.split(",") if task.strip()),
            **numbers,
        )
    except StudyFileError as problem:  # the study file's own numbers were valid
        given = {name: value for name, value in numbers.items() if value is not None and name in BUDGET}
        named = [name for name in given if f"budget: {name}=" in str(problem)] or list(given)
        texts = " ".join(f"--{name.replace('_', '-')} {given[name]}" for name in named)
        raise UsageError(f"{texts}: {problem}") from problem


class _Stored:
    """The scores that a store's records have; read only if a task or figure is not one of the runs to come."""

    def __init__(self, options: argparse.Namespace, ablation: Ablation) -> None:
        from harness.api import default_store

        self._ablation = ablation
        self._folder: Path = getattr(options, "store", None) or default_store(ablation)

    @cached_property
    def figures(self) -> frozenset[str]:
        """Names of the scores."""
        from harness.store.folder import exists, load_of

        if not exists(self._folder):
            return frozenset()
        store = load_of(self._folder, self._ablation.name, self._ablation.testbed.name)
        return frozenset(figure for record in store.records() for figure in record.scores)

    @cached_property
    def tasks(self) -> frozenset[str]:
        """Names of the tasks that have scores, with and without their subset."""
        names = [figure.removeprefix("mteb/") for figure in self.figures if figure.startswith("mteb/")]
        return frozenset(names) | {name.partition(":")[0] for name in names}


def _shipped_tasks() -> set[str]:
    """Return the tasks of the testbeds of the package."""
    from harness.testbeds import ALL

    return {task for testbed in ALL.values() for task in testbed.tasks}


def _refuse_unknown_tasks(ablation: Ablation, options: argparse.Namespace, stored: _Stored) -> None:
    """Raise an error for a task that mteb does not know.

    mteb takes seconds to import, so it is not asked about tasks of the package's testbeds and of the store's records.
    """
    shipped = _shipped_tasks()
    names = [task for task in ablation.testbed.tasks if task not in shipped]
    names = [task for task in names if task not in stored.tasks]
    if not names:
        return
    from harness.evaluation.mteb_tasks import task_refs
    from harness.spec.loading import line_of

    for name in names:
        try:
            task_refs([name])
        except UsageError as problem:
            if getattr(options, "tasks", None) is not None:
                raise
            raise StudyFileError(
                f"{options.file}{line_of(options.file, name)}: testbed {ablation.testbed.name!r}: task {name!r} cannot "
                f"be evaluated: {str(problem).removeprefix(f'--tasks {name}').removeprefix('--tasks').lstrip(': ')}"
            ) from problem


def _refuse_unknown_figures(ablation: Ablation, options: argparse.Namespace, stored: _Stored) -> None:
    """Raise StudyFileError if an expectation is about a figure that no run will have and no record has."""
    from harness.spec.loading import line_of
    from harness.testbeds.measure_kinds import names_of_scores

    figures = [name for measure in ablation.testbed.measures for name in names_of_scores(measure)]
    figures += [f"mteb/{task}" for task in ablation.testbed.tasks]
    for figure, expectation in [(e.figure, e) for e in ablation.expect if e.figure is not None]:
        if {figure, figure.partition(":")[0]} & {*figures} or figure in stored.figures:
            continue
        task = figure.removeprefix("mteb/").partition(":")[0]
        if near := get_close_matches(figure, figures, 3, 0.5):
            fix = f"did you mean {', '.join(near)}?"
        else:
            fix = f"choose from {', '.join(figures)}"
        if figure.startswith("mteb/") and task in _shipped_tasks():
            fix = f"task {task!r} is not evaluated here; add it to the testbed's tasks or to --tasks"
        raise StudyFileError(
            f"{options.file}{line_of(options.file, figure)}: expectation '{expectation}': no run will have the score "
            f"{figure!r}; {fix}"
        )


def ablation_and_store(options: argparse.Namespace) -> tuple[Ablation, Path]:
    """Return the ablation and its store; options not given are those of the store's last run."""
    from harness.api import default_store

    folder: Path = options.store or default_store(_restricted(options))
    given = argparse.Namespace(**vars(options))
    remembered = {
        name: value
        for name, value in _remembered(folder).items()
        if value is not None and getattr(options, name, None) is None
    }
    for name, value in remembered.items():
        setattr(options, name, value)
    if remembered:
        output.say(f"options of the store's last run: {command(_as_options(remembered))}", to=sys.stderr)
    try:
        return declared(options), folder
    except HarnessError as problem:
        if not remembered:
            raise
        declared(given)  # if this fails as well, the file is not the reason
        raise UsageError(
            f"{problem} (an option of the store's last run, from {folder / LAST_RUN}; delete that file and give the "
            "run's options again)"
        ) from problem


@contextmanager
def remembering(store: Store, options: argparse.Namespace) -> Iterator[None]:
    """Remember the options of a run in its store; those of the last run again if nothing was trained with them."""
    from harness.files import as_json, write_atomically

    file = store.folder / LAST_RUN
    with store.locked():  # a driver that is refused changes nothing
        if file.is_dir():
            store.set_aside(file)
        try:
            before = _remembered(store.folder)
        except UsageError:
            before = {}
        write_atomically(file, as_json({name: getattr(options, name) for name in OVERRIDES}) + "\n")
    try:
        yield
    except (AuditFailed, StudyFileError, TestbedUnavailable):
        if before:
            write_atomically(file, as_json(before) + "\n")
        raise


def _remembered(folder: Path) -> dict[str, Any]:
    """Return the options of a store's last run; none if it has no file of them.

    Raises:
        UsageError: the file cannot be read.
    """
    from harness.store import reading
    from harness.store.designs import MOST_RUNS

    if not folder.is_dir():
        return {}  # there is no store, which `load` tells
    try:
        document = reading.document(Mapping[str, Any], folder, LAST_RUN)
        values = {name: reading.typed(document.get(name), kind | None, name) for name, kind in OVERRIDES.items()}
        for name in ("trials", "seeds", "max_seeds", "tunings", "repeats"):
            if (values[name] or 0) > MOST_RUNS:
                raise reading.Unreadable(f"{name} is {values[name]:,}, more than {MOST_RUNS:,}")
        for name, value in values.items():
            if isinstance(value, str) and len(value) > LONGEST:
                raise reading.Unreadable(f"{name} has more than {LONGEST:,} characters")
    except FileNotFoundError:
        return {}
    except reading.Unreadable as problem:
        raise UsageError(
            f"{folder / LAST_RUN}: cannot be read ({problem}); delete it and give the run's options again"
        ) from problem
    return values


def command_line(options: argparse.Namespace, precision: Precision = "auto") -> str:
    """Return the shell command that reproduces the runs, with the options that affect results.

    Args:
        options: the command's options.
        precision: the precision of the runs. "auto" depends on the device, and the precision is part of a run's id.
    """
    given = {name: getattr(options, name, None) for name in OVERRIDES}
    if given["precision"] is None and precision != "auto":
        given["precision"] = precision
    given["threads"] = getattr(options, "threads", None)
    return command(["harness", "run", file_argument(options.file), *_as_options(given)])


def file_argument(file: Path) -> str:
    """Return a study file as an argument, as seen from the current folder, or its name alone if it lies elsewhere.

    What is published names no folder of the machine.
    """
    told = os.path.relpath(file) if file.resolve().is_relative_to(Path.cwd()) else file.name
    return f"./{told}" if told.startswith("-") else told


def _as_options(values: Mapping[str, Any]) -> list[str]:
    """Return options as arguments; one whose value begins with a dash has it behind an equals sign."""
    parts = []
    for name, value in values.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            parts += ["--until-decided"] if name == "max_seeds" else []
            parts += [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]
    return parts


def from_store(ablation: Ablation, folder: Path, options: argparse.Namespace) -> Plan:
    """Return the plan of a store that must exist, and what of its data changed since its last run."""
    from harness import api
    from harness.engine.resolve import edited

    existing = api.load(folder).folder
    plan = api.plan(ablation, existing, study_file=options.file, allow_mixed=options.allow_mixed)
    return replace(plan, changed_data=tuple(edited(ablation, existing)))
