"""The arguments that a loss accepts, read without importing torch, so that `plan` refuses misspelt ones."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from harness.spec.losses import Loss, Regularized, Wrapped


def unknown(loss: Callable[..., Any], names: Iterable[str] = ()) -> str | None:
    """Say which of these arguments, or of those that the loss already has, it does not accept; None if it accepts all.

    Args:
        loss: a loss of `harness.losses`, any other callable that takes the model, or a `functools.partial` of one.
        names: names of further arguments.
    """
    given = list(names)
    while isinstance(loss, partial | Wrapped | Regularized):
        given += loss.keywords if isinstance(loss, partial) else []
        loss = loss.func if isinstance(loss, partial) else loss.loss
    given += [name for name, _ in loss.options] if isinstance(loss, Loss) else []
    accepted = _accepted(loss) if given else None
    wrong = [] if accepted is None else [name for name in given if name not in accepted]
    if accepted is None or not wrong:
        return None
    near = get_close_matches(wrong[0], accepted, 1)
    return f"its loss takes no argument {wrong[0]!r}; " + (
        f"did you mean {near[0]!r}? It has {', '.join(accepted)}" if near else f"it has {', '.join(accepted) or 'none'}"
    )


def _accepted(loss: Callable[..., Any]) -> list[str] | None:
    """Return the names of a loss's arguments after the model, None if it accepts any or they cannot be read."""
    if isinstance(loss, Loss):
        return _of_class(loss.name)
    try:
        parameters = inspect.signature(loss).parameters
    except (ValueError, TypeError):  # a callable that is not written in Python
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return list(parameters)[1:]


@lru_cache(maxsize=64)
def _of_class(name: str) -> list[str] | None:
    """Read the constructor's arguments of a loss class of sentence-transformers from its source.

    Importing the class would import torch. None if the source has no such constructor: the run then refuses the
    argument when it builds the loss.
    """
    package = importlib.util.find_spec("sentence_transformers")
    for root in (package and package.submodule_search_locations) or ():
        moved = Path(root) / "sentence_transformer"  # here since 5.4
        for file in sorted(((moved if moved.is_dir() else Path(root)) / "losses").glob("*.py")):
            source = file.read_text(encoding="utf-8")
            if f"class {name}(" in source:
                return _constructor(ast.parse(source), name)
    return None


def _constructor(source: ast.Module, name: str) -> list[str] | None:
    bodies = [node.body for node in source.body if isinstance(node, ast.ClassDef) and node.name == name]
    functions = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        if function.name == "__init__" and function.args.kwarg is None:
            arguments = function.args
            return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)][2:]
    return None
