"""Stores as a stranger may send them: one finished store, with one of its entries changed in one way."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from harness.store.records import HEAD

KINDS = ("bytes", "types", "link", "pipe", "folder", "socket", "gone", "large", "deep")
"""How an entry is changed."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**17, -(10**17), 10**400, 1.5, 1e308, -1e-308, float("nan"), float("inf")),
    *("", "x", "../../canary", "/dev/zero", "\x1b[2J", "\ud800", "a\0b", "$\\frac{", "<b>&", "ok", "final", "x" * 5000),
    *([], {}, [[]], [1, "a"], {"a": {"b": [{}]}}, {"": 1}, [0.5] * 3),
)
"""Values that take the place of others."""

EXTRA = ("optuna.db", "lock", "damaged", "damaged/x.json", "records", "models", "mteb", "records/0123456789abcdef.json")
"""Entries besides the JSON files of a store; some are there."""


def entries(store: Path) -> list[str]:
    """Return the names of the entries that are changed, the most important ones twice."""
    files = sorted(str(path.relative_to(store)) for path in store.glob("*.json"))
    records = sorted(str(path.relative_to(store)) for path in (store / "records").glob("*.json"))
    return [*files, *files, *records, *EXTRA]


def change(store: Path, name: str, kind: str, canary: Path, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """Change an entry of a store.

    Args:
        store: the store's folder.
        name: the entry's name.
        kind: one of KINDS.
        canary: a folder outside of the store, for links.
        draw: draws the details.
    """
    path = store / name
    if os.path.lexists(path.parent) and not path.parent.is_dir():
        return  # an earlier change took the folder away
    path.parent.mkdir(exist_ok=True)
    if kind in ("bytes", "types") and path.is_file() and not path.is_symlink():
        if path.stat().st_size > 2**24:
            return  # an earlier change made it too large to change here
        source = path.read_bytes()
        try:
            if kind == "types" and path.suffix == ".json":
                path.write_text(_retyped(source.decode(), draw), encoding="utf-8", errors="backslashreplace")
                return
        except (ValueError, RecursionError):  # an earlier change made it no JSON
            pass
        path.write_bytes(altered(source, draw))
        return
    _remove(path)
    if kind == "link":
        inside = [store / "records", store / "store.json", path]
        path.symlink_to(draw(st.sampled_from([canary, canary / "file.json", Path("/dev/zero"), *inside])))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        if draw(st.booleans()):
            (path / "0123456789abcdef.json").write_text("{}")
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's whole path has at most 107 bytes
        try:
            with socket.socket(socket.AF_UNIX) as opened:
                opened.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(2**33)
    elif kind == "deep":
        opening = draw(st.sampled_from(["[", '{"a":', '{"record": [', '{"record": {"scores": [']))
        path.write_text(opening * draw(st.sampled_from([200, 100_000])))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.{os.urandom(4).hex()}"))
    else:
        path.unlink(missing_ok=True)


def altered(source: bytes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Return bytes that differ in one place, are cut off, or come twice."""
    at = draw(st.integers(0, max(0, len(source) - 1)))
    how = draw(st.sampled_from(["flip", "cut", "insert", "delete", "repeat"]))
    if how == "flip":
        return source[:at] + bytes([source[at] ^ (1 << draw(st.integers(0, 7)))]) + source[at + 1 :] if source else b"x"
    if how == "cut":
        return source[:at]
    if how == "insert":
        more: bytes = draw(st.binary(min_size=1, max_size=8))
        return source[:at] + more + source[at:]
    if how == "delete":
        return source[:at] + source[at + draw(st.integers(1, 40)) :]
    return source[:at] + source


def _retyped(source: str, draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    """Return JSON with an odd value somewhere, or without a value, or with one more; a record's checksum is right."""
    document = json.loads(source)
    is_record = isinstance(document, dict) and "record" in document
    root = {"root": document["record"] if is_record else document}
    holder, key = root, "root"
    while isinstance(holder[key], (dict, list)) and holder[key] and draw(st.integers(0, 5)):
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
    if how == "replace" or holder is root:
        holder[key] = draw(st.sampled_from(ODD))
    elif how == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        holder[draw(st.sampled_from(["x", "", "../x", "\x1b[2J", "a\nb", "$\\frac{", "x" * 3000]))] = holder[key]
    else:
        holder.extend([holder[key]] * draw(st.sampled_from([1, 1000])))
    body = json.dumps(root["root"], ensure_ascii=False)
    if not is_record:
        return body
    digest = hashlib.sha256(body.encode(errors="replace")).hexdigest()
    return f'{HEAD}{body}, "sha256": "{digest}"}}\n'
