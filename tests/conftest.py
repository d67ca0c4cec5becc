"""What tests share: a tiny hub, a cache filled from it by `harness fetch`, and the command line as a subprocess.

Tests run offline, with a hub cache of their own, whatever the machine has.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import HOME, STUDY, harness  # first: it sets what huggingface_hub reads once
from hub import MORE_TASKS, TASKS, Hub, write_content

LONGEST = ("embedded", "engine", "upgrading", "cli", "own_data", "executors", "stats")
"""Folders that start first, so that the others fill up the time beside them; see --no-loadscope-reorder."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(LONGEST)))


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


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
