"""What do wrong labels cost? A share of the rows, drawn once, has one of its two wrong labels instead.

    harness run studies/label_noise.py

For softmax every row counts; in-batch negatives read the entailments alone, and of those a share of s is then wrong.
Northcutt et al. (2021, arXiv:2103.14749) estimate 3.3 percent of wrong labels in test sets in wide use; of the SNLI
pairs that were labelled again, the majority differs from the author for 6.8 percent (Bowman et al., 2015,
arXiv:1508.05326, table 2).
"""

from harness import Ablation, Budget, Space, Study, choice, in_order, log_uniform, losses, testbeds, views

softmax, mnr = losses.softmax, losses.MultipleNegativesRankingLoss

ablation = Ablation(
    name="label_noise",
    testbed=testbeds.book,
    studies=[
        Study("softmax", loss=softmax, view="pair-class"),
        Study("softmax, 10 % wrong", loss=softmax, view=views.noisy("pair-class", 0.1)),
        Study("softmax, 40 % wrong", loss=softmax, view=views.noisy("pair-class", 0.4)),
        Study("mnr", loss=mnr, view="pair"),
        Study("mnr, 10 % wrong", loss=mnr, view=views.noisy("pair", 0.1)),
        Study("mnr, 40 % wrong", loss=mnr, view=views.noisy("pair", 0.4)),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[in_order("softmax, 40 % wrong", "softmax, 10 % wrong", "softmax"), in_order("mnr, 40 % wrong", "mnr")],
)
