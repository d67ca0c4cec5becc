"""What it is worth to train the best points of a tuning with more seeds before one of them is chosen.

    python benchmarks/repeats.py

A Gaussian process through the 160 trials of `studies/retuned.py` (reports/retuned-embedded) stands for the true dev
score of a point. Tunings with the harness's own start-up points and sampler are then simulated on it, with the spread
over seeds of the same report. For each way of choosing, the table has the distance of the chosen point's true score
from the highest (its mean) and how much the chosen points differ (standard deviation), in points.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from power_tables import table
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from harness.engine.search import ask
from harness.planning.plan import start_up_points
from harness.scores import OBJECTIVE
from harness.spec.ablation import Ablation
from harness.spec.loading import load_study_file
from harness.spec.space import Point
from harness.store.records import Record

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports" / "retuned-embedded" / "records.json"
WAYS = ((0, 0), (2, 2), (3, 1), (3, 2), (3, 4), (5, 1), (5, 2))
"""Numbers of best points that are trained again, and of further seeds for each."""


@dataclass(frozen=True)
class Surface:
    """The true dev score of every point, in points, and the spread of a measured one over seeds."""

    process: GaussianProcessRegressor
    noise: float

    def true(self, point: Point) -> float:
        """Return the true score at a point."""
        return float(self.process.predict([_place(point.as_dict())])[0])


def _place(point: dict[str, Any]) -> list[float]:
    return [np.log2(point["batch_size"]), np.log10(point["lr"])]


def fitted(path: Path) -> Surface:
    """Fit the surface to a report's trials, and the spread to its final runs at equal points."""
    records = [r for r in json.loads(path.read_text())["records"] if r["outcome"] == "ok"]
    trials = [r for r in records if r["stage"] == "tune"]
    finals = defaultdict(list)
    for record in records:
        if record["stage"] == "final":
            finals[json.dumps(record["point"])].append(100 * record["scores"][OBJECTIVE])
    noise = float(np.mean([np.var(each, ddof=1) for each in finals.values()])) ** 0.5
    kernel = ConstantKernel(4.0, (0.1, 1e3)) * RBF([2.0, 0.5], (0.1, 20)) + WhiteKernel(noise**2, "fixed")
    process = GaussianProcessRegressor(kernel, normalize_y=False, n_restarts_optimizer=2, random_state=0)
    scores = np.array([100 * r["scores"][OBJECTIVE] for r in trials])
    process.fit([_place(r["point"]) for r in trials], scores - scores.max())
    return Surface(process, noise)


def tuned(ablation: Ablation, surface: Surface, tuning: int, random: np.random.Generator) -> list[tuple[float, float]]:
    """Return the true and the measured score of each trial of a simulated tuning."""
    study, scores = ablation.studies[0], []
    records: list[Record] = []
    for trial in range(ablation.trials(study)):
        fixed = start_up_points(ablation, study, tuning)
        point = fixed[trial] if trial < len(fixed) else ask(ablation, study, records, tuning)
        true = surface.true(point)
        measured = true + surface.noise * random.standard_normal()
        scores.append((true, measured))
        records.append(
            Record(str(trial), study.name, "tune", 0, point, trial, "ok", scores={OBJECTIVE: 0.7 + measured / 100})
        )
    return scores


def chosen(scores: list[tuple[float, float]], best: int, more: int, noise: float, random: np.random.Generator) -> float:
    """Return the true score of the point with the highest mean of its trial and its further seeds."""
    ranked = sorted(scores, key=lambda pair: -pair[1])[: max(best, 1)]
    means = [(m + sum(t + noise * random.standard_normal() for _ in range(more))) / (1 + more) for t, m in ranked]
    return ranked[int(np.argmax(means))][0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tunings", metavar="N", type=int, default=1000, help="simulated tunings of each length")
    parser.add_argument("--trials", metavar="N", type=int, nargs="+", default=[4, 8, 10, 12, 14, 16, 18, 22])
    options = parser.parse_args()
    surface = fitted(REPORT)
    declared = load_study_file(ROOT / "studies" / "retuned.py")
    rows = []
    for trials in options.trials:
        ablation = replace(declared, budget=replace(declared.budget, trials=trials))
        random = np.random.default_rng(0)
        simulated = [tuned(ablation, surface, number, random) for number in range(options.tunings)]
        top = max(true for scores in simulated for true, _ in scores)
        row = [str(trials)]
        for best, more in WAYS:
            true = np.array([chosen(scores, best, more, surface.noise, random) for scores in simulated])
            row.append(f"{top - true.mean():.2f}, {true.std():.2f}")
        rows.append(row)
    print(f"Spread over seeds {surface.noise:.2f}; {surface.process.kernel_}")
    names = ["by one run", *(f"{best} points, {more} more" for best, more in WAYS[1:])]
    print(table(["trials", *names], rows))


if __name__ == "__main__":
    main()
