"""Environments beside the store: what is installed here, with some packages in other versions in front of it.

An overlay is a virtual environment whose own packages come first and whose path goes on with the packages of this
environment (a `.pth` file adds them). pip, run in the overlay, sees both: it keeps what satisfies the requirements, so
that torch is used from here and not copied, and installs the rest in the overlay. It removes nothing here, because it
never uninstalls what lies outside of the environment in which it runs. uv (0.13.9) sees only an environment's own
packages and would copy torch; therefore pip is used even where uv is installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from harness.errors import EnvironmentFailed
from harness.files import as_json, write_atomically, writing
from harness.provenance import without_secrets
from harness.store import reading
from harness.text import shown
from harness.upgrading import programs
from harness.upgrading.seen import Seen, canonical, packages
from harness.upgrading.wanted import Wanted, files_of
from harness.waiting import announced

MARKER = "environment.json"
"""File that is written into an environment when it is complete, with what was asked for."""

LAST_LINES = 12
"""Lines of pip's log that an error shows."""

HINTS = (
    ("ResolutionImpossible", "the requirements exclude each other: give fewer of them, or other versions"),
    ("build dependencies", "to build offline with the setuptools that is installed here, set PIP_NO_BUILD_ISOLATION=0"),
    ("No module named 'setuptools", "pip install setuptools here, or give a wheel"),
    ("No matching distribution", "check the name and the version; without a network, give --find-links FOLDER"),
    ("No space left", "free space there, or give another --store"),
)
"""What to try if pip's log has such a text; the first that it has counts."""


CONFLICT = re.compile(r"^(\S+) \S+ (?:has requirement|requires) ", re.MULTILINE)
"""A line of `pip check`: the package whose requirement is not met."""

ROUNDS = 3
"""How often packages below are replaced that do not fit what was installed."""

ELSEWHERE = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
)
"""Variables by which pip would install elsewhere than in the overlay, or would not see what lies below it."""


@dataclass(frozen=True)
class Environment:
    """A Python with packages."""

    key: str
    """Hash of everything that decides what is installed."""
    python: Path
    """Its interpreter."""
    seen: Seen = field(hash=False)
    """What it sees."""


@dataclass(frozen=True)
class Source:
    """Where environments are built, and from what besides the index."""

    folder: Path
    """Folder of the environments."""
    find_links: tuple[str, ...] = ()
    """Folders or pages with wheels."""


def here() -> Environment:
    """Return the environment in which this process runs."""
    python = Path(sys.executable)
    seen = _look(python, None)
    return Environment(
        _hashed(["here", sys.prefix, sys.version, sorted(packages().items()), sorted(seen.versions.items())]),
        python,
        seen,
    )


def overlay(source: Source, wants: Sequence[Wanted]) -> Environment:
    """Return an environment in which this one's packages are replaced by what is wanted; build it if necessary.

    Args:
        source: where it is built.
        wants: what is installed in it.

    Raises:
        EnvironmentFailed: pip cannot install it; or a package of it is hidden by another one.
    """
    content = [(each.kind, each.content) for each in wants]
    links = [_listing(place) for place in source.find_links]
    key = _hashed(["overlay", sys.prefix, sys.version, sorted(packages().items()), content, links])
    folder = (source.folder / key).absolute()
    python = folder / "bin" / "python"
    with writing(source.folder):
        source.folder.mkdir(parents=True, exist_ok=True)
    with announced(f"another command, which builds {folder}"), FileLock(f"{folder}.lock"):
        if not (folder / MARKER).is_file():
            _build(folder, python, wants, source.find_links)
    seen = _look(python, _site(folder))  # each time, because PYTHONPATH may have changed
    for want in wants:
        if want.kind == "requirement" and not _satisfied(Requirement(want.argument), seen):
            raise _misplaced(want.text, folder)
    return Environment(key, python, seen)


def _satisfied(requirement: Requirement, seen: Seen) -> bool:
    """Return whether an environment has what a requirement asks for, or the requirement is not about this Python."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    installed = seen.packages.get(canonical(requirement.name), "").partition(" ")[0]
    return bool(installed) and requirement.specifier.contains(installed, prereleases=True)


def _misplaced(told: str, folder: Path) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{told}: pip reported success, but {folder} does not have it; see the options target, prefix and user in "
        f"pip's configuration (`pip config list`), delete {folder}, and repeat the command"
    )


def _build(folder: Path, python: Path, wants: Sequence[Wanted], find_links: Sequence[str]) -> None:
    """Build an environment; its marker is written last, so that an interrupted build is repeated from the beginning."""
    shutil.rmtree(folder, ignore_errors=True)
    told = ", ".join(each.text for each in wants)
    print(shown(f"building an environment with {told}"), file=sys.stderr, flush=True)
    pip = [] if find_spec("pip") is None else ["--without-pip"]  # the overlay finds this environment's pip
    log = folder.with_suffix(".log")
    with writing(log), log.open("w", encoding="utf-8") as file:

        def step(*command: str | Path) -> None:
            done = programs.run(command, output=file, errors=subprocess.STDOUT, environment=_of_pip())
            if done.returncode:
                raise EnvironmentFailed(f"{told}: no environment could be built.\n{_last_lines(log)}")

        step(sys.executable, "-m", "venv", *pip, folder)
        lines = [f"import site; site.addsitedir({place!r})\n" for place in programs.site_folders()]
        (_site(folder) / "zz_packages_below.pth").write_text("".join(lines), encoding="utf-8")
        links = [part for place in find_links for part in ("--find-links", place)]
        install: tuple[str | Path, ...] = (
            python,
            "-P",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--no-warn-conflicts",
            *links,
        )
        direct = [_direct(each, folder) for each in wants if each.kind not in ("requirement", "file")]
        if direct:  # by force, because pip takes what is below for the same thing if its version is the same
            step(*install, "--force-reinstall", "--no-deps", *direct)
        own = [f"{each.name}=={each.version}" for each in importlib.metadata.distributions(path=[str(_site(folder))])]
        if direct and not own:
            raise _misplaced(told, folder)
        files = [part for each in wants if each.kind == "file" for part in ("-r", each.argument)]
        asked = [*files, *own, *(each.argument for each in wants if each.kind == "requirement")]
        step(*install, "--upgrade", *asked)
        for _ in range(ROUNDS):  # what was installed may be too old for a package below
            if not (broken := _broken(python)):
                break
            step(*install, *broken, *asked)
    write_atomically(folder / MARKER, as_json([each.text for each in wants]) + "\n")


def _site(folder: Path) -> Path:
    """Return the folder of an overlay's own packages."""
    return next(folder.glob("lib*/python*/site-packages"))


def _broken(python: Path) -> list[str]:
    """Return the packages that the harness needs and whose own requirements an environment does not meet."""
    needed = {canonical(each.name) for each in map(Requirement, _requires()) if each.marker is None}
    done = programs.run([python, "-P", "-m", "pip", "check"], environment=_of_pip())
    return sorted({canonical(name) for name in CONFLICT.findall(done.stdout)} & needed)


def _requires() -> list[str]:
    """Return the requirements of this harness; none if it is not installed but only on the path."""
    try:
        return importlib.metadata.requires("harness-embeddings") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _direct(want: Wanted, folder: Path) -> str:
    """Return pip's argument for what is no requirement; a checkout is copied: building leaves files in its folder."""
    if want.kind != "checkout":
        return want.argument
    original = Path(want.argument)
    copy = folder / "checkouts" / original.name
    for file in files_of(original):
        target = copy / file.relative_to(original)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    return str(copy)


def _of_pip() -> dict[str, str]:
    """Return pip's environment variables: the user's own, except those that decide where it installs."""
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE}


def _look(python: Path, site: Path | None) -> Seen:
    """Ask an environment's Python what it sees.

    Raises:
        EnvironmentFailed: it cannot run this harness, or a package of the overlay is hidden.
    """
    command = programs.module(python, "harness.upgrading.seen", *([] if site is None else [site]))
    done = programs.run(command, environment=programs.surroundings())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{python}: it cannot run this harness: {without_secrets(last)}")
    seen: Seen = reading.typed(reading.parsed(done.stdout), Seen)
    if seen.hidden:
        listed = ", ".join(f"{name} by {place}" for name, place in seen.hidden.items())
        raise EnvironmentFailed(
            f"{python}: packages that were installed for the comparison are hidden ({listed}), so both sides would "
            "run the same code; take those folders off PYTHONPATH"
        )
    return seen


def _last_lines(log: Path) -> str:
    """Return the end of a log and what to try, for an error message."""
    text = without_secrets(log.read_text(encoding="utf-8", errors="replace"))
    hint = next((hint for pattern, hint in HINTS if pattern in text), "read the whole log")
    return "\n".join([*text.splitlines()[-LAST_LINES:], f"The log is {log}. What to try: {hint}."])


def _listing(place: str) -> list[object]:
    """Return what identifies the content of a folder of wheels; of a page, its address."""
    folder = Path(place)
    if not folder.is_dir():
        return [without_secrets(place)]
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def _hashed(content: object) -> str:
    return sha256(as_json(content).encode()).hexdigest()[:12]
