"""Refs: pinned models and data sets of the hub, parts of the embedded testbed, and local folders."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path

EMBEDDED = "embedded"
"""The repository of a Ref to what the project makes itself; `config` is then the folder in it, or `MODEL`."""

MODEL = "model"
"""The `config` of a Ref to the base model that ships with the package."""

LOCAL = "local folder"
"""The revision of a Ref to a folder of this machine, whose `repo` is its path as it was given."""


@dataclass(frozen=True)
class Ref:
    """A pinned model or data set of the hub, or a local folder."""

    repo: str
    """Repository on the hub, or the path of a folder."""
    revision: str
    """Commit, branch or tag of the repository, or `LOCAL`."""
    config: str | None = None
    """Configuration of the data set."""
    split: str | None = None
    """Split of the data set."""
    patterns: tuple[str, ...] = ()
    """Files to download; all if empty."""
    beside: str = field(default="", repr=False)
    """Folder from which a relative `repo` of a local folder starts."""

    def __str__(self) -> str:
        part = "/".join(piece for piece in (self.config, self.split) if piece)
        return f"{self.repo}{' ' + part if part else ''}{'' if self.local else f' at {self.revision[:12]}'}"

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine."""
        return self.revision == LOCAL

    @property
    def folder(self) -> Path:
        """The path of a local folder."""
        return Path(self.beside, self.repo)


def model_ref(name: str, beside: str) -> Ref:
    """Return the Ref of a base model.

    Args:
        name: a folder, an id of the hub, or an id with a commit, branch or tag: "id@revision".
        beside: folder from which a relative path starts.
    """
    if Path(beside, name).is_dir() or name.startswith((".", "/", "~")):
        return Ref(str(Path(name).expanduser()), LOCAL, beside=beside)
    repo, _, revision = name.partition("@")
    return Ref(repo, revision or "main")


def folder_of_caller() -> str:
    """Return the folder of the file outside the package that called; in a notebook, the working directory.

    Paths in a study file start from its own folder, so that it runs from any working directory.
    """
    package = str(Path(__file__).parents[1])
    for caller in inspect.stack(context=0)[1:]:
        if caller.filename.startswith("<") and caller.function == "__init__":
            continue  # the constructor of a dataclass
        if not caller.filename.startswith(package):
            path = Path(caller.filename)
            return str(path.resolve().parent) if path.is_file() else str(Path.cwd())
    return str(Path.cwd())
