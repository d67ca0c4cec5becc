"""g. A whole ablation on the card and on the CPU, with a comparison of verdicts; a point that runs out of memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gpu_stages.common import Stage
from harness import Ablation, Budget, Space, Study, api, choice, testbeds
from harness.spec import losses

STUDY = Path(__file__).parents[2] / "studies" / "all_losses.py"
SIZE = ("--trials", "2", "--seeds", "2", "--rows", "1000", "--no-mteb")
SMALL = ("--trials", "1", "--seeds", "2", "--rows", "300", "--no-mteb")
TOO_LARGE = 65_536
SHARE = 0.01
"""Share of the card's memory that the process of the infeasible point may use, so that the card need not be filled."""


def run(stage: Stage) -> None:
    """Run the ablation on the device, let a point run out of memory; if time is left, repeat on the CPU."""
    here, seconds, code, said = _harness(stage, "here", {})
    text = f"all_losses on the embedded testbed: {seconds:.0f} s, exit code {code}{said}, {len(here)} verdicts"
    stage.report("ablation", text, seconds=seconds, code=code, verdicts=here)
    if stage.small:
        stage.skipped("a point that cannot fit")
        return
    _too_large(stage)
    if stage.left() < 1.2 * seconds:
        return
    there, seconds, code, said = _harness(stage, "cpu", {"CUDA_VISIBLE_DEVICES": ""})
    other = [name for name in here if here[name] != there.get(name)]
    text = f"{seconds:.0f} s, exit code {code}{said}; {len(here) - len(other)} of {len(here)} verdicts are the same"
    stage.report("the same on its CPU", text, verdicts=there, other=other)


def _harness(stage: Stage, name: str, surroundings: dict[str, str]) -> tuple[dict[str, str], float, int, str]:
    """Do `harness run`.

    Args:
        stage: the stage.
        name: name of the store's folder.
        surroundings: environment variables of the command.

    Returns:
        Verdicts by claim, seconds, the exit code, and the last line of output if the exit code is an error.
    """
    folder = Path(tempfile.mkdtemp())
    options = ("--testbed", "embedded", *(SMALL if stage.small else SIZE), "--store", str(folder / name))
    shared = ("--runs-per-gpu", "4") if stage.device == "cuda" and not surroundings else ()
    command = (sys.executable, "-m", "harness")
    where: Any = {"env": {**os.environ, **surroundings}, "cwd": STUDY.parents[1], "text": True}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                [*command, "run", str(STUDY), *options, *shared, "--report", str(folder / "report")],
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, stage.left() - 1),
                **where,
            )
        finally:  # also when the stage's time is over
            output.seek(0)
            printed = output.read()
            print(printed[-6000:], flush=True)
    seconds = time.perf_counter() - began
    check = [
        *command,
        "check",
        str(STUDY),
        *options[: -2 if "--no-mteb" not in options else -3],
        *options[-2:],
        "--json",
    ]
    checked = subprocess.run(check, capture_output=True, **where)
    lines = printed.strip().splitlines() or ["no output"]
    said = "" if done.returncode in (0, 1, 3) else f" ({lines[-1][:80]})"
    try:
        verdicts = {each["expectation"]: each["verdict"] for each in json.loads(checked.stdout)["verdicts"]}
    except (ValueError, KeyError):
        print(checked.stdout[-2000:], checked.stderr[-2000:])
        verdicts = {}
    return verdicts, seconds, done.returncode, said


def _too_large(stage: Stage) -> None:
    """Run a study that needs too much memory and then one that does not, in one process; report the memory in use."""
    torch.cuda.set_per_process_memory_fraction(SHARE)
    mnr = losses.MultipleNegativesRankingLoss
    ablation = Ablation(
        name="too_large",
        testbed=replace(testbeds.embedded, also=(), max_rows=50_000),
        studies=[
            Study("too large", loss=mnr, view="pair", fixed={"batch_size": TOO_LARGE}),
            Study("fits", loss=mnr, view="pair", fixed={"batch_size": 32}, rows=3000),
        ],
        space=Space(batch_size=choice(32, 64), lr=choice(1e-4, 2e-4)),
        budget=Budget(trials=1, epochs=1, seeds=1),
    )
    store = Path(tempfile.mkdtemp()) / "store"
    api.run(ablation, store, executor="inline")
    outcomes: dict[str, list[str]] = {}
    for record in api.load(store).records():
        outcomes.setdefault(record.study, []).append(record.outcome)
    before = torch.cuda.memory_allocated() / 2**20
    gc.collect()
    after = torch.cuda.memory_allocated() / 2**20
    stage.report(
        "a point that cannot fit",
        f"batch {TOO_LARGE:,}: {', '.join(outcomes.get('too large', ['no record']))}; then 32: "
        f"{', '.join(outcomes.get('fits', ['no record']))}; {after:.0f} MiB stay ({before:.0f} before collecting)",
        outcomes=outcomes,
        before=before,
        after=after,
    )
