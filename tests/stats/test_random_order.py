"""The mean figures of a random order, and the figures that no order changes, against a list of every order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from harness.evaluation.retrieval import DEEPEST, figures
from harness.stats.random_order import is_fixed, of_random_order
from harness.testbeds.measure_kinds import RETRIEVAL_FIGURES

GRADES = [[1.0], [1.0, 1.0], [3.0, 1.0], [1.0, 2.0, 1.0], [1.0] * 4, [1.0, 1.0, 1.0, 2.0, 3.0], [2.0] * 6]


def of_all_orders(documents: int, grades: list[float]) -> dict[str, np.ndarray]:
    """Return the figures of every order, one value an order."""
    orders = sorted({*permutations([*grades, *[0.0] * (documents - len(grades))])})
    ranked = np.zeros((len(orders), DEEPEST))
    ranked[:, :documents] = orders
    return figures(ranked, [grades] * len(orders))


@pytest.mark.parametrize("documents", range(1, 8))
@pytest.mark.parametrize("grades", GRADES, ids=str)
def test_figures_are_those_of_all_orders(documents: int, grades: list[float]) -> None:
    if len(grades) > documents:
        return
    for figure, values in of_all_orders(documents, grades).items():
        assert of_random_order(figure, documents, grades) == pytest.approx(values.mean()), figure
        assert is_fixed(figure, documents, grades) == (np.ptp(values) < 1e-9), figure


@pytest.mark.parametrize(("documents", "relevant"), [(12, 1), (12, 9), (110, 2), (110, 60)])
def test_figures_of_more_documents_than_ranks_are_those_of_drawn_orders(documents: int, relevant: int) -> None:
    grades = [1.0 + place % 2 for place in range(relevant)]
    orders = np.array([*grades, *[0.0] * (documents - relevant)])
    drawn = np.random.default_rng(1).permuted(np.tile(orders, (20_000, 1)), axis=1)
    values = figures(np.pad(drawn, ((0, 0), (0, max(0, DEEPEST - documents)))), [grades] * len(drawn))
    for figure in RETRIEVAL_FIGURES:
        error = values[figure].std() / len(drawn) ** 0.5
        assert abs(of_random_order(figure, documents, grades) - values[figure].mean()) <= 4.5 * error + 1e-9, figure
        assert not is_fixed(figure, documents, grades) or np.ptp(values[figure]) < 1e-9, figure
