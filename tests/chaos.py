"""Kill drivers at random moments and give the same command again, until it ends by itself.

    python tests/chaos.py STUDY_FILE KILLS [OPTION OF harness run ...]

tells for each kill how many records there were, and at the end whether the store holds what an undisturbed run gives.
Tests use `torment`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness.api import load
from harness.records import Record

COMMAND = [sys.executable, "-m", "harness.cli", "run"]


def start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=output, stderr=output)


def descendants(pid: int) -> list[int]:
    """Return the processes below one (Linux)."""
    try:
        children = [
            int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def count(store: Path) -> int:
    return sum(1 for _ in (store / "records").glob("*.json")) if (store / "records").is_dir() else 0


def kill(driver: subprocess.Popen[bytes]) -> float:
    """SIGKILL a driver alone; return the seconds until the last of its processes has ended."""
    below = descendants(driver.pid)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    began = time.monotonic()
    while any(map(alive, below)):
        if time.monotonic() - began > 30:
            raise AssertionError(f"orphans live on: {[pid for pid in below if alive(pid)]}")
        time.sleep(0.02)
    return time.monotonic() - began


def torment(
    arguments: Sequence[str], folder: Path, store: Path, kills: int, total: int, seed: int = 0
) -> list[tuple[int, float]]:
    """Kill `kills` drivers, then let one end.

    A driver is killed a random while after it was started (in half of the cases) or after it has written its first new
    record. `total` is how many records an undisturbed run writes; the kills are spread over them.

    Returns for each kill how many records there were, and how long the driver's processes outlived it.
    """
    rng = random.Random(seed)
    told = []
    for number in range(kills):
        before = count(store)
        driver = start(arguments, folder)
        wanted = before + 1 if number % 2 and before < total - 1 else before
        deadline = time.monotonic() + 120
        while count(store) < wanted and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        until = time.monotonic() + (rng.uniform(0, 0.5) if wanted > before else rng.uniform(0.5, 12))
        while time.monotonic() < until and driver.poll() is None:
            time.sleep(0.005)
        if driver.poll() is not None:
            break  # it was done before its time had come
        told.append((count(store), kill(driver)))
    last = start(arguments, folder)
    last.wait(timeout=600)
    return told


def differences(left: Sequence[Record], right: Sequence[Record]) -> list[str]:
    """Say how two sets of records differ in their runs, outcomes and scores."""
    a, b = ({record.id: record for record in records} for records in (left, right))
    lines = [f"only on one side: {key}" for key in sorted(a.keys() ^ b.keys())]
    for key in sorted(a.keys() & b.keys()):
        if (a[key].outcome, a[key].scores, a[key].pairs) != (b[key].outcome, b[key].scores, b[key].pairs):
            lines.append(f"differs: {key}: {dict(a[key].scores)} and {dict(b[key].scores)}")
    return lines


def main() -> int:
    study, kills = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    folders = [Path(tempfile.mkdtemp(prefix="chaos-")) for _ in range(2)]
    undisturbed, tormented = (folder / "store" for folder in folders)
    arguments = [str(study), "--store", "store", "--report", "report", *sys.argv[3:]]
    start(arguments, folders[0]).wait()
    wanted = load(undisturbed).records()
    for number, (records, orphaned) in enumerate(torment(arguments, folders[1], tormented, kills, len(wanted)), 1):
        print(
            f"kill {number}: {records} of {len(wanted)} records; its processes ended {orphaned:.2f} s later", flush=True
        )
    found = differences(load(tormented).records(), wanted)
    print("\n".join(found) or f"{len(wanted)} records: the same as undisturbed")
    for folder in folders:
        shutil.rmtree(folder)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
