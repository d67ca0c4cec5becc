"""The versions that the docs say were tried are those that pyproject.toml and constraints.txt name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness import compat
from harness.errors import RunFailed
from harness.spec import losses

ROOT = Path(__file__).parent.parent


def tried() -> dict[str, dict[str, str]]:
    """Return the rows of the table in docs/versions.md by their first cell, by column."""
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    lines = page.partition("<!-- the table of versions -->\n")[2].strip().partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_the_lowest_versions_that_are_declared_were_tried() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)$", "\n".join(declared), re.MULTILINE))
    lowest = tried()["lowest"]
    libraries = bounds.keys() & lowest.keys()
    assert {"torch", "sentence-transformers", "transformers", "huggingface_hub", "datasets", "numpy"} <= libraries
    for name in libraries:
        assert re.fullmatch(rf"{re.escape(bounds[name])}(\.0)*", lowest[name]), name


def test_the_pinned_versions_were_tried() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    pinned = tried()["pinned"]
    libraries = pins.keys() & pinned.keys()
    assert len(libraries) >= 6
    assert {name: pinned[name] for name in libraries} == {name: pins[name] for name in libraries}


def test_a_loss_that_the_installed_version_lacks_is_named_with_that_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compat.losses, "CoSENTLoss")
    nothing: Any = None
    with pytest.raises(RunFailed, match=r"losses.CoSENTLoss: the installed sentence-transformers \d+\.\d.*upgrade it"):
        losses.Loss("CoSENTLoss")(nothing)
