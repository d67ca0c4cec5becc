"""Loading a study file: Python code, run as it is, that must define one `ablation`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import cloudpickle

from harness.errors import StudyFileError
from harness.study import Ablation


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
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it: its losses travel whole
    ablation = getattr(module, "ablation", None)
    if not isinstance(ablation, Ablation):
        raise StudyFileError(f"{path}: defines no `ablation`; end it with ablation = Ablation(name=..., ...)")
    return ablation


def _line(problem: BaseException, file: str | None) -> str:
    """Return ":LINE" of the study file's own line where the problem came up."""
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""
