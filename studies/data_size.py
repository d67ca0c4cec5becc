"""How much do more rows help, and does the answer depend on the loss? The first 1,000 rows, then twice as many.

    harness run studies/data_size.py

Each study trains one epoch, so fewer rows are fewer steps, too; the budget in trials is equal. The last of each has all
rows of the testbed. Nothing published is reproduced: that more rows are not worse is what is expected.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds

softmax = Study("softmax", loss=losses.softmax, view="pair-class")
mnr = Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")
few = [1_000, 2_000, 4_000, 8_000]

ablation = Ablation(
    name="data_size",
    testbed=testbeds.book,
    studies=[*softmax.sweep(rows=few), softmax, *mnr.sweep(rows=few), mnr],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[in_order("mnr rows=1000", "mnr rows=4000", "mnr"), beats("softmax", "softmax rows=1000")],
)
