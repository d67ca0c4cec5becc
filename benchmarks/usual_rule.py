"""The usual rule, one training each and "a win if the score rises by .005", beside the harness's rule at equal cost.

    python benchmarks/usual_rule.py                                       # the tables of docs/usual-rule.md
    python benchmarks/usual_rule.py --figure docs/figures/usual_rule.svg

Three parts: simulated studies with the spreads that reports show; repeated tunings of one loss, from the scores.csv of
`studies/retuned.py`; and how many seeds published differences would have needed. Points are scores times 100.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from power_tables import Cell, draw, p_values, percent, table

from harness.report.figures import COLOURS, GREY
from harness.report.figures import draw as picture
from harness.scores import HEADLINE
from harness.spec.budget import TUNING_STEP
from harness.stats import estimates
from harness.stats.power import seeds_needed

Floats = NDArray[np.float64]

RISE = 0.5
"""Points by which the score has to rise for the usual rule to call a win."""

RUNS = (1, 2, 3, 5, 10)
SAMPLES = 40_000
REPORT = Path(__file__).parents[1] / "reports" / "retuned-embedded" / "scores.csv"

OVER_ITEMS = 0.22
"""Standard error over STSB's test pairs of mnr+hard minus mnr, from reports/all_losses-standin (-1.55 to -0.69)."""


def called(cell: Cell, samples: int = SAMPLES) -> tuple[float, float]:
    """Return how often the usual rule and the harness's call the first of two studies a win.

    Both get the same runs: the usual rule compares means, and the harness needs two runs of each study.
    """
    new, old, mean, error = draw(cell, samples)
    usual = float(np.mean(mean > RISE))
    if cell.seeds < 2:
        return usual, 0.0
    decided = p_values(new, old, mean, error, cell.items, paired=False) <= 0.05
    return usual, float(np.mean(decided & (mean > 0)))


def simulated() -> str:
    """Return the table of both rules over spreads, true differences and runs."""
    rows = []
    for spread, difference in itertools.product((0.5, 1.0), (0.0, 0.5, 1.0, 2.0)):
        cells = [Cell(n, (spread, spread), OVER_ITEMS, difference=difference) for n in RUNS]
        rates = [" / ".join(map(percent, called(cell))) for cell in cells]
        rows.append([f"{spread:g}", f"{difference:g}", *rates])
    return table(["sd over seeds", "true difference", *(f"{n} run{'s' * (n > 1)}" for n in RUNS)], rows)


def tunings(path: Path) -> dict[int, list[float]]:
    """Return a study's final test scores at the best point of each tuning, in points, from a report's scores.csv."""
    scores: dict[int, list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if "best" in line["roles"].split("+") and line["stage"] == "final" and line["outcome"] == "ok":
                scores.setdefault(int(line["seed"]) // TUNING_STEP, []).append(100 * float(line[HEADLINE]))
    return scores


@dataclass(frozen=True)
class Share:
    """How often something happened."""

    hits: int
    of: int

    def __str__(self) -> str:
        """Return the share in percent with its counts and Wilson's 95 percent interval (Wilson, 1927)."""
        p, n, z = self.hits / self.of, self.of, 1.96
        centre, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        low, high = (100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        return f"{self.hits:,} of {self.of:,} ({100 * p:.1f} %; {low:.1f} to {high:.1f})"


def share(happened: Iterable[bool]) -> Share:
    each = list(happened)
    return Share(sum(each), len(each))


def _covers_0(new: Sequence[float], old: Sequence[float]) -> bool:
    found = estimates.interval(new, old)
    return found is not None and found.low <= 0 <= found.high


def retuned(path: Path, splits: int = 10_000) -> str:
    """Return the table of wins and intervals between tunings of one loss, which differ by luck alone."""
    scores = tunings(path)
    pairs = list(itertools.permutations(scores.values(), 2))
    means = np.array([np.mean(each) for each in scores.values()])
    random = np.random.default_rng(0)
    rows = [
        [
            "usual rule, one run each: a win is called",
            str(share(new > old + RISE for a, b in pairs for new in a for old in b)),
        ],
        [
            "usual rule, the mean of all final seeds: a win is called",
            str(share(np.mean(a) > np.mean(b) + RISE for a, b in pairs)),
        ],
        [
            "claim on points: the interval over final seeds covers 0",
            str(share(_covers_0(a, b) for a, b in itertools.combinations(scores.values(), 2))),
        ],
    ]
    for size in (2, 3, 5, 10):
        if 2 * size <= len(means):
            chosen = (random.permutation(means) for _ in range(splits))
            covered = share(_covers_0(list(each[:size]), list(each[size : 2 * size])) for each in chosen)
            text = f"{100 * covered.hits / covered.of:.1f} % of {splits:,} splits"
            rows.append([f"claim on tuning: the interval over {size} and {size} tunings covers 0", text])
    within = np.mean([np.var(each, ddof=1) for each in scores.values()])
    seeds = np.mean([len(each) for each in scores.values()])
    luck = max(0.0, float(means.var(ddof=1) - within / seeds)) ** 0.5
    rows.append(["standard deviation of a score over seeds, in points", f"{within**0.5:.2f}"])
    rows.append(["standard deviation of the chosen points' true scores, in points", f"{luck:.2f}"])
    return table([f"{len(scores)} tunings of one loss", "measured"], rows)


def luck_of_tuning(samples: int = SAMPLES) -> str:
    """Return the coverage of both kinds of claims where two equal studies are each tuned with some luck."""
    random = np.random.default_rng(0)
    rows = []
    for luck in (0.0, 0.3, 0.6):
        row = [f"{luck:g}"]
        for number in (3, 5, 10):
            new, old, mean, error = draw(Cell(number), samples)
            shift = luck * random.standard_normal((2, samples, 1))
            moved = mean + shift[0, :, 0] - shift[1, :, 0]
            once = p_values(new + shift[0], old + shift[1], moved, error, 1379, paired=False)
            each = luck * random.standard_normal((2, samples, number))
            spread = [new + each[0], old + each[1]]
            moved = mean + each[0].mean(axis=1) - each[1].mean(axis=1)
            tuned = p_values(spread[0], spread[1], moved, error, 1379, paired=False)
            row.append(" / ".join(percent(float(np.mean(p > 0.05))) for p in (tuned, once)))
        rows.append(row)
    return table(["luck of tuning, sd", "3", "5", "10"], rows)


PUBLISHED = (
    ("hard negatives in supervised SimCSE, STSB dev 84.9 to 86.2", 1.3, "Gao et al., 2021"),
    ("temperature .05 instead of .01 in SimCSE, STSB dev 85.4 to 86.2", 0.8, "Gao et al., 2021"),
    ("AnglE instead of supervised SimCSE, STSB test 84.25 to 85.2", 0.95, "Li and Li, 2023"),
    ("20 trials of tuning instead of one point, STSB dev 78.3 to 80.27", 1.97, "sentence-transformers, documentation"),
    ("four directions in MNR's loss, NanoBEIR 54.84 to 55.71", 0.87, "sentence-transformers, documentation"),
    ("full training instead of LoRA, NanoBEIR 47.05 to 47.28", 0.23, "sentence-transformers, documentation"),
)
"""Published differences: what was changed, the difference in points, the source."""


def published() -> str:
    """Return how many seeds each published difference would have needed to be shown with 80 percent power."""
    rows = []
    for claim, difference, source in PUBLISHED:
        needed = [seeds_needed(difference / 100, (sd / 100, sd / 100)) for sd in (0.2, 0.5, 1.0)]
        rows.append([claim, f"{difference:g}", *(str(n) for n in needed), source])
    return table(["claim", "points", "sd .2", "sd .5", "sd 1", "source"], rows)


def figure(spread: float) -> Figure:
    """Draw wins called between equal studies, and between studies that differ by a point, over runs of each."""
    drawn = Figure(figsize=(7.2, 3.2), layout="constrained")
    for place, (axes, difference, title) in enumerate(
        zip(drawn.subplots(1, 2, sharey=True), (0.0, 1.0), ("equal studies", "one point better"), strict=True)
    ):
        rates = np.array([called(Cell(n, (spread, spread), OVER_ITEMS, difference=difference)) for n in RUNS])
        for column, (name, marker) in enumerate((("a rise of .005", "s"), ("the harness's rule", "o"))):
            shown = slice(column, None)  # the harness's rule needs two runs
            axes.plot(RUNS[shown], 100 * rates[shown, column], marker=marker, color=COLOURS[column], label=name)
        axes.set(title=title, xlabel="final runs of each study", xscale="log", ylim=(0, 100))
        axes.set_xticks(RUNS, [str(n) for n in RUNS], minor=False)
        axes.minorticks_off()
        if place == 0:
            axes.axhline(2.5, color=GREY, linewidth=0.8, linestyle=":")
            axes.set_ylabel("a win is called, percent")
            axes.legend(frameon=False)
    return drawn


def main() -> None:
    """Print the tables, or draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw the figure instead")
    parser.add_argument("--scores", metavar="CSV", type=Path, default=REPORT, help="scores.csv of repeated tunings")
    options = parser.parse_args()
    if options.figure is not None:
        image = picture(figure, 1.0)
        assert image is not None
        options.figure.write_bytes(image)
        return
    print(f"A win is called, in percent: a rise of .005 / the harness's rule\n\n{simulated()}")
    print(
        f"95 % intervals that cover 0: over tunings / over final seeds of one tuning, in percent\n\n{luck_of_tuning()}"
    )
    print(f"Seeds of each study for 80 % power\n\n{published()}")
    if options.scores.exists():
        print(retuned(options.scores))


if __name__ == "__main__":
    main()
