"""docs/slurm.sbatch, tried on one machine: Slurm's programs are stood in for, Ray and the ablation are real."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import GUARD, STUDY
from faults import until

from harness.api import load

SCRIPT = Path(__file__).parents[2] / "docs" / "slurm.sbatch"

SRUN = """#!/bin/bash
# A step of a job: runs what follows its options here, as a node of its own.
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""

SCONTROL = """#!/bin/bash
printf 'first\\nsecond\\n'
"""


def free_port() -> int:
    """Return a free port, which lies above those that Ray keeps for its workers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def slurm(folder: Path, *arguments: str, port: int = 6379) -> subprocess.Popen[str]:
    """Start the script in a job of two nodes of one processor each."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_PORT": str(port),
        "RAY_TMPDIR": "/tmp",  # sockets' names must be short
    }
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_script_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (apt install shellcheck)")
    subprocess.run(["shellcheck", str(SCRIPT)], check=True)


def test_without_a_study_file_it_says_how_it_is_called(tmp_path: Path) -> None:
    done = slurm(tmp_path)
    assert done.wait(timeout=GUARD) == 2
    assert done.stderr is not None
    assert "usage: sbatch" in done.stderr.read()


def test_two_nodes_run_an_ablation_and_nothing_stays_behind(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    port = free_port()
    job = slurm(tmp_path, "study.py", "--no-mteb", "--trials", "1", "--seeds", "1", "--store", "store", port=port)
    output, errors = job.communicate(timeout=GUARD)

    assert job.returncode in (0, 1), errors
    records = load(tmp_path / "store").records()
    assert {(r.study, r.stage, r.outcome) for r in records} == {
        ("untrained", "untrained", "ok"),
        *((study, stage, "ok") for study in ("cosine", "mnr") for stage in ("tune", "final")),
    }
    assert "report:" in output
    until(lambda: not of_the_cluster(port), "the end of the cluster's processes", GUARD)


def of_the_cluster(port: int) -> list[str]:
    """Return the commands of Ray's processes that know a cluster by its port."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if f":{port}" in line or f"port={port}" in line]
