"""Throw random faults at an ablation and give the same command again and again, until it ends by itself with no planned
run left.

    unshare -Urm python tests/support/chaos.py STUDY_FILE FAULTS SEED [OPTION OF harness run ...]

prints a line a fault and a table a kind, and whether each store holds in the end what an undisturbed run gives. Where
the ablation is done before the faults are used up, it begins anew on another store. `unshare` (a mount namespace of its
own) gives a small disk that can be filled and folders that can be made read-only; without it those kinds are left out.
Tests use `torment`.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults import KINDS, PATIENCE, Site, all_ended, descendants

from harness.api import load
from harness.store.records import Record

COMMAND = [sys.executable, "-m", "harness", "run"]
DISK = "24m"
UNDISTURBED = 5
"""Commands after the last fault, of which one has to finish the ablation."""
NEEDS_MOUNTS = ("disk full", "records read-only")
# A worker may die with a traceback of its own.
TRACEBACK = re.compile(r"error: unexpected|harness/cli\.py\", line \d+, in (main|_code)")


@dataclass
class Tally:
    """What faults did: seconds until each was noticed, by kind; and what is wrong with the stores."""

    noticed: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    commands: int = 0
    stores: int = 0
    records: int = 0
    again: int = 0
    codes: dict[int, int] = field(default_factory=dict)

    def table(self) -> str:
        lines = ["| fault | struck | noticed after, median (most) |", "|---|---:|---:|"]
        for kind, seconds in self.noticed.items():
            if not seconds:
                continue
            lines.append(f"| {kind} | {len(seconds)} | {statistics.median(seconds):.2f} s ({max(seconds):.2f} s) |")
        count = sum(map(len, self.noticed.values()))
        return "\n".join([*lines, f"| all | {count} | |"])

    def summary(self) -> str:
        codes = ", ".join(f"{code}: {times}" for code, times in sorted(self.codes.items()))
        return (
            f"{self.commands} commands (exit codes {codes}) on {self.stores} stores; {self.records} records the same as "
            f"undisturbed, and {self.again} final runs of points that were best for a while"
        )


def output(folder: Path) -> Path:
    """Return where a driver's output goes: beside its folder, whose disk may be full."""
    return folder.with_name(f"{folder.name}.txt")


def start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    # A shell's background commands ignore Ctrl-C, and so does what they start.
    with output(folder).open("ab") as file:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            stdout=file,
            stderr=file,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def count(store: Path) -> int:
    return sum(1 for _ in (store / "records").glob("*.json")) if (store / "records").is_dir() else 0


def torment(
    arguments: Sequence[str],
    folders: Callable[[], Path],
    wanted: Sequence[Record],
    faults: int,
    seed: int,
    longest: float = 12.0,
    mounts: bool = True,
    told: Callable[[str], None] = lambda line: None,
) -> Tally:
    """Let `faults` random faults strike, then let the ablation end; say what is wrong with what it left.

    Args:
        arguments: of `harness run`, with `--store store`.
        folders: makes a folder to run in, with the study file in it.
        wanted: an undisturbed run's records.
        longest: seconds to let a driver alone before a fault.
        mounts: whether this process may mount file systems.
    """
    rng, tally = random.Random(seed), Tally(noticed={kind: [] for kind in KINDS if mounts or kind not in NEEDS_MOUNTS})
    deck: list[str] = []
    folder = folders()
    tally.stores, cut, alone = 1, 0, 0
    while True:
        driver = start(arguments, folder)
        tally.commands += 1
        while sum(map(len, tally.noticed.values())) < faults:
            until = time.monotonic() + rng.uniform(0.2, longest)
            while time.monotonic() < until and driver.poll() is None:
                time.sleep(0.005)
            if driver.poll() is not None:
                break
            deck = deck or [kind for kind in tally.noticed for _ in range(KINDS[kind][1])]
            kind = deck.pop(rng.randrange(len(deck)))
            before = count(folder / "store")
            seconds = KINDS[kind][0](Site(driver, folder / "store", rng))
            if seconds is None:
                deck.append(kind)
                continue
            tally.noticed[kind].append(seconds)
            cut += kind == "record cut short"
            number = sum(map(len, tally.noticed.values()))
            told(
                f"fault {number}: {kind} at {before} records ({len(wanted)} undisturbed), noticed after {seconds:.2f} s"
            )
            if driver.poll() is not None:
                break
        code = driver.wait(timeout=PATIENCE)
        tally.codes[code] = tally.codes.get(code, 0) + 1
        if TRACEBACK.search(output(folder).read_text(errors="replace")):
            tally.wrong.append(f"a traceback for the user:\n{output(folder).read_text()[-3000:]}")
            return tally
        alone = 0 if sum(map(len, tally.noticed.values())) < faults else alone + 1
        if alone > UNDISTURBED:
            tally.wrong.append(
                f"{alone} commands without a fault did not finish:\n{output(folder).read_text()[-3000:]}"
            )
            return tally
        # A final run that failed is not retried if its point is not the best any more.
        if code in (0, 1):
            found = wrong(folder / "store", wanted, cut)
            told(f"store {tally.stores} done: {'; '.join(found) or 'nothing lost, nothing altered'}")
            tally.wrong += found
            tally.again += count(folder / "store") - len(wanted)
            tally.records += len(wanted)
            if sum(map(len, tally.noticed.values())) >= faults:
                return tally
            folder, cut = folders(), 0
            tally.stores += 1


def wrong(store: Path, wanted: Sequence[Record], cut: int) -> list[str]:
    """Say what is wrong with a store after all faults: nothing lost, nothing altered, nothing damaged, no leftovers.

    More final runs than wanted may be there: of points that were best while a better trial had failed.
    """
    records, bad = load(store).readable()
    lines = [str(problem) for problem in bad] + differences(records, wanted, more=True)
    if (store / ".staging").exists():
        lines.append("something is left in .staging")
    files = sorted(path.name for path in (store / "records").iterdir())
    if files != sorted(f"{record.id}.json" for record in records):
        lines.append(f"files that are no records: {files}")
    aside = len(list((store / "damaged").iterdir())) if (store / "damaged").exists() else 0
    if aside != cut:
        lines.append(f"{aside} records set aside where {cut} had been cut short")
    return lines


def differences(left: Sequence[Record], right: Sequence[Record], more: bool = False) -> list[str]:
    """Say how two sets of records differ in their runs, outcomes, scores and pairs; `more`: left may have more finals."""
    a, b = ({record.id: record for record in records} for records in (left, right))
    lines = [f"only on the right: {key}" for key in sorted(b.keys() - a.keys())]
    lines += [
        f"only on the left: {key}" for key in sorted(a.keys() - b.keys()) if not (more and a[key].stage == "final")
    ]
    for key in sorted(a.keys() & b.keys()):
        if (a[key].outcome, a[key].scores, a[key].items) != (b[key].outcome, b[key].scores, b[key].items):
            lines.append(f"differs: {key}: {dict(a[key].scores)} and {dict(b[key].scores)}")
    return lines


def may_mount(folder: Path) -> bool:
    """Tell whether this process may mount, by mounting a disk on a folder and taking it away."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", folder], stderr=subprocess.DEVNULL).returncode == 0
    return mounted and subprocess.run(["umount", folder]).returncode == 0


def disk(parent: Path, study: Path, mounts: bool) -> Path:
    """Make a folder that holds a copy of a study file; a small disk of its own where mounting is allowed."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    if mounts:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", folder], check=True)
    shutil.copy(study, folder / study.name)
    return folder


def main() -> int:
    study, faults, seed = Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3])
    parent = Path(tempfile.mkdtemp(prefix="chaos-"))
    mounts = may_mount(parent)
    arguments = [study.name, "--store", "store", "--report", "report", "--retry-failed", *sys.argv[4:]]
    calm = disk(parent, study, mounts=False)
    driver = start(arguments, calm)
    driver.wait()
    all_ended(Site(driver, calm, random.Random()), descendants(driver.pid))
    wanted = load(calm / "store").records()
    began = time.monotonic()
    tally = torment(
        arguments,
        lambda: disk(parent, study, mounts),
        wanted,
        faults,
        seed,
        mounts=mounts,
        told=lambda line: print(line, flush=True),
    )
    print(tally.table())
    print(f"{tally.summary()}; {time.monotonic() - began:.0f} s")
    print("\n".join(tally.wrong))
    if mounts:
        subprocess.run(f"umount {parent}/* 2>/dev/null", shell=True, check=False)
    if not tally.wrong:
        shutil.rmtree(parent, ignore_errors=True)
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
