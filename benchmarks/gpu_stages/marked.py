"""The tests that need a GPU, in a separate process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gpu_stages.common import Stage

TESTS = Path(__file__).parents[2] / "tests" / "model" / "test_gpu.py"


def run(stage: Stage) -> None:
    """Run the tests, and report pytest's last line and the failed tests."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-v", "-p", "no:cacheprovider", str(TESTS)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        code = None
        try:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=TESTS.parents[2]).returncode
        finally:  # also when the stage's time is over
            output.seek(0)
            printed = output.read()
            print(printed, flush=True)
            lines = printed.strip().splitlines() or ["no output"]
            failed = [line.partition("::")[2] for line in lines if line.startswith(("FAILED", "ERROR"))]
            summary = "; ".join([lines[-1].strip("= "), *failed])
            stage.report("tests", summary if code is not None else f"not finished: {summary}", held=code == 0)
