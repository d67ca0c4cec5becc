"""The book's progression: one base model, one set of NLI rows, four ways to learn from them.

    harness run studies/all_losses.py

Hands-On Large Language Models (Alammar and Grootendorst, 2024), chapter 10, reports .59, .72 and .80 (Pearson, STSB
dev) for the first three at one learning rate; the fourth adds a contradiction of the same premise to each pair. The
book's order is claimed where the book has it, at its untuned point. Tuned, softmax and cosine choose learning rates at
which they hardly train, so that which of them leads is not claimed there.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds

ablation = Ablation(
    name="all_losses",
    testbed=testbeds.book,
    studies=[
        Study("softmax", loss=losses.softmax, view="pair-class"),
        Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-score"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
        Study("mnr+hard", loss=losses.MultipleNegativesRankingLoss, view="triplet"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[
        in_order("softmax", "cosine", "mnr", at="default"),
        beats("mnr+hard", "mnr", at="default"),
        beats("mnr", "cosine"),
    ],
)
