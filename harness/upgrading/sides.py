"""A side of a comparison: an environment and a study file, with a store of its own.

Each side is a `harness run` of its own, by its environment's Python and with this harness's code. Its store and the
command line are all that passes between the environments: plain data with a version, which the store checks. So a side
resumes as every run does, after Ctrl-C and after SIGKILL.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFailed, UsageError
from harness.files import as_json, writing
from harness.provenance import CODE, without_secrets
from harness.spec.study import UNTRAINED
from harness.store import reading
from harness.store.folder import load
from harness.store.records import Record
from harness.text import command
from harness.upgrading import programs
from harness.upgrading.environments import Environment
from harness.upgrading.judging import Key

DONE = (0, 1, 3)
"""Exit codes of `harness run` after which its records count: the study file's own claims are another question."""


@dataclass(frozen=True)
class Protocol:
    """What both sides run; None leaves what the study file says."""

    studies: tuple[str, ...]
    """The studies."""
    seeds: int
    """Final seeds of each study."""
    testbed: str | None = None
    """Name of a testbed."""
    rows: int | None = None
    """Number of training rows."""
    epochs: float | None = None
    """Epochs of a run."""
    precision: str | None = None
    """Precision of the training."""
    tasks: str = ""
    """mteb tasks to evaluate, separated by commas."""
    workers: int | None = None
    """Worker processes."""
    threads: int | None = None
    """Threads of a worker."""
    fast: bool = False
    """Allow the harness's fast forward passes."""
    retry_failed: bool = False
    """Repeat runs that failed."""

    def options(self, *names: str) -> list[str]:
        """Return these fields as options of `harness run`."""
        values = {name: getattr(self, name) for name in names}
        return [f"--{name}={value}" for name, value in values.items() if value is not None]


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    """What the user called it, for tables."""
    environment: Environment
    """The environment."""
    file: Path
    """The study file."""
    revision: str
    """What identifies the study file: its path, with the commit if there is one."""

    def key(self, *content: object) -> str:
        """Return a hash of the side, with this harness's code and further content."""
        code = self.environment.seen.versions[CODE]
        return sha256(as_json([self.environment.key, code, self.revision, *content]).encode()).hexdigest()[:12]

    def store(self, folder: Path, protocol: Protocol) -> Path:
        """Return the side's own store below the comparison's folder.

        Its name covers what a run's id does not; other seeds, studies or rows add runs to the same store.
        """
        return folder / "sides" / self.key(protocol.testbed, protocol.threads, protocol.fast)


@dataclass(frozen=True)
class Finished:
    """What a side's runs gave."""

    records: tuple[Record, ...]
    """Records of the final runs and of the untrained model."""
    planned: frozenset[Key]
    """Study and seed of each of these runs, also of those that have no record."""
    precision: str
    """Precision of the training, after "auto" was resolved."""


@cache  # a bisection compares every release with the same good one
def finished(side: Side, folder: Path, protocol: Protocol) -> Finished:
    """Execute a side's runs that are not done yet, and return what they gave.

    Each study is trained at its default point only: with a single trial, that is its best point as well.

    Args:
        side: the side.
        folder: the comparison's folder.
        protocol: what to run.

    Raises:
        EnvironmentFailed: `harness run` failed in the side's environment; or a record was made by other versions.
        UsageError: the study file or an option is wrong; or another command runs this side.
    """
    store = side.store(folder, protocol)
    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
    which = protocol.options("seeds", "testbed", "rows", "epochs", "precision", "tasks")
    which = [str(side.file), "--trials=1", "--tunings=1", f"--store={store}", *which]
    only = [f"--only={study}" for study in protocol.studies]
    where = [f"--report={store / 'report'}", "--storage=none", "--keep-models=none"]
    where += ["--retry-failed"] * protocol.retry_failed
    _harness(side, protocol, ["run", *which, *only, *where, *protocol.options("workers", "threads")], DONE)
    printed = _harness(side, protocol, ["plan", *which, "--json"], (0,))
    plan = reading.parsed(printed[printed.rfind("\n{\n") + 1 :])  # a study file may print something before
    runs = [run for run in plan["runs"] if run["stage"] != "tune" and run["study"] in (*protocol.studies, UNTRAINED)]
    ids = {run["id"] for run in runs}
    records = tuple(record for record in load(store).records() if record.id in ids)
    _require_versions(side, records, store)
    return Finished(records, frozenset((run["study"], run["seed"]) for run in runs), plan["precision"])


def _harness(side: Side, protocol: Protocol, arguments: Sequence[str], codes: Sequence[int]) -> str:
    """Run a command of this harness in a side's environment; return what it printed."""
    line = programs.module(side.environment.python, "harness", *arguments)
    done = programs.run(line, errors=sys.stderr.fileno(), environment=programs.surroundings(protocol.fast))
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode not in codes:
        failure = {2: UsageError}.get(done.returncode, EnvironmentFailed)
        raise failure(
            f"{side.name}: `{without_secrets(command(map(str, line)))}` ended with exit code {done.returncode}; its "
            "messages are above"
        )
    return done.stdout


def _require_versions(side: Side, records: Sequence[Record], store: Path) -> None:
    """Raise EnvironmentFailed unless all records were made by the versions of the side's environment."""
    expected = side.environment.seen.versions
    for record in records:
        made: Mapping[str, Any] = record.provenance.get("versions") or expected  # a run whose worker died has none
        other = sorted(name for name in {*expected, *made} if made.get(name) != expected.get(name))
        if other:
            told = ", ".join(f"{name} {made.get(name)} and not {expected.get(name)}" for name in other)
            raise EnvironmentFailed(
                f"{store}: the record of {record.study} seed {record.seed} was made by {told}, so it does not belong "
                "to this side; move the folder away and repeat the command"
            )
