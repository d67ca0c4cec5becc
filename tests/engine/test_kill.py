"""Ends that nobody asked for: SIGKILL and Ctrl-C at any moment, and workers that die."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from chaos import count, disk, may_mount, output, start, torment
from commandline import GUARD, STUDY, harness
from faults import alive, descendants, until

from harness.api import load

SLOW = STUDY.replace("epochs=0.5", "epochs=8")  # else all runs are done before they can be killed
OPTIONS = ["study.py", "--no-mteb", "--workers", "2", "--store", "store"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")


CHAOS = [*OPTIONS, "--retry-failed", "--time-limit", "1"]  # minutes; a run takes seconds

SEED = int(os.environ.get("HARNESS_SEED", "4"))


def test_faults_of_many_kinds_lose_nothing_and_change_nothing(cache: Path, tmp_path: Path) -> None:
    """The chaos of docs/clusters.md, shortened: ten faults of the eight kinds that need no mounted disk.

    HARNESS_FAULTS=200 throws so many, in a mount namespace (`unshare -Urm pytest ...`) of all ten kinds; HARNESS_SEED
    chooses others.
    """
    undisturbed, faults = tmp_path / "undisturbed", int(os.environ.get("HARNESS_FAULTS", "10"))
    undisturbed.mkdir()
    (undisturbed / "study.py").write_text(SLOW, encoding="utf-8")
    began = time.monotonic()
    assert harness("run", *OPTIONS, cwd=undisturbed).returncode in (0, 1)
    seconds = time.monotonic() - began
    mounts = faults > 10 and may_mount(tmp_path)
    tally = torment(
        CHAOS,
        lambda: disk(tmp_path, undisturbed / "study.py", mounts),
        load(undisturbed / "store").records(),
        faults=faults,
        seed=SEED,
        longest=seconds / 3,
        mounts=mounts,
        told=lambda line: print(line, flush=True),
    )

    print(tally.table(), tally.summary(), sep="\n\n")
    assert tally.wrong == []
    assert sum(map(len, tally.noticed.values())) == faults
    assert sum(bool(seconds) for seconds in tally.noticed.values()) >= 4, tally.table()
    store = next(path for path in tmp_path.glob("*/store") if path.parent != undisturbed)
    kept = [sorted(p.parent.name for p in (s / "models").rglob("modules.json")) for s in (store, undisturbed / "store")]
    assert set(kept[1]) <= set(kept[0])  # and perhaps of points that were best while a better trial had failed


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SLOW, encoding="utf-8")
    driver = start(OPTIONS, tmp_path)
    until(lambda: count(tmp_path / "store") >= 2 or driver.poll() is not None, "two records")
    below = descendants(driver.pid)
    for pid in (driver.pid, *below):  # as a terminal does: the whole group gets it
        os.kill(pid, signal.SIGINT)

    code = driver.wait(timeout=GUARD)
    said = output(tmp_path).read_text()
    assert code == 130, said
    assert "interrupted: finished runs are stored; repeat the command" in said
    assert "Traceback" not in said
    until(lambda: not any(map(alive, below)), "the end of all its processes")
    good, bad = load(tmp_path / "store").readable()
    assert len(good) >= 2
    assert bad == []
    assert all(record.outcome == "ok" for record in good)


def test_a_worker_that_dies_fails_its_run_alone(cache: Path, tmp_path: Path) -> None:
    dying = STUDY.replace("ablation =", "def dies(model):\n    import os\n    os._exit(7)\n\nablation =")
    dying = (
        dying.replace("losses.CosineSimilarityLoss", "dies")
        .replace("trials=2", "trials=1")
        .replace("seeds=2", "seeds=1")
    )
    (tmp_path / "study.py").write_text(dying, encoding="utf-8")

    done = harness("run", *OPTIONS[:2], "--workers", "1", "--store", "store", cwd=tmp_path)

    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    records = load(tmp_path / "store").records()
    died = [r for r in records if r.study == "cosine"]
    assert {(r.stage, r.outcome) for r in died} == {("tune", "failed"), ("final", "failed")}
    assert all("exit code 7" in (r.error or "") for r in died)
    assert {r.outcome for r in records if r.study != "cosine"} == {"ok"}
    assert "failed: cosine" in done.stdout
