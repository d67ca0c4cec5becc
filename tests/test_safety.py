"""What a store, a report or a log must never do: run code, lead out of their folder, or hold a secret."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import STUDY, harness
from hub import Fault, Hub

from harness import Ablation, Budget, Space, Study, choice, log_uniform, provenance, testbeds
from harness.api import load
from harness.cli.main import main
from harness.errors import StudyFileError, TestbedUnavailable
from harness.provenance import without_secrets
from harness.spec import losses
from harness.testbeds import fetching
from harness.testbeds.refs import Ref

HOSTILE = [
    "../out",
    "..",
    ".hidden",
    "a/b",
    "a\\b",
    "/etc",
    "a\nb",
    "a\x00b",
    "a|b",
    "",
    "x" * 101,
    "é" * 51,
    "a\u202eb",
]


def make(study: str = "s", ablation: str = "a", testbed: str = "t") -> Ablation:
    return Ablation(
        name=ablation,
        testbed=replace(testbeds.book, name=testbed),
        studies=[Study(study, losses.MultipleNegativesRankingLoss, "pair")],
        space=Space(batch_size=choice(8), lr=log_uniform(1e-5, 1e-3)),
        budget=Budget(trials=1, seeds=1),
    )


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("what", ["study", "ablation", "testbed"])
def test_no_name_leads_out_of_its_folder(what: str, name: str) -> None:
    with pytest.raises(StudyFileError, match=r"is used for folders"):
        make(**{what: name})


def test_usual_names_are_allowed() -> None:
    for name in ("mnr+hard", "softmax (u, v)", "größer", "a..b", "x" * 100):
        make(name, name, name)


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_record_is_never_unpickled_nor_a_link_followed_out_of_the_store(copy: Path) -> None:
    records = copy / "runs" / "small-book" / "records"
    outside = copy / "outside.json"
    outside.write_text("not a record of this store")
    names = sorted(path.name for path in records.iterdir())
    (records / names[0]).write_bytes(pickle.dumps(Marks(copy / "marked")))
    (records / names[1]).unlink()
    (records / names[1]).symlink_to(outside)
    (records / "0123456789abcdef.json").symlink_to("/etc/passwd")

    good, bad = load(records.parent).readable()
    assert (len(good), len(bad)) == (len(names) - 2, 3)
    assert "root:" not in "".join(map(str, bad))
    for command in ("show", "check", "report"):
        assert harness(command, "study.py", cwd=copy).returncode == 3
    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES", "--workers", "1", cwd=copy)
    assert done.returncode in (0, 1), done.stderr
    assert not (copy / "marked").exists()
    assert outside.read_text() == "not a record of this store"
    assert sorted(path.name for path in records.iterdir()) == names


LINKS = [
    *("records", "models", "models/mnr", "damaged", ".staging", "lock", "mteb", "mteb/results", "logs", "optuna.db"),
    *("store.json", "audit.json", "last_run.json", "unlocked.json", "anything"),
]


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("command", ["run", "--audit-only"])
def test_a_store_whose_own_entries_are_links_is_refused_and_nothing_touched(
    name: str, command: str, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a link leads to may be anything of the user's: dotfiles, a folder of other models."""
    store, outside = copy / "runs" / "small-book", copy / "outside"
    entry = store / name
    entry.parent.mkdir(parents=True, exist_ok=True)
    if entry.is_dir() or not entry.exists():
        shutil.move(entry, outside) if entry.exists() else outside.mkdir()
        for other in (".bashrc", ".0123456789abcdef.json.01234567", "0123456789abcdef.json"):
            (outside / other).write_text("somebody's")
    else:
        shutil.move(entry, outside)
    entry.symlink_to(outside)
    before = contents(copy)
    monkeypatch.chdir(copy)

    assert (
        main(["run", "study.py", "--tasks", "", "--executor", "inline", *([command] if command != "run" else [])]) == 3
    )
    assert capsys.readouterr().err.startswith(f"error: runs/small-book/{name}: a symbolic link in a store")
    assert contents(copy) == before


def contents(folder: Path) -> dict[Path, bytes | None]:
    found = {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
    return {path: text for path, text in found.items() if "__pycache__" not in path.parts}


def test_a_store_that_is_itself_reached_by_a_link_is_served(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "elsewhere").symlink_to(copy / "runs" / "small-book")
    monkeypatch.chdir(copy)
    said = (copy / "code.txt").read_text()
    assert main(["run", "study.py", "--tasks", "STS16,BIOSSES", "--store", "elsewhere"]) == int(said)


def test_a_driver_deletes_only_what_it_has_written_itself(copy: Path) -> None:
    store = copy / "runs" / "small-book"
    record = next((store / "records").glob("*.json"))
    half_written = record.with_name(f".{record.name}.0badcafe")
    half_written.write_text("a part of a record")
    record.rename(copy / "kept")  # one run is left to do
    staged = store / ".staging" / record.stem
    staged.mkdir(parents=True)
    others = [store / "records" / ".gitignore", store / ".staging" / "notes", store / "records" / ".x.json.0badcafe"]
    for path in others:
        path.write_text("somebody's")

    done = harness("run", "study.py", "--tasks", "STS16,BIOSSES", "--workers", "1", cwd=copy)
    assert done.returncode in (0, 1), done.stderr
    assert record.exists()
    assert not half_written.exists()
    assert not staged.exists()
    assert [path.read_text() for path in others] == ["somebody's"] * 3


FILES = ("study.py", "notes.txt", "notes.md")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit whose own settings name programs wherever asking for its state could start them."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for name in FILES:
        (folder / name).write_text("x = 1\n")
        git(folder, "add", name)
    git(folder, "commit", "-qm", "one")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\ncat\n")
    trap.chmod(0o755)
    for hook in ("post-index-change", "fsmonitor-watchman"):
        shutil.copy(trap, folder / ".git" / "hooks" / hook)
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("*.py filter=plain\n*.txt filter=a=b\n*.md filter=piped\n")
    (folder / ".git" / "more").write_text(f'[filter "piped"]\n process = {trap}\n required = true\n')
    settings = {
        "core.fsmonitor": trap,
        "core.hooksPath": folder / ".git" / "hooks",
        "filter.plain.clean": trap,
        "filter.a=b.clean": trap,
        "include.path": folder / ".git" / "more",
    }
    for name, value in settings.items():
        git(folder, "config", name, str(value))
    return folder


def test_nothing_that_a_repository_names_is_started(repository: Path) -> None:
    commit, index = provenance.git(repository)["commit"], (repository / ".git" / "index").read_bytes()
    assert len(commit) == 40
    for name in FILES:
        os.utime(repository / name, (1, 1))  # git has to look into it
    assert provenance.git(repository) == {"commit": commit, "dirty": False}
    for name in FILES:
        (repository / name).write_text("x = 2\n")
    assert provenance.git(repository) == {"commit": commit, "dirty": True}
    assert (repository / ".git" / "index").read_bytes() == index  # reading writes nothing, so it can run no hook
    assert not (repository.parent / "started").exists()
    subprocess.run(["git", "-C", str(repository), "status"], capture_output=True)
    assert (repository.parent / "started").exists(), "the trap works"


def test_another_repository_in_the_environment_is_not_taken_for_the_study_files(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook of git's, which sets GIT_DIR."""
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert provenance.git(tmp_path / "none") == {"commit": None, "dirty": None}


def test_the_store_reads_records_without_pickle() -> None:
    """Whoever loads pickles: the two ends of a worker's pipe, which carry what this very driver sent."""
    package = Path(__file__).parents[1] / "harness"
    found = {path.name for path in package.rglob("*.py") if "pickle.loads(" in path.read_text(encoding="utf-8")}
    assert found == {"processes.py", "worker.py"}


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.ckpt"])
def test_a_base_model_that_is_no_safetensors_is_refused(
    weights: str, hub_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the hub, and in a cache that has such a file beside the configuration."""
    model = next(path for path in hub_root.rglob("model.safetensors")).parent
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    (folder / weights).write_bytes(pickle.dumps(Marks(tmp_path / "marked")))
    monkeypatch.setattr("harness.testbeds.hub.huggingface_hub.snapshot_download", lambda *_, **__: str(folder))

    with pytest.raises(TestbedUnavailable, match=r"no \*\.safetensors.*they can run code"):
        fetching.locate(Ref("someone/model", "0" * 40), is_model=True)
    assert not (tmp_path / "marked").exists()


SECRETS = {
    "HF_TOKEN": "hf_thisIsNobodysToken",
    "WANDB_API_KEY": "0123456789abcdef0123",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "PGPASSWORD": "correct-horse-battery",
    "MYSQL_PWD": "tr0ub4dor-and-3",
    "DB_PWD": "battery-staple-horse",
}


LEAKS = """
from torch import nn

class leaks(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.batches = model, 0

    def forward(self, features, labels):
        import os
        self.batches += 1
        if self.batches > 1:  # the audit tries one batch
            raise ValueError(str(dict(os.environ)))
        return self.model(features[0])["sentence_embedding"].sum() * labels.sum()
"""


def test_no_secret_is_written_down(cache: Path, tmp_path: Path) -> None:
    """A run with secrets in its environment and addresses, of which one study fails saying all of them."""
    leaking = STUDY.replace("ablation =", f"{LEAKS}\nablation =").replace("losses.CosineSimilarityLoss", "leaks")
    (tmp_path / "study.py").write_text(leaking, encoding="utf-8")
    environment = {**SECRETS, "HF_ENDPOINT": "http://someone:endpoint-password@127.0.0.1:9"}
    options = ("--tasks", "STS16", "--trials", "1", "--seeds", "1", "--store", "store", "--report", "report")
    done = harness("run", "study.py", *options, cwd=tmp_path, env=environment)

    assert done.returncode == 3
    assert "ValueError" in (tmp_path / "report" / "README.md").read_text()
    said = [done.stdout, done.stderr]
    for command in ("check", "show", "report"):
        again = harness(command, "study.py", "--store", "store", cwd=tmp_path, env=environment)
        said += [again.stdout, again.stderr]
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in written} >= {"last_run.json", "README.md", "report.html", "optuna.db"}
    for secret in (*SECRETS.values(), "endpoint-password"):
        assert [path for path, content in written.items() if secret.encode() in content] == []
        assert secret not in "".join(said)


def test_the_current_folder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, "/srv/somewhere")
    assert without_secrets("/srv/somewhere/study.py") == "/srv/somewhere/study.py"


def test_passwords_of_addresses_are_not_told(hub: Hub, study: Path) -> None:
    secret = "storage-password"
    for storage in (f"postgresql+nothing://me:{secret}@host/db", f"not a url me:{secret}@host"):
        assert secret not in without_secrets(f"{storage.replace('not a url ', 'x://')}: optuna cannot")
    for password in (secret, f"{secret}/x", f"x@{secret}", f"'{secret}", f'{secret}"', f"a%40{secret}:9"):
        assert secret not in without_secrets(f"postgresql+psycopg://me:{password}@host:5432/db?x=1: no such server")
    assert secret not in without_secrets(
        f"{'字' * 100_000}x://me:{secret}@host"
    )  # a pattern of quadratic time would take minutes
    for option in ("password", "sslpassword", "api_key", "token"):
        assert secret not in without_secrets(f"mysql://me@host/db?charset=utf8&{option}={secret}&x=1")
    kinds: tuple[Fault, ...] = ("500", "404")
    for fault in kinds:
        hub.faults["nyu-mll/glue"] = fault
        environment = {
            "HF_ENDPOINT": hub.url.replace("://", f"://me:{secret}@"),
            "HF_HOME": str(study.parent / "home"),
            "HF_HUB_OFFLINE": "0",
        }
        done = harness("fetch", "study.py", "--tasks", "", cwd=study.parent, env=environment)
        assert done.returncode == 3
        assert "nyu-mll/glue" in done.stderr
        assert secret not in done.stdout + done.stderr
