"""Versions in records: what they say of a package whose code is not that of its version."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import provenance


@pytest.fixture(autouse=True)
def _looked_at_anew() -> Iterator[None]:
    provenance.versions.cache_clear()
    yield
    provenance.versions.cache_clear()


def test_an_installed_package_has_its_plain_version() -> None:
    versions = provenance.versions()
    for name in ("torch", "sentence-transformers", "transformers", "numpy"):
        assert versions[name] == importlib.metadata.version(name)


def test_a_folder_on_the_module_path_in_front_of_a_package_is_part_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are those of other code: a copy of the library in which one default is 2 for 20."""
    package = tmp_path / "mteb"
    package.mkdir()
    (package / "__init__.py").write_text("SCALE = 20\n")
    monkeypatch.delitem(sys.modules, "mteb", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = provenance.versions()["mteb"]
    assert before.startswith(f"{importlib.metadata.version('mteb')} (imported from elsewhere, code ")
    (package / "__init__.py").write_text("SCALE = 2\n")
    provenance.versions.cache_clear()
    assert provenance.versions()["mteb"] != before
