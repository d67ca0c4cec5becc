"""Read the files of a store. No other module opens them.

A store may come from anybody, so nothing in it is trusted: only regular files inside it are read, no links, pipes or
devices; their size and nesting are bounded; and every value has the type that a dataclass or another annotation
declares. `typed` is the schema of all files: it makes the declared value of JSON, or raises Unreadable.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from harness.errors import StoreError

MOST = 2**26
"""Maximum number of bytes of a file."""

DEEPEST = 20
"""Maximum nesting of values whose form is not declared."""

DIGITS = 18
"""Maximum number of digits of a whole number."""


class Unreadable(Exception):
    """A file of a store is not a regular file inside it, or does not hold what it should."""


def text(store: Path, *names: str) -> str:
    """Return the text of a store's file, given by its folder's names and its own.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: it is no regular file in the store, is too large, or is not UTF-8.
    """
    try:
        for number in range(1, len(names)):
            if store.joinpath(*names[:number]).is_symlink():
                raise Unreadable(f"{names[number - 1]} is a symbolic link")
        # a pipe would otherwise block until somebody writes into it
        file = os.open(store.joinpath(*names), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise Unreadable("it is not a regular file")
            if found.st_size > MOST:
                raise Unreadable(f"it has more than {MOST:,} bytes")
            with open(file, "rb", closefd=False) as opened:
                return opened.read(MOST).decode()
        finally:
            os.close(file)
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as problem:
        raise Unreadable("it is not UTF-8") from problem
    except OSError as problem:
        link = Path(store, *names).is_symlink()
        raise Unreadable("it is a symbolic link" if link else problem.strerror or str(problem)) from problem


def listed(store: Path, folder: str) -> list[str]:
    """Return the names of the JSON files in a folder of a store, sorted; none if there is no such folder.

    Raises:
        StoreError: the folder is a link or a file, or cannot be listed.
    """
    path = store / folder
    try:
        if path.is_symlink():
            raise NotADirectoryError(0, "it is a symbolic link")
        return sorted(name for name in os.listdir(path) if name.endswith(".json") and name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise StoreError(
            f"{path}: cannot be read ({problem.strerror}); put the store's own folder in its place, or choose another "
            "--store"
        ) from problem


def refuse_links(folder: Path) -> None:
    """Raise StoreError if a store contains a symbolic link, because its target could be overwritten or deleted.

    Pipes, sockets and devices are refused as well. The store itself may be a link. In records/, damaged/ and .staging/
    entries themselves are moved or deleted.
    """
    for here, folders, files in os.walk(folder):
        inner = Path(here).relative_to(folder)
        if inner.parts[:1] in (("records",), ("damaged",), (".staging",)):
            folders.clear()
            continue
        for name in sorted([*folders, *files]):
            mode = Path(here, name).lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                continue
            kind = "a symbolic link in a store, which" if stat.S_ISLNK(mode) else "a pipe, socket or device, which"
            raise StoreError(
                f"{Path(here, name)}: {kind} could lead a run to wait, or to overwrite or delete other files; put a "
                "real file or folder in its place, or choose another --store"
            )


def document(declared: Any, store: Path, *names: str) -> Any:
    """Return the value of this type that a store's JSON file holds; exceptions as for `text`."""
    return typed(parsed(text(store, *names)), declared)


def parsed(source: str) -> Any:
    """Return the value of a JSON text; raise Unreadable for any other text, NaN and numbers of many digits."""
    try:
        return _DECODER.decode(source)
    except RecursionError as problem:
        raise Unreadable("its values are nested too deeply") from problem
    except ValueError as problem:
        raise Unreadable(str(problem)) from problem


def typed(value: Any, declared: Any, what: str = "its content") -> Any:
    """Return a value of JSON as the declared type: a tuple for a list, a dataclass for an object with its fields.

    Args:
        value: the value.
        declared: a dataclass, str, int, float, bool, None, Literal, Any, or a union, Mapping or tuple of these.
        what: name of the value for the message.

    Raises:
        Unreadable: the value has another type, a field is missing, or a number is infinite.
    """
    origin, parts = get_origin(declared), get_args(declared)
    if declared is Any:
        return _plain(value, what)
    if origin in (Union, UnionType):
        for part in parts:
            if _may_be(value, part):
                return typed(value, part, what)
    elif origin is Literal:
        if isinstance(value, str) and value in parts:
            return value
        raise Unreadable(f"{what} is {_short(value)}, none of {', '.join(map(str, parts))}")
    elif is_dataclass(declared) and isinstance(declared, type) and isinstance(value, dict):
        return _made(value, declared, what)
    elif origin is tuple and isinstance(value, list):
        return _sequence(value, parts, what)
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {_encodable(name, what): typed(part, parts[1], f"{what}'s {name}") for name, part in value.items()}
    elif _may_be(value, declared):
        return _finite(value, what) if declared is float else _encodable(value, what)
    raise Unreadable(f"{what} is a {type(value).__name__}")


def _may_be(value: Any, declared: Any) -> bool:
    """Return whether a value of JSON may be of a declared type, by its kind alone."""
    base = get_origin(declared) or declared
    if base is Any or base is Literal:
        return True
    if base in (NoneType, None):
        return value is None
    if base is float:
        return type(value) in (int, float)
    if base in (int, str, bool):
        return type(value) is base
    if is_dataclass(base) and isinstance(base, type):  # one of several in a union
        return isinstance(value, dict) and all(
            name in value or not needed for name, (_, needed) in _fields(base).items()
        )
    return isinstance(value, list if base is tuple else dict)


def _sequence(values: list[Any], parts: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if parts[-1] is not Ellipsis:
        if len(values) != len(parts):
            raise Unreadable(f"{what} has {len(values)} values, not {len(parts)}")
        return tuple(typed(value, part, what) for value, part in zip(values, parts, strict=True))
    if parts[0] is float and {type(value) for value in values} <= {int, float}:  # thousands in each record
        if not all(map(math.isfinite, values)):
            raise Unreadable(f"{what} holds a number that is not finite")
        return tuple(values)
    return tuple(typed(value, parts[0], what) for value in values)


def _made(value: dict[str, Any], declared: type, what: str) -> Any:
    found = {}
    for name, (hint, required) in _fields(declared).items():
        if name in value:
            found[name] = typed(value[name], hint, f"its {name}" if what == "its content" else f"{what}'s {name}")
        elif required:
            raise Unreadable(f"{what} has no {name}")
    try:
        return declared(**found)
    except ValueError as problem:  # the class refuses these values together
        raise Unreadable(f"{what}: {problem}") from problem


@cache
def _fields(declared: type) -> dict[str, tuple[Any, bool]]:
    """Return the types of a dataclass's fields, and which of them have no default."""
    hints = get_type_hints(declared)
    return {
        each.name: (hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(declared)
    }


def _plain(value: Any, what: str, depth: int = 0) -> Any:
    """Return a value whose form is not declared, if it is not nested too deeply and its numbers are finite."""
    if depth > DEEPEST:
        raise Unreadable(f"{what} is nested too deeply")
    if isinstance(value, dict):
        for name, part in value.items():
            _encodable(name, what)
            _plain(part, what, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _plain(part, what, depth + 1)
    elif isinstance(value, float):
        _finite(value, what)
    return _encodable(value, what)


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise Unreadable(f"{what} is not a finite number")
    return value


def _encodable(value: Any, what: str) -> Any:
    """Return a value unless it is a text with half of a surrogate pair, which no file or terminal takes."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            raise Unreadable(f"{what} has a character that is no Unicode") from problem
    return value


def _short(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str) else f"a {type(value).__name__}"


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number has more than {DIGITS} digits")
    return int(digits)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_int=_whole, parse_constant=_no_number)
