"""A study file: all_losses with a null planted beside it, `mnr+shuffled`, whose negatives belong to other pairs.

    harness run benchmarks/planted.py --testbed embedded --trials 1 --no-mteb

What a contradiction adds to mnr is that it is of the same premise. So the claim that `mnr+hard` beats its shuffled twin
ought to hold, and the claim that the twin gains as `mnr+hard` does ought not to.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness import Study, beats
from harness.spec import losses
from harness.spec.loading import load_study_file
from harness.spec.views import VIEWS, View

declared = load_study_file(Path(__file__).parent.parent / "studies" / "all_losses.py")


def shuffled(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return triplets whose negatives stand with other pairs than their own."""
    triplets = VIEWS["triplet"].build(rows, limit)
    return triplets.assign(negative=triplets["negative"].sample(frac=1, random_state=0).to_numpy())


null = Study(
    "mnr+shuffled",
    loss=losses.MultipleNegativesRankingLoss,
    view=View("shuffled", VIEWS["triplet"].columns, "none", shuffled),
)

ablation = replace(
    declared,
    name="planted",
    studies=[*declared.studies, null],
    expect=[
        *declared.expect,
        beats("mnr+hard", "mnr+shuffled", at="default"),
        beats("mnr+shuffled", "mnr", by=0.01, at="default"),
    ],
)
