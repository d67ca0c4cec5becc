"""Imports go down only: the floors and the heavy libraries' homes are read from docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import provenance

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ENTRIES = ("__init__", "__main__")
"""The package's own two files may name any room."""

OPENS = {
    "open",
    "fdopen",
    "read_text",
    "read_bytes",
    "read_csv",
    "read_parquet",
    "ParquetFile",
    "connect",
    "RDBStorage",
}
"""Names of functions and methods that open a file."""

OPENERS = {
    "store/reading.py": "the files of stores",
    "store/locking.py": "a store's lock, to write: never read, and refused unless it is a regular file",
    "engine/search.py": "a store's optuna.db, which a driver alone opens, and rebuilds if it is not as the records",
    "files.py": "a new file beside the one that it replaces",
    "audit/lengths.py": "a base model's tokenizer and configuration",
    "testbeds/model_files.py": "a base model's configuration",
    "data/mining.py": "the cache of mined negatives",
    "embedded/basemodel.py": "the package's own language model",
    "embedded/build.py": "the package's own code, for its hash",
    "embedded/pretrain.py": "a model that it has just trained",
    "embedded/tasks.py": "the embedded testbed's tasks, in the cache",
    "executors/streams.py": "/dev/null",
    "provenance.py": "the package's own code, the study file, and what the kernel tells of the machine",
    "reading/beir_files.py": "retrieval data",
    "reading/hashes.py": "data and base models, for their hashes",
    "reading/local.py": "the user's data files",
    "reading/materials.py": "data of the hub",
    "reading/rows.py": "data of the hub",
    "upgrading/checkouts.py": "an archive that git has just made",
    "upgrading/environments.py": "pip's log, and an environment that it builds",
    "upgrading/seen.py": "where a package was installed from",
    "upgrading/wanted.py": "checkouts, wheels and files of requirements",
    "spec/arguments.py": "the code of sentence-transformers",
    "spec/loading.py": "the study file",
}
"""The modules that open files, with what they open: only the first three open a store's."""


def floors() -> dict[str, int]:
    """Return each room's floor, from the top, out of the code block under the heading "Layers"."""
    found = re.search(r"^## Layers\n.*?^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/architecture.md has no block of floors"
    lines = found.group(1).strip().splitlines()
    return {room.strip(): floor for floor, line in enumerate(lines) for room in line.split("|")}


def homes() -> dict[str, list[str]]:
    """Return the places that may import each heavy library, out of the table of their homes."""
    found = re.search(r"^## Where heavy libraries may be imported\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/architecture.md has no table of homes"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in found.group(1).splitlines() if "|" in line
    ]
    return {library.strip("`"): re.findall(r"`([^`]+)`", places) for library, places, *_ in rows[2:]}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Give the modules that a file imports, anywhere in it, with the line."""
    package = ["harness", *path.relative_to(ROOT / "harness").parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "harness":
                yield from ((f"harness.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def modules() -> list[Path]:
    return sorted((ROOT / "harness").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "harness").parts[0].removesuffix(".py")


def test_every_room_stands_on_one_floor_and_every_floor_has_rooms() -> None:
    assert floors().keys() == {room(path) for path in modules()} - {*ENTRIES}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    """Those inside functions, too: what is imported late is known all the same."""
    of, here = floors(), room(path)
    if here in ENTRIES:
        return
    names = {name.split(".")[1]: line for name, line in imports(path) if name.startswith("harness.")}
    up = {name: line for name, line in names.items() if name in of and name != here and of[name] <= of[here]}
    assert not up, f"{path.relative_to(ROOT)} (floor {of[here]}) imports from its own floor or above: {up}"


def test_each_heavy_library_has_the_homes_that_the_page_names() -> None:
    for library, places in homes().items():
        users = {
            path.relative_to(ROOT / "harness").as_posix()
            for path in modules()
            if any(name.split(".")[0] == library for name, _ in imports(path))
        }
        for user in users:
            assert any(user.startswith(place) for place in places), f"{user} imports {library}; its homes are {places}"
        for place in places:
            assert any(user.startswith(place) for user in users), f"nothing under {place} imports {library}"


def test_one_module_reads_stores_and_whatever_else_opens_files_says_which() -> None:
    """A module that begins to open files gets a line in OPENERS, and reads a store by `harness.store.reading` only."""
    users = {
        path.relative_to(ROOT / "harness").as_posix()
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in OPENS
    }
    assert users == OPENERS.keys()


def test_modules_are_short() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_what_makes_scores_is_part_of_each_records_code_hash() -> None:
    """A module that moves must take its place in the hash with it, or two versions of it would be mixed unseen."""
    package = ROOT / "harness"
    hashed = {path.relative_to(package).as_posix() for each in provenance.DECIDES for path in package.glob(each)}
    rooms = {"compat", "model", "reading", "texts", "training"}
    assert {path.relative_to(package).as_posix() for path in modules() if room(path) in rooms} <= hashed
    assert {"engine/run.py", "engine/rows.py", "engine/testing.py"} <= hashed
    score_nothing = {"__init__.py", "calibrate.py", "diagnostics.py", "published.py"}
    scoring = {f"evaluation/{path.name}" for path in (package / "evaluation").glob("*.py")}
    assert scoring - {f"evaluation/{name}" for name in score_nothing} <= hashed
    for each in provenance.DECIDES:
        assert list(package.glob(each)), each
