"""Executors: worker processes and Ray, by the same tests. They run functions and know nothing of training."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import GUARD, STUDY, harness
from faults import until, workers

from harness.engine.worker import tune_memory_management
from harness.executors import Executor, WorkerDied
from harness.executors.processes import ProcessExecutor
from harness.executors.start import start

KINDS = ["local", "ray"]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Executor]]:
    if request.param == "ray":
        _send_this_module()
    made: list[Executor] = []

    def start_one(**options: Any) -> Executor:
        made.append(start(request.param, **options))
        return made[-1]

    yield start_one
    for executor in made:
        executor.stop()


def _send_this_module() -> None:
    """Let Ray's workers have this file's functions, which they cannot import."""
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def who(folder: str | None = None, others: int = 0) -> tuple[int, str | None]:
    """Tell this process and its threads; with a folder, not before so many calls have begun and `go` is there."""
    if folder is not None:
        Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
        while len(list(Path(folder).glob("*-*"))) < others or not Path(folder, "go").exists():
            time.sleep(0.01)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def begun(folder: Path, calls: int) -> None:
    """Wait until so many calls of `who` have begun."""
    until(lambda: len(list(folder.glob("*-*"))) >= calls, f"{calls} calls")


def kept_after(size: int) -> int:
    """Fill and free so many bytes; return how many of what was freed the C library keeps for the next allocation."""
    np.ones(size, dtype=np.uint8)
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = MallocInfo
    return int(library.mallinfo2().fields[8])  # fordblks


class MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>: ten numbers."""

    _fields_ = [("fields", ctypes.c_size_t * 10)]


def die(marker: str) -> int:
    """Kill this process, the first time for each marker."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die_always() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mark() -> None:
    os.environ["MARK"] = f"{os.environ['TOLD']} by {os.getpid()}"


class Reader:
    """A preparation that reads its environment as soon as it is unpickled, as libraries do when they are imported."""

    def __reduce__(self) -> tuple[Callable[[], Callable[[], None]], tuple[()]]:
        return read, ()

    def __call__(self) -> None: ...


def read() -> Callable[[], None]:
    os.environ["READ"] = os.environ.get("TOLD", "nothing")
    return mark


def refuse() -> None:
    raise ValueError("no such thing")


def test_calls_run_side_by_side_in_processes_that_stay(make: Callable[..., Executor], tmp_path: Path) -> None:
    executor = make(workers=2)
    assert executor.slots == 2
    first = [executor.submit(who, str(tmp_path), 2) for _ in range(2)]
    with pytest.raises(RuntimeError, match="slots of the executor are busy"):
        executor.submit(who)
    (tmp_path / "go").touch()
    pids = {future.result()[0] for future in first}
    again = {future.result()[0] for future in [executor.submit(who, str(tmp_path), 4) for _ in range(2)]}

    assert len(pids) == 2
    assert os.getpid() not in pids
    assert again == pids
    assert first[0].result()[1] is not None, "threads are pinned before anything is imported"


def test_workers_prepare_as_soon_as_they_start_and_again_when_replaced(tmp_path: Path) -> None:
    executor = ProcessExecutor([{"TOLD": "yes"}], prepare=mark)
    try:
        assert len(workers(os.getpid())) == 1
        first, _ = executor.submit(who).result()
        assert executor.submit(os.getenv, "MARK").result() == f"yes by {first}"
        with pytest.raises(WorkerDied):
            executor.submit(die, str(tmp_path / "died")).result()
        second, _ = executor.submit(who).result()
        assert second != first
        assert executor.submit(os.getenv, "MARK").result() == f"yes by {second}"
    finally:
        executor.stop()


def test_no_more_workers_start_ahead_than_have_something_to_do() -> None:
    executor = ProcessExecutor([{"TOLD": "yes"}] * 3, prepare=mark, ahead=1)
    try:
        assert len(workers(os.getpid())) == 1
        answers = [executor.submit(os.getenv, "MARK") for _ in range(3)]
        assert len({answer.result() for answer in answers} - {None}) == 3
    finally:
        executor.stop()


@pytest.mark.parametrize(("workers", "asked", "given"), [(1, None, "1"), (2, None, "1"), (1, 3, "3")])
def test_a_workers_threads_do_not_turn_on_how_many_workers_there_are(
    workers: int, asked: int | None, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.provenance.gpus", lambda: ())
    monkeypatch.setattr("harness.provenance.cores", lambda: 8)
    executor = start("local", workers, threads=asked)
    try:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == given
    finally:
        executor.stop()


@pytest.mark.parametrize(("asked", "given"), [(None, "4"), (3, "3")])
def test_a_worker_that_has_a_gpu_gets_its_share_of_the_cores(
    asked: int | None, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.provenance.gpus", lambda: ("one", "another"))
    monkeypatch.setattr("harness.provenance.cores", lambda: 8)
    executor = start("local", threads=asked)
    try:
        assert executor.slots == 2
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == given
    finally:
        executor.stop()


def test_a_workers_environment_is_set_before_it_imports_what_prepares_it() -> None:
    executor = ProcessExecutor([{"TOLD": "yes"}], prepare=Reader())
    try:
        assert executor.submit(os.getenv, "READ").result() == "yes"
    finally:
        executor.stop()


def test_a_worker_that_cannot_prepare_still_answers() -> None:
    executor = ProcessExecutor([{}], prepare=refuse)
    try:
        assert executor.submit(who).result()[0] != os.getpid()
    finally:
        executor.stop()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="of glibc 2.33 or later")
def test_a_worker_keeps_the_memory_that_a_run_sets_free() -> None:
    tuned, other = ProcessExecutor([{}], prepare=tune_memory_management), ProcessExecutor([{}])
    try:
        kept, fresh = (executor.submit(kept_after, 100_000_000).result() for executor in (tuned, other))
    finally:
        tuned.stop()
        other.stop()
    assert fresh < 100_000_000 <= kept


def test_an_exception_comes_back_as_itself(make: Callable[..., Executor]) -> None:
    executor = make(workers=1)
    with pytest.raises(ValueError, match="no such thing"):
        executor.submit(refuse).result()
    assert executor.submit(who).result()[0] != os.getpid()


def test_a_killed_worker_is_told_and_replaced(make: Callable[..., Executor]) -> None:
    executor = make(workers=1)
    with pytest.raises(WorkerDied):
        executor.submit(die_always).result()
    assert executor.submit(who).result()[0] != os.getpid()


def test_a_call_that_takes_too_long_is_stopped(make: Callable[..., Executor]) -> None:
    """And the slot goes on. On a busy machine a new worker may take longer than the limit to start; then again."""
    executor = make(workers=1, time_limit=12.0)
    with pytest.raises(WorkerDied, match=r"longer than the time limit of 0\.2 min .*--time-limit"):
        executor.submit(time.sleep, 1e6).result()

    def answers() -> bool:
        try:
            return bool(executor.submit(who).result())
        except WorkerDied:
            return False

    until(answers, "an answer")


def test_ray_makes_a_lost_call_again(tmp_path: Path) -> None:
    _send_this_module()
    executor = start("ray", workers=1)
    try:
        assert executor.submit(die, str(tmp_path / "died")).result() != os.getpid()
    finally:
        executor.stop()


def test_calls_of_a_lost_node_are_made_again_on_those_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _send_this_module()
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    ray.init(cluster.address, log_to_driver=False)  # to the first node, because a driver does not outlive its own
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    executor = start("ray")
    try:
        assert executor.slots == 2
        running = [executor.submit(who, str(tmp_path)) for _ in range(2)]
        begun(tmp_path, 2)
        cluster.remove_node(second)
        (tmp_path / "go").touch()
        assert all(future.result(timeout=GUARD)[0] for future in running)
        assert executor.submit(who).result(timeout=GUARD)
    finally:
        executor.stop()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def test_an_ablation_on_ray_has_the_records_of_one_on_processes(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    shown = {}
    for executor in ("local", "ray"):
        options = ("--workers", "2", "--executor", executor, "--store", executor)  # as many threads in both
        done = harness("run", "study.py", "--tasks", "", *options, cwd=tmp_path)
        assert done.returncode in (0, 1), done.stderr
        document = json.loads(harness("show", "study.py", "--store", executor, "--json", cwd=tmp_path).stdout)
        shown[executor] = {(r["id"], r["outcome"], tuple(r["scores"].items())) for r in document["records"]}
    assert shown["local"] == shown["ray"]
    assert {outcome for _, outcome, _ in shown["ray"]} == {"ok"}


def test_a_run_over_its_time_limit_has_failed_and_says_why(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "study.py").write_text(
        STUDY.replace(
            "from harness import *", "import time\nfrom harness import *\nhang = lambda model: time.sleep(1e6)"
        ).replace('loss=losses.CosineSimilarityLoss, view="pair-score"', 'loss=hang, view="pair"'),
        encoding="utf-8",
    )
    done = harness(
        "run",
        "study.py",
        "--tasks",
        "",
        "--trials",
        "1",
        "--seeds",
        "1",
        "--time-limit",
        "0.4",
        "--only",
        "cosine",
        cwd=tmp_path,
    )

    assert done.returncode == 3
    assert "longer than the time limit of 0.4 min" in done.stdout


def test_a_time_limit_in_which_no_worker_starts_is_told_as_that(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    done = harness("run", "study.py", "--no-mteb", "--time-limit", "0.0005", cwd=tmp_path)

    assert done.returncode == 3
    assert "error: no worker has started within --time-limit" in done.stderr
    assert "the run took longer" not in done.stderr
