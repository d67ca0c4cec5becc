"""What tests share: a tiny hub, a cache filled from it by `harness fetch`, and the command line as a subprocess.

Tests run offline, with a hub cache of their own, whatever the machine has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

# Before any test imports huggingface_hub, which reads them once.
_HOME = Path(tempfile.mkdtemp(prefix="harness-tests-"))
ENVIRONMENT = {
    "HF_HOME": str(_HOME / "hf"),
    "HF_HUB_OFFLINE": "1",
    "MTEB_CACHE": str(_HOME / "mteb"),
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "COLUMNS": "160",
    "MPLCONFIGDIR": str(_HOME / "matplotlib"),
}
os.environ.update(ENVIRONMENT)
for _name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)

from hub import MORE_TASKS, TASKS, Hub, write_content  # noqa: E402

CLOSED = "http://127.0.0.1:9"
"""A hub's address where nothing listens."""

GUARD = 1800.0
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


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


def command(*arguments: str | Path) -> list[str]:
    """The installed command, as a list for subprocess."""
    script = Path(sys.executable).with_name("harness")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "harness"]), *map(str, arguments)]


def harness(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = GUARD, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; its output is captured as text."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        **options,
    )


@pytest.fixture(scope="session")
def hub_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny hub's repositories."""
    root = tmp_path_factory.mktemp("hub")
    write_content(root)
    return root


@pytest.fixture(scope="session")
def _served(hub_root: Path) -> Iterator[Hub]:
    served = Hub(hub_root)
    yield served
    served.stop()


@pytest.fixture
def hub(_served: Hub) -> Iterator[Hub]:
    """The tiny hub, serving on loopback; faults are forgotten after each test."""
    _served.forget()
    yield _served
    _served.forget()


@pytest.fixture(scope="session")
def cache(_served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HF_HOME of all tests, filled once by `harness fetch`."""
    folder = tmp_path_factory.mktemp("fetch")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    done = harness(
        "fetch",
        "study.py",
        "--tasks",
        ",".join((*TASKS, *MORE_TASKS)),
        cwd=folder,
        env={"HF_ENDPOINT": _served.url, "HF_HUB_OFFLINE": "0"},
    )
    assert done.returncode == 0, done.stderr
    return Path(os.environ["HF_HOME"])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file of two studies, alone in a folder, and that folder's content free to change."""
    path = tmp_path / "study.py"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where STUDY was run to its end with two tasks. Tests that change anything take a `copy`."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES", "--workers", "2", cwd=folder)
    assert done.returncode in (0, 1), done.stderr  # the toy language decides which study wins
    (folder / "stdout.txt").write_text(done.stdout, encoding="utf-8")
    (folder / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    (folder / "code.txt").write_text(str(done.returncode), encoding="utf-8")
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))
