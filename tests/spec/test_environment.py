"""Environment variables that a loss reads enter its identity, wherever in its code their names stand."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from harness.identity import digest

NAME = "HARNESS_TEST_LOSS_SIGN"


def helper(name: str) -> str:
    return os.environ.get(name, "1")


def by_literal(model: Any) -> float:
    return float(os.environ["HARNESS_TEST_LOSS_SIGN"])


def by_constant(model: Any) -> float:
    return float(os.environ.get(NAME, "1"))


def by_helper(model: Any) -> float:
    return float(helper("HARNESS_TEST_LOSS_SIGN"))


def by_default(model: Any, name: str = "HARNESS_TEST_LOSS_SIGN") -> float:
    return float(os.getenv(name, "1"))


class ByAttribute:
    KEY = "HARNESS_TEST_LOSS_SIGN"

    def __call__(self, model: Any) -> float:
        return float(os.environ.get(self.KEY, "1"))


class ByState:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, model: Any) -> float:
        return float(os.environ.get(self.name, "1"))


@pytest.mark.parametrize(
    "loss",
    [by_literal, by_constant, by_helper, by_default, ByAttribute(), ByState("HARNESS_TEST_LOSS_SIGN")],
    ids=["literal", "module constant", "argument of a helper", "default", "class attribute", "state"],
)
def test_a_variable_that_is_read_changes_the_digest(loss: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    without = digest(loss)
    monkeypatch.setenv(NAME, "1")
    plus = digest(loss)
    monkeypatch.setenv(NAME, "-1")
    assert len({without, plus, digest(loss)}) == 3


def test_other_variables_and_code_that_reads_none_leave_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads_nothing(model: Any) -> str:
        return "HARNESS_TEST_LOSS_SIGN"

    before = digest(by_constant), digest(reads_nothing)
    monkeypatch.setenv("HARNESS_TEST_ANOTHER", "1")
    assert (digest(by_constant), digest(reads_nothing)) == before
    monkeypatch.setenv(NAME, "-1")
    assert digest(reads_nothing) == before[1]
