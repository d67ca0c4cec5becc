"""How should token embeddings become a sentence's? Their mean, their maximum, or the first token's.

    harness run studies/pooling.py

SBERT's table 6 (Reimers and Gurevych, 2019, arXiv:1908.10084) on STSB dev, trained on NLI with the softmax classifier:
mean 80.78, CLS 79.80, max 79.07. The untrained model is mean-pooled in this report.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, log_uniform, losses, testbeds

softmax = Study("softmax", loss=losses.softmax, view="pair-class")
mnr = Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair")

ablation = Ablation(
    name="pooling",
    testbed=testbeds.book,
    studies=softmax.sweep(pooling=["max", "cls", "mean"]) + mnr.sweep(pooling=["max", "cls", "mean"]),
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[
        beats("softmax pooling=mean", "softmax pooling=cls"),
        beats("softmax pooling=mean", "softmax pooling=max"),
        beats("mnr pooling=mean", "mnr pooling=max"),
    ],
)
