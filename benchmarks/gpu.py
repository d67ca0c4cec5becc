"""All GPU measurements in one command of a few minutes: bounds, certificates, speed, sharing, and a whole ablation.

    python benchmarks/gpu.py [--device cuda] [--minutes 6] [--out FOLDER] [--only STAGE ...]

Stages run in the order of their importance, each in its own process, which is ended when its share of the time is over;
time that a stage does not need is given to later stages. Each row is written as soon as it is measured, so results.json
and log.txt in the folder always hold all results so far. The table at the end has a few lines per stage. `--device cpu`
runs everything with small shapes as a test; its figures have no meaning.

Exit code: 0 if every certificate held, 1 if one did not hold or could not be measured, 2 for a wrong command.
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
"""By name of the stage: its module, its share of the time, and its number of lines in the table (40 in total)."""

CERTIFYING = ("b", "tests")

GRACE = 4
"""Seconds that a stage has to write its results after SIGTERM, before it is killed."""

OVER = 124
"""Exit code of a stage that exceeded its time."""

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
        os._exit(code)  # without the seconds that releasing its memory would take
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
    """Run stages one after another, while the next one imports its modules, and return all rows.

    Args:
        names: names of the stages.
        device: "cuda" or "cpu".
        ends: time of `time.monotonic` at which the last stage must have ended.
        out: folder for results.json.
        log: receives the output of all stages.
    """
    rows: Rows = []
    waiting = _Process(names[0], device)
    # the embedded testbed is built once on the CPU; a stage that needs it earlier waits for it
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
    """Return a stage's environment variables: the harness of this checkout, and no access to the network."""
    path = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    quiet["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # as a worker has it
    return {**quiet, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


class _Process:
    """The process of a stage, which imports its modules and waits for the command to begin."""

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
        """Wait until the process has imported its modules, or has ended."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self._process.poll() is None and not (self._folder / "ready").exists():
            time.sleep(0.05)

    def begin(self, seconds: float, known: Rows) -> None:
        """Let the stage begin, with its time in seconds and the rows of earlier stages."""
        self._began = time.monotonic()
        assert self._process.stdin is not None
        with suppress(OSError):  # the import failed, and the output of the process has the reason
            self._process.stdin.write(json.dumps({"seconds": seconds, "known": known}, default=str) + "\n")
            self._process.stdin.close()

    def finish(self, seconds: float, log: TextIO) -> Rows:
        """Wait for the process, or end it with all processes that it started; return its rows, the last for its end."""
        for limit, ask in ((seconds, signal.SIGTERM), (GRACE, signal.SIGKILL), (GRACE, None)):
            try:
                self._process.wait(limit)
                break
            except subprocess.TimeoutExpired:
                if ask is not None:
                    os.killpg(self._process.pid, ask)
        took, code = time.monotonic() - self._began, self._process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # processes that the stage left running
        output = (self._folder / "output").read_text(encoding="utf-8", errors="replace")
        log.write(f"\n===== stage {self.name}, {took:.0f} s, exit code {code}\n{output[-60_000:]}")
        log.flush()
        written = self._folder / "rows"
        lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
        rows: Rows = [json.loads(line) for line in lines if line.endswith("}")]
        if code:
            messages = [line for line in output.splitlines() if line.strip() and not line.startswith("{")]
            last = messages[-1] if messages else "no output"
            print(output[-4000:], file=sys.stderr)
            rows.append({"stage": self.name, "what": "FAILED", "text": f"exit code {code}: {last[:110]}"})
        return [*rows, {"stage": self.name, "what": "seconds", "text": None, "seconds": took, "ended": code}]


def _child(name: str, device: str, folder: Path) -> int:
    """Run a stage in this process: import its modules, wait for the command, run.

    Args:
        name: name of the stage.
        device: "cuda" or "cpu".
        folder: where the stage writes its rows.

    Returns:
        The exit code.
    """

    def over(*_: Any) -> None:
        sys.exit(OVER)  # SystemExit is no Exception, so no handler in the stage continues

    from gpu_stages.common import Stage, be_quiet

    module = importlib.import_module(f"gpu_stages.{STAGES[name][0]}")
    be_quiet()
    (folder / "ready").touch()
    command = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, over)
    stage = Stage(name, device, time.monotonic() + command["seconds"], folder / "rows", command["known"])
    try:
        module.run(stage)
    except Exception:
        traceback.print_exc()
        return 1
    except SystemExit:
        return OVER
    return 0


def _table(names: list[str], rows: Rows, seconds: float) -> str:
    """Return the first lines of each stage, at most 40 in total; certificates that did not hold come first."""
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
