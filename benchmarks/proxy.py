"""Is the embedded testbed a fair proxy? The studies' order there against their order on real rows.

    python benchmarks/proxy.py [--studies studies/loss_zoo.py] [--rows 9000] [--trials 3] [--seeds 2] [--lr-scale 10]

Runs the same studies on both testbeds at the same budget, resuming what is done, and prints each study's mean STSB test
Spearman at its best point on both, Kendall's tau and Spearman's rho between the two orders, and rho's bootstrap
interval over studies. `--lr-scale` is for a hub whose bert-base-uncased is a small stand-in.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau, spearmanr

from harness import api
from harness.ablation import Ablation, restrict
from harness.check import finals
from harness.study import UNTRAINED
from harness.study_file import load_study_file
from harness.testbeds import book, by_name


def means(ablation: Ablation, store: Path) -> dict[str, float]:
    """Run what is missing and return each study's mean test score; studies with failed runs are left out."""
    plan = api.run(ablation, store)
    names = [UNTRAINED, *(study.name for study in ablation.studies)]
    found = {name: finals(plan, name) for name in names}
    return {name: float(np.mean(list(f.scores.values()))) for name, f in found.items() if f.scores and not f.lacking}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=Path, default=Path("studies/loss_zoo.py"))
    parser.add_argument("--rows", type=int, default=9000)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--lr-scale", type=float, default=1.0)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the two stores go")
    options = parser.parse_args()

    declared = load_study_file(options.studies)
    real = replace(book, name="real", lr_scale=options.lr_scale)
    scores = []
    for bed in (by_name("embedded"), real):
        ablation = restrict(
            declared, testbed=bed, rows=options.rows, tasks=(), trials=options.trials, seeds=options.seeds
        )
        scores.append(means(ablation, options.runs / f"proxy-{ablation.name}-{bed.name}"))
    embedded, on_real = scores
    both = [name for name in on_real if name in embedded]
    studies = [name for name in both if name != UNTRAINED]
    table = Table(title=f"STSB test Spearman, {options.trials} trials, {options.seeds} seeds, {options.rows:,} rows")
    for column in ("study", "embedded", "real rows"):
        table.add_column(column)
    for name in sorted(both, key=lambda name: -on_real[name]):
        table.add_row(name, f"{100 * embedded[name]:.2f}", f"{100 * on_real[name]:.2f}")
    Console(width=100).print(table)
    x, y = (np.array([side[name] for name in studies]) for side in (embedded, on_real))
    random = np.random.default_rng(0)
    drawn = [random.integers(0, len(x), len(x)) for _ in range(4000)]
    rhos = [spearmanr(x[d], y[d]).statistic for d in drawn if len(set(x[d])) > 2 and len(set(y[d])) > 2]
    low, high = np.percentile(rhos, [2.5, 97.5])
    print(
        f"{len(studies)} studies: Spearman's rho {spearmanr(x, y).statistic:.2f} "
        f"(95 % over studies {low:.2f} to {high:.2f}), Kendall's tau {kendalltau(x, y).statistic:.2f}"
    )


if __name__ == "__main__":
    main()
