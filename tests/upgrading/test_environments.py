"""What sides ask for, and the environments that are built of it, offline and from tiny wheels."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest
from wheels import wheel

from harness.errors import EnvironmentFailed, UsageError
from harness.upgrading.checkouts import at_ref
from harness.upgrading.environments import MARKER, Environment, Source, here, overlay
from harness.upgrading.wanted import files_of, wanted

PACKAGE = "colorlog"
"""A small package that is installed here, because Optuna needs it."""

INSTALLED = importlib.metadata.version(PACKAGE)
"""Its version, which checkouts and wheels of it may have as well."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip reads it as "no build isolation": setuptools is here
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Environments below a folder, built from its wheels: two versions of a package that is installed here."""
    for version in ("0.0.1", "999"):
        files = {"colorlog/__init__.py": f"version = {version!r}\n"}
        wheel(tmp_path / "wheels", PACKAGE, version, files)
    return Source(tmp_path / "environments", (str(tmp_path / "wheels"),))


def of(environment: Environment, code: str) -> str:
    """What code prints that an environment's Python runs."""
    done = subprocess.run([environment.python, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


IMPORTED = "import colorlog, importlib.metadata as m; print(colorlog.version, m.version('colorlog'))"


def test_an_overlay_has_its_own_version_and_everything_else_from_here(source: Source) -> None:
    """An older version, which must win although a newer one is on the path as well."""
    before = importlib.metadata.version(PACKAGE)
    built = overlay(source, [wanted(f"{PACKAGE}==0.0.1")])
    assert of(built, IMPORTED) == "0.0.1 0.0.1"
    ours, theirs = here().seen.packages, built.seen.packages
    assert {name: theirs.get(name) for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)} == {
        PACKAGE: "0.0.1"
    }
    place = "import importlib.util; print(importlib.util.find_spec('torch').origin)"
    assert of(built, place) == of(here(), place)
    assert of(here(), "import importlib.metadata as m; print(m.version('colorlog'))") == before == ours[PACKAGE]
    assert built.key != here().key


def test_environments_are_reused_by_content_and_only_if_they_are_complete(source: Source, tmp_path: Path) -> None:
    want = [wanted(f"{PACKAGE}==999")]
    first = overlay(source, want)
    folder = first.python.parents[1]
    (folder / "left over").write_text("")
    assert overlay(source, want) == first
    assert (folder / "left over").exists()
    (folder / MARKER).unlink()  # as if the build had been interrupted
    next(folder.glob("lib*/python*/site-packages/colorlog/__init__.py")).write_text("version = 'half'\n")
    assert overlay(source, want) == first
    assert of(first, IMPORTED) == "999 999"
    assert not (folder / "left over").exists()
    wheel(tmp_path / "wheels", PACKAGE, "999", {"colorlog/__init__.py": "version = 'built again'\n"})
    again = overlay(source, want)
    assert of(again, IMPORTED) == "built again 999"
    assert of(first, IMPORTED) == "999 999"


def test_a_build_that_fails_shows_the_log_and_what_to_try(source: Source) -> None:
    with pytest.raises(EnvironmentFailed) as problem:
        overlay(source, [wanted(f"{PACKAGE}==3.14")])
    told = str(problem.value)
    assert f"{PACKAGE}==3.14: no environment could be built" in told
    assert "from versions: 0.0.1, 999" in told
    assert "--find-links" in told
    assert not list(source.folder.glob(f"*/{MARKER}"))  # so that the next command does not take it for built


def test_pip_installs_into_the_overlay_whatever_its_variables_say(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise both sides would run what is installed here, and nothing would ever move."""
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    assert of(overlay(source, [wanted(f"{PACKAGE}==999")]), IMPORTED) == "999 999"
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "pip.conf").write_text(f"[install]\ntarget = {tmp_path / 'elsewhere'}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(EnvironmentFailed, match="pip reported success"):
        overlay(source, [wanted(f"{PACKAGE}==0.0.1")])


def test_a_package_below_that_does_not_fit_is_replaced_as_well(source: Source, tmp_path: Path) -> None:
    """markdown-it-py, which the harness needs, asks for mdurl 0.1."""
    wheel(tmp_path / "wheels", "mdurl", "9.0", {"mdurl/__init__.py": ""})
    wheel(tmp_path / "wheels", "markdown-it-py", "99.0", {"markdown_it/__init__.py": ""}, needs=["mdurl>=9"])
    built = overlay(source, [wanted("mdurl==9.0")])
    assert {name: built.seen.packages[name] for name in ("mdurl", "markdown-it-py")} == {
        "mdurl": "9.0",
        "markdown-it-py": "99.0",
    }


def test_a_package_that_is_hidden_is_an_error_and_not_a_comparison_with_itself(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "colorlog").mkdir(parents=True)
    (tmp_path / "mine" / "colorlog" / "__init__.py").write_text("version = 'mine'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    with pytest.raises(EnvironmentFailed, match="hidden") as problem:
        overlay(source, [wanted(f"{PACKAGE}==999")])
    assert str(tmp_path / "mine") in str(problem.value)


def checkout(folder: Path, text: str) -> Path:
    """A folder that pip can build."""
    (folder / "colorlog").mkdir(parents=True, exist_ok=True)
    (folder / "colorlog" / "__init__.py").write_text(f"version = {text!r}\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "colorlog"\nversion = "{INSTALLED}"\n[tool.setuptools]\npackages = ["colorlog"]\n'
    )
    return folder


def test_an_edited_checkout_is_another_environment_and_its_folder_stays_as_it_was(
    source: Source, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "checkout", "one")
    first = overlay(source, [wanted(f"{folder}")])
    assert of(first, IMPORTED) == f"one {INSTALLED}"
    assert first.seen.packages[PACKAGE] == f"{INSTALLED} (folder checkout)"  # told apart from a release 5
    checkout(folder, "two")
    second = overlay(source, [wanted(f"{folder}")])
    assert of(second, IMPORTED) == f"two {INSTALLED}"
    assert of(first, IMPORTED) == f"one {INSTALLED}"
    assert sorted(path.name for path in folder.iterdir()) == ["colorlog", "pyproject.toml"]
    (folder / "build").mkdir()
    (folder / "build" / "old.py").write_text("")
    assert overlay(source, [wanted(f"{folder}")]) == second


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def committed(folder: Path, *tags: str) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a state")
    for tag in tags:
        git(folder, "tag", "-a", tag, "-m", tag)
    return git(folder, "rev-parse", "HEAD")


def test_a_git_address_is_pinned_to_the_commit_to_which_its_ref_points(source: Source, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "repository", "one")
    first = committed(folder, "v1")
    git(folder, "branch", "feature/main")
    checkout(folder, "two")
    second = committed(folder)
    url = f"git+file://{folder}"
    assert wanted(f"{url}@v1").argument == f"{url}@{first}"
    assert wanted(f"{url}@feature/main").argument == f"{url}@{first}"
    assert wanted(f"{url}@main").argument == wanted(url).argument == f"{url}@{second}"
    assert wanted(f"colorlog @ {url}@{first}").argument == f"colorlog @ {url}@{first}"
    built = overlay(source, [wanted(f"{url}@v1")])
    assert of(built, IMPORTED) == f"one {INSTALLED}"
    assert built.seen.packages[PACKAGE] == f"{INSTALLED} (commit {first[:12]})"
    with pytest.raises(UsageError, match="no such ref"):
        wanted(f"{url}@nowhere")
    with pytest.raises(UsageError, match="git finds no"):
        wanted(f"git+file://{tmp_path}/nothing@main")


def test_files_of_requirements_count_with_those_that_they_name(source: Source, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("-r more.txt\n")
    (tmp_path / "more.txt").write_text(f"{PACKAGE}==0.0.1\n")
    first = wanted(str(tmp_path / "lock.txt"))
    assert of(overlay(source, [first]), IMPORTED) == "0.0.1 0.0.1"
    assert wanted(f"-r {tmp_path / 'lock.txt'}").content == first.content
    (tmp_path / "more.txt").write_text(f"{PACKAGE}==999\n")
    assert wanted(str(tmp_path / "lock.txt")).content != first.content


@pytest.mark.parametrize("line", ["{0}", "colorlog @ file://{0}", "-e {0}"])
def test_a_folder_behind_a_file_of_requirements_or_an_address_counts_by_its_content(line: str, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout", "one")
    (tmp_path / "lock.txt").write_text(f"{line.format(folder)}\n")
    asked = [str(tmp_path / "lock.txt")] + ([line.format(folder)] if "@" in line else [])
    before = [wanted(each).content for each in asked]
    assert [wanted(each).content for each in asked] == before
    checkout(folder, "two")
    assert all(wanted(each).content != content for each, content in zip(asked, before, strict=True))


def test_packages_that_are_called_like_folders_of_builds_belong_to_a_checkout(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout", "one")
    for name in ("colorlog/reports", "reports"):
        (folder / name).mkdir()
        (folder / name / "scale.py").write_text("")
    assert Path("colorlog/reports/scale.py") in {path.relative_to(folder) for path in files_of(folder)}
    assert Path("reports/scale.py") not in {path.relative_to(folder) for path in files_of(folder)}


def test_a_wheel_counts_by_its_content(source: Source, tmp_path: Path) -> None:
    path = wheel(tmp_path, PACKAGE, INSTALLED, {"colorlog/__init__.py": "version = 'a wheel'\n"})
    before = wanted(str(path))
    assert of(overlay(source, [before]), IMPORTED) == f"a wheel {INSTALLED}"
    wheel(tmp_path, PACKAGE, INSTALLED, {"colorlog/__init__.py": "version = 'another'\n"})
    assert wanted(str(path)).content != before.content


@pytest.mark.parametrize("text", ["./nowhere", "nowhere.txt", "nowhere.whl", "-e .", "--index-url=x", "", "-r nowhere"])
def test_what_is_neither_there_nor_a_requirement_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        wanted(text)
    with pytest.raises(UsageError, match="neither"):
        wanted(f"{tmp_path}/")


def test_passwords_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0" * 40
    want = wanted(f"git+https://me:{'hush'}@example.org/a/b@{commit}")
    assert "hush" not in want.text + want.content
    assert want.argument.endswith(f"b@{commit}")


def test_a_study_file_is_read_as_it_is_at_a_ref_without_touching_its_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "studies").mkdir(parents=True)
    file = repository / "studies" / "study.py"
    file.write_text("from helper import text\n")
    (file.parent / "helper.py").write_text("text = 'old'\n")
    first = committed(repository)
    (file.parent / "helper.py").write_text("text = 'new'\n")
    old, revision = at_ref(file, "HEAD", tmp_path / "commits")
    assert (old.parent / "helper.py").read_text() == "text = 'old'\n"
    assert revision == f"studies/study.py at {first}"
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "status", "--porcelain").split() == ["M", "studies/helper.py"]
    assert at_ref(file, first[:12], tmp_path / "commits") == (old, revision)
    assert os.listdir(tmp_path / "commits") == [first]
    for ref, told in (("nowhere", "give a branch"), ("--output=x", "give a branch")):
        with pytest.raises(UsageError, match=told):
            at_ref(file, ref, tmp_path / "commits")
    (repository / "late.py").write_text("")
    with pytest.raises(UsageError, match="not a file of this commit"):
        at_ref(repository / "late.py", "HEAD", tmp_path / "commits")
    with pytest.raises(UsageError, match="cannot read it"):
        at_ref(tmp_path / "alone.py", "HEAD", tmp_path / "commits")
