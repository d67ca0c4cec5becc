"""Wheels made by hand, for environments that are built offline: tiny packages, and edited copies of installed ones."""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str], needs: Sequence[str] = ()) -> Path:
    """Write a wheel of a package into a folder.

    Args:
        folder: the folder.
        name: name of the package.
        version: its version.
        files: text of each file by its path.
        needs: requirements of the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    content = {
        **files,
        f"{stem}.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    listed = "".join(f"{path},,\n" for path in (*content, record))
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**content, record: listed}.items():
            archive.writestr(file, text)
    return path


def edited(folder: Path, package: str, version: str, edits: Mapping[str, tuple[str, str]]) -> Path:
    """Write a wheel of an installed pure Python package, under another version and with changes.

    Args:
        folder: the wheel's folder.
        package: name of the package.
        version: version of the wheel.
        edits: for the path of a file within the package, a text of it and what stands in its place.
    """
    installed = importlib.metadata.distribution(package)
    files = {
        str(file): Path(str(installed.locate_file(file))).read_text(encoding="utf-8")
        for file in installed.files or ()
        if file.suffix in (".py", ".md", ".txt", ".json") and ".dist-info" not in file.parts[0]
    }
    for path, (before, after) in edits.items():
        assert before in files[path], f"{path} has no {before!r}: the installed version is another one"
        files[path] = files[path].replace(before, after)
    return wheel(folder, package, version, files)
