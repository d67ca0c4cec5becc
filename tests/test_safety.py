"""What a store, a report or a log must never do: run code, lead out of their folder, or hold a secret."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import STUDY, harness
from hub import Fault, Hub

from harness import Ablation, Budget, Space, Study, choice, log_uniform, losses, testbeds
from harness.api import load
from harness.errors import StudyFileError, TestbedUnavailable
from harness.provenance import without_secrets
from harness.testbeds import Ref, hub, materials

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
    with pytest.raises(StudyFileError, match=r"it names (a folder|folders), so"):
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
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))

    with pytest.raises(TestbedUnavailable, match=r"no \*\.safetensors.*they can run code"):
        materials.locate(Ref("someone/model", "0" * 40), is_model=True)
    assert not (tmp_path / "marked").exists()


SECRETS = {
    "HF_TOKEN": "hf_thisIsNobodysToken",
    "WANDB_API_KEY": "0123456789abcdef0123",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "PGPASSWORD": "correct-horse-battery",
}


def test_no_secret_is_written_down(cache: Path, tmp_path: Path) -> None:
    """A run with secrets in its environment and addresses, of which one study fails saying all of them."""
    leaking = STUDY.replace(
        "ablation =", "def leaks(model):\n    import os\n    raise ValueError(str(dict(os.environ)))\n\nablation ="
    ).replace("losses.CosineSimilarityLoss", "leaks")
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


def test_passwords_of_addresses_are_not_told(hub: Hub, study: Path) -> None:
    secret = "storage-password"
    for storage in (f"postgresql+nothing://me:{secret}@host/db", f"not a url me:{secret}@host"):
        assert secret not in without_secrets(f"{storage.replace('not a url ', 'x://')}: optuna cannot")
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
