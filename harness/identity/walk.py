"""Content of any object: values, containers, functions with all that they read, classes, objects with their state."""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import json
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from harness.identity import code
from harness.identity.numbers import numbers, table

_DERIVED_ATTRIBUTES = frozenset(
    ("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__annotate__",
     "__annotate_func__", "__annotations_cache__", "__firstlineno__", "__static_attributes__", "__parameters__",
     "__orig_bases__", "__abstractmethods__", "_abc_impl", "__dataclass_params__", "__match_args__",
     "__dataclass_fields__")
)  # fmt: skip
"""Attributes of a class that follow from others, or do not affect what it computes."""

_SIMPLE = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))


class Unstable(Exception):
    """An object has no content that another process could determine."""

    def __init__(self, path: str, thing: object, why: str) -> None:
        super().__init__(f"{path} is a {type(thing).__module__}.{type(thing).__qualname__}, {why}")


def digest(thing: Any, files: Mapping[str, str] | None = None) -> str:
    """Return a hash of what an object computes: 16 hexadecimal digits, the same in every process on every machine.

    Args:
        thing: a loss, the function of a view, or the value of an option.
        files: hashes of the contents of files and models, by path; they replace texts that are such paths.

    Raises:
        Unstable: the content of an object cannot be determined, e.g. of an open file, a lock or a generator; the
            message names the object.
    """
    walk = Walk(files or {})
    content = walk.of(thing, "it")
    return _hash([content, walk.environment()])[:16]


def _hash(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


class Walk:
    """One walk through an object, with the hashes of all parts, so that shared parts are hashed once and cycles end."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.texts: set[str] = set()
        self._reads_environment = False
        self._files = files
        self._hashes: dict[int, tuple[object, str]] = {}
        self._open: dict[int, int] = {}

    def of(self, thing: Any, path: str) -> str:
        """Return the hash of an object; `path` describes for errors how it was reached."""
        if isinstance(thing, str | PurePath):
            self.texts.add(str(thing))
        if isinstance(thing, str | PurePath) and str(thing) in self._files:
            return _hash(["content", type(thing).__name__, self._files[str(thing)]])
        if type(thing) in _SIMPLE:
            return _hash([type(thing).__name__, hex(thing) if type(thing) is int else repr(thing)])
        if isinstance(thing, type(os.environ)):
            return _hash(["the environment"])  # `environment` has its variables
        if id(thing) in self._hashes:
            return self._hashes[id(thing)][1]
        if id(thing) in self._open:
            return _hash(["again", len(self._open) - self._open[id(thing)]])
        self._open[id(thing)] = len(self._open)
        try:
            content = _hash(self._parts(thing, path))
        except Unstable:
            raise
        except Exception as problem:  # an object's own methods may raise anything, and it may be nested too deeply
            raise Unstable(
                path, thing, f"whose content cannot be determined ({type(problem).__name__}: {problem})"
            ) from None
        finally:
            del self._open[id(thing)]
        self._hashes[id(thing)] = (thing, content)
        return content

    def environment(self) -> dict[str, str]:
        """Return the environment variables that some text of the object names, if its code reads any.

        The name may stand anywhere: in the function that reads it, in a constant, or in the call of a helper.
        """
        if not self._reads_environment:
            return {}
        return {name: os.environ[name] for name in sorted(self.texts & os.environ.keys())}

    def _all(self, things: Iterable[Any], path: str) -> list[str]:
        return [self.of(thing, f"{path}[{index}]") for index, thing in enumerate(things)]

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], path: str) -> list[Any]:
        return [[self.of(key, f"a key of {path}"), self.of(value, f"{path}[{key!r}]")] for key, value in pairs]

    def _named(self, things: Mapping[str, Any], path: str) -> list[Any]:
        return [[name, self.of(value, f"{path}.{name}")] for name, value in sorted(things.items())]

    def _parts(self, thing: Any, path: str) -> list[Any]:
        """Return the parts of an object as JSON."""
        kind = type(thing)
        if kind in (tuple, list):
            return [kind.__name__, self._all(thing, path)]
        if kind in (set, frozenset):
            return [kind.__name__, sorted(self._all(thing, path))]
        if kind is dict:
            return ["dict", self._pairs(thing.items(), path)]
        if isinstance(thing, enum.Enum):
            own = {name: value for name, value in vars(thing).items() if not name.startswith("_")}
            member = [self.of(kind, f"the class of {path}"), thing.name, self.of(thing.value, f"{path}.value")]
            return ["enum", *member, self._named(own, path)]
        if isinstance(thing, functools.partial):
            call = [self.of(thing.func, f"{path}.func"), self._all(thing.args, f"{path}.args")]
            return ["partial", *call, self._named(thing.keywords, path)]
        if isinstance(thing, types.FunctionType):
            return self._function(thing, path)
        if isinstance(thing, types.ModuleType):
            return self._module(thing, ((),), path)
        if isinstance(thing, type):
            return self._class(thing, path)
        if isinstance(thing, types.MethodType):
            return ["method", self.of(thing.__self__, f"{path}.__self__"), self.of(thing.__func__, path)]
        if isinstance(thing, types.BuiltinFunctionType):
            owner = thing.__self__
            of = None if owner is None or isinstance(owner, types.ModuleType) else self.of(owner, f"{path}.__self__")
            return ["builtin", str(thing.__module__), thing.__qualname__, of]
        if isinstance(thing, staticmethod | classmethod):
            return [kind.__name__, self.of(thing.__func__, path)]
        if isinstance(thing, property):
            return ["property", self._all((thing.fget, thing.fset, thing.fdel), path)]
        if hasattr(thing, "cache_info") and hasattr(thing, "__wrapped__"):  # functools.cache, lru_cache
            return ["cached", self.of(thing.__wrapped__, path)]
        if (content := numbers(thing)) is not None:
            return ["numbers", *content, self._named(getattr(thing, "__dict__", {}), path)]
        cells = table(thing)
        return self._object(thing, path) if cells is None else ["table", self._all(cells, path)]

    def _function(self, function: types.FunctionType, path: str) -> list[Any]:
        # from its globals and its code, because `functools.wraps` copies name and module of the wrapped function
        owner = code.library(str(function.__globals__.get("__name__", "__main__")))
        name = function.__code__.co_qualname
        if owner is not None and "<locals>" not in name and "<lambda>" not in name:
            return ["library", owner, name]
        self.texts.update(code.constants(function.__code__))
        self._reads_environment |= owner is None and code.reads_environment(function.__code__)
        cells = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                cells[name] = cell.cell_contents
            except ValueError:  # the cell is still empty
                cells[name] = None
        own = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
        files = [self._files[text] for text in sorted(set(code.constants(function.__code__)) & self._files.keys())]
        return [
            "function",
            code.tokens(function),
            files,
            self._all(function.__defaults__ or (), f"a default of {path}"),
            self._named(function.__kwdefaults__ or {}, f"a default of {path}"),
            self._named(cells, f"{path}, closure"),
            self._named(own, path),
            [] if owner is not None else self._read(function, path),
        ]

    def _read(self, function: types.FunctionType, path: str) -> list[Any]:
        """Return the globals that a user's function reads, and the modules that it imports."""
        values: list[Any] = []
        package = function.__globals__.get("__package__")
        for reference in code.references(function.__code__):
            where = f"{reference.name}, which {path} reads," if not reference.imported else reference.name
            if reference.imported:
                values.append([reference.name, self._import(reference, package, where)])
            elif reference.name in ("__file__", "__spec__", "__path__"):
                values.append([reference.name, "where it lies"])  # the location differs between machines
            elif reference.name in function.__globals__:
                value = function.__globals__[reference.name]
                if isinstance(value, types.ModuleType):
                    values.append([reference.name, self._module(value, reference.attributes, where)])
                else:
                    values.append([reference.name, self.of(value, where)])
        return values

    def _import(self, reference: code.Reference, package: str | None, path: str) -> list[Any]:
        name = code.absolute(reference.name, package)
        owner = code.library(name)
        if owner is not None:
            return ["library", owner]
        module = code.imported(reference.name, package)
        return ["absent", name] if module is None else self._module(module, reference.attributes, path)

    def _module(self, module: types.ModuleType, attributes: tuple[tuple[str, ...], ...], path: str) -> list[Any]:
        """Return the attributes of a user's module that are used; all of them if the module itself is used."""
        owner = code.library(module.__name__)
        if owner is not None:
            return ["library", owner]
        if () not in attributes:
            return ["module", [[".".join(chain), self._attribute(module, chain, path)] for chain in attributes]]
        values = []
        for name, value in sorted(vars(module).items()):
            if not name.startswith("__"):
                try:
                    values.append([name, self.of(value, f"{path}.{name}")])
                except Unstable:  # it may not be used at all
                    values.append([name, "unknown"])
        return [code.module_tokens(module), values]

    def _attribute(self, module: types.ModuleType, chain: tuple[str, ...], path: str) -> Any:
        value: Any = getattr(module, chain[0], None)
        if value is None and f"{module.__name__}.{chain[0]}" not in sys.modules and not hasattr(module, chain[0]):
            submodule = code.imported(f"{module.__name__}.{chain[0]}", None)
            return "absent" if submodule is None else self._module(submodule, (chain[1:],), path)
        if isinstance(value, types.ModuleType):
            return self._module(value, (chain[1:],), f"{path}.{chain[0]}")
        return self.of(value, f"{path}.{chain[0]}")

    def _class(self, cls: type, path: str) -> list[Any]:
        owner = code.library(cls.__module__)
        if owner is not None and "<locals>" not in cls.__qualname__ and _is_at(cls.__module__, cls.__qualname__, cls):
            return ["library", owner, cls.__qualname__]
        fields = getattr(cls, "__dataclass_fields__", {})
        parts = {}
        for name, value in vars(cls).items():
            generated = fields and isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"
            descriptor = isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
            of_enum = issubclass(cls, enum.Enum) and (name.startswith("_") and not name.startswith("__"))
            if isinstance(value, enum.Enum) and isinstance(value, cls):
                parts[name] = value.value
            elif name not in _DERIVED_ATTRIBUTES and not generated and not descriptor and not of_enum:
                parts[name] = value
        declared = [[name, self._all((f.default, f.default_factory, f.init), path)] for name, f in fields.items()]
        return [
            "class",
            self._all(cls.__bases__, f"a base of {path}"),
            self.of(type(cls), f"the metaclass of {path}"),
            declared,
            str(getattr(cls, "__dataclass_params__", "")),
            self._named(parts, path),
        ]

    def _object(self, thing: Any, path: str) -> list[Any]:
        """Return an object's content as pickling reduces it, which is what a worker receives."""
        reducer = copyreg.dispatch_table.get(type(thing))
        try:
            reduced = reducer(thing) if reducer is not None else thing.__reduce_ex__(4)
        except Exception as problem:
            raise Unstable(path, thing, f"whose content cannot be determined ({problem})") from problem
        if isinstance(reduced, str):
            return ["global", code.library(getattr(thing, "__module__", None) or "builtins") or "own", reduced]
        if not isinstance(reduced, tuple) or len(reduced) < 2:
            raise Unstable(path, thing, "which cannot be pickled")
        function, arguments, *rest = reduced
        state, items, pairs = [*rest, None, None, None][:3]
        return [
            "object",
            self.of(type(thing), f"the class of {path}"),
            self.of(function, path) if not _makes_new(function) else "new",
            self._all(arguments[_makes_new(function) :], path),
            self._named(state, path) if _by_name(state) else self.of(state, path),
            self._all(items or (), path),
            self._pairs(pairs or (), path),
        ]


def _makes_new(function: Callable[..., Any]) -> bool:
    """Return whether an object is made by its class, which is the first argument and is already included."""
    return getattr(function, "__name__", "") in ("__newobj__", "__newobj_ex__")


def _by_name(state: Any) -> bool:
    return type(state) is dict and all(type(name) is str for name in state)


def _is_at(module: str, name: str, thing: object) -> bool:
    """Return whether a module has this very object under its name: names can be copied."""
    value: Any = sys.modules.get(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    return value is thing
