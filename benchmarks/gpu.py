"""All that a GPU has to show, in one command of a few minutes: floors, certificates, speed, sharing, a whole ablation.

    python benchmarks/gpu.py [--device cuda] [--minutes 6] [--out FOLDER] [--only STAGE ...]

Stages run in the order of what they are worth, each in a process of its own that is ended when its share of the time
is over; what one leaves goes to those after it. Each row is written as soon as it is found: results.json and log.txt in
the folder hold all that came out until then. The table at the end has a few lines a stage. `--device cpu` runs
everything with small shapes, to see that it runs: its figures mean nothing.

Exit code: 0 if every certificate held, 1 if one did not or could not be had, 2 for a wrong command.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

STAGES = {
    "a": ("ceilings", 20, 3),
    "b": ("certificates", 110, 12),
    "tests": ("marked", 35, 1),
    "c": ("training", 110, 10),
    "d": ("profiles", 25, 3),
    "e": ("evaluations", 40, 3),
    "f": ("sharing", 45, 2),
    "g": ("ablation", 45, 2),
    "f2": ("stacked", 25, 2),
    "compile": ("compiled", 40, 1),
    "h": ("book", 3, 1),
}
"""By name: the module, its share of the time, and how many lines of the table are its own: 40 in all."""

CERTIFYING = ("b", "tests")

GRACE = 4
"""Seconds between asking a stage to end, when it tells what it has, and ending it."""

OVER = 124
"""The exit code of a stage that had to be asked to end."""

Rows = list[dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES), metavar="STAGE")
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        code = _child(options.stage, options.device, options.out)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # not after seconds of setting free what it had
    options.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in STAGES if name in options.only]
    began = time.monotonic()
    with (options.out / "log.txt").open("w", encoding="utf-8") as log:
        rows = _run_all(names, options.device, began + 60 * options.minutes, options.out, log)
        table = _table(names, rows, time.monotonic() - began)
        log.write(table)
    print(table, end="", flush=True)
    judged = [row["held"] for row in rows if "held" in row]
    finished = {row["stage"] for row in rows if row["what"] == "seconds" and row["ended"] == 0}
    return 0 if all(judged) and set(CERTIFYING) & set(names) <= finished else 1


def _run_all(names: list[str], device: str, ends: float, out: Path, log: TextIO) -> Rows:
    """Run stages one after another, the next one importing what it needs meanwhile; return all rows."""
    rows: Rows = []
    waiting = _Process(names[0], device)
    # the embedded testbed is made once, on the CPU, before a stage asks for it; who asks sooner waits for it
    make = [sys.executable, "-c", "from harness import embedded; embedded.build()"]
    making = subprocess.Popen(make, env=surroundings() | {"CUDA_VISIBLE_DEVICES": ""})
    for place, name in enumerate(names):
        process = waiting
        process.wait_until_ready()
        shares = [STAGES[other][1] for other in names[place:]]
        seconds = max(5.0, (ends - time.monotonic()) * shares[0] / sum(shares))
        process.begin(seconds, rows)
        if place + 1 < len(names):
            waiting = _Process(names[place + 1], device)
        rows += process.finish(seconds, log)
        (out / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {rows[-1]['seconds']:.0f} of {seconds:.0f} s, exit code {rows[-1]['ended']}", file=sys.stderr)
    making.kill()
    return rows


def surroundings() -> dict[str, str]:
    """Return a stage's environment variables: this checkout's harness, and nothing asked of a network."""
    path = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    quiet["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # as a worker has it
    return {**quiet, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


class _Process:
    """A stage's process, which imports and waits until it is told to begin."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self._folder = name, Path(tempfile.mkdtemp(prefix="gpu-"))
        hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if device == "cpu" else {}
        with (self._folder / "output").open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--stage", name, "--device", device, "--out", self._folder],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=surroundings() | hidden,
                start_new_session=True,
            )

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Wait until it has imported what it needs, or has ended."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self._process.poll() is None and not (self._folder / "ready").exists():
            time.sleep(0.05)

    def begin(self, seconds: float, known: Rows) -> None:
        """Let it begin, with so many seconds and what earlier stages found."""
        self._began = time.monotonic()
        assert self._process.stdin is not None
        with suppress(OSError):  # it could not even be imported: its output says why
            self._process.stdin.write(json.dumps({"seconds": seconds, "known": known}, default=str) + "\n")
            self._process.stdin.close()

    def finish(self, seconds: float, log: TextIO) -> Rows:
        """Wait for its end, or end it with all that it started; return its rows, the last of them how it ended."""
        for limit, ask in ((seconds, signal.SIGTERM), (GRACE, signal.SIGKILL), (GRACE, None)):
            try:
                self._process.wait(limit)
                break
            except subprocess.TimeoutExpired:
                if ask is not None:
                    os.killpg(self._process.pid, ask)
        took, code = time.monotonic() - self._began, self._process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # whatever it left running
        output = (self._folder / "output").read_text(encoding="utf-8", errors="replace")
        log.write(f"\n===== stage {self.name}, {took:.0f} s, exit code {code}\n{output[-60_000:]}")
        log.flush()
        told = self._folder / "rows"
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
        rows: Rows = [json.loads(line) for line in lines if line.endswith("}")]
        if code:
            said = [line for line in output.splitlines() if line.strip() and not line.startswith("{")] or ["no word"]
            print(output[-4000:], file=sys.stderr)
            rows.append({"stage": self.name, "what": "FAILED", "text": f"exit code {code}: {said[-1][:110]}"})
        return [*rows, {"stage": self.name, "what": "seconds", "text": None, "seconds": took, "ended": code}]


def _child(name: str, device: str, folder: Path) -> int:
    """Be a stage: import, wait for the word, run."""

    def over(*_: Any) -> None:
        sys.exit(OVER)  # no Exception, so that no part of the stage goes on

    from gpu_stages.common import Stage, be_quiet

    module = importlib.import_module(f"gpu_stages.{STAGES[name][0]}")
    be_quiet()
    (folder / "ready").touch()
    told = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, over)
    stage = Stage(name, device, time.monotonic() + told["seconds"], folder / "rows", told["known"])
    try:
        module.run(stage)
    except Exception:
        traceback.print_exc()
        return 1
    except SystemExit:
        return OVER
    return 0


def _table(names: list[str], rows: Rows, seconds: float) -> str:
    """Return each stage's first lines, at most 40 in all, certificates that did not hold first."""
    lines = []
    for name in names:
        mine = sorted(
            (row for row in rows if row["stage"] == name and row["text"] is not None),
            key=lambda row: (row.get("held", True), row["what"] != "FAILED"),
        )
        most = STAGES[name][2]
        for row in mine[:most]:
            mark = {True: "held  ", False: "BROKEN"}[row["held"]] if "held" in row else "      "
            lines.append(f"{name:<7} {mark} {row['what']}: {row['text']}"[:200])
        if len(mine) > most:
            lines[-1] += f" (+ {len(mine) - most} more lines in results.json)"
    return "\n".join([f"{len(names)} stages, {seconds:.0f} s", *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
