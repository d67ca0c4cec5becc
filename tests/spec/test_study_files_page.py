"""docs/study-files.md: its tables agree with the dataclasses and the views, and its examples are study files."""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import Ablation, Budget, Part, Settings, Space, Study, views
from harness.cli.main import main
from harness.spec.loading import load_study_file
from harness.testbeds import Testbed

PAGE = (Path(__file__).parents[2] / "docs" / "study-files.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def default_of(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is MISSING:
        return "required"
    return "`Budget()`" if field.default_factory is Budget else f"`{field.default_factory()!r}`"


def test_the_table_has_every_field_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| .+ \| (.+) \|$", PAGE, re.MULTILINE)

    classes = (Ablation, Study, Part, Settings, Space, Budget, Testbed)
    assert rows == [(f"{cls.__name__}.{field.name}", default_of(field)) for cls in classes for field in fields(cls)]


def test_the_table_of_views_has_each_with_its_columns() -> None:
    rows = re.findall(r"^\| (`[a-z`, -]+`) \| ([\w, ]+) \|$", PAGE, re.MULTILINE)
    columns = {name: tuple(listed.split(", ")) for names, listed in rows for name in re.findall(r"`([\w-]+)`", names)}

    assert columns == {view.name: view.columns for view in views.VIEWS.values()}


def test_every_block_of_code_is_an_example() -> None:
    assert PAGE.count("```python") == len(EXAMPLES) == PAGE.count("```") / 2


@pytest.mark.parametrize("name", EXAMPLES)
def test_plan_accepts_each_example(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)

    assert main(["plan", name]) == 0, capsys.readouterr().err


def test_the_loss_of_the_page_computes_a_gradient(folder: Path) -> None:
    import torch

    study = load_study_file(folder / "my_loss.py").study("in-batch 30")
    assert study.loss is not None
    loss = study.loss(torch.nn.Identity())
    texts = [{"sentence_embedding": torch.randn(4, 8, requires_grad=True)} for _ in range(2)]
    value = loss(texts, None)
    value.backward()

    assert loss.scale == 30
    assert torch.isfinite(value)
    assert texts[0]["sentence_embedding"].grad is not None


def test_the_view_of_the_page_makes_rows(folder: Path) -> None:
    view = load_study_file(folder / "my_view.py").study("short").view
    assert isinstance(view, views.View)
    rows = pd.DataFrame({"premise": ["a" * 70, "b", "c"], "hypothesis": ["x", "y", "z"], "label": [0, 0, 2]})

    assert view.build(rows, 3).to_dict("list") == {"anchor": ["b"], "positive": ["y"]}
