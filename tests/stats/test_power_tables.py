"""The tables of size and power rest on the rule that judges, and it keeps what the tables promise."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.verdicts.evidence import Evidence

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import power_tables
from power_tables import Cell


@pytest.mark.parametrize("paired", [False, True])
def test_the_tables_rule_is_that_of_the_evidence(paired: bool) -> None:
    cell = Cell(4, spreads=(1.0, 0.5), difference=1.0)
    new, old, mean, error = power_tables.draw(cell, 60)
    p_values = power_tables.p_values(new, old, mean, error, cell.items, paired=paired)
    shape = np.random.default_rng(1).normal(size=3999)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    for i, expected in enumerate(p_values):
        resampled = mean[i] + error[i] * shape
        one, two = (tuple(new[i] - old[i]), None) if paired else (tuple(new[i]), tuple(old[i]))
        found = Evidence(one, two, resampled, items=cell.items).p_value(0.0)
        assert found == pytest.approx(expected, abs=0.02), "the bootstrap's p-value is a count of resamples"


@pytest.mark.parametrize("name", [name for name in power_tables.SIZES if "collapses in 10" not in name])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_studies_are_decided_in_at_most_6_percent(name: str, seeds: int) -> None:
    cell = replace(power_tables.SIZES[name], seeds=seeds)
    assert power_tables.decided(cell, paired=False, samples=20_000) <= 0.06


@pytest.mark.parametrize("name", [name for name in power_tables.POWERS if "correlated" not in name])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_independent_seeds_are_compared_with_more_power_than_pairs_of_them(name: str, seeds: int) -> None:
    cell = replace(power_tables.POWERS[name], seeds=seeds)
    apart, paired = (power_tables.decided(cell, paired=each, samples=20_000) for each in (False, True))
    assert apart >= paired - 0.003  # the error of a share of 20,000
    assert seeds > 3 or apart > paired + 0.04


def test_shared_seeds_are_compared_with_more_power_one_by_one() -> None:
    cell = power_tables.POWERS["sd 1, items .4, seeds correlated by .5"]
    apart, paired = (power_tables.decided(cell, paired=each, samples=20_000) for each in (False, True))
    assert paired > apart + 0.04
