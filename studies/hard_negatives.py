"""Do hard negatives help, and which? The anchors and positives are the same in every study; the negatives change.

    harness run studies/hard_negatives.py

`none` relies on the other pairs of the batch, `random` adds a positive of another premise to each pair, `contradiction`
a contradiction of its own premise, `both` both. Only premises that have a contradiction are used, in every study.
SimCSE reports 84.9 without and 86.2 with contradictions on STSB dev (Gao et al., 2021, arXiv:2104.08821), on all of
SNLI and MNLI; "a random negative adds nothing to those of the batch" is the control.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, log_uniform, losses, testbeds

mnr = losses.MultipleNegativesRankingLoss

ablation = Ablation(
    name="hard_negatives",
    testbed=testbeds.book,
    studies=[
        Study("none", loss=mnr, view="pair-of-triplet"),
        Study("random", loss=mnr, view="triplet-random"),
        Study("contradiction", loss=mnr, view="triplet"),
        Study("both", loss=mnr, view="quadruplet"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[beats("contradiction", "none"), beats("contradiction", "random")],
)
