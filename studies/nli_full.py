"""SNLI and MNLI together, with published numbers to reproduce: for those who have a GPU and some hours.

    harness run studies/nli_full.py

All rows of sentence-transformers/all-nli, at the points that were published: SBERT's softmax at batch 16 and 2e-5, one
epoch (Reimers and Gurevych, 2019, arXiv:1908.10084: 77.0 on STSB test, 80.8 on dev); SimCSE's contrastive loss at batch
512 and 5e-5, temperature .05 (Gao et al., 2021, arXiv:2104.08821: 86.2 on dev and 84.25 on test with contradictions,
84.9 on dev without). SimCSE trains three epochs, takes the first token's embedding and keeps its best checkpoint on
STSB dev; here every study trains one epoch and keeps the last step, so its numbers are expected within a wider
tolerance. No published point is in the space: `fixed` names it.

SBERT's 77.0 is known not to come back: two independent reruns of this very setting gave 74.7 and 75.4, and nobody found
why. A correct harness is expected to land near these, and to violate a tolerance of one point; 3.5 points take them in.
`within` is judged by seeds alone, since the published scores are of the same test pairs.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, log_uniform, losses, testbeds, within

sbert, simcse = {"batch_size": 16, "lr": 2e-5}, {"batch_size": 512, "lr": 5e-5}
mnr = losses.MultipleNegativesRankingLoss
dev, test = "stsb-dev/spearman_cosine", "stsb-test/spearman_cosine"

ablation = Ablation(
    name="nli_full",
    testbed=testbeds.nli,
    studies=[
        Study("sbert", loss=losses.softmax, view="pair-class", fixed=sbert),
        Study("simcse", loss=mnr, view="pair", fixed=simcse, pooling="cls"),
        Study("simcse+hard", loss=mnr, view="triplet", fixed=simcse, pooling="cls"),
    ],
    space=Space(batch_size=choice(16, 64, 256, 512), lr=log_uniform(5e-6, 1e-4)),
    budget=Budget(trials=1, epochs=1, seeds=3),
    expect=[
        within("sbert", 0.770, 0.035, figure=test, source="Reimers and Gurevych, 2019, table 2; reruns 74.7 and 75.4"),
        within("simcse", 0.849, 0.01, figure=dev, source="Gao et al., 2021, table 4"),
        within("simcse+hard", 0.862, 0.01, figure=dev, source="Gao et al., 2021, table 4"),
        within("simcse+hard", 0.8425, 0.01, figure=test, source="Gao et al., 2021, table 5"),
        beats("simcse+hard", "simcse"),
    ],
)
