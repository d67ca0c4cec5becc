"""The temperature of in-batch negatives: MultipleNegativesRankingLoss has its inverse, `scale`, and 20 by default.

    harness run studies/temperature.py

SimCSE's table on STSB dev (Gao et al., 2021, arXiv:2104.08821): 84.9 at .001, 85.4 at .01, 86.2 at .05, 82.0 at .1 and
64.0 at 1.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds

mnr = losses.MultipleNegativesRankingLoss

ablation = Ablation(
    name="temperature",
    testbed=testbeds.book,
    studies=[
        Study("t=.001", loss=mnr.given(scale=1000.0), view="pair"),
        Study("t=.01", loss=mnr.given(scale=100.0), view="pair"),
        Study("t=.05", loss=mnr, view="pair"),
        Study("t=.1", loss=mnr.given(scale=10.0), view="pair"),
        Study("t=1", loss=mnr.given(scale=1.0), view="pair"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[in_order("t=1", "t=.1", "t=.05"), beats("t=.05", "t=.001")],
)
