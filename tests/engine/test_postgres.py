"""Optuna's mirror on a real PostgreSQL server, which the test starts itself."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from commandline import GUARD, STUDY, harness
from synthetic import make_ablation, make_records

from harness.api import load
from harness.engine import search
from harness.errors import StoreError, UsageError

PASSWORD = "correct-horse-battery"


def programs() -> Path | None:
    """Return the folder of the server's programs: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    places = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of its own on a free port, and its URL; PostgreSQL refuses root, who becomes nobody for it."""
    pytest.importorskip("psycopg", reason="pip install 'harness-embeddings[postgresql]'")
    place = programs()
    if place is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed (apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="harness-postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    (folder / "password").write_text(PASSWORD)
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = ("--auth=scram-sha-256", f"--pwfile={folder / 'password'}")
    made = subprocess.run(
        [place / "initdb", "--pgdata", folder / "data", "--username=harness", *secret],
        user=user,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    process = subprocess.Popen(
        [str(place / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options],
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ready = [str(place / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    for _ in range(30):
        if subprocess.run(ready, stdout=subprocess.DEVNULL).returncode == 0:
            break
    yield f"postgresql+psycopg://harness:{PASSWORD}@127.0.0.1:{port}/postgres", process
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: waits for no client
    process.wait(timeout=GUARD)
    shutil.rmtree(folder, ignore_errors=True)


def trials(url: str, study: str) -> dict[str, str]:
    """Return the states of an optuna study's trials, by run."""
    found = optuna.load_study(study_name=study, storage=url).trials
    assert len({trial.user_attrs["run"] for trial in found}) == len(found)
    return {trial.user_attrs["run"]: trial.state.name for trial in found}


def test_an_ablation_is_mirrored_on_a_server(
    server: tuple[str, subprocess.Popen[bytes]], cache: Path, tmp_path: Path
) -> None:
    url, _ = server
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    done = harness("run", "study.py", "--no-mteb", "--seeds", "1", "--storage", url, "--store", "store", cwd=tmp_path)

    assert done.returncode in (0, 1), done.stderr
    records = load(tmp_path / "store").records()
    for study in ("cosine", "mnr"):
        tuned = {r.id for r in records if r.study == study and r.stage == "tune"}
        assert trials(url, f"small/{study}") == dict.fromkeys(tuned, "COMPLETE")
    assert not (tmp_path / "store" / "optuna.db").exists()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD not in written.decode("latin-1") + done.stdout + done.stderr


def test_the_mirror_keeps_what_agrees_with_the_records_and_makes_the_rest_anew(
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, _ = server
    ablation = make_ablation(("cosine", "mnr"), trials=4, expect=())
    records = [r for r in make_records(ablation) if r.stage == "tune"]
    cosine = [r for r in records if r.study == "cosine"]
    search.Mirror(ablation, url, cosine[:2]).close()
    before = optuna.load_study(study_name="synthetic/cosine", storage=url)

    search.Mirror(ablation, url, records).close()
    after = optuna.load_study(study_name="synthetic/cosine", storage=url)
    assert after._study_id == before._study_id, "what was there was made again"
    assert trials(url, "synthetic/cosine") == {r.id: "COMPLETE" for r in cosine}

    retried = [replace(cosine[0], outcome="failed", error="lost"), *records[1:]]
    search.Mirror(ablation, url, retried).close()
    assert trials(url, "synthetic/cosine")[cosine[0].id] == "FAIL"
    assert optuna.load_study(study_name="synthetic/mnr", storage=url)._study_id != after._study_id


def test_a_server_that_goes_away_costs_the_mirror_alone(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    """The last test: it stops the server."""
    url, process = server
    ablation = make_ablation(("cosine",), trials=2, expect=())
    first, second = (r for r in make_records(ablation) if r.stage == "tune")
    mirror = search.Mirror(ablation, url, [first])
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: waits for no client
    process.wait(timeout=GUARD)

    with pytest.raises(StoreError, match=rf"run {second.id} could not be added .*the next start adds it"):
        mirror.tell(second)
    mirror.close()
    with pytest.raises(UsageError, match="--storage") as told:
        search.Mirror(ablation, url)
    assert PASSWORD not in str(told.value)
