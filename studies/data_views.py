"""What should NLI labels mean? One base model, the same rows, other readings of them.

    harness run studies/data_views.py

For CosineSimilarityLoss: neutral as 0 (the book's), as .5, or left out. For in-batch negatives: which pairs are
positives. SimCSE's ablation (Gao et al., 2021, arXiv:2104.08821) has 84.9 for entailments, 81.9 for all pairs and 77.6
for contradictions as positives, on STSB dev.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds

cosine, mnr = losses.CosineSimilarityLoss, losses.MultipleNegativesRankingLoss

ablation = Ablation(
    name="data_views",
    testbed=testbeds.book,
    studies=[
        Study("neutral 0", loss=cosine, view="pair-score"),
        Study("neutral .5", loss=cosine, view="pair-score-half"),
        Study("no neutral", loss=cosine, view="pair-score-no-neutral"),
        Study("entailments", loss=mnr, view="pair"),
        Study("entailments both ways", loss=mnr, view="pair-both-ways"),
        Study("symmetric loss", loss=losses.MultipleNegativesSymmetricRankingLoss, view="pair"),
        Study("all pairs", loss=mnr, view="pair-of-all"),
        Study("contradictions", loss=mnr, view="pair-of-contradictions"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[in_order("contradictions", "all pairs", "entailments"), beats("neutral .5", "neutral 0")],
)
