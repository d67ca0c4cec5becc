"""One loss, tuned twenty times: what differs between the tunings is luck.

    harness run studies/retuned.py --no-mteb

Each tuning has points and a sampler seed of its own, then three final seeds at the best point that it found. The report
is the data of docs/usual-rule.md; `python benchmarks/usual_rule.py` counts in it how often two tunings of the same loss
look different.
"""

from harness import Ablation, Budget, Space, Study, choice, log_uniform, losses, testbeds

ablation = Ablation(
    name="retuned",
    testbed=testbeds.embedded,
    studies=[Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=8, epochs=1, seeds=3, tunings=20),
)
