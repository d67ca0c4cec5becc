"""Load a study file: Python code that must define a variable `ablation`.

As in any script, files and packages beside it can be imported, e.g. `from all_losses import ablation as all_losses`,
also in the body of a loss when it is called. So its folder stays on the module path until another study file is loaded.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import cloudpickle

from harness.errors import StudyFileError
from harness.identity.code import installed
from harness.spec.ablation import Ablation
from harness.spec.beside import installed_below
from harness.spec.explanations import explanation

_beside: dict[str, frozenset[str]] = {}
"""The folder of the last study file, and the names of the modules that were imported before that file was loaded."""


def load_study_file(path: Path) -> Ablation:
    """Run a study file and return its ablation.

    Raises:
        StudyFileError: the file cannot be run or declares an invalid ablation; the message has the file and line.
    """
    if not path.is_file():
        raise StudyFileError(f"{path}: no such file; give the path of a study file, e.g. studies/all_losses.py")
    name = f"harness_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyFileError(f"{path}: not a Python file; a study file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # inspect finds the source of its losses there
    folder = str(path.resolve().parent)
    _search_beside(folder, name)
    try:
        with _no_bytecode():
            spec.loader.exec_module(module)
    except StudyFileError as problem:
        raise StudyFileError(f"{path}{_line(problem, module.__file__)}: {problem}") from problem
    except SyntaxError as problem:
        raise StudyFileError(f"{path}:{problem.lineno}: not valid Python: {problem.msg}") from problem
    except (Exception, SystemExit) as problem:
        what = explanation(problem) or f"{type(problem).__name__}: {problem}"
        raise StudyFileError(f"{path}{_line(problem, module.__file__)}: {what}") from problem
    for own in (name, *_modules_of(folder)):
        cloudpickle.register_pickle_by_value(sys.modules[own])  # pickle by value: the file may change
    ablation = getattr(module, "ablation", None)
    if not isinstance(ablation, Ablation):
        raise StudyFileError(f"{path}: defines no `ablation`; end it with ablation = Ablation(name=..., ...)")
    return ablation


def folder_beside() -> str | None:
    """Return the folder of the last study file, None if none was loaded."""
    return next(iter(_beside), None)


@contextmanager
def imported_anew(folder: str | None) -> Iterator[None]:
    """Import the user's own modules again within the block, and restore the earlier ones after it.

    Those are the modules below a folder and others that no installed package has, e.g. on PYTHONPATH: a run must not
    see what an earlier run left in their variables.
    """
    earlier = {name: sys.modules[name] for name in _of_user(folder)}
    for name in earlier:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in _of_user(folder):
            del sys.modules[name]
        sys.modules.update(earlier)


def _of_user(folder: str | None) -> list[str]:
    """Return the names of imported modules below a folder, and of those that are no part of an installed package."""
    places = _places()
    elsewhere = [
        name
        for name, module in list(sys.modules.items())
        if not str(getattr(module, "__dict__", {}).get("__file__")).startswith(places)  # before the slower test
        and (file := _file(module)) is not None
        and not file.startswith(places)
        and not _is_known(name.partition(".")[0])
    ]
    return list(dict.fromkeys([*([] if folder is None else _below(folder)), *elsewhere]))


def _is_known(top: str) -> bool:
    return top in ("harness", "__main__", "__mp_main__") or installed(top)


@cache
def _places() -> tuple[str, ...]:
    """Return the folders of Python's and installed modules: a quick test that settles nearly all."""
    paths = [sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")]
    return tuple(os.path.join(path, "") for path in (*paths, *map(os.path.realpath, paths)))


def line_of(path: Path, text: str) -> str:
    """Return ":LINE" of the first string with this text in a study file; nothing if it is in none of its strings."""
    strings = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Constant)]
    lines = [node.lineno for node in strings if node.value == text]
    return f":{min(lines)}" if lines else ""


def _search_beside(folder: str, name: str) -> None:
    """Append a study file's folder to the module path, and remove the previous one and its modules except the file's.

    It comes last so that a study file with the name of an installed package does not hide that package. The previous
    one is removed because this folder may have files of the same names.
    """
    for old in list(_beside):
        for module in _modules_of(old):
            if module != name:
                del sys.modules[module]
        del _beside[old]
        if sys.path[-1:] == [old]:
            sys.path.pop()
    importlib.invalidate_caches()
    sys.path.append(folder)
    _beside[folder] = frozenset(sys.modules)


def _modules_of(folder: str) -> list[str]:
    """Return the names of modules imported from a study file's folder since it was loaded, without installed ones."""
    before = _beside.get(folder, frozenset())  # none if the file loaded another study file, which is the last one now
    return [name for name in _below(folder) if name not in before]


def _below(folder: str) -> list[str]:
    """Return the names of imported modules below a folder, without installed ones and the harness's own."""
    inside, installed = os.path.join(folder, ""), installed_below(folder)
    own = []
    for name, module in list(sys.modules.items()):
        file = None if name.partition(".")[0] in ("harness", "__main__") else _file(module)
        if file is not None and file.startswith(inside) and not file.startswith(installed):
            own.append(name)
    return own


def _file(module: ModuleType) -> str | None:
    """Return the path of a module; for a package without a file, its first folder.

    The path is read from the module's dictionary, because attribute access on a lazy module of transformers may import
    something that is not installed.
    """
    attributes = getattr(module, "__dict__", {})
    folders = attributes.get("__path__")
    place = attributes.get("__file__") or next(iter(folders if isinstance(folders, Iterable) else ()), None)
    return os.path.realpath(place) if isinstance(place, str) else None


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Write no bytecode: for a helper edited twice within a second, stale bytecode would be used."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _line(problem: BaseException, file: str | None) -> str:
    """Return ":LINE" of the study file's line that raised the problem."""
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""
