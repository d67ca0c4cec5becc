"""What a side asks for: pip requirements, git repositories, local checkouts, wheels and files of requirements."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement

from harness import provenance
from harness.errors import UsageError
from harness.upgrading import programs

Kind: TypeAlias = Literal["requirement", "git", "checkout", "wheel", "address", "file"]

COMMIT = re.compile(r"[0-9a-f]{40}")
GIT = re.compile(
    r"(?P<name>[\w.\[\],-]+ *@ *)?git\+(?P<url>[a-z+]+://[^#]+?)(?:@(?P<ref>[^@/#:]+(?:/[^@#:]+)*))?(?P<rest>#.*)?"
)
LISTED = (".txt", ".in", ".lock")
"""Endings of files of requirements."""

LEFT_OUT = {".git", ".hg", ".tox", ".venv", "node_modules", "__pycache__"}
"""Folders of a checkout that are no part of what is installed."""

LEFT_OUT_ABOVE = {"venv", "build", "dist", "runs", "reports"}
"""The same, if they are at the top of the checkout: deeper ones may be packages."""

LOCAL = re.compile(r"(?:^|[@=\s])(?:file://)?(?P<path>[./~][^\s;#]*)")
"""A path of this machine in a requirement or in a line of a file of requirements."""


@dataclass(frozen=True)
class Wanted:
    """One thing to install."""

    kind: Kind
    """What it is."""
    text: str
    """As the user gave it, without passwords."""
    argument: str
    """What pip installs: a requirement, an address with the commit, or a path."""
    content: str
    """What decides what is installed: the requirement, the commit, or a hash of files."""


def wanted(text: str) -> Wanted:
    """Read what `--from` or `--to` names.

    Args:
        text: a requirement ("sentence-transformers==6.1.0"), "git+https://...@main", a folder or wheel ("./checkout"),
            or a file of requirements ("lock.txt" or "-r lock.txt").

    Raises:
        UsageError: it names a file or folder that does not exist, or that pip cannot install; or git cannot resolve it.
    """
    text = text.strip()
    told = provenance.without_secrets(text)
    listed = text.removeprefix("-r").strip() if text.startswith("-r") else text if text.endswith(LISTED) else None
    if listed is not None:
        return Wanted("file", told, str(_existing(listed, told).resolve()), _hash(_of_listed(Path(listed), told)))
    if (found := GIT.fullmatch(text)) is not None:
        commit = _commit(found["url"], found["ref"] or "HEAD", told)
        argument = f"{found['name'] or ''}git+{found['url']}@{commit}{found['rest'] or ''}"
        return Wanted("git", told, argument, provenance.without_secrets(argument))
    if text.endswith(".whl"):
        path = _existing(text, told)
        return Wanted("wheel", told, str(path.resolve()), provenance.file_hash(path))
    if text.startswith((".", "/", "~")) or text.endswith(os.sep):
        folder = _existing(os.path.expanduser(text), told)
        if not any((folder / name).is_file() for name in ("pyproject.toml", "setup.py")):
            raise UsageError(f"{told}: pip cannot install this folder: it has neither pyproject.toml nor setup.py")
        return Wanted("checkout", told, str(folder.resolve()), folder_hash(folder))
    try:
        plain = Requirement(text).url is None
    except InvalidRequirement as problem:
        if text.startswith(("http://", "https://", "file://")):
            return Wanted("address", told, text, " ".join([told, *_local(text)]))
        raise UsageError(
            f"{told!r}: give a requirement such as sentence-transformers==6.1.0, a folder such as ./checkout, or an "
            f"address ({str(problem).splitlines()[0]})"
        ) from problem
    return Wanted("requirement" if plain else "address", told, text, " ".join([told, *_local(text)]))


def _existing(path: str, told: str) -> Path:
    if not Path(path).exists():
        raise UsageError(f"{told}: no such file or folder; a requirement of a package starts with its name")
    return Path(path)


def _commit(url: str, ref: str, told: str) -> str:
    """Return the commit to which a ref of a remote repository points now, so that a branch that moves is seen."""
    if COMMIT.fullmatch(ref):
        return ref
    try:
        done = programs.run(
            ["git", "ls-remote", "--", url, ref, f"{ref}^{{}}"], environment=os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        )
    except OSError as problem:
        raise UsageError(f"{told}: git cannot be started ({problem.strerror}); install git") from problem
    listed = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
    commits = {name: commit for commit, name in listed}  # also of refs that only end in this one: feature/main
    exact = [
        commits[name]
        for name in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref)
        if name in commits
    ]
    if done.returncode or not exact:
        why = provenance.without_secrets(done.stderr.strip().splitlines()[-1]) if done.stderr.strip() else "no such ref"
        raise UsageError(
            f"{told}: git finds no {ref!r} there ({why}); give a branch, a tag or all 40 digits of a commit"
        )
    return exact[0]  # of an annotated tag, the commit before the tag's own object


def _of_listed(path: Path, told: str) -> Iterator[tuple[str, bytes]]:
    """Give a file of requirements and those that it names."""
    content = _existing(str(path), told).read_bytes()
    yield path.name, content
    for line in content.decode(errors="replace").splitlines():
        if (inner := re.match(r"\s*(?:-r|--requirement|-c|--constraint)[ =]+(\S+)", line)) is not None:
            yield from _of_listed(path.parent / inner[1], f"{told}: {inner[1]}")
        else:
            yield from ((line, content.encode()) for content in _local(line))


def _local(text: str) -> Iterator[str]:
    """Give a hash of each folder and file of this machine that a requirement names; pip reads them from here, too."""
    for found in LOCAL.finditer(text.partition(" #")[0]):
        path = Path(os.path.expanduser(unquote(found["path"])))
        if path.is_dir():
            yield folder_hash(path)
        elif path.is_file():
            yield provenance.file_hash(path)


def folder_hash(folder: Path, ending: str = "") -> str:
    """Return a hash of the files of a checkout whose names end so, without version control, caches and builds."""
    files = (path for path in files_of(folder) if path.name.endswith(ending))
    return _hash((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)


def files_of(folder: Path) -> Iterator[Path]:
    """Give the files of a checkout in a fixed order; links are not followed."""
    for place, folders, names in os.walk(folder):
        left_out = LEFT_OUT | LEFT_OUT_ABOVE if Path(place) == folder else LEFT_OUT
        folders[:] = sorted(name for name in folders if name not in left_out and not name.endswith(".egg-info"))
        for name in sorted(names):
            if not name.endswith(".pyc") and (path := Path(place, name)).is_file():
                yield path


def _hash(files: Iterator[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return digest.hexdigest()
