"""What is lost when a fault strikes in a given phase of a command, and what does the command say?

    python benchmarks/faults_by_phase.py [--phases audit training] [--faults "driver killed"] [--limit 0.5]

For each phase and fault, `harness run` of a small study on the embedded testbed is started and stops itself where the
phase begins: a `sitecustomize` module, which only this script puts on the path, wraps the function that begins it. Then
the fault strikes. If the command ends with another exit code than 0, it is given again without a fault. The store must
then hold the runs of a store that no fault struck, with the same scores. A line of the table says how the struck
command ended, what it said, and whether anything was lost. A process that stays stopped for WAIT seconds without an end
of the command is continued.

A full disk and a read-only store need a mount namespace: start the script by `unshare -Urm`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.api import load

STUDY = """
from harness import *
ablation = Ablation(
    name="faults",
    testbed=testbeds.embedded,
    studies=[Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")],
    space=Space(batch_size=choice(16), lr=log_uniform(1e-4, 1e-3)),
    budget=Budget(trials=1, epochs=1, seeds=1),
)
"""

PHASES = {
    "start": "harness.executors.start:start",
    "audit": "harness.audit.examine:examine",
    "tokenising": "harness.engine.rows:study_rows",
    "training": "harness.training.train:train",
    "evaluation": "harness.engine.testing:score_all",
    "saving": "harness.engine.driver:publish",
    "reporting": "harness.report:write_report",
}
"""The function that begins each phase; tokenising begins where a run gets its rows."""

HOOK = """
import importlib.abc, importlib.machinery, os, sys, time
MODULE, NAME = os.environ["FAULT_PHASE"].split(":")
MARK = os.environ["FAULT_MARK"]

def wrapped(function):
    def stops(*given, **named):
        try:
            os.close(os.open(MARK, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return function(*given, **named)
        with open(MARK, "w") as file:
            file.write(str(os.getpid()))
        until = time.monotonic() + 30
        while os.path.exists(MARK + ".wait") and time.monotonic() < until:
            time.sleep(0.02)
        if os.environ["FAULT_CLOCK"]:
            now = time.time
            time.time = lambda: now() - 86400
        return function(*given, **named)
    return stops

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            setattr(module, NAME, wrapped(getattr(module, NAME)))
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""

WAIT = 90.0

OPTIONS = ("study.py", "--no-mteb", "--rows", "300", "--workers", "1", "--store", "store", "--report", "report")


def start(folder: Path, phase: str | None, clock: bool, limit: float) -> subprocess.Popen[str]:
    """Start the command; in a phase it stops where the phase begins."""
    environment = dict(os.environ)
    if phase is not None:
        (folder / "hook").mkdir(exist_ok=True)
        (folder / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        (folder / "mark.wait").touch()
        environment |= {"FAULT_PHASE": PHASES[phase], "FAULT_MARK": str(folder / "mark")}
        environment |= {"FAULT_CLOCK": "1" if clock else ""}
        environment["PYTHONPATH"] = os.pathsep.join([str(folder / "hook"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "harness", "run", *OPTIONS, "--retry-failed", "--time-limit", str(limit)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def children(pid: int) -> list[int]:
    """Return the processes that another one has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def worker(driver: int, reached: int) -> int:
    """Return the process that reached a phase if it is a worker, else one of the driver's."""
    return reached if reached != driver else next(iter(children(driver)), 0)


def kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        if pid:
            os.kill(pid, number)


def stop_for_a_while(pid: int) -> None:
    kill(pid, signal.SIGSTOP)
    time.sleep(5)
    kill(pid, signal.SIGCONT)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def read_only(folder: Path) -> None:
    """Mount the store over itself, read-only: its own mount cannot become so while the driver has its lock open."""
    subprocess.run(["mount", "--bind", folder / "store", folder / "store"], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder / "store"], check=True)


Fault = Callable[[int, int, Path], None]
"""Strikes the driver, or the process that reached the phase, or the folder."""

FAULTS: dict[str, Fault] = {
    "driver killed": lambda driver, reached, folder: kill(driver, signal.SIGKILL),
    "worker killed": lambda driver, reached, folder: kill(worker(driver, reached), signal.SIGKILL),
    "driver stopped for 5 s": lambda driver, reached, folder: stop_for_a_while(driver),
    "worker stopped": lambda driver, reached, folder: kill(worker(driver, reached), signal.SIGSTOP),
    "clock set back a day": lambda driver, reached, folder: None,
    "disk full": lambda driver, reached, folder: fill(folder),
    "store read-only": lambda driver, reached, folder: read_only(folder),
}
MOUNTS = ("disk full", "store read-only")
WITHOUT_WORKERS = ("start", "reporting")
"""Phases in which there is no worker to strike."""


def scores(folder: Path) -> dict[str, dict[str, float]]:
    return {record.id: dict(record.scores) for record in load(folder / "store").records()}


def strike(folder: Path, phase: str, fault: str, limit: float) -> tuple[str, str]:
    """Let a fault strike in a phase; return how the command ended, and what it said last."""
    driver = start(folder, phase, fault.startswith("clock"), limit)
    mark = folder / "mark"
    while driver.poll() is None and not (mark.exists() and mark.read_text()):
        time.sleep(0.05)
    if driver.poll() is None:
        FAULTS[fault](driver.pid, int(mark.read_text()), folder)
    (folder / "mark.wait").unlink()
    waited = ""
    try:
        said = driver.communicate(timeout=WAIT)[0]
    except subprocess.TimeoutExpired:
        waited = ", after it was continued"
        for pid in children(driver.pid):
            kill(pid, signal.SIGCONT)
        said = driver.communicate(timeout=600)[0]
    lines = said.strip().splitlines() or [""]
    words = ("error", "failed", "ended early", "waiting for")
    told = next((line for word in words for line in reversed(lines) if word in line), lines[-1])
    return ("killed" if driver.returncode < 0 else f"exit {driver.returncode}") + waited, told or "–"


def prepared(parent: Path, fault: str) -> Path:
    """Make a folder for a command; a small disk of its own, or a store to mount, where a fault needs it."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    if fault == "disk full":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", folder], check=True)
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    if fault == "store read-only":
        (folder / "store").mkdir()
    return folder


def relieve(folder: Path) -> None:
    """Take a fault of the disk away."""
    (folder / "ballast").unlink(missing_ok=True)
    subprocess.run(["umount", "-l", folder / "store"], stderr=subprocess.DEVNULL, check=False)


def main() -> int:
    """Print a line for each phase and fault; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=[name for name in FAULTS if name not in MOUNTS])
    parser.add_argument("--limit", type=float, default=0.5, help="time limit of a run in minutes (default 0.5)")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as parent:
        calm = prepared(Path(parent), "")
        start(calm, None, False, 10).communicate()
        wanted = scores(calm)
        print(f"{len(wanted)} runs undisturbed\n\n| phase | fault | command | said | afterwards |")
        print("|---|---|---|---|---|", flush=True)
        for phase in options.phases:
            for fault in options.faults:
                if fault.startswith("worker") and phase in WITHOUT_WORKERS:
                    continue
                folder = prepared(Path(parent), fault)
                ended, said = strike(folder, phase, fault, options.limit)
                relieve(folder)
                if ended != "exit 0":
                    start(folder, None, False, 10).communicate()
                found = scores(folder)
                lost = wanted != found
                bad += lost
                after = "LOST OR OTHER" if lost else "all runs, same scores"
                print(f"| {phase} | {fault} | {ended} | {said[:110]} | {after} |", flush=True)
                subprocess.run(["umount", "-l", folder], stderr=subprocess.DEVNULL, check=False)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
