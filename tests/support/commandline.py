"""The command line as a subprocess, in surroundings of the tests' own: no network, no caches of the machine's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Before any test imports huggingface_hub, which reads them once.
HOME = Path(tempfile.mkdtemp(prefix="harness-tests-"))
ENVIRONMENT = {
    "HF_HOME": str(HOME / "hf"),
    "HF_HUB_OFFLINE": "1",
    "MTEB_CACHE": str(HOME / "mteb"),
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "COLUMNS": "160",
    "MPLCONFIGDIR": str(HOME / "matplotlib"),
}
os.environ.update(ENVIRONMENT)
for _name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)

CLOSED = "http://127.0.0.1:9"
"""A hub's address where nothing listens."""

GUARD = 1200.0
"""Seconds after which a process counts as hung. Nothing is proved by it, so it is long: the machine may be busy."""

STUDY = """
from harness import *
ablation = Ablation(
    name="small",
    testbed=testbeds.book,
    studies=[
        Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-score"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
    ],
    space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
    budget=Budget(trials=2, epochs=0.5, seeds=2),
    expect=[beats("mnr", "cosine")],
)
"""


def command(*arguments: str | Path) -> list[str]:
    """The installed command, as a list for subprocess."""
    script = Path(sys.executable).with_name("harness")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "harness"]), *map(str, arguments)]


def harness(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = GUARD, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; its output is captured as text.

    `run` gets one worker unless the test says otherwise: each imports torch, which takes longer than most tests' runs.
    """
    alone = arguments[:1] == ("run",) and not {"--workers", "--executor"} & set(arguments)
    return subprocess.run(
        command(*arguments, *(("--workers", "1") if alone else ())),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        **options,
    )
