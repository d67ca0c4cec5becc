"""The temperature of in-batch negatives: MultipleNegativesRankingLoss has its inverse, `scale`, and 20 by default.

    harness run studies/temperature.py

SimCSE's table on STSB dev (Gao et al., 2021, arXiv:2104.08821): 84.9 at temperature .001, 85.4 at .01, 86.2 at .05,
82.0 at .1 and 64.0 at 1: scales of 1000, 100, 20, 10 and 1.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds

mnr = Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")

ablation = Ablation(
    name="temperature",
    testbed=testbeds.book,
    studies=mnr.sweep(scale=[1000, 100, 20, 10, 1]),
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[in_order("mnr scale=1", "mnr scale=10", "mnr scale=20"), beats("mnr scale=20", "mnr scale=1000")],
)
