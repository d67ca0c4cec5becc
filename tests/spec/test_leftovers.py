"""What a run leaves in variables of the user's modules, wherever they lie, is gone in the next run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from harness.spec.loading import imported_anew


@pytest.mark.parametrize("beside", [True, False], ids=["beside the study file", "elsewhere on the module path"])
def test_a_counter_starts_anew(beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"harness_test_counter_{beside}"
    (tmp_path / f"{name}.py").write_text("calls = 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    folder = str(tmp_path.resolve()) if beside else None
    seen = []
    for _ in range(2):
        with imported_anew(folder):
            module = importlib.import_module(name)
            vars(module)["calls"] += 1
            seen.append(vars(module)["calls"])
    assert seen == [1, 1]
    assert name not in sys.modules


def test_installed_modules_stay_as_they_are() -> None:
    import json

    import numpy as np

    with imported_anew(None):
        assert sys.modules["json"] is json
        assert sys.modules["numpy"] is np
