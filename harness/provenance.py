"""Provenance of records: git commit, package versions and hardware. It has no secrets and does not affect run ids."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.identity.code import file_tokens

SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$|APIKEY|.PWD$|PASSPHRASE", re.IGNORECASE)
"""Names of environment variables whose values are secret: MYSQL_PWD, but not PWD, the current folder."""

NOT_SECRET = ("OLDPWD",)

PASSWORD_IN_URL = re.compile(r"([a-z][\w+.-]{0,30}://)\S*@", re.IGNORECASE)
"""What stands before the last @ of an address, which may hold slashes, quotes and further @ of a password."""

PASSWORD_AS_OPTION = re.compile(
    r"([?&;][\w-]*(?:password|passwd|pwd|token|secret|api_?key)=)[^\s&;'\"]+", re.IGNORECASE
)
"""An option of an address, such as ?password=..."""

PACKAGES = (
    "harness-embeddings",
    "torch",
    "sentence-transformers",
    "transformers",
    "datasets",
    "tokenizers",
    "optuna",
    "mteb",
    "numpy",
    "scipy",
    "pandas",
)

DECIDING = ("sentence-transformers", "transformers", "torch", "tokenizers", "datasets", "mteb", "numpy", "scipy")
"""Packages whose version can change a score: runs of different versions are not compared silently."""

CODE = "harness code"
"""Key, among the versions, of the hash of this package's modules that affect scores."""

DECIDES = (
    *(
        "compat/*.py",
        "data/clean.py",
        "data/mining.py",
        "embedded/tasks.py",
        "engine/rows.py",
        "engine/run.py",
        "engine/testing.py",
    ),
    *("evaluation/encoder.py", "evaluation/measures.py", "evaluation/mteb_tasks.py", "evaluation/own.py"),
    *("evaluation/dependence.py", "evaluation/ranking.py", "evaluation/retrieval.py", "evaluation/scoring.py"),
    "model/*.py",
    *("spec/*_views.py", "spec/label_columns.py", "spec/loss*.py", "spec/settings.py", "spec/view*.py"),
    *("reading/*.py", "stats/intervals.py"),
    *("texts/*.py", "training/*.py"),
)
"""The modules of this package that affect scores."""

_NO_PROGRAMS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "protocol.allow": "never",
}
"""Settings that keep git from running programs named in an untrusted repository's own settings."""

_VARIABLES_OF_GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def git(folder: Path) -> dict[str, Any]:
    """Return the commit of `folder` and whether its tree has uncommitted changes; None for what is unknown.

    No program named in the repository's settings is run: no monitor, hook or filter. A file that a filter would convert
    counts as changed.
    """
    commit = _output_of_git(folder, {}, "rev-parse", "HEAD")
    listed = _output_of_git(folder, {}, "config", "--null", "--show-scope", "--list")
    status = None
    if listed is not None:
        fields = listed.split("\0")
        keys = {entry.partition("\n")[0] for scope, entry in pairwise(fields) if scope in ("local", "worktree")}
        off = {key: "false" if key.endswith(".required") else "" for key in keys if key.startswith("filter.")}
        status = _output_of_git(folder, off, "status", "--porcelain", "--ignore-submodules=dirty")
    return {"commit": None if commit is None else commit.strip(), "dirty": None if status is None else bool(status)}


def _output_of_git(folder: Path, settings: Mapping[str, str], *arguments: str) -> str | None:
    """Return git's output with these settings, None if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in _VARIABLES_OF_GIT}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    first = int(environment.get("GIT_CONFIG_COUNT", "0"))  # by the environment: a filter's name may hold a "="
    for number, (key, value) in enumerate((_NO_PROGRAMS | {**settings}).items(), first):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        environment["GIT_CONFIG_COUNT"] = str(number + 1)
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=10, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that can change a result, and Python's.

    A package that is not imported from where it is installed, because a folder on the module path or an editable
    installation comes first, has a hash of its code behind its version: the version says nothing about that code.
    """
    by_package = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            by_package[package] = importlib.metadata.version(package) + _elsewhere(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**by_package, CODE: _code()}


def _elsewhere(package: str) -> str:
    """Return a note with a hash of a package's code if it is not imported from where it is installed, else ""."""
    if package == "harness-embeddings":
        return ""  # `CODE` is a hash of what is imported
    top = package.replace("-", "_")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return " (not importable)"
    imported = Path(spec.origin).resolve()
    if imported == Path(str(importlib.metadata.distribution(package).locate_file(f"{top}/__init__.py"))).resolve():
        return ""
    digest = hashlib.sha256()
    for path in sorted(imported.parent.rglob("*.py")):
        digest.update(path.relative_to(imported.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return f" (imported from elsewhere, code {digest.hexdigest()[:12]})"


def _code() -> str:
    """Return a hash of this package's code that decides a score; comments, docstrings and layout do not count."""
    package = Path(__file__).parent
    by_pattern = [sorted(package.glob(pattern)) for pattern in DECIDES]
    if not all(by_pattern):  # otherwise a moved module would silently drop out of the hash
        raise FileNotFoundError(f"{package}: {DECIDES[by_pattern.index([])]} is no module of this package")
    files = sorted({path for paths in by_pattern for path in paths})
    code = [[path.relative_to(package).as_posix(), file_tokens(path.read_text(encoding="utf-8"))] for path in files]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_secrets(text: str) -> str:
    """Remove secrets from a text: passwords in URLs, and values of secret environment variables.

    A variable is secret by its name, e.g. HF_TOKEN, WANDB_API_KEY or PGPASSWORD.
    """
    for name, value in os.environ.items():
        if SECRET.search(name) and name not in NOT_SECRET and len(value) >= 6:
            text = text.replace(value, f"[{name}]")
    return PASSWORD_AS_OPTION.sub(r"\1***", PASSWORD_IN_URL.sub(r"\1***@", text))


def cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def gpus() -> tuple[str, ...]:
    """Name the GPUs that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "" or shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    names = tuple(line.strip() for line in listed.stdout.splitlines() if line.strip()) if listed.returncode == 0 else ()
    return names if visible is None else names[: len(visible.split(","))]


def default_workers(threads: int = 1) -> int:
    """Return the default number of workers: one per GPU, else as many as there are cores for, at most 8."""
    return len(gpus()) or min(max(1, cores() // threads), 8)


@cache
def hardware() -> dict[str, Any]:
    """Describe the machine: processor, cores, GPUs, system."""
    return {
        "cpu": _processor(),
        "cores": cores(),
        "gpu": list(gpus()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def reset_peak_memory() -> None:
    """Reset the peak of this process's memory, if the system supports it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float:
    """Return the process's highest resident memory since the last reset (elsewhere than on Linux: since its start)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    except (OSError, StopIteration):
        import resource  # not on every platform

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
