"""How long do commands take? `--help`, a plan of 1,000 runs, and report and check of 2,000 records.

    python benchmarks/startup.py [--repeats 3]

The goals are 0.3 s, 1 s, 10 s and 10 s. Records come from the stub of scale.py. docs/clusters.md has the table.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from scale import HARNESS, RUNS_A_STUDY, STUDY_FILE, timed


def study_file(folder: Path, runs: int) -> Path:
    """Write a study file with about this number of runs."""
    path = folder / f"study{runs}.py"
    path.write_text(STUDY_FILE.format(studies=runs // RUNS_A_STUDY), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="startup-"))
    empty, full = study_file(folder, 1000), study_file(folder, 2000)
    shutil.copy(full, folder / "study.py")
    timed(sys.executable, str(Path(__file__).with_name("scale.py")), "--drive", folder, cwd=folder)
    records = sum(1 for _ in (folder / "store" / "records").iterdir())
    commands: dict[str, tuple[str | Path, ...]] = {
        "--help": ("--help",),
        "plan, nothing done": ("plan", empty, "--store", "none"),
        f"plan, {records:,} records": ("plan", "study.py", "--store", "store"),
        f"check, {records:,} records": ("check", "study.py", "--store", "store"),
        f"report, {records:,} records": ("report", "study.py", "--store", "store"),
    }
    print("| command | median | slowest | peak memory |\n|---|---:|---:|---:|")
    for name, command in commands.items():
        measured = [timed(*HARNESS, *command, cwd=folder) for _ in range(options.repeats)]
        seconds = [each[0] for each in measured]
        peak = max(each[1] for each in measured)
        print(f"| {name} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s | {peak:.0f} MB |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
