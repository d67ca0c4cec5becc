"""Which studies share their seeds, so that their scores are compared seed by seed.

A seed decides the order of the rows, dropout, and the initial weights of the loss. Two studies that train one loss on
the same rows of one view draw all of these alike, and their scores move together: over the committed reports their
correlation was .17 to .51. Studies of different losses or views had correlations about 0 (-.16 to .06). So whether
seeds are shared follows from what the studies declare; the scores are not looked at.
"""

from __future__ import annotations

from functools import partial

from harness.spec.ablation import Ablation
from harness.spec.loss_classes import Loss
from harness.spec.study import UNTRAINED, Study
from harness.spec.views import named


def share_seeds(ablation: Ablation, one: str, other: str) -> bool:
    """Return whether two studies train the same loss, whatever its options, on the same rows of the same view."""
    if UNTRAINED in (one, other):
        return False
    return _drawn_alike(ablation, one) == _drawn_alike(ablation, other)


def _drawn_alike(ablation: Ablation, name: str) -> list[tuple[object, ...]]:
    """Return what a study's seed draws from: of each part the loss without its options, the view and the rows."""
    study: Study = ablation.study(name)
    bed = ablation.testbed_of(name)
    return [
        (_without_options(part.loss), named(part.view), part.source or bed.source, bed.max_rows)
        for part in study.all_parts
    ]


def _without_options(loss: object) -> object:
    """Return what a loss is made of: the name of its class, or the function."""
    while isinstance(loss, partial):
        loss = loss.func
    return loss.name if isinstance(loss, Loss) else loss
