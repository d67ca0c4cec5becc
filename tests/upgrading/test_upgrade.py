"""`harness upgrade` and `harness bisect` as a user gives them: a planted change in a copy of the library is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from inspect import getsourcefile
from pathlib import Path

import pytest
import sentence_transformers
from commandline import GUARD, command, harness
from wheels import edited, wheel

from harness.compat import Pooling
from harness.store.folder import load
from harness.store.records import Record

STUDY = """
from harness import *
ablation = Ablation(
    name="tiny",
    testbed=testbeds.embedded,
    studies=[Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")],
    space=Space(batch_size=choice(16, 32), lr=log_uniform(1e-5, 1e-4)),
    budget=Budget(trials=2, epochs=1, seeds=2),
)
"""
POOLING = Path(getsourcefile(Pooling) or "").relative_to(Path(sentence_transformers.__file__).parents[1]).as_posix()
PLANTED = ("attention_mask.unsqueeze(-1)", "torch.ones_like(attention_mask).unsqueeze(-1)")
"""What pooling multiplies the embeddings of tokens by, and what counts the padding as tokens."""

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
SMALL = ("--rows", "64", "--workers", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study file, and wheels of the installed library: one with, one without the change."""
    folder = tmp_path_factory.mktemp("upgrade")
    (folder / "tiny.py").write_text(STUDY, encoding="utf-8")
    for version, edits in (("90.1", {}), ("90.2", {POOLING: PLANTED})):
        edited(folder / "wheels", "sentence-transformers", version, edits)
    return folder


RELEASES = ("--find-links", "wheels", "--from", "sentence-transformers==90.1", "--to", "sentence-transformers==90.2")


@dataclass(frozen=True)
class Compared:
    """A comparison of both releases that was killed in the midst of the new side's runs, and given again."""

    done: subprocess.CompletedProcess[str]
    """The second command."""
    before: dict[Path, bytes]
    """The records that the first one left."""
    after: dict[Path, bytes]
    """All records."""


@pytest.fixture(scope="module")
def compared(folder: Path) -> Compared:
    line = ("upgrade", "tiny.py", *SMALL, *RELEASES, "--json")
    records = folder / "runs" / "tiny-embedded-upgrade" / "sides"
    started = subprocess.Popen(
        command(*line), cwd=folder, env=os.environ | OFFLINE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + GUARD
    while len(list(records.glob("*/records/*.json"))) < 6 and started.poll() is None:  # a side has 4
        assert time.monotonic() < until
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = {path: path.read_bytes() for path in records.glob("*/records/*.json")}
    done = harness(*line, cwd=folder, env=OFFLINE)
    return Compared(done, before, {path: path.read_bytes() for path in records.glob("*/records/*.json")})


def test_a_change_of_pooling_is_found_and_located(compared: Compared) -> None:
    assert compared.done.returncode == 1, compared.done.stderr
    told = json.loads(compared.done.stdout)
    assert (told["version"], told["outcome"], told["to"]) == (1, "moved", "sentence-transformers==90.2")
    assert told["packages"] == {"sentence-transformers": ["90.1", "90.2"]}
    assert told["conditions"]["forward path"] == "plain"
    by_study = {each["study"]: each for each in told["studies"]}
    assert by_study["untrained"]["verdict"] == "MOVED"  # by the evaluation alone
    where = by_study["mnr"]["where"]
    assert where["first"]["stage"] == "embeddings of a few rows without dropout"
    assert where["identical"][:2] == ["training rows", "tokens"]
    assert where["evaluation"]["stage"] == "evaluation of the untrained model"


def test_after_a_kill_the_same_command_goes_on_and_the_sides_never_mix(compared: Compared) -> None:
    assert len(compared.before) < 8
    assert len(compared.after) == 8  # an untrained model, a trial and two final runs on each side
    assert {path: compared.after[path] for path in compared.before} == compared.before  # nothing was trained twice
    versions = [{version_of(record) for record in load(side).records()} for side in sides(compared).values()]
    assert sorted(map(sorted, versions)) == [["90.1"], ["90.2"]]


def version_of(record: Record) -> str:
    """The version of the library that made a record."""
    return str(record.provenance["versions"]["sentence-transformers"])


def sides(compared: Compared) -> dict[str, Path]:
    """The store of each side, by the version of its first record."""
    return {version_of(load(store).records()[0]): store for store in {path.parents[1] for path in compared.after}}


def test_a_bisection_follows_the_study_that_moved(folder: Path, compared: Compared) -> None:
    """Both releases have been run: nothing is trained."""
    line = ("bisect", "tiny.py", *SMALL, "--max-seeds", "2", "--package", "sentence-transformers", "--good", "90.1")
    done = harness(*line, "--bad", "90.2", "--find-links", "wheels", "--json", cwd=folder, env=OFFLINE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["found"] == {"good": "90.1", "bad": "90.2", "between": []}
    assert told["steps"][0]["release"] == "90.2"
    assert told["study"] == told["steps"][0]["study"]
    assert "sentence-transformers 90.2: " in done.stderr


def test_a_record_of_other_versions_is_refused(folder: Path, compared: Compared) -> None:
    """As if somebody had copied a record of one side into the other's folder."""
    stores = sides(compared)
    final = next(record for record in load(stores["90.2"]).records() if record.stage == "final")
    other, own = (stores[version] / "records" / f"{final.id}.json" for version in ("90.2", "90.1"))
    kept = own.read_bytes()
    own.write_bytes(other.read_bytes())
    try:
        done = harness("upgrade", "tiny.py", *SMALL, *RELEASES, cwd=folder, env=OFFLINE)
    finally:
        own.write_bytes(kept)
    assert done.returncode == 3
    assert "sentence-transformers 90.2 and not 90.1" in done.stderr


def test_a_change_of_one_loss_since_a_commit_is_found_and_the_other_study_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "tiny.py"
    both = STUDY.replace("studies=[", 'studies=[Study("scaled", loss=scaled, view="pair"), ')
    definition = "def scaled(model):\n    return losses.MultipleNegativesRankingLoss(model, scale=SCALE)\n"
    text = both.replace("ablation =", f"{definition}ablation =")
    file.write_text(text.replace("SCALE", "5"), encoding="utf-8")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
    for arguments in (["init", "-q"], ["add", "tiny.py"], ["commit", "-qm", "a scale"]):
        subprocess.run([*git, *arguments], check=True)
    file.write_text(text.replace("SCALE", "20"), encoding="utf-8")
    line = ("upgrade", "tiny.py", *SMALL, "--from-ref", "HEAD", "--format", "comment")
    done = harness(*line, cwd=tmp_path, env=OFFLINE)
    assert done.returncode in (1, 3), done.stderr  # two seeds need not show that it moved
    assert "every score is the same number on both sides" in done.stdout
    assert "scaled: identical until: embeddings of a few rows without dropout; first difference: loss" in done.stdout
    assert "- mnr:" not in done.stdout  # nothing to locate
    assert "all packages have the same versions on both sides" in done.stdout
    assert "harness upgrade tiny.py --from-ref=HEAD --rows=64" in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "both sides are the same"),
        (("--to", "./nowhere"), "no such file or folder"),
        (("--to", "x==1", "--from-ref", "main"), "so that a difference has one reason"),
        (("--to", "x==1", "--only", "nothing"), "no such study"),
        (("--to", "x==1", "--within", "-1"), "--within -1"),
        (("--to", "x==1", "--workers", "0"), "--workers 0"),
        (("--to", "x==1", "--figure", "spearman"), "--figure spearman"),
        (("--to", "x is 1"), "give a requirement"),
        (("--from-ref", "HEAD"), "git cannot read it"),
    ],
)
def test_a_question_without_sense_is_refused_before_anything_is_built(
    options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.py").write_text(STUDY, encoding="utf-8")
    done = harness("upgrade", "tiny.py", *options, cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert not (tmp_path / "runs" / "tiny-embedded-upgrade" / "environments").exists()


def test_a_build_that_fails_ends_the_command_with_pips_words(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(STUDY, encoding="utf-8")
    wheel(tmp_path / "wheels", "needs-more", "1", {"needs_more.py": ""}, needs=["no-such-package-of-tests"])
    done = harness("upgrade", "tiny.py", "--to", "needs-more==1", "--find-links", "wheels", cwd=tmp_path, env=OFFLINE)
    assert done.returncode == 3
    assert "No matching distribution found for no-such-package-of-tests" in done.stderr
    assert "What to try:" in done.stderr
