"""Kinds of faults, each thrown at a running driver and timed until it has been noticed (Linux).

A fault takes a `Site` and returns the seconds until it was noticed, or None if it found nothing alive to strike.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 1200.0
"""Seconds after which a fault that nobody noticed is an error of the harness."""


@dataclass(frozen=True)
class Site:
    """Where faults strike: a driver, its store, and the draw of what is hit."""

    driver: subprocess.Popen[bytes]
    store: Path
    rng: random.Random

    def over(self) -> bool:
        return self.driver.poll() is not None


def descendants(pid: int) -> list[int]:
    """Return the processes below one. (A process's own list of its children leaves some out while others end.)"""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        todo += (below := children.get(todo.pop(), []))
        found += below
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers(driver: int) -> list[int]:
    """Return a driver's worker processes, whatever they are doing: fetching, auditing, starting, training, waiting."""

    def spawned(pid: int) -> bool:
        with suppress(OSError):
            return b"executors/boot.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    return [pid for pid in descendants(driver) if spawned(pid)]


def until(happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Wait for something; return how many seconds it took. Raises AssertionError if it never comes."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > patience:
            raise AssertionError(f"{patience:.0f} s without: {what}")
        time.sleep(0.01)
    return time.monotonic() - began


def all_ended(site: Site, below: Iterable[int]) -> float:
    """Wait until a driver and these processes have ended."""
    began = time.monotonic()
    until(site.over, "the end of the driver")
    until(lambda: not any(map(alive, below)), "the end of all its processes")
    return time.monotonic() - began


def kill_driver(site: Site) -> float | None:
    """SIGKILL the driver alone; it is over when its last process has ended."""
    below = descendants(site.driver.pid)
    site.driver.kill()
    site.driver.wait()
    if site.driver.returncode != -signal.SIGKILL:
        return None  # it had just ended by itself
    return all_ended(site, below)


def end_driver(site: Site) -> float | None:
    """SIGTERM the driver alone, as schedulers do."""
    below = descendants(site.driver.pid)
    site.driver.terminate()
    took = all_ended(site, below)
    return took if site.driver.returncode in (130, -signal.SIGTERM) else None


def kill_worker(site: Site) -> float | None:
    """SIGKILL a worker; noticed when another has taken its place, or its driver ended with a message."""
    return _lose_a_worker(site, lambda pid: os.kill(pid, signal.SIGKILL))


def hang_worker(site: Site) -> float | None:
    """SIGSTOP a worker, which then answers to nothing; the time limit of its run ends it.

    Fetching and auditing have no time limit, so the processes of their own that do them are spared.
    """
    return _lose_a_worker(site, lambda pid: os.kill(pid, signal.SIGSTOP), _trains)


def _trains(pid: int) -> bool:
    """Return whether a process is a worker that trains: only those get the setting of cuBLAS."""
    with suppress(OSError):
        return b"\0CUBLAS_WORKSPACE_CONFIG=" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    return False


def starve_worker(site: Site) -> float | None:
    """Leave a worker no more memory (RLIMIT_AS): what it allocates next fails. Noticed when a record says so, or it ended.

    The limit is lifted then, as when the neighbour that took the memory has gone, or when nothing was asked for.
    """
    victims = workers(site.driver.pid)
    if not victims:
        return None
    victim = site.rng.choice(victims)
    before = _failed(site.store)
    with suppress(OSError):
        size = int(Path(f"/proc/{victim}/statm").read_text().split()[0]) * resource.getpagesize()
        old = resource.prlimit(victim, resource.RLIMIT_AS)
        resource.prlimit(victim, resource.RLIMIT_AS, (size, old[1]))
        began = time.monotonic()

        def noticed() -> bool:
            return _failed(site.store) > before or not alive(victim) or site.over()

        while not noticed() and time.monotonic() - began < 5:
            time.sleep(0.01)
        struck = noticed() and not (site.over() and site.driver.returncode in (0, 1))
        with suppress(OSError):
            resource.prlimit(victim, resource.RLIMIT_AS, old)
        return time.monotonic() - began if struck else None
    return None


def interrupt(site: Site) -> float | None:
    """Ctrl-C: a terminal sends it to the driver and all below it."""
    return _interrupt(site, 1)


def interrupt_twice(site: Site) -> float | None:
    """Ctrl-C, and again while the driver is ending."""
    return _interrupt(site, 2)


def fill_disk(site: Site) -> float | None:
    """Fill the store's file system (a small one of its own) until the driver has told, then make room again."""
    ballast = site.store.parent / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1))
        return _ends_by_itself(site)
    finally:
        ballast.unlink(missing_ok=True)


def forbid_writing(site: Site) -> float | None:
    """Mount the records' folder read-only until the driver has told."""
    records = site.store / "records"
    if not records.is_dir() or subprocess.run(["mount", "--bind", records, records], check=False).returncode:
        return None
    try:
        for _ in range(100):  # busy while a record is being written
            if subprocess.run(["mount", "-o", "remount,ro,bind", records], stderr=subprocess.DEVNULL).returncode == 0:
                return _ends_by_itself(site)
        return None
    finally:
        until(lambda: subprocess.run(["umount", "-l", records], check=False).returncode == 0, "unmounting")


def cut_record(site: Site) -> float | None:
    """Cut a finished record short, as a disk does that loses its last blocks, and leave a half-written one beside it.

    The next driver notices, so this one is killed first.
    """
    if kill_driver(site) is None:
        return None
    records = sorted((site.store / "records").glob("*.json"))
    if not records:
        return None
    victim = site.rng.choice(records)
    text = victim.read_bytes()
    victim.with_name(f".{victim.name}.0badcafe").write_bytes(text[: len(text) // 3])
    victim.write_bytes(text[: site.rng.randrange(len(text))])
    return 0.0


def _interrupt(site: Site, times: int) -> float | None:
    below = descendants(site.driver.pid)
    if site.over():
        return None
    for number in range(times):
        if number:
            time.sleep(site.rng.uniform(0.0, 0.3))
        for pid in (site.driver.pid, *below):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
    took = all_ended(site, below)
    return took if site.driver.returncode in (130, -signal.SIGINT) else None


def _lose_a_worker(
    site: Site, strike: Callable[[int], None], chosen: Callable[[int], bool] = lambda pid: True
) -> float | None:
    before = workers(site.driver.pid)
    if not (victims := [pid for pid in before if chosen(pid)]):
        return None
    victim = site.rng.choice(victims)
    with suppress(ProcessLookupError):
        strike(victim)

        def noticed() -> bool:
            return site.over() or (not alive(victim) and bool(set(workers(site.driver.pid)) - set(before)))

        took = until(noticed, f"the replacement of worker {victim}")
        return None if site.over() and site.driver.returncode in (0, 1) else took
    return None


def _ends_by_itself(site: Site) -> float | None:
    """Wait until a driver that cannot write has ended with exit code 3, which it does with its next record."""
    took = until(site.over, "the end of a driver that cannot write")
    return took if site.driver.returncode == 3 else None


def _failed(store: Path) -> int:
    """Count the records of failed and infeasible runs."""
    heads = [path.read_bytes()[:600] for path in (store / "records").glob("*.json")]
    return sum(b'"outcome": "failed"' in head or b'"outcome": "infeasible"' in head for head in heads)


Fault = Callable[[Site], "float | None"]

KINDS: dict[str, tuple[Fault, int]] = {
    "driver killed (SIGKILL)": (kill_driver, 4),
    "driver ended (SIGTERM)": (end_driver, 1),
    "worker killed (SIGKILL)": (kill_worker, 6),
    "worker hung (SIGSTOP)": (hang_worker, 2),
    "worker out of memory (RLIMIT_AS)": (starve_worker, 3),
    "Ctrl-C": (interrupt, 3),
    "Ctrl-C twice": (interrupt_twice, 2),
    "disk full": (fill_disk, 2),
    "records read-only": (forbid_writing, 1),
    "record cut short": (cut_record, 1),
}
"""Kinds by name, and how often each comes in 25."""
