"""Loading a study file: Python code, run as it is, that must define one `ablation`.

As in any script, files beside it can be imported: `from all_losses import ablation as all_losses`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import cloudpickle

from harness.ablation import Ablation
from harness.errors import StudyFileError

_beside: set[str] = set()
"""Names of the modules that the last study file imported from its own folder."""


def load_study_file(path: Path) -> Ablation:
    """Run a study file and return its ablation; raise StudyFileError, with file and line, for what is wrong."""
    if not path.is_file():
        raise StudyFileError(f"{path}: no such file; give the path of a study file, e.g. studies/all_losses.py")
    name = f"harness_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyFileError(f"{path}: not a Python file; a study file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # inspect finds the source of its losses there
    folder = str(path.resolve().parent)
    for imported in _beside:  # another folder may have files of these names
        sys.modules.pop(imported, None)
    before = set(sys.modules)
    sys.path.append(folder)  # last: a study file called like an installed package hides nothing
    try:
        spec.loader.exec_module(module)
    except StudyFileError as problem:
        raise StudyFileError(f"{path}{_line(problem, module.__file__)}: {problem}") from problem
    except SyntaxError as problem:
        raise StudyFileError(f"{path}:{problem.lineno}: not valid Python: {problem.msg}") from problem
    except (Exception, SystemExit) as problem:
        raise StudyFileError(
            f"{path}{_line(problem, module.__file__)}: {type(problem).__name__}: {problem}"
        ) from problem
    finally:
        sys.path.remove(folder)
        _beside.clear()
        _beside.update(key for key in set(sys.modules) - before if _is_in(folder, key))
    for imported in (name, *_beside):
        cloudpickle.register_pickle_by_value(sys.modules[imported])  # workers cannot import it: losses travel whole
    ablation = getattr(module, "ablation", None)
    if not isinstance(ablation, Ablation):
        raise StudyFileError(f"{path}: defines no `ablation`; end it with ablation = Ablation(name=..., ...)")
    return ablation


def _is_in(folder: str, module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and Path(file).resolve().parent == Path(folder)


def _line(problem: BaseException, file: str | None) -> str:
    """Return ":LINE" of the study file's own line where the problem came up."""
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""
