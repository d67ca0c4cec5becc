"""Content of a function's code: its syntax tree without comments, docstrings and positions, and its references."""

from __future__ import annotations

import ast
import dis
import importlib
import importlib.metadata
import importlib.util
import linecache
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

DECIDING = (
    "harness", "torch", "sentence_transformers", "transformers", "tokenizers", "datasets", "mteb", "numpy", "scipy",
    "pandas", "optuna",
)  # fmt: skip
"""Packages whose versions are in each record, where `harness.planning.mixing` compares them: only names count here."""

LONGEST_NAME = 200
"""Maximum number of characters of a constant that may name a file beside the code."""

_POSITIONS = ("lineno", "col_offset", "end_lineno", "end_col_offset", "type_comment", "kind", "ctx")


@dataclass(frozen=True)
class Reference:
    """A name that a function reads: a global, or a module that it imports."""

    name: str
    """The name."""
    attributes: tuple[tuple[str, ...], ...]
    """Chains of attributes that are read, e.g. ("nn", "functional"); an empty chain if the object itself is used."""
    imported: bool = False
    """Whether the function imports the module itself."""


@cache
def library(module: str) -> str | None:
    """Return the name of the installed package that a module belongs to, with its version if no record has that.

    None for the user's own modules: scripts, study files and modules beside them, and packages installed as editable.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return f"python:{module}"
    if top == "harness":
        return top  # its modules may move, and `plan.RECIPE` is raised when their results change
    if top in DECIDING:
        return module
    file = _file(top)
    if file is None or not any(file.is_relative_to(folder) for folder in _installed()):
        return None
    return f"{module} {_versions(top)}"


@cache
def installed(top: str) -> bool:
    """Return whether a package belongs to Python or is installed, also as editable."""
    return top in importlib.metadata.packages_distributions() or library(top) is not None


@cache
def _versions(top: str) -> str:
    names = importlib.metadata.packages_distributions().get(top, [])
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names)))


def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", ())), None)
    if file is None and module != "__main__":
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            spec = None
        file = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return None if file is None else Path(file).resolve()


@cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = [paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(Path(path).resolve() for path in folders))


def tokens(function: FunctionType) -> list[Any]:
    """Return a function's code as nested lists of strings, equal for equal code, on every version of Python.

    Code without a source file, or whose file changed since it was loaded, is represented by its bytecode, which depends
    on the version of Python.
    """
    node = _node(function.__code__)
    if node is not None:
        return ["tree", _plain(node)]
    return ["bytecode", f"{sys.version_info[0]}.{sys.version_info[1]}", _bytecode(function.__code__, function.__doc__)]


def module_tokens(module: ModuleType) -> list[Any]:
    """Return a module's source as `tokens` does a function's; its name if it has no file."""
    source = "".join(linecache.getlines(getattr(module, "__file__", None) or "", vars(module)))
    return ["module", _plain(ast.parse(source))] if source else ["module", module.__name__]


def file_tokens(source: str) -> list[Any]:
    """Return a Python file's text as `tokens` does a function's: comments, docstrings and layout do not count."""
    return ["file", _plain(ast.parse(source))]


def _plain(node: Any) -> Any:
    """Return a syntax tree as lists, without positions, docstrings and empty fields, which differ between versions."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    parts = ((name, value) for name, value in ast.iter_fields(node) if name not in _POSITIONS)
    fields = {name: value for name, value in parts if value is not None and value != []}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = node.body[ast.get_docstring(node, clean=False) is not None :]
    if isinstance(node, ast.Constant):  # None is a value here
        fields["value"] = node.value
    return [type(node).__name__, *([name, _plain(value)] for name, value in fields.items())]


def _node(code: CodeType) -> ast.AST | None:
    """Return the syntax tree of a function's code; None if there is no source, or if it changed after loading."""
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree, compiled = _parsed(source, code.co_filename)
    except (SyntaxError, ValueError):
        return None
    if code not in compiled:
        return None
    places = {(p[0], p[2]) for p in code.co_positions() if p[0] is not None and p[2] is not None}
    candidates = [node for node in ast.walk(tree) if _begins_at(node, code) and _holds(node, places)]
    return min(candidates, key=_extent, default=None)


@cache
def _parsed(source: str, filename: str) -> tuple[ast.Module, frozenset[CodeType]]:
    if not source:
        raise ValueError("no source")

    def all_in(code: CodeType) -> Iterator[CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from all_in(constant)

    tree = ast.parse(source)
    return tree, frozenset(all_in(compile(source, filename, "exec", dont_inherit=True)))


def _begins_at(node: ast.AST, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    return False


def _holds(node: Any, places: set[tuple[int, int]]) -> bool:
    """Return whether all positions of a code are in a lambda's body, because several lambdas may start on one line."""
    if not isinstance(node, ast.Lambda):
        return True
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    inside = [begin <= place <= end for place in places if place[0] != node.lineno or place[1] > node.col_offset]
    return any(inside) and all(inside)


def _extent(node: Any) -> tuple[int, int]:
    return (node.end_lineno - node.lineno, node.end_col_offset - node.col_offset)


def _bytecode(code: CodeType, doc: str | None) -> list[Any]:
    constants = [
        _bytecode(constant, None) if isinstance(constant, CodeType) else f"{type(constant).__name__}:{constant!r}"
        for constant in code.co_consts
        if doc is None or constant != doc
    ]
    return [code.co_code.hex(), constants, [*code.co_names], [*code.co_varnames], [*code.co_freevars]]


def references(code: CodeType) -> list[Reference]:
    """Return the globals that code reads and the modules that it imports, including nested functions and classes."""
    chains: dict[tuple[str, bool], set[tuple[str, ...]]] = {}
    for part in _nested(code):
        for name, chain, imported in _reads(part):
            chains.setdefault((name, imported), set()).add(chain)
    return [
        Reference(name, tuple(sorted(attributes)), imported) for (name, imported), attributes in sorted(chains.items())
    ]


def constants(code: CodeType) -> Iterator[str]:
    """Yield the texts among a code's constants, as they are and relative to the code's folder: they may name files."""
    for part in _nested(code):
        for constant in part.co_consts:
            if isinstance(constant, str):
                yield constant
                if constant and len(constant) < LONGEST_NAME and "\n" not in constant:
                    yield str(Path(code.co_filename).parent / constant)


def reads_environment(code: CodeType) -> bool:
    """Return whether code reads environment variables."""
    return any({"environ", "getenv"} & {*part.co_names} for part in _nested(code))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _reads(code: CodeType) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield (name, chain of attributes, imported) for each read of a global and each import."""
    instructions = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PUSH_NULL", "NOP")]
    for index, step in enumerate(instructions):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            chain: list[str] = []
            for following in instructions[index + 1 :]:
                if following.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                    break
                chain.append(str(following.argval))
            yield str(step.argval), tuple(chain), False
        elif step.opname == "IMPORT_NAME":
            level, names = (before.argval for before in instructions[index - 2 : index])
            for name in names or ("",):
                yield "." * int(level or 0) + str(step.argval), (name,) if name else (), True


def imported(name: str, package: str | None) -> ModuleType | None:
    """Import a user's own module as a function that names it would; None if that fails."""
    try:
        return importlib.import_module(importlib.util.resolve_name(name, package))
    except Exception:  # the module may raise anything; the run itself will report it
        return None


def absolute(name: str, package: str | None) -> str:
    """Return the absolute name of a module that is imported relatively; the name itself if it cannot be resolved."""
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return name
