"""Size and power of the rule that decides "A beats B", over seeds, variances, tails and numbers of test items.

    python benchmarks/power_tables.py            # the tables of docs/statistics.md; under two minutes on one core

Scores are simulated: normal over seeds unless a row says otherwise, with a standard error over test items that the
bootstrap estimates with as many degrees of freedom as there are items, less one. Points are Spearman times 100. The
rule is written for whole arrays here; `tests/stats/test_power_tables.py` compares it with `Evidence.p_value`.

"independent" is the harness's rule for studies with different losses, "paired" the one for studies that share their
seeds, which was the rule for all studies before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]

SAMPLES = 40_000
SEEDS = (2, 3, 4, 5, 10, 20)


@dataclass(frozen=True)
class Cell:
    """What is simulated; standard deviations and differences in points."""

    seeds: int
    """Final seeds of each study."""
    spreads: tuple[float, float] = (1.0, 1.0)
    """Standard deviation over seeds of the better and of the worse study."""
    over_items: float = 0.4
    """Standard error of the difference over test items."""
    items: int = 1379
    """Number of test items."""
    difference: float = 0.0
    """True difference."""
    heavy: bool = False
    """Scores over seeds with Student's t of 4 degrees of freedom, scaled to the same standard deviation."""
    collapses: float = 0.0
    """Chance that a training of the first study ends five standard deviations low."""
    shared: float = 0.0
    """Correlation of the same seed's scores in both studies."""


def decided(cell: Cell, *, paired: bool, samples: int = SAMPLES, seed: int = 0) -> float:
    """Return the share of samples in which the claim "A beats B" is decided at 5 percent, either way."""
    new, old, mean, error = draw(cell, samples, seed)
    return float(np.mean(p_values(new, old, mean, error, cell.items, paired=paired) <= 0.05))


def draw(cell: Cell, samples: int, seed: int = 0) -> tuple[Floats, Floats, Floats, Floats]:
    """Return scores over seeds of both studies, the observed difference, and its estimated error over items."""
    random = np.random.default_rng(seed)
    shape = (samples, cell.seeds)
    common = random.standard_normal(shape)
    sides = []
    for spread in cell.spreads:
        own = random.standard_t(4, shape) / 2**0.5 if cell.heavy else random.standard_normal(shape)
        sides.append(spread * (cell.shared**0.5 * common + (1 - cell.shared) ** 0.5 * own))
    fallen = random.random(shape) < cell.collapses
    sides[0] -= 5 * cell.spreads[0] * (fallen - cell.collapses)  # the true mean stays where it was
    luck = cell.difference + cell.over_items * random.standard_normal(samples)
    sides[0] += luck[:, None]
    error = cell.over_items * np.sqrt(random.chisquare(cell.items - 1, samples) / (cell.items - 1))
    return sides[0], sides[1], sides[0].mean(axis=1) - sides[1].mean(axis=1), error


def p_values(new: Floats, old: Floats, mean: Floats, error: Floats, items: int, *, paired: bool) -> Floats:
    """Return the two-sided p-values of the rule: the largest over items, over seeds, and over both variances.

    Args:
        new: scores of the better study, samples x seeds.
        old: scores of the worse study, samples x seeds.
        mean: the observed differences.
        error: their standard errors over items.
        items: number of items.
        paired: compare the studies seed by seed.
    """
    n = new.shape[1]
    sides = [new - old] if paired else [new, old]
    variances = np.array([side.var(axis=1, ddof=1) / n for side in sides])
    total = variances.sum(axis=0)
    squares = (variances**2).sum(axis=0) / (n - 1)
    together = total + error**2
    tests = (
        (error**2, items - 1.0),
        (total, total**2 / squares),
        (together, together**2 / (squares + error**4 / (items - 1))),
    )
    each = [2 * stdtr(freedom, -np.abs(mean) / np.sqrt(variance)) for variance, freedom in tests]
    largest: Floats = np.max(each, axis=0)
    return largest


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in markdown."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


SIZES = {
    "equal variances": Cell(3),
    "equal variances, items matter little (.05)": Cell(3, over_items=0.05),
    "equal variances, items matter as much as seeds of n=3 (.8)": Cell(3, over_items=0.8),
    "one study varies 3 times as much": Cell(3, spreads=(1.0, 1 / 3)),
    "one study varies 3 times as much, items .2": Cell(3, spreads=(1.0, 1 / 3), over_items=0.2),
    "one study hardly varies": Cell(3, spreads=(1.0, 0.1), over_items=0.2),
    "heavy tails (t with 4 degrees of freedom)": Cell(3, heavy=True),
    "one study collapses in 5 % of its seeds": Cell(3, collapses=0.05),
    "one study collapses in 10 % of its seeds": Cell(3, collapses=0.1),
    "40 test items": Cell(3, over_items=0.8, items=40),
    "200 test items": Cell(3, over_items=0.8, items=200),
    "10,000 test items": Cell(3, over_items=0.2, items=10_000),
    "seeds correlated by .5": Cell(3, shared=0.5),
}
POWERS = {
    "sd .6, items .4": Cell(3, spreads=(0.6, 0.6), difference=2),
    "sd .6, items .8": Cell(3, spreads=(0.6, 0.6), over_items=0.8, difference=2),
    "sd 1, items .4": Cell(3, difference=2),
    "sd 1, items .4, one study varies 3 times as much": Cell(3, spreads=(1.0, 1 / 3), difference=2),
    "sd 1, items .4, heavy tails": Cell(3, heavy=True, difference=2),
    "sd 1, items .4, seeds correlated by .5": Cell(3, shared=0.5, difference=2),
}


def main() -> None:
    """Print both tables: for each number of seeds the independent rule, and the paired one after a slash."""
    for title, cells in (
        ("Equal studies: decided in percent (5 is promised); independent / paired", SIZES),
        ("A true difference of 2 points: decided in percent; independent / paired", POWERS),
    ):
        rows = []
        for name, cell in cells.items():
            shares = [[decided(replace(cell, seeds=n), paired=paired) for paired in (False, True)] for n in SEEDS]
            rows.append([name, *(" / ".join(map(percent, each)) for each in shares)])
        print(f"{title}\n\n{table(['', *(f'{n} seeds' for n in SEEDS)], rows)}", flush=True)


if __name__ == "__main__":
    main()
