"""A study file as it was at a git ref, checked out beside the store."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from harness.errors import UsageError
from harness.files import writing
from harness.upgrading import programs


def at_ref(file: Path, ref: str, folder: Path) -> tuple[Path, str]:
    """Return a study file as it is in a commit of its repository, and what identifies it: its path and the commit.

    The whole commit is unpacked, because study files import modules beside them. The repository itself is not touched:
    no worktree is registered in it, and nothing is checked out there.

    Args:
        file: the study file.
        ref: a branch, tag or commit.
        folder: where commits are unpacked, each in a folder of its name.

    Raises:
        UsageError: the file is in no repository, or the ref or the file in it does not exist.
    """
    top = Path(_git(file, ref, "rev-parse", "--show-toplevel"))
    commit = _git(file, ref, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    inside = file.resolve().relative_to(top.resolve())
    unpacked = folder / commit
    if not unpacked.is_dir():
        with writing(folder):
            _unpack(file, ref, top, commit, unpacked)
    found = unpacked / inside
    if not found.is_file():
        raise UsageError(f"{ref}: {inside} is not a file of this commit ({commit[:12]}); give another ref")
    return found, f"{inside.as_posix()} at {commit}"


def _unpack(file: Path, ref: str, top: Path, commit: str, unpacked: Path) -> None:
    """Unpack a commit into a folder that has its name only when it is complete."""
    partial = unpacked.with_suffix(f".{os.getpid()}")
    archive = partial.with_suffix(f"{partial.suffix}.tar")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _git(file, ref, "-C", str(top), "archive", "--format=tar", f"--output={archive.resolve()}", commit)
        with tarfile.open(archive) as members:
            members.extractall(partial, filter="data")  # refuses links and names that lead out of the folder
        partial.rename(unpacked)
    finally:
        archive.unlink(missing_ok=True)
        shutil.rmtree(partial, ignore_errors=True)


def _git(file: Path, ref: str, *arguments: str) -> str:
    """Return what git prints in a file's repository."""
    try:
        done = programs.run(["git", "-C", file.resolve().parent, *arguments])
    except OSError as problem:
        raise UsageError(f"{ref}: git cannot be started ({problem.strerror}); install git") from problem
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{ref}: git cannot read it in the repository of {file} ({why}); give a branch, tag or commit")
    return done.stdout.strip()
