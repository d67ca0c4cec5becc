"""Do hard negatives help, and which? The anchors and positives are the same in every study; the negatives change.

    harness run studies/hard_negatives.py

`none` relies on the other pairs of the batch, `random` adds a positive of another premise to each pair, `contradiction`
a contradiction of its own premise, `both` both. `mined` adds the positive of another premise that the untrained base
model finds most like the anchor, `mined by none` the one that the winner of study `none` does, `mined 3` three of them;
what lies within 5 percent of the anchor's positives is taken for a false negative. Only premises that have a
contradiction are used, in every study.

SimCSE reports 84.9 without and 86.2 with contradictions on STSB dev (Gao et al., 2021, arXiv:2104.08821), on all of
SNLI and MNLI; that a random negative adds nothing to those of the batch is the control.
"""

from harness import Ablation, Budget, Space, Study, beats, choice, log_uniform, losses, testbeds, views

mnr = losses.MultipleNegativesRankingLoss

ablation = Ablation(
    name="hard_negatives",
    testbed=testbeds.book,
    studies=[
        Study("none", loss=mnr, view="pair-of-triplet"),
        Study("random", loss=mnr, view="triplet-random"),
        Study("mined", loss=mnr, view=views.mined()),
        Study("mined by none", loss=mnr, view=views.mined(by="none")),
        Study("mined 3", loss=mnr, view=views.mined(by="none", negatives=3)),
        Study("contradiction", loss=mnr, view="triplet"),
        Study("both", loss=mnr, view="quadruplet"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[beats("contradiction", "none"), beats("contradiction", "random"), beats("mined by none", "random")],
)
