"""Every loss of sentence-transformers that NLI rows can feed, at equal budget.

    harness run studies/loss_zoo.py

Losses differ in what they read, so the views differ too, and with them the rows a run sees: labelled pairs for the
first eight, entailed pairs (a third of the rows) for the others, with a contradiction for `triplet` and `mnr+hard`.
Every model is scored on its first half, quarter and eighth of dimensions, too, which `matryoshka` trains for.
`gist (untrained guide)` is GISTEmbedLoss with the base model, frozen before any training, as its guide: no testbed has
another. It is not GISTEmbed as published (Solatorio, 2024, arXiv:2402.16829), whose guide is a strong embedding model:
`partial(losses.gist, guide=FOLDER)` takes one.

Expected, as their papers claim: the classifier better over (u, v, |u - v|) than over (u, v) (Reimers and Gurevych,
2019, arXiv:1908.10084, table 6: 80.78 and 66.04 on STSB dev), CoSENT above cosine similarity (Su, 2022,
https://kexue.fm/archives/8847), AnglE above CoSENT (Li and Li, 2023, arXiv:2309.12871), in-batch negatives above a
classifier and hard negatives above both (Gao et al., 2021, arXiv:2104.08821: 84.9 without and 86.2 with them).
"""

from functools import partial
from typing import Any

from harness import Ablation, Budget, Space, Study, beats, choice, in_order, log_uniform, losses, testbeds


@losses.reads("none", fewest=3)
def triplet(model: Any) -> Any:
    """TripletLoss on cosine distance: its default, a Euclidean margin of 5, is more than unit vectors can be apart."""
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

    return TripletLoss(model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=0.25)


@losses.reads("none", fewest=2, most=99)
def matryoshka(model: Any) -> Any:
    """Matryoshka over MNR (Kusupati et al., 2022, arXiv:2205.13147): the first half, quarter and eighth embed, too."""
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

    whole = model.get_embedding_dimension()
    return MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), [whole, whole // 2, whole // 4, whole // 8])


@losses.reads("none", fewest=2, most=99)
def adaptive_layers(model: Any) -> Any:
    """AdaptiveLayerLoss over MNR (2D Matryoshka; Li et al., 2024, arXiv:2402.14776): earlier layers embed, too."""
    from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss, MultipleNegativesRankingLoss

    return AdaptiveLayerLoss(model, MultipleNegativesRankingLoss(model))


softmax_of_u_v = partial(losses.softmax, concatenation_sent_difference=False)
softmax_of_difference = partial(losses.softmax, concatenation_sent_rep=False)

ablation = Ablation(
    name="loss_zoo",
    testbed=testbeds.book,
    studies=[
        Study("softmax (u, v)", loss=softmax_of_u_v, view="pair-class"),
        Study("softmax (u-v)", loss=softmax_of_difference, view="pair-class"),
        Study("softmax", loss=losses.softmax, view="pair-class"),
        Study("cosine", loss=losses.CosineSimilarityLoss, view="pair-score"),
        Study("cosent", loss=losses.CoSENTLoss, view="pair-score"),
        Study("angle", loss=losses.AnglELoss, view="pair-score"),
        Study("contrastive", loss=losses.ContrastiveLoss, view="pair-score"),
        Study("online-contrastive", loss=losses.OnlineContrastiveLoss, view="pair-score"),
        Study("triplet", loss=triplet, view="triplet"),
        Study("mega-batch-margin", loss=losses.MegaBatchMarginLoss, view="pair"),
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view="pair"),
        Study("mnr-symmetric", loss=losses.MultipleNegativesSymmetricRankingLoss, view="pair"),
        Study("mnr-cached", loss=losses.CachedMultipleNegativesRankingLoss.given(mini_batch_size=16), view="pair"),
        Study("gist (untrained guide)", loss=losses.gist, view="pair"),
        Study("matryoshka", loss=matryoshka, view="pair"),
        Study("adaptive-layers", loss=adaptive_layers, view="pair"),
        Study("mnr+hard", loss=losses.MultipleNegativesRankingLoss, view="triplet"),
    ],
    space=Space(batch_size=choice(16, 32, 64, 128), lr=log_uniform(1e-6, 2e-4)),
    budget=Budget(trials=16, epochs=1, seeds=5),
    expect=[
        beats("softmax", "softmax (u, v)"),
        beats("cosent", "cosine"),
        beats("angle", "cosent"),
        in_order("softmax", "mnr", "mnr+hard"),
    ],
)
